use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use brim_service::Lifecycle;
use tokio::time::{Sleep, sleep_until};

/// What a connection and its shell know of its silence.
#[derive(Debug)]
pub(crate) struct Silence {
    /// Bytes moved since the shell looked.
    moved: Cell<bool>,
    /// How long a silence may last; zero is for ever.
    limit: Cell<Duration>,
}

/// How it ended.
pub(crate) enum Ended<T> {
    /// The work was done.
    Done(T),
    /// There was silence for too long.
    Silent,
}

impl Silence {
    pub(crate) fn new(limit: Duration) -> Rc<Self> {
        Rc::new(Self { moved: Cell::new(false), limit: Cell::new(limit) })
    }

    pub(crate) fn breaks(&self) {
        self.moved.set(true);
    }

    pub(crate) fn set_limit(&self, limit: Duration) {
        self.limit.set(limit);
    }

    /// Works until that is done, or there is silence for too long.
    pub(crate) async fn watch<T>(
        &self,
        lifecycle: &Lifecycle,
        mut work: impl Future<Output = T> + Unpin,
    ) -> Ended<T> {
        let mut last = Instant::now();
        let mut timer: Pin<&mut Sleep> = pin!(sleep_until(far(last).into()));
        let mut armed = far(last);
        let mut drain = pin!(lifecycle.drain_begins());
        let mut draining = false;
        poll_fn(|cx| {
            if let Poll::Ready(done) = Pin::new(&mut work).poll(cx) {
                return Poll::Ready(Ended::Done(done));
            }
            if self.moved.take() {
                last = Instant::now();
            }
            draining = draining || drain.as_mut().poll(cx).is_ready();
            let due = self.due(last, lifecycle);
            // What moves on only makes it later, and then it is soon enough to look when the timer goes off.
            if due < armed {
                armed = due;
                timer.as_mut().reset(due.into());
            }
            while timer.as_mut().poll(cx).is_ready() {
                if Instant::now() >= due {
                    return Poll::Ready(Ended::Silent);
                }
                armed = due;
                timer.as_mut().reset(due.into());
            }
            Poll::Pending
        })
        .await
    }

    /// When it is too long.
    fn due(&self, last: Instant, lifecycle: &Lifecycle) -> Instant {
        let limit = self.limit.get();
        let due = if limit.is_zero() { far(last) } else { last + limit };
        match lifecycle.draining() {
            // DRAIN: silence counts from the signal at the earliest.
            Some(drain) => due.min(last.max(drain.since) + drain.idle),
            None => due,
        }
    }
}

/// Later than anything lasts.
fn far(now: Instant) -> Instant {
    now + Duration::from_secs(400 * 24 * 3600)
}
