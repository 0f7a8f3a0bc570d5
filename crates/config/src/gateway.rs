//! `[gateway]` and `[gateway#NAME]`: a gateway between front ends and handlers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::{Address, Listener, SocketType};
use crate::handler::HandlerSection;
use crate::name::{Kind, SectionName};
use crate::problem::Problem;
use crate::quantity::{AbsolutePath, Count, SizeWithin, Span, Timeout};
use crate::reader::Reader;
use crate::server::{ServerSection, keys_of};
use crate::tree::{DEFAULTS, Tree};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// A section of the kind `gateway`. Keys are looked up in the section alone, but for `backlog`,
/// `drain_timeout`, `drain_idle` and `log_level`, which `[brim]` may have, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySection {
    /// What all servers have: `start`, `program`, `backlog`, `drain_timeout`, `drain_idle` and `log_level`. The
    /// listeners are the gateway's sockets.
    pub server: ServerSection,
    /// `link`: absolute path of the socket where it meets front ends; default `/run/brim/gateway.sock`, for
    /// `[gateway#NAME]` `/run/brim/gateway:NAME.sock`.
    pub link: PathBuf,
    /// The sections of handlers that name this gateway, in the order of the configuration.
    pub handlers: Vec<HandlerSection>,
    /// `max_links`: front ends' workers that are connected at a time, 1 to 10000; default 1024.
    pub max_links: usize,
    /// `max_exchanges`: requests, WebSockets and the like that one of them has open at a time, 1 to 1000000,
    /// beyond it 503; default 65536.
    pub max_exchanges: usize,
    /// `max_peers`: handlers that are connected at a time to one endpoint, 1 to 100000; default 1024.
    pub max_peers: usize,
    /// `max_handshakes`: connections to one endpoint that have not said yet who they are, 1 to 10000; beyond it
    /// the oldest is closed; default 64.
    pub max_handshakes: usize,
    /// `max_parts`: frames of one message, 1 to 10000, beyond it the handler is disconnected; default 128.
    pub max_parts: usize,
    /// `handshake_timeout`: time until a connection has said who it is, then it is closed; default 10s.
    pub handshake_timeout: Duration,
    /// `heartbeat`: time of silence after which a handler is asked whether it is there; if it has not answered
    /// after twice as long, it is disconnected. 0 for never; default 10s.
    pub heartbeat: Duration,
    /// `max_memory`: size in bytes of all that waits in the gateway, 1M to 1T; beyond it 503, and those for whom
    /// most waits are closed; half of it is for messages whose ends have not come; default 256M.
    pub max_memory: usize,
}

/// A socket of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub listener: Listener,
    /// Whom it is for.
    pub role: Role,
}

/// Whom a gateway meets at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Front ends.
    Link,
    /// Handlers that fetch requests: `send_spec` of the handler at this place in
    /// [`GatewaySection::handlers`].
    Send(usize),
    /// Handlers that publish replies: `recv_spec`.
    Recv(usize),
}

impl GatewaySection {
    /// Reads a section with the handlers that name it. There is always a value, with defaults where
    /// something is bad, and without the handlers that cannot be served.
    pub fn read(tree: &Tree, name: &SectionName) -> (Self, Vec<Problem>) {
        let section = name.section();
        let mut reader = Reader::with_fallback(tree, &section);
        let read = Self::take(tree, name, &mut reader);
        let mut problems = crate::check::defaults(tree);
        // What is wrong in [brim] was found just before.
        let own = |problem: &Problem| problem.section.as_deref() != Some(DEFAULTS);
        problems.extend(reader.finish().into_iter().filter(own));
        problems.extend(handlers(tree, name).flat_map(|handler| handler.1));
        (read, tree.arrange(problems))
    }

