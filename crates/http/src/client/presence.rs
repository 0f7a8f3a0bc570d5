use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// A client's connection while it is there. Who watches it is told when it is gone.
pub(crate) struct Presence {
    /// Which of the worker's connections it is, counted from 1.
    pub(crate) number: u64,
    watchers: RefCell<Vec<(Weak<dyn Watcher>, u64)>>,
}

/// Somebody who wants to know when a connection is gone.
pub(crate) trait Watcher {
    /// The connection is gone that it has named so.
    fn is_gone(&self, name: u64);
}

thread_local! {
    /// The worker's last connection.
    static LAST: Cell<u64> = const { Cell::new(0) };
}

impl Presence {
    /// The next connection of this worker.
    pub(super) fn begin() -> Rc<Self> {
        let number = LAST.get() + 1;
        LAST.set(number);
        Rc::new(Self { number, watchers: RefCell::default() })
    }

    /// Whether anybody would hear of its end.
    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.borrow().iter().any(|(watcher, _)| watcher.strong_count() > 0)
    }

    /// `watcher` is to hear of its end, by this name. One that has watched it before has another name for it.
    pub(crate) fn watch(&self, watcher: Weak<dyn Watcher>, name: u64) {
        let mut watchers = self.watchers.borrow_mut();
        watchers.retain(|(known, _)| known.strong_count() > 0 && !known.ptr_eq(&watcher));
        watchers.push((watcher, name));
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        for (watcher, name) in self.watchers.take() {
            if let Some(watcher) = watcher.upgrade() {
                watcher.is_gone(name);
            }
        }
    }
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Presence").field(&self.number).finish()
    }
}
