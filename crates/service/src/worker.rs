//! A worker: a thread with its own runtime, its own state and its own connections.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brim_config::Address;
use brim_stats::{Counter, WorkerStats};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::acceptor::{Open, RefusalTurn};
use crate::balance::{Adoption, Place, Rounds, Team};
use crate::bulletin::Bulletin;
use crate::gather::Gather;
use crate::lifecycle::Lifecycle;
use crate::log::{LineSink, LogHandle};
use crate::program::Program;
use crate::sockets::{DatagramSocket, PeerAddress};
use crate::stream::Stream;

/// What a worker's state is built from.
#[derive(Clone, Debug)]
pub struct WorkerContext {
    /// The worker's number, from 0.
    pub index: usize,
    /// The section, as in the configuration.
    pub section: Arc<str>,
    /// The worker's counters.
    pub stats: WorkerStats,
    /// Whether the process drains.
    pub lifecycle: Lifecycle,
    /// The way of access lines.
    pub lines: Rc<RefCell<LineSink>>,
    /// The stats of all instances.
    pub gather: Gather,
    /// What the instance shows of itself.
    pub bulletin: Bulletin,
}

/// A worker's state as it is now: a reload puts another one in its place.
#[derive(Debug)]
pub struct Current<W>(Rc<Inner<W>>);

#[derive(Debug)]
struct Inner<W> {
    state: RefCell<Rc<W>>,
    place: Place<W>,
}

impl<W> Current<W> {
    fn new(state: Rc<W>, place: Place<W>) -> Self {
        Self(Rc::new(Inner { state: RefCell::new(state), place }))
    }

    /// The state now. Keep it for one request, not for a connection.
    pub fn get(&self) -> Rc<W> {
        self.0.state.borrow().clone()
    }

    fn set(&self, state: Rc<W>) {
        *self.0.state.borrow_mut() = state;
    }

    /// To be asked when a connection has had an answer `now`: the worker that serves it from here on, if that is
    /// another one, and the connection `goes` there.
    pub fn destination(
        &self,
        rounds: &Rounds,
        now: Instant,
        goes: impl FnOnce(usize) -> bool,
    ) -> Option<usize> {
        self.0.place.destination(rounds, now, goes)
    }

    /// For a connection that has just come from another worker.
    pub fn rounds_from_now(&self) -> Rounds {
        self.0.place.rounds_from_now()
    }

    /// Gives a connection to another worker, on which `adopt` goes on with it; or on this one, where the other is
    /// gone.
    pub fn hand_over(&self, worker: usize, adopt: impl FnOnce(Self) + Send + 'static) {
        if let Err(adopt) = self.0.place.give(worker, Box::new(adopt)) {
            adopt(self.clone());
        }
    }
}

impl<W> Clone for Current<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// The client's socket.
    pub stream: Stream,
    /// The client's address; `None` over a Unix socket.
    pub peer: PeerAddress,
    /// The listener's address.
    pub local: Arc<Address>,
    /// Counts the connection as open until it is dropped.
    pub open: Open,
}

/// A connection of a client that has too many.
#[derive(Debug)]
pub struct Refused {
    /// The client's socket.
    pub stream: Stream,
    /// The client's address.
    pub peer: PeerAddress,
    /// Bounds how many of these there are.
    pub turn: RefusalTurn,
}

/// What the acceptor hands to a worker.
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: PeerAddress,
    pub(crate) local: Arc<Address>,
    pub(crate) open: Open,
}

/// What a worker is told. One queue, so that a connection that was accepted before a reload is
/// served by the state that was current when it came.
pub(crate) enum Command<P: Program> {
    Serve(Accepted),
    /// Serve what comes to this socket, to the end.
    Datagrams(DatagramSocket),
    /// Tell somebody that there are too many of his connections.
    Refuse {
        socket: OwnedFd,
        peer: PeerAddress,
        turn: RefusalTurn,
    },
    /// Build a state beside the current one and say whether that worked.
    Prepare {
        plan: Arc<P::Plan>,
        stats: WorkerStats,
        done: oneshot::Sender<Result<(), String>>,
    },
    /// The state that was prepared is the current one from now on.
    Commit,
    Drain(Duration),
}

/// A running worker, as the others see it.
pub(crate) struct Worker<P: Program> {
    pub(crate) commands: UnboundedSender<Command<P>>,
    /// Grows as long as the worker's loop turns.
    pub(crate) beats: Arc<AtomicU64>,
}

/// What a worker's thread starts with.
pub(crate) struct Start<P: Program> {
    pub(crate) index: usize,
    pub(crate) section: Arc<str>,
    pub(crate) stats: WorkerStats,
    pub(crate) plan: Arc<P::Plan>,
    pub(crate) log: LogHandle,
    pub(crate) gather: Gather,
    pub(crate) bulletin: Bulletin,
    /// How often the loop has to show that it turns.
    pub(crate) beat: Option<Duration>,
    pub(crate) team: Arc<Team<P::Worker>>,
    /// Connections that come from others of the team.
    pub(crate) adoptions: UnboundedReceiver<Adoption<P::Worker>>,
}

