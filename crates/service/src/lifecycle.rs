use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A worker's view of the drain.
// DRAIN: nothing that a client may still want is closed by the signal itself. An exchange ends and
// says `Connection: close`; a silent connection is closed `drain_idle` after the later of its last
// byte and the signal; a connection that has said nothing yet counts as silent from its accept.
#[derive(Clone, Debug)]
pub struct Lifecycle(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    draining: Cell<Option<Drain>>,
    notify: Notify,
}

/// A drain that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// When the signal came.
    pub since: Instant,
    /// Silence after which a connection without a request is closed.
    pub idle: Duration,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Inner { draining: Cell::new(None), notify: Notify::new() }))
    }

    /// The drain, once it has begun.
    pub fn draining(&self) -> Option<Drain> {
        self.0.draining.get()
    }

    /// Waits for the drain to begin.
    pub async fn drain_begins(&self) {
        let notified = self.0.notify.notified();
        if self.draining().is_none() {
            notified.await;
        }
    }

    pub(crate) fn begin_drain(&self, idle: Duration) {
        self.0.draining.set(Some(Drain { since: Instant::now(), idle }));
        self.0.notify.notify_waiters();
    }
}
