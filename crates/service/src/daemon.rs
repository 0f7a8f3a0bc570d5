//! The life of a daemon, from the sockets to the last counter.

use std::ffi::OsString;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use brim_config::{Problem, SectionName, Severity, SocketType, has_errors};
use brim_stats::Registry;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing_subscriber::layer::SubscriberExt;

use crate::acceptor::{Acceptor, Census};
use crate::balance::Team;
use crate::bulletin::Bulletin;
use crate::bus::{self, Order};
use crate::command_line::{self, Request, Target};
use crate::counters::CounterFile;
use crate::exit::Exit;
use crate::gather::Gather;
use crate::log::{self, Identity, LogHandle, LogLimit};
use crate::notify;
use crate::program::{Program, Settings};
use crate::shared::{Shared, State};
use crate::sockets::{self, DatagramSocket, HeldDatagrams, Mismatch, Place, SocketError, Sockets};
use crate::worker::{self, Command, Worker};

mod drain;
mod examine;
mod hold;
mod pulse;
mod reload;
pub(crate) mod solo;

use examine::{OwnPath, examine};

/// How long the start waits for the bus name.
const NAME_WAIT: Duration = Duration::from_secs(1);
/// How long a start that failed keeps its status up. systemd starts it again at once: while the cause
/// lasts (a port that somebody else has), that is to be no busy loop.
const FAILED_REST: Duration = Duration::from_secs(1);

/// The whole program: reads the command line, does what it says, returns why it ends.
pub fn run<P: Program>(program: P, arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match command_line::parse(arguments, P::KIND) {
        Ok(Request::Serve(target)) => serve(program, target),
        Ok(Request::Check(target)) => check(&program, &target),
        Ok(Request::Routes { target, method, url }) => routes(&program, &target, &method, &url),
        Ok(Request::Interface) => print(&bus::interface_xml()),
        Ok(Request::Version) => print(&format!("{} {}\n", P::NAME, env!("CARGO_PKG_VERSION"))),
        Ok(Request::Help) => print(&command_line::help(P::NAME, P::KIND)),
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "{}: {error}\n\n{}",
                P::NAME,
                command_line::help(P::NAME, P::KIND)
            );
            Exit::Usage
        }
    }
}

fn print(text: &str) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::System,
    }
}

fn check<P: Program>(program: &P, target: &Target) -> Exit {
    let (_, _, problems) = examine(program, target);
    let lines: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    match print(&lines) {
        Exit::Success if has_errors(&problems) => Exit::Config,
        exit => exit,
    }
}

/// Prints what would answer a request; of a section with errors, the errors.
fn routes<P: Program>(program: &P, target: &Target, method: &str, url: &str) -> Exit {
    let (_, plan, problems) = examine(program, target);
    let Some(plan) = plan.filter(|_| !has_errors(&problems)) else {
        let lines: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
        let _ = std::io::stderr().write_all(lines.as_bytes());
        return Exit::Config;
    };
    match P::routes(&plan, method, url) {
        Ok(text) => print(&text),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}: {error}", P::NAME);
            Exit::Usage
        }
    }
}

fn serve<P: Program>(program: P, target: Target) -> Exit {
    // First of all, while there is no thread: this changes the environment.
    let (held, errors) = sockets::adopt();
    let identity = Identity { section: target.name.section(), program: P::NAME };
    let Ok((log, thread)) = log::start(identity) else { return Exit::System };
    let subscriber = tracing_subscriber::registry().with(log::Layer::new(log.clone()));
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(panic_hook());
    for error in errors {
        tracing::error!("{error}");
    }
    let exit = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime.block_on(live(program, target, held, log.clone())),
        Err(error) => {
            tracing::error!(%error, "no runtime");
            Exit::System
        }
    };
    log.finish(thread);
    exit
}

/// Panics go to the journal. A request may cause one, so a client may repeat it at will.
fn panic_hook() -> Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync> {
    let limit = Mutex::new(LogLimit::new());
    Box::new(move |panic| {
        let held = limit.lock().unwrap_or_else(PoisonError::into_inner).pass(Instant::now());
        if let Some(held_back) = held {
            tracing::error!(held_back, "bug: {panic}");
        }
    })
}

async fn live<P: Program>(program: P, target: Target, held: Sockets, log: LogHandle) -> Exit {
    let mut daemon = match Daemon::new(program, target, log) {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return Exit::System;
        }
    };
    let plan = match daemon.read().await {
        Ok(plan) => plan,
        Err(problems) if held.is_empty() => return daemon.refuse(&problems),
        Err(problems) => match daemon.hold(&held, problems).await {
            Some(plan) => plan,
            None => return Exit::Success,
        },
    };
    match daemon.start(Arc::new(plan), held).await {
        Ok(mut running) => running.govern().await,
        Err(error) => {
            let sentence = error.with_causes();
            tracing::error!("{sentence}");
            notify::status(&sentence);
            if notify::is_heard() {
                tokio::time::sleep(FAILED_REST).await;
            }
            error.exit()
        }
    }
}

