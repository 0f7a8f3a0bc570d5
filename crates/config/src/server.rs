//! What every section that listens has, whatever its kind.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::address::{Listener, SocketType};
use crate::daemons::DaemonsSection;
use crate::gateway::GatewaySection;
use crate::http::HttpSection;
use crate::keys::{count, narrow, span};
use crate::listen::read_listeners;
use crate::name::{Kind, SectionName};
use crate::problem::{Cause, Origin, Problem, Severity};
use crate::quantity::{AbsolutePath, Count, Span};
use crate::reader::Reader;
use crate::tcp::TcpSection;
use crate::tree::{DEFAULTS, Tree};
use crate::udp::UdpSection;
use crate::value;

/// The keys that sections of all kinds of servers have. They are looked up in the section, then in
/// `[brim]`, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSection {
    /// The section's own name.
    pub name: SectionName,
    /// `listen`: list of addresses `8.8.8.8:80`, `[::1]:80`, `*:80`, `unix:/path`. Or `ip` (`*` or a numeric
    /// IPv4 or IPv6 address, default `*`, which is 0.0.0.0) and `port` (1 to 65535, default 80).
    /// Addresses that are bad are missing here.
    pub listeners: Vec<Listener>,
    /// `backlog`: connections that wait in the kernel for each listener, 1 to 1000000, default 4096.
    pub backlog: u32,
    /// `keepalive`: yes or no, the kernel looks whether silent peers are still there (SO_KEEPALIVE); default
    /// yes.
    pub keepalive: bool,
    /// `workers`: threads that serve, `auto` (one per processor) or 1 to 256, default `auto`.
    pub workers: Workers,
    /// `start`: `always` or `on-demand` (only the sockets start, the first client starts the service),
    /// default `always`. Not from `[brim]`.
    pub start: Start,
    /// `program`: absolute path of the program to run instead of Brim's own, default unset. Not from
    /// `[brim]`.
    pub program: Option<PathBuf>,
    /// `concurrent_per_worker`: connections that one worker has open, 1 to 1000000, default 16384. When
    /// all workers are full, no more are accepted.
    pub concurrent_per_worker: usize,
    /// `connections_per_client`: connections that one client has open, an address or the /64 network of an
    /// IPv6 one, 0 to 1000000, 0 is no limit, default half of what all workers take, at least 1024. Beyond it
    /// the answer is 429. Trusted proxies and Unix sockets have no limit.
    pub connections_per_client: Option<usize>,
    /// `drain_timeout`: time that open requests have at stop and restart; default 30s.
    pub drain_timeout: Duration,
    /// `drain_idle`: time of silence after which a connection without a request is closed at stop and
    /// restart; default 1s, in sections of the kind `tcp` `drain_timeout`.
    pub drain_idle: Duration,
    /// `log_level`: `error` (also `critical`, `fatal`), `warning` (also `warn`), `notice`, `info` or
    /// `debug`, any case; default `info`.
    pub log_level: LogLevel,
    /// `trusted_proxies`: list of addresses, networks (`10.0.0.0/8`) and the word `unix` (all peers on Unix
    /// sockets), whose X-Forwarded-For and X-Cluster-Client-Ip are believed; default empty.
    pub trusted_proxies: TrustedProxies,
}

/// How many worker threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per processor.
    Auto,
    /// So many, 1 to 256.
    Count(u16),
}

/// What starts the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// `systemctl start`, and boot where it is enabled.
    Always,
    /// The first connection.
    OnDemand,
}

/// The least important records that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Brim coped.
    Warning,
    /// Normal, but worth knowing.
    Notice,
    /// State changed.
    Info,
    /// Per request.
    Debug,
}

/// Peers that are believed about the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Networks; a single address is a network of one.
    pub networks: Vec<IpNet>,
    /// Whoever connects to a Unix socket.
    pub unix: bool,
}

impl TrustedProxies {
    /// Whether a peer is believed; None is a peer on a Unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            // Mostly nobody is, and the address need not be looked at.
            Some(_) if self.networks.is_empty() => false,
            Some(ip) => self.networks.iter().any(|network| network.contains(&ip.to_canonical())),
            None => self.unix,
        }
    }
}

impl ServerSection {
    /// The common keys of a section of whatever kind, with defaults where something is bad.
    pub fn read(tree: &Tree, name: &SectionName) -> Self {
        let section = name.section();
        by_kind(tree, name, &mut Reader::with_fallback(tree, &section))
    }

    /// A problem that was found with a key of this section.
    pub fn refuse(&self, tree: &Tree, key: &str, why: String) -> Problem {
        let name = self.name.section();
        let origin: Option<Origin> = Reader::new(tree, &name).origin(key);
        Problem {
            origin,
            section: Some(name),
            key: Some(key.to_owned()),
            severity: Severity::Error,
            cause: Cause::Refused(why),
        }
    }

