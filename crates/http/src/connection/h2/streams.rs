use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::connection::clock::{Clock, Due};

/// The streams of one connection.
#[derive(Debug)]
pub(crate) struct Streams {
    open: RefCell<Vec<(Rc<Clock>, Option<AbortHandle>)>>,
    /// When the last exchange ended, or the connection began.
    since: Cell<Instant>,
    /// How many there were, and how many of them the client broke off.
    begun: Cell<u64>,
    reset: Cell<u64>,
    resets: u64,
    flood: Cell<bool>,
    /// Since when the kernel takes nothing.
    blocked: Cell<Option<Instant>>,
}

impl Streams {
    pub(crate) fn new(resets: usize) -> Self {
        Self {
            open: RefCell::default(),
            since: Cell::new(Instant::now()),
            begun: Cell::new(0),
            reset: Cell::new(0),
            resets: resets as u64,
            flood: Cell::new(false),
            blocked: Cell::new(None),
        }
    }

    /// An exchange begins.
    pub(crate) fn begin(&self, clock: Rc<Clock>) {
        self.begun.set(self.begun.get() + 1);
        self.open.borrow_mut().push((clock, None));
    }

    /// The exchange of this clock is over; `whole`: the client did not break it off.
    pub(crate) fn end(&self, clock: &Rc<Clock>, whole: bool) {
        let mut open = self.open.borrow_mut();
        let Some(at) = open.iter().position(|(other, _)| Rc::ptr_eq(other, clock)) else { return };
        open.swap_remove(at);
        self.since.set(Instant::now());
        if !whole {
            self.reset.set(self.reset.get() + 1);
            // A client that changes its mind is none that does nothing else.
            let reset = self.reset.get();
            if reset > self.resets && reset > self.begun.get() / 2 {
                self.flood.set(true);
            }
        }
    }

    /// Frames come that serve no purpose.
    pub(crate) fn flood(&self) {
        self.flood.set(true);
    }

    pub(crate) fn is_flood(&self) -> bool {
        self.flood.get()
    }

    /// Looks at each stream's clock, and ends those whose client takes nothing.
    pub(crate) fn look(&self, now: Instant) {
        let due = |clock: &Rc<Clock>| matches!(clock.due(now), Due::WriteTimeout);
        let stuck: Vec<_> = {
            let open = self.open.borrow();
            let stuck = open.iter().filter(|(clock, _)| due(clock));
            stuck.filter_map(|(_, task)| task.clone()).collect()
        };
        stuck.iter().for_each(AbortHandle::abort);
    }

    /// How long there has been no exchange.
    pub(crate) fn silence(&self, now: Instant) -> Option<Duration> {
        self.open.borrow().is_empty().then(|| now.saturating_duration_since(self.since.get()))
    }

    /// Tells whether the kernel takes what there is to write.
    pub(crate) fn writes(&self, goes: bool) {
        match (goes, self.blocked.get()) {
            (true, _) => self.blocked.set(None),
            (false, None) => self.blocked.set(Some(Instant::now())),
            (false, Some(_)) => {}
        }
    }

    /// Whether it has taken nothing for this long.
    pub(crate) fn is_stuck(&self, now: Instant, time: Duration) -> bool {
        self.blocked.get().is_some_and(|since| now.saturating_duration_since(since) >= time)
    }
}

/// Runs hyper's streams, each a task on the worker's own thread.
#[derive(Clone, Debug)]
pub(crate) struct Spawn(pub(crate) Rc<Streams>);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, stream: F) {
        let task = tokio::task::spawn_local(stream).abort_handle();
        // hyper has just called the service, which has left its clock here.
        if let Some((_, handle @ None)) = self.0.open.borrow_mut().last_mut() {
            *handle = Some(task);
        }
    }
}