/// Why a daemon with a good configuration does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("no thread could be started")]
    Thread(#[from] std::io::Error),
    #[error("worker {index}: {reason}")]
    Worker { index: usize, reason: String },
}

impl StartError {
    /// What happened, and because of what.
    fn with_causes(&self) -> String {
        let first: Option<&dyn std::error::Error> = Some(self);
        let chain = std::iter::successors(first, |error| error.source());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Socket(SocketError::Bind { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Exit::Permission
            }
            Self::Socket(_) | Self::Thread(_) => Exit::System,
            Self::Worker { .. } => Exit::Bug,
        }
    }
}

/// A daemon before it serves: it can read its configuration, hear signals and the bus.
struct Daemon<P: Program> {
    program: Arc<P>,
    target: Target,
    log: LogHandle,
    shared: Arc<Shared>,
    gather: Gather,
    orders: UnboundedReceiver<Order>,
    signals: Signals,
    /// Hears of the name on the bus, once.
    bus: Option<tokio::sync::oneshot::Receiver<Result<(), zbus::Error>>>,
    /// Warnings of the configuration in force, for STATUS=.
    warnings: usize,
    path: OwnPath,
}

/// A daemon that serves.
struct Running<P: Program> {
    daemon: Daemon<P>,
    plan: Arc<P::Plan>,
    workers: Vec<Worker<P>>,
    census: Arc<Census>,
    acceptor: Option<Acceptor>,
    places: Vec<Place>,
    counters: CounterFile,
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next order by signal.
    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Drain,
            _ = self.interrupt.recv() => Order::Drain,
            _ = self.hangup.recv() => Order::Reload(tokio::sync::oneshot::channel().0),
        }
    }
}

impl<P: Program> Daemon<P> {
    fn new(program: P, target: Target, log: LogHandle) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(target.name.clone()));
        let (gather, requests) = Gather::new(shared.clone());
        let (give_order, orders) = unbounded_channel();
        let signals = Signals::new()?;
        let bus = Some(bus::start(shared.clone(), give_order, requests)?);
        let program = Arc::new(program);
        let (warnings, path) = (0, None);
        Ok(Self { program, target, log, shared, gather, orders, signals, bus, warnings, path })
    }

    fn name(&self) -> &SectionName {
        &self.target.name
    }

    /// The next thing somebody wants of us.
    async fn next_order(&mut self) -> Order {
        tokio::select! {
            order = self.signals.next() => order,
            Some(order) = self.orders.recv() => order,
        }
    }

    /// A wrong configuration and no client to keep waiting: end.
    fn refuse(&self, problems: &[Problem]) -> Exit {
        notify::status(&format!("configuration error: {}", errors(problems)));
        Exit::Config
    }

    /// Waits a moment for the name on the bus, so that whoever hears READY=1 finds us there.
    async fn own_name(&mut self) {
        let Some(bus) = self.bus.take() else { return };
        match tokio::time::timeout(NAME_WAIT, bus).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "no name on the bus: stats and reload go without it");
            }
            Ok(Err(_)) | Err(_) => tracing::warn!("the bus did not answer; still trying"),
        }
    }

    /// Everything from the sockets to READY=1.
    async fn start(mut self, plan: Arc<P::Plan>, held: Sockets) -> Result<Running<P>, StartError> {
        let settings = P::settings(&plan).clone();
        log::Layer::set_level(settings.log_level);
        self.log.access_output(settings.access.clone());
        let held = match held.is_empty() {
            true => sockets::bind(&settings.listeners, settings.backlog)?,
            false => held,
        };
        for held in &held.streams {
            held.set_keepalive(settings.keepalive)?;
        }
        let places = held.places();
        let counters = CounterFile::from_environment();
        let registry = Registry::new(settings.layout.clone(), settings.workers);
        counters.restore(&registry);
        self.shared.set_registry(registry.clone());
        self.shared.set_daemons(&settings.daemons);
        let census =
            Census::new(settings.workers, settings.concurrent_per_worker, settings.company)?;
        let workers = self.start_workers(&plan, &registry, &census).await?;
        census.clients.set_limit(settings.connections_per_client, settings.trusted_proxies.clone());
        hand_out(held.datagrams, &workers, &census);
        let acceptor = Acceptor::start(held.streams, &workers, census.clone())?;
        {
            let mut face = self.shared.face();
            face.state = State::Running;
            face.workers = u32::try_from(settings.workers).unwrap_or(u32::MAX);
            face.listeners = places.iter().map(|(address, _)| address.to_string()).collect();
        }
        self.own_name().await;
        let acceptor = Some(acceptor);
        let running = Running { daemon: self, plan, workers, census, acceptor, places, counters };
        tracing::info!("{}", running.serving());
        if running.places.iter().any(|(_, socket_type)| *socket_type == SocketType::Stream) {
            tracing::info!("{}", room(&settings));
        }
        running.tell_mismatch();
        notify::ready(&running.status());
        running.start_pulse();
        Ok(running)
    }

    async fn start_workers(
        &self,
        plan: &Arc<P::Plan>,
        registry: &Registry,
        census: &Arc<Census>,
    ) -> Result<Vec<Worker<P>>, StartError> {
        let section: Arc<str> = self.name().section().into();
        let mut started = Vec::new();
        let (team, adoptions) = Team::new(census.clone(), P::settings(plan).workers);
        for (index, adoptions) in adoptions.into_iter().enumerate() {
            started.push(worker::start::<P>(worker::Start {
                index,
                section: section.clone(),
                stats: registry.worker(index),
                plan: plan.clone(),
                log: self.log.clone(),
                gather: self.gather.clone(),
                bulletin: Bulletin::new(self.shared.clone()),
                beat: pulse::beat(),
                team: team.clone(),
                adoptions,
            })?);
        }
        let mut workers = Vec::new();
        for (index, (worker, ready)) in started.into_iter().enumerate() {
            let built = ready.await.unwrap_or_else(|_| Err("it ended at once".to_owned()));
            built.map_err(|reason| StartError::Worker { index, reason })?;
            workers.push(worker);
        }
        Ok(workers)
    }
}

