use std::cell::Cell;
use std::fmt;
use std::task::{Context, Waker};

/// The task of this thread that waits for something, if one does.
#[derive(Default)]
pub struct Wake(Cell<Option<Waker>>);

impl Wake {
    /// From now on it is the task whose turn it is.
    pub fn keep(&self, cx: &Context<'_>) {
        let known = self.0.take().filter(|task| task.will_wake(cx.waker()));
        self.0.set(known.or_else(|| Some(cx.waker().clone())));
    }

    /// Lets it have its turn, once.
    pub fn wake(&self) {
        if let Some(task) = self.0.take() {
            task.wake();
        }
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}