/// Hears once: the worker's state is built, or why it is not.
pub(crate) type Built = oneshot::Receiver<Result<(), String>>;

/// Starts a worker; the receiver says when its first state is built, or why not.
pub(crate) fn start<P: Program>(start: Start<P>) -> io::Result<(Worker<P>, Built)> {
    let (commands, received) = unbounded_channel();
    let (ready, is_ready) = oneshot::channel();
    let beats = Arc::new(AtomicU64::new(0));
    let worker = Worker { commands, beats: beats.clone() };
    std::thread::Builder::new().name(format!("worker {}", start.index)).spawn(move || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(run(start, received, beats, ready)),
            Err(error) => drop(ready.send(Err(error.to_string()))),
        }
    })?;
    Ok((worker, is_ready))
}

async fn run<P: Program>(
    start: Start<P>,
    mut commands: UnboundedReceiver<Command<P>>,
    beats: Arc<AtomicU64>,
    ready: oneshot::Sender<Result<(), String>>,
) {
    let lifecycle = Lifecycle::new();
    let mut context = WorkerContext {
        index: start.index,
        section: start.section,
        stats: start.stats,
        lifecycle: lifecycle.clone(),
        lines: Rc::new(RefCell::new(start.log.line_sink())),
        gather: start.gather,
        bulletin: start.bulletin,
    };
    if let Some(period) = start.beat {
        tokio::task::spawn_local(beat(beats, period));
    }
    // A reload is no restart: this is set once.
    context.stats.counter("start_time").set(crate::epoch_seconds());
    let current = match build::<P>(&start.plan, &context, None) {
        Ok(state) => Current::new(state, Place::new(start.index, start.team)),
        Err(reason) => return drop(ready.send(Err(reason))),
    };
    drop(start.plan);
    P::begin(&current);
    let _ = ready.send(Ok(()));
    tokio::task::spawn_local(P::background(current.clone(), context.clone()));
    tokio::task::spawn_local(adopt(current.clone(), start.adoptions));
    let mut accepted = context.stats.counter("connection_count");
    let mut prepared = None;
    while let Some(command) = commands.recv().await {
        match command {
            Command::Serve(connection) => serve::<P>(&current, connection, &accepted),
            Command::Datagrams(socket) => {
                tokio::task::spawn_local(P::datagrams(current.clone(), socket));
            }
            Command::Refuse { socket, peer, turn } => {
                if let Ok(stream) = Stream::from_fd(socket, false) {
                    let refused = Refused { stream, peer, turn };
                    tokio::task::spawn_local(P::refuse(current.clone(), refused));
                }
            }
            Command::Prepare { plan, stats, done } => {
                let next = WorkerContext { stats, ..context.clone() };
                let state = build::<P>(&plan, &next, Some(&current.get()));
                let _ = done.send(state.as_ref().map(|_| ()).map_err(Clone::clone));
                prepared = state.ok().map(|state| (state, next));
            }
            Command::Commit => {
                if let Some((state, next)) = prepared.take() {
                    accepted = next.stats.counter("connection_count");
                    context = next;
                    current.set(state);
                    P::begin(&current);
                }
            }
            Command::Drain(idle) => lifecycle.begin_drain(idle),
        }
    }
}

fn serve<P: Program>(current: &Current<P::Worker>, accepted: Accepted, count: &Counter) {
    let unix = matches!(*accepted.local, Address::Unix(_));
    match Stream::from_fd(accepted.socket, unix) {
        Ok(stream) => {
            count.incr();
            let Accepted { peer, local, open, .. } = accepted;
            let connection = Connection { stream, peer, local, open };
            tokio::task::spawn_local(P::serve(current.clone(), connection));
        }
        Err(error) => tracing::debug!(%error, "a connection was gone before it was served"),
    }
}

/// Goes on with what others give away.
async fn adopt<W>(current: Current<W>, mut adoptions: UnboundedReceiver<Adoption<W>>) {
    while let Some(adoption) = adoptions.recv().await {
        adoption(current.clone());
    }
}

/// Builds a state; a panic in an app's constructor is an error like any other.
fn build<P: Program>(
    plan: &Arc<P::Plan>,
    context: &WorkerContext,
    previous: Option<&P::Worker>,
) -> Result<Rc<P::Worker>, String> {
    let built = AssertUnwindSafe(|| Rc::new(P::worker(plan, context.clone(), previous)));
    catch_unwind(built).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        format!("an app could not be built: {}", text.unwrap_or("it panicked"))
    })
}

async fn beat(beats: Arc<AtomicU64>, period: Duration) {
    loop {
        beats.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(period).await;
    }
}
