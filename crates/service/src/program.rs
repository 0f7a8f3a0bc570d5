use std::future::Future;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use brim_config::{
    Kind, Listener, Problem, SectionName, ServerSection, Tree, TrustedProxies, Workers,
};
use brim_stats::Layout;

use crate::log::AccessOutput;
use crate::sockets::DatagramSocket;
use crate::stream::Stream;
use crate::worker::{Connection, Current, Refused, WorkerContext};

/// The part of the connections that a worker may have with which it is no place for those of others: it needs room
/// for what all of them do when they become busy.
const PART: usize = 4;

/// What one kind of daemon plugs into the life that all of them share.
pub trait Program: Sized + Send + Sync + 'static {
    /// The program's name, as in `brim-http`.
    const NAME: &'static str;
    /// The kind of section it serves.
    const KIND: Kind;

    /// A section's configuration, checked as a whole; the workers share it.
    type Plan: Send + Sync + 'static;
    /// What one worker makes of it. It never leaves its thread.
    type Worker: 'static;

    /// Reads a section and everything it refers to. A plan comes back only without errors; the
    /// problems are all there are, warnings too.
    fn plan(&self, tree: &Tree, name: &SectionName) -> (Option<Self::Plan>, Vec<Problem>);

    /// The part of a plan that this crate acts on.
    fn settings(plan: &Self::Plan) -> &Settings;

    /// Which part of a section would answer a request, in lines for people: `--routes`.
    fn routes(plan: &Self::Plan, method: &str, url: &str) -> Result<String, NotARequest> {
        let _ = (plan, method, url);
        Err(NotARequest::NoRoutes { kind: Self::KIND })
    }

    /// Builds a worker's state, on the worker's thread. At a reload `previous` is the state until then, which
    /// the new one may share parts of; but it may be dropped instead of taking its place.
    fn worker(
        plan: &Arc<Self::Plan>,
        context: WorkerContext,
        previous: Option<&Self::Worker>,
    ) -> Self::Worker;

    /// The state that was built last is in force, at the start or after a reload. On the worker's thread.
    fn begin(current: &Current<Self::Worker>) {
        let _ = current;
    }

    /// Serves one connection to its end. `current` is asked anew for each request, so that a reload
    /// takes effect between two of them.
    fn serve(
        current: Current<Self::Worker>,
        connection: Connection,
    ) -> impl Future<Output = ()> + 'static;

    /// Serves a datagram socket until the drain begins ([`Lifecycle`](crate::Lifecycle)), and what was
    /// received to its end. What is left in the kernel then is the successor's.
    fn datagrams(
        current: Current<Self::Worker>,
        socket: DatagramSocket,
    ) -> impl Future<Output = ()> + 'static {
        drop((current, socket));
        std::future::ready(())
    }

    /// What a worker does beside serving, for as long as it lives. Started once on each worker;
    /// `current` is asked anew each time, so that a reload takes effect.
    fn background(
        current: Current<Self::Worker>,
        context: WorkerContext,
    ) -> impl Future<Output = ()> + 'static {
        drop((current, context));
        std::future::ready(())
    }

    /// Tells a client that it has too many connections. It has no worker's slot.
    fn refuse(
        current: Current<Self::Worker>,
        connection: Refused,
    ) -> impl Future<Output = ()> + 'static;

    /// Tells a client that the instance cannot serve, while its configuration is wrong.
    fn turn_away(stream: Stream) -> impl Future<Output = ()> + 'static;
}

/// Why nobody can say who would answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARequest {
    /// This kind of section has no routes.
    #[error("sections of the kind {kind} have no routes")]
    NoRoutes {
        /// The kind.
        kind: Kind,
    },
    /// The method is none.
    #[error("{0:?} is no method, expected one such as GET")]
    Method(String),
    /// The URL is none.
    #[error("{0:?} is no URL, expected one such as /path or http://example.com/path")]
    Url(String),
}

/// What every kind of section has.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses that the section names.
    pub listeners: Vec<Listener>,
    /// Connections that wait to be accepted, for sockets that we open ourselves.
    pub backlog: u32,
    /// The kernel looks whether silent peers are still there.
    pub keepalive: bool,
    /// Worker threads.
    pub workers: usize,
    /// Connections that one worker holds at most; when all are full nobody accepts.
    pub concurrent_per_worker: usize,
    /// With how many connections of a worker those of another one may still be brought together.
    pub company: usize,
    /// Connections that one client has open at most; `None` is no limit.
    pub connections_per_client: Option<usize>,
    /// Peers that the limit per client does not concern.
    pub trusted_proxies: TrustedProxies,
    /// Bytes that one connection may make us hold, all limits used to the full.
    pub connection_memory: u64,
    /// Bytes that the HTTP/2 streams of one connection may add to that.
    pub stream_memory: u64,
    /// How long a drain may take in all.
    pub drain_timeout: Duration,
    /// Silence after which a connection without a request is closed during a drain.
    pub drain_idle: Duration,
    /// The names of the stats, those of apps too.
    pub layout: Layout,
    /// Daemons whose figures are ours to show: on the bus they have names of their own. Their stats are
    /// in the layout, as `DAEMON.STAT`.
    pub daemons: Vec<String>,
    /// What goes to the journal.
    pub log_level: tracing::Level,
    /// Where access lines go.
    pub access: AccessOutput,
}

impl Settings {
    /// What a section says, with the stats that there are, the bytes that one connection may make us
    /// hold, and the way of access lines.
    pub fn new(
        server: &ServerSection,
        layout: Layout,
        connection_memory: u64,
        access: AccessOutput,
    ) -> Self {
        let workers = match server.workers {
            Workers::Auto => std::thread::available_parallelism().map_or(1, NonZero::get),
            Workers::Count(count) => usize::from(count),
        };
        Self {
            listeners: server.listeners.clone(),
            backlog: server.backlog,
            keepalive: server.keepalive,
            workers,
            concurrent_per_worker: server.concurrent_per_worker,
            company: server.concurrent_per_worker / PART,
            connections_per_client: per_client(server, workers),
            trusted_proxies: server.trusted_proxies.clone(),
            connection_memory,
            stream_memory: 0,
            drain_timeout: server.drain_timeout,
            drain_idle: server.drain_idle,
            layout,
            daemons: Vec::new(),
            log_level: crate::level(server.log_level),
            access,
        }
    }
}

/// Nobody takes all of the room, and a crowd behind one address has room all the same.
fn per_client(server: &ServerSection, workers: usize) -> Option<usize> {
    let half = || (workers.saturating_mul(server.concurrent_per_worker) / 2).max(1024);
    Some(server.connections_per_client.unwrap_or_else(half)).filter(|limit| *limit > 0)
}