    /// Takes the keys that a section has which serves by one worker, at sockets that other keys name.
    pub(crate) fn without_listeners(name: &SectionName, r: &mut Reader<'_>) -> Self {
        Self {
            name: name.clone(),
            listeners: Vec::new(),
            backlog: narrow(count::<1, 1_000_000>(r, "backlog", 4096)),
            keepalive: r.get_or("keepalive", true),
            workers: Workers::Count(1),
            start: r.own("start").unwrap_or(Start::Always),
            program: r.own("program").map(|AbsolutePath(path)| path),
            concurrent_per_worker: usize::MAX,
            connections_per_client: Some(0),
            drain_timeout: span(r, "drain_timeout", 30),
            drain_idle: Duration::from_secs(1),
            log_level: r.get_or("log_level", LogLevel::Info),
            trusted_proxies: TrustedProxies::default(),
        }
    }

    /// Takes the keys from a reader.
    pub(crate) fn take(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> Self {
        retired(r);
        let listeners = read_listeners(r, name.kind.socket_type(), tree.any_port());
        let workers = r.get_or("workers", Workers::Auto);
        let start = r.own("start").unwrap_or(Start::Always);
        let program = r.own("program").map(|AbsolutePath(path)| path);
        let drain_timeout = span(r, "drain_timeout", 30);
        let log_level = r.get_or("log_level", LogLevel::Info);
        let streams = match name.kind.socket_type() {
            SocketType::Stream => Streams::take(r, name.kind, drain_timeout),
            // Datagrams have no connections, and so none of the keys that are about such.
            SocketType::Datagram => {
                let instead = "datagrams have no backlog; receive_buffer is what waits";
                r.retire("backlog", Severity::Warning, Cause::Retired { instead });
                Streams::take(&mut Reader::new(&Tree::default(), ""), name.kind, drain_timeout)
            }
        };
        Self {
            name: name.clone(),
            listeners,
            backlog: streams.backlog,
            keepalive: streams.keepalive,
            workers,
            start,
            program,
            concurrent_per_worker: streams.concurrent_per_worker,
            connections_per_client: streams.connections_per_client,
            drain_timeout,
            drain_idle: streams.drain_idle,
            log_level,
            trusted_proxies: streams.trusted_proxies,
        }
    }
}

/// The keys that are about connections.
struct Streams {
    backlog: u32,
    keepalive: bool,
    concurrent_per_worker: usize,
    connections_per_client: Option<usize>,
    drain_idle: Duration,
    trusted_proxies: TrustedProxies,
}

impl Streams {
    fn take(r: &mut Reader<'_>, kind: Kind, drain_timeout: Duration) -> Self {
        let per_client = r.get::<Count<0, 1_000_000>>("connections_per_client");
        Self {
            backlog: narrow(count::<1, 1_000_000>(r, "backlog", 4096)),
            keepalive: r.get_or("keepalive", true),
            concurrent_per_worker: narrow(count::<1, 1_000_000>(r, "concurrent_per_worker", 16384)),
            connections_per_client: per_client.map(|Count(count)| narrow(count)),
            drain_idle: match kind {
                // Of a protocol that nobody here knows, silence may be part.
                Kind::Tcp => r.get("drain_idle").map_or(drain_timeout, |Span(time)| time),
                _ => span(r, "drain_idle", 1),
            },
            trusted_proxies: trusted_proxies(r),
        }
    }
}

impl Kind {
    /// Whether the keys of an app stand in sections of this kind. Only the program knows them.
    pub(crate) fn has_app(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }

