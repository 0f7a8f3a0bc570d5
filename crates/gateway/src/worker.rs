//! The one worker: the core, and the sockets around it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use brim_config::{Address, GatewaySection, Role};
use brim_service::{Lifecycle, LogLimit, Wake, WorkerContext};
use brim_wire::link::Numbered;
use tokio::sync::Notify;

use crate::connection::Wired;
use crate::core::{Core, FileEvent, Key};
use crate::disk::Disk;
use crate::plan::GatewayPlan;

/// How often a drain looks whether what was open is over.
const DRAIN_STEP: Duration = Duration::from_millis(10);
/// How long exchanges that began during the drain have when nobody new is served.
const LAST: Duration = Duration::from_secs(5);

/// The worker with one configuration; the shell goes on over reloads.
#[derive(Debug)]
pub(crate) struct GatewayWorker {
    pub(crate) shell: Rc<Shell>,
    section: GatewaySection,
    context: WorkerContext,
}

/// What there is of sockets.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) core: RefCell<Core>,
    connections: RefCell<Numbered<Key, Rc<Wired>>>,
    endpoints: RefCell<Vec<(Address, Role)>>,
    drain_timeout: Cell<Duration>,
    /// The task that writes, while there is nothing to be written.
    writer: Wake,
    /// Somebody has connected, or is ready.
    came: Notify,
    disk: Disk,
    has_begun: Cell<bool>,
    pub(crate) warnings: LogLimit,
}

impl GatewayWorker {
    pub(crate) fn new(
        plan: &Arc<GatewayPlan>,
        context: WorkerContext,
        previous: Option<&Self>,
    ) -> Self {
        let section = plan.section.clone();
        let shell = previous.map_or_else(
            || {
                Rc::new(Shell::new(Core::new(
                    section.clone(),
                    &context.stats,
                    Instant::now(),
                    SystemTime::now(),
                )))
            },
            |previous| previous.shell.clone(),
        );
        Self { shell, section, context }
    }

    /// This configuration is in force.
    pub(crate) fn begin(&self) {
        let endpoints = self.section.endpoints().into_iter();
        let endpoints = endpoints.map(|endpoint| (endpoint.listener.address, endpoint.role));
        self.shell.endpoints.replace(endpoints.collect());
        self.shell.drain_timeout.set(self.section.server.drain_timeout);
        if self.shell.has_begun.replace(true) {
            let mut core = self.shell.core.borrow_mut();
            core.configure(self.section.clone(), &self.context.stats);
        } else {
            tokio::task::spawn_local(self.shell.clone().write_all());
            tokio::task::spawn_local(self.shell.clone().watch_clocks());
            tokio::task::spawn_local(self.shell.clone().drain(self.context.lifecycle.clone()));
        }
    }
}

impl Shell {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core: RefCell::new(core),
            connections: RefCell::default(),
            endpoints: RefCell::default(),
            drain_timeout: Cell::default(),
            writer: Wake::default(),
            came: Notify::new(),
            disk: Disk::default(),
            has_begun: Cell::new(false),
            warnings: LogLimit::new(),
        }
    }

    /// Whom one meets at an address.
    pub(crate) fn role_of(&self, address: &Address) -> Option<Role> {
        let endpoints = self.endpoints.borrow();
        endpoints.iter().find(|(known, _)| known == address).map(|(_, role)| *role)
    }

    /// Takes a connection in.
    pub(crate) fn open(&self, role: Role, wired: &Rc<Wired>) -> Option<Key> {
        let key = self.core.borrow_mut().open(role, Instant::now())?;
        self.connections.borrow_mut().insert(key, wired.clone());
        self.came.notify_one();
        self.changed();
        Some(key)
    }

    /// Lets a connection go.
    pub(crate) fn close(&self, key: Key) {
        self.connections.borrow_mut().remove(&key);
        self.core.borrow_mut().closed(key, Instant::now());
        self.changed();
    }

    /// Something came in, or a client's socket takes more: what follows from it is written at the end of this
    /// turn of the loop.
    pub(crate) fn changed(&self) {
        self.writer.wake();
    }

    /// Has the clocks go faster if somebody is ready who was not.
    pub(crate) fn look_for_fresh(&self, was_fresh: bool) {
        if !was_fresh && self.core.borrow().has_fresh() {
            self.came.notify_one();
        }
    }

    /// Something came of an order for a file.
    pub(crate) fn file_event(&self, ticket: u64, event: FileEvent) {
        self.core.borrow_mut().file_event(ticket, event, Instant::now());
        self.changed();
    }

    /// Writes to a connection what it takes.
    pub(crate) fn write(&self, key: Key) {
        let wired = self.connections.borrow().get(&key).cloned();
        let Some(wired) = wired else { return };
        loop {
            let mut core = self.core.borrow_mut();
            let (bytes, is_closing) = core.output(key);
            if bytes.is_empty() {
                if is_closing {
                    wired.end();
                }
                return;
            }
            if wired.is_blocked() {
                return;
            }
            match wired.stream.try_write(bytes) {
                Ok(count) => core.wrote(key, count, Instant::now()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return wired.block();
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return wired.end(),
            }
        }
    }

    /// All that came of one turn of the loop leaves in one write for each connection: this task is woken while
    /// others are, and so has its turn after them.
    async fn write_all(self: Rc<Self>) {
        poll_fn(|cx| {
            loop {
                let (listed, orders) = {
                    let mut core = self.core.borrow_mut();
                    (core.take_listed(), core.take_orders())
                };
                if listed.is_empty() && orders.is_empty() {
                    self.writer.keep(cx);
                    return Poll::Pending;
                }
                orders.into_iter().for_each(|order| self.disk.order(&self, order));
                listed.into_iter().for_each(|key| self.write(key));
            }
        })
        .await
    }

    async fn watch_clocks(self: Rc<Self>) {
        loop {
            if self.core.borrow().is_empty() {
                self.came.notified().await;
            }
            let period = self.core.borrow().period();
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = self.came.notified() => continue,
            }
            self.core.borrow_mut().tick(Instant::now());
            self.changed();
        }
    }

    async fn drain(self: Rc<Self>, lifecycle: Lifecycle) {
        lifecycle.drain_begins().await;
        let timeout = self.drain_timeout.get();
        self.until_over(timeout / 2).await;
        self.core.borrow_mut().stop();
        self.changed();
        self.until_over(LAST.min(timeout / 4)).await;
        {
            let mut core = self.core.borrow_mut();
            core.end_all(Instant::now());
            core.close_all(Instant::now());
        }
        self.changed();
    }

    /// Waits until what is open now and ends by itself has ended, at most for so long.
    async fn until_over(&self, timeout: Duration) {
        let since = Instant::now();
        while self.core.borrow().finite(since) > 0 && since.elapsed() < timeout {
            tokio::time::sleep(DRAIN_STEP).await;
        }
    }
}