/// Gives each datagram socket to one worker. There is no limit to mind: it is one from the beginning to
/// the end.
fn hand_out<P: Program>(held: Vec<HeldDatagrams>, workers: &[Worker<P>], census: &Arc<Census>) {
    for (held, (index, worker)) in held.into_iter().zip(workers.iter().enumerate().cycle()) {
        let open = census.enter(index, None);
        let local = Arc::new(held.address);
        let socket = DatagramSocket { socket: held.socket, local, open };
        let _ = worker.commands.send(Command::Datagrams(socket));
    }
}

impl<P: Program> Running<P> {
    /// Serves until somebody wants the end.
    async fn govern(&mut self) -> Exit {
        let shared = self.daemon.shared.clone();
        loop {
            let order = tokio::select! {
                order = self.daemon.next_order() => order,
                () = shared.news.notified() => {
                    notify::status(&self.status());
                    continue;
                }
            };
            match order {
                Order::Reload(reply) => {
                    let result = self.reload().await;
                    let _ = reply.send(result.map_err(|error| error.to_string()));
                }
                Order::Drain => {
                    self.drain().await;
                    return Exit::Success;
                }
            }
        }
    }

    /// How open sockets and configured listeners differ.
    fn mismatch(&self) -> Option<String> {
        let listeners = &P::settings(&self.plan).listeners;
        Mismatch::between(&self.places, listeners)
            .sentence(&format!("brim@{}", self.daemon.name().instance()))
    }

    /// What is served, and by how many.
    fn serving(&self) -> String {
        if let Some(said) = &self.daemon.shared.face().said {
            return said.clone();
        }
        let addresses: Vec<_> =
            self.places.iter().map(|(address, _)| address.to_string()).collect();
        match self.workers.len() {
            1 => format!("serving {}, 1 worker", addresses.join(" ")),
            workers => format!("serving {}, {workers} workers", addresses.join(" ")),
        }
    }

    fn tell_mismatch(&self) {
        if let Some(mismatch) = self.mismatch() {
            tracing::error!("{mismatch}");
        }
    }

    /// The line for `systemctl status`. What has to be mended stands first.
    fn status(&self) -> String {
        let mismatch = self.mismatch();
        let serving = self.serving();
        let warnings = match self.daemon.warnings {
            0 => String::new(),
            1 => ", 1 warning in the journal".to_owned(),
            count => format!(", {count} warnings in the journal"),
        };
        mismatch.map(|mismatch| mismatch + "; ").unwrap_or_default() + &serving + &warnings
    }
}

/// The bound that the limits put on memory: what is taken if all that may come comes at once.
fn room(settings: &Settings) -> String {
    let connections = settings.workers.saturating_mul(settings.concurrent_per_worker) as u64;
    let bytes = connections.saturating_mul(settings.connection_memory);
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let all = format!("room for {connections} connections, in at most {} MiB", mebibytes(bytes));
    match mebibytes(settings.stream_memory) {
        0 => all,
        more => {
            format!("{all}; HTTP/2 adds at most {more} MiB to a connection (http2_max_streams)")
        }
    }
}

/// The errors among the problems, a line each.
fn errors(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