    /// What sections of this kind listen with.
    fn socket_type(self) -> SocketType {
        match self {
            Self::Udp => SocketType::Datagram,
            Self::Wsgi | Self::Tcp | Self::Gateway | Self::Daemons => SocketType::Stream,
        }
    }
}

/// Takes every key that a section of its kind has from a reader; the common ones come back.
pub(crate) fn by_kind(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> ServerSection {
    match name.kind {
        Kind::Wsgi => HttpSection::take(tree, name, r).server,
        Kind::Gateway => GatewaySection::take(tree, name, r).server,
        Kind::Tcp => TcpSection::take(tree, name, r).server,
        Kind::Udp => UdpSection::take(tree, name, r).server,
        Kind::Daemons => DaemonsSection::take(tree, name, r).server,
    }
}

/// Reads a section with the keys that `take` asks for, and with it the defaults in `[brim]`.
pub(crate) fn read_with<T>(
    tree: &Tree,
    name: &SectionName,
    take: impl FnOnce(&mut Reader<'_>) -> T,
) -> (T, Vec<Problem>) {
    let section = name.section();
    let mut reader = Reader::with_fallback(tree, &section);
    let read = take(&mut reader);
    let mut problems = crate::check::defaults(tree);
    // What is wrong in [brim] was found just before.
    let own = |problem: &Problem| problem.section.as_deref() != Some(DEFAULTS);
    problems.extend(reader.finish().into_iter().filter(own));
    (read, tree.arrange(problems))
}

/// The same for a section of one app, which asks for its keys after `take`.
pub(crate) fn read_with_app<S, T>(
    tree: &Tree,
    name: &SectionName,
    take: impl FnOnce(&Tree, &SectionName, &mut Reader<'_>) -> S,
    app: impl FnOnce(&S, &mut Reader<'_>) -> T,
) -> ((S, T), Vec<Problem>) {
    read_with(tree, name, |reader| {
        let section = take(tree, name, reader);
        let app = app(&section, reader);
        (section, app)
    })
}

/// Every key that `take` asks for in a section of this kind.
pub(crate) fn keys_of<S>(
    kind: Kind,
    take: impl FnOnce(&Tree, &SectionName, &mut Reader<'_>) -> S,
) -> Vec<&'static str> {
    let (tree, name) = (Tree::default(), SectionName { kind, name: None });
    let mut reader = Reader::new(&tree, "");
    take(&tree, &name, &mut reader);
    reader.known().to_vec()
}

/// What is wrong when a daemon is started for a section that is nowhere.
pub fn no_section(tree: &Tree, name: &SectionName) -> Problem {
    let sections: Vec<_> = tree.instances().map(|name| format!("[{}]", name.section())).collect();
    let found = match sections.is_empty() {
        true => "there is none of any kind".to_owned(),
        false => format!("there are {}", sections.join(" ")),
    };
    let searched: Vec<_> = tree.searched().iter().map(|path| path.display().to_string()).collect();
    Problem {
        origin: None,
        section: Some(name.section()),
        key: None,
        severity: Severity::Error,
        cause: Cause::Refused(format!(
            "no such section, {found}; looked in {}",
            searched.join(" ")
        )),
    }
}

/// Keys of files of old, and what does their work now.
const RETIRED: [(&str, &str); 12] = [
    ("user", "systemd runs Brim as user brim, User= in a drop-in of the unit changes it"),
    ("group", "systemd runs Brim as group brim, Group= in a drop-in of the unit changes it"),
    ("umask", "UMask= in a drop-in of the unit sets it"),
    ("pid_file", "systemd knows the process; see systemctl status"),
    ("log_name", "the journal names the unit; see journalctl -u"),
    ("log_facility", "the journal takes the log; see journalctl -u"),
    ("json_dumps", "statistics are written by Brim itself"),
    ("json_loads", "statistics are written by Brim itself"),
    ("eventlet_hub", "there is no eventlet any more"),
    ("listen_retry", "systemd opens the sockets and keeps them open"),
    ("wsgi_input_iter_chunk_size", "bodies are passed on in the pieces in which they come"),
    ("wsgi_output_iter_chunk_size", "bodies are passed on in the pieces in which they come"),
];

fn retired(r: &mut Reader<'_>) {
    for (key, instead) in RETIRED {
        r.retire(key, Severity::Warning, Cause::Retired { instead });
    }
    let instead = "put the files into brim.conf.d, where all *.conf are read";
    r.retire("additional_confs", Severity::Error, Cause::Unsupported { instead });
}

fn trusted_proxies(r: &mut Reader<'_>) -> TrustedProxies {
    let mut trusted = TrustedProxies::default();
    for proxy in r.list("trusted_proxies").unwrap_or_default() {
        match proxy {
            Proxy::Unix => trusted.unix = true,
            Proxy::Network(network) => trusted.networks.push(network),
        }
    }
    trusted
}

/// One element of `trusted_proxies`.
enum Proxy {
    Network(IpNet),
    Unix,
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self::Network).map_err(|_| {
            let expected = "an address, a network such as 10.0.0.0/8, or `unix`";
            D::Error::invalid_value(Unexpected::Str(&text), &expected)
        })
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match value::parse::<Count<1, 256>>(&text) {
            Ok(count) => Ok(Self::Count(narrow(count.0))),
            Err(_) => {
                let expected = "`auto` or a whole number from 1 to 256";
                Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
            }
        }
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "error" | "critical" | "fatal" => Ok(Self::Error),
            "warning" | "warn" => Ok(Self::Warning),
            "notice" => Ok(Self::Notice),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err(D::Error::unknown_variant(
                &text,
                &["error", "warning", "notice", "info", "debug"],
            )),
        }
    }
}