    /// Every key of such a section.
    pub fn keys() -> Vec<&'static str> {
        keys_of(Kind::Gateway, Self::take)
    }

    pub(crate) fn take(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> Self {
        let link = r.own::<AbsolutePath>("link").map(|AbsolutePath(path)| path);
        if let Some(link) = link.filter(|link| unix(link).is_none()) {
            r.refuse(
                "link",
                format!(
                    "{} cannot be a socket, expected a path of at most 107 bytes without `..`, \
                     white space and backslashes",
                    link.display()
                ),
            );
        }
        let mut section = Self {
            server: ServerSection::without_listeners(name, r),
            link: link_of(tree, name),
            handlers: handlers(tree, name).filter_map(|handler| handler.0).collect(),
            max_links: count::<1, 10_000>(r, "max_links", 1024),
            max_exchanges: max_exchanges(r),
            max_peers: count::<1, 100_000>(r, "max_peers", 1024),
            max_handshakes: count::<1, 10_000>(r, "max_handshakes", 64),
            max_parts: count::<1, 10_000>(r, "max_parts", 128),
            handshake_timeout: r
                .own("handshake_timeout")
                .map_or(Duration::from_secs(10), |Timeout(time)| time),
            heartbeat: r.own("heartbeat").map_or(Duration::from_secs(10), |Span(time)| time),
            max_memory: r
                .own::<SizeWithin<MIB, { 1024 * GIB }>>("max_memory")
                .map_or(256 * MIB, |SizeWithin(bytes)| bytes)
                .try_into()
                .unwrap_or(usize::MAX),
        };
        let endpoints = section.endpoints().into_iter().map(|endpoint| endpoint.listener);
        // systemd would close what is left out.
        let broken = names(tree, name).filter(|name| HandlerSection::read(tree, name).0.is_none());
        let broken = broken.flat_map(|name| HandlerSection::listeners(tree, name));
        section.server.listeners = endpoints.chain(broken).collect();
        section.server.concurrent_per_worker = section.connections();
        section
    }

    /// How many connections there can be.
    fn connections(&self) -> usize {
        let peers = self.max_peers.saturating_add(self.max_handshakes);
        let peers = peers.saturating_mul(self.handlers.len()).saturating_mul(2);
        peers.saturating_add(self.max_links).saturating_add(self.max_handshakes)
    }

    /// The gateway's sockets.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let listener = |address: &Address, origin| Listener {
            address: address.clone(),
            socket_type: SocketType::Stream,
            origin,
        };
        let link = Endpoint {
            listener: listener(&Address::Unix(self.link.clone()), None),
            role: Role::Link,
        };
        let handlers = self.handlers.iter().enumerate().flat_map(|(index, handler)| {
            let send = listener(&handler.send_spec, handler.send_origin.clone());
            let recv = listener(&handler.recv_spec, handler.recv_origin.clone());
            [
                Endpoint { listener: send, role: Role::Send(index) },
                Endpoint { listener: recv, role: Role::Recv(index) },
            ]
        });
        std::iter::once(link).chain(handlers).collect()
    }

    /// The section that names an endpoint.
    pub fn section_of(&self, role: Role) -> String {
        match role {
            Role::Link => self.server.name.section(),
            Role::Send(index) | Role::Recv(index) => {
                self.handlers.get(index).map_or_else(String::new, |handler| handler.name.clone())
            }
        }
    }
}

/// The handlers that name a gateway, and what is wrong with them.
fn handlers(
    tree: &Tree,
    gateway: &SectionName,
) -> impl Iterator<Item = (Option<HandlerSection>, Vec<Problem>)> {
    names(tree, gateway).map(|name| HandlerSection::read(tree, name))
}

fn names<'t>(tree: &'t Tree, gateway: &SectionName) -> impl Iterator<Item = &'t str> {
    HandlerSection::names(tree)
        .filter(|name| HandlerSection::gateway_of(tree, name).as_ref() == Some(gateway))
}

/// Where a gateway meets front ends, whatever else its section says.
pub(crate) fn link_of(tree: &Tree, name: &SectionName) -> PathBuf {
    let section = tree.section(&name.section());
    let link = section.and_then(|section| section.entry("link")).map(|entry| &entry.value);
    link.and_then(|link| unix(Path::new(link)))
        .unwrap_or_else(|| PathBuf::from(format!("/run/brim/{}.sock", name.instance())))
}

/// How many requests one of its links carries at a time, whatever else its section says.
pub(crate) fn max_exchanges_of(tree: &Tree, name: &SectionName) -> usize {
    max_exchanges(&mut Reader::new(tree, &name.section()))
}

fn max_exchanges(r: &mut Reader<'_>) -> usize {
    count::<1, 1_000_000>(r, "max_exchanges", 65_536)
}

fn unix(path: &Path) -> Option<PathBuf> {
    match format!("unix:{}", path.display()).parse() {
        Ok(Address::Unix(path)) => Some(path),
        _ => None,
    }
}

fn count<const MIN: u64, const MAX: u64>(
    r: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> usize {
    let count = r.own::<Count<MIN, MAX>>(key).map_or(default, |Count(count)| count);
    usize::try_from(count).unwrap_or(usize::MAX)
}
