//! `[wsgi]` and `[wsgi#NAME]`: an HTTP front end.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::address::Listener;
use crate::listen::read_listeners;
use crate::name::{Kind, SectionName};
use crate::problem::{Cause, Problem, Severity};
use crate::quantity::{AbsolutePath, Count, Size, SizeWithin, Span, Timeout};
use crate::reader::Reader;
use crate::tls::TlsKeys;
use crate::tree::{DEFAULTS, Tree};
use crate::value;

const KIB: u64 = 1024;

/// A section of the kind `wsgi`. Keys are looked up in the section, then in `[brim]`, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSection {
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
    /// `apps`: names of sections or built-in apps, the chain in order, default empty. Not from `[brim]`.
    pub apps: Vec<String>,
    /// `workers`: threads that serve, `auto` (one per processor) or 1 to 256, default `auto`.
    pub workers: Workers,
    /// `start`: `always` or `on-demand` (only the sockets start, the first request starts the service),
    /// default `always`. Not from `[brim]`.
    pub start: Start,
    /// `program`: absolute path of the program to run instead of `brim-http`, default unset. Not from `[brim]`.
    pub program: Option<PathBuf>,
    /// `concurrent_per_worker`: connections that one worker has open, 1 to 1000000, default 16384. When
    /// all workers are full, no more are accepted.
    pub concurrent_per_worker: usize,
    /// `connections_per_client`: connections that one client has open, an address or the /64 network of an
    /// IPv6 one, 0 to 1000000, 0 is no limit, default half of what all workers take, at least 1024. Beyond it
    /// the answer is 429. Trusted proxies and Unix sockets have no limit.
    pub connections_per_client: Option<usize>,
    /// `client_timeout`: time, default unset. When set, the default of `idle_timeout`, `body_timeout`
    /// and `write_timeout`.
    pub client_timeout: Option<Duration>,
    /// `head_timeout`: time for a whole request head from its first byte, then 408; default 20s.
    pub head_timeout: Duration,
    /// `idle_timeout`: time of silence before a connection's first request and between requests,
    /// then it is closed; default 60s.
    pub idle_timeout: Duration,
    /// `body_timeout`: time for a request's body, and one second more for every `body_min_rate` bytes that
    /// came, then 408; default 30s.
    pub body_timeout: Duration,
    /// `body_min_rate`: size in bytes per second, 1 to 1G, default 512.
    pub body_min_rate: u64,
    /// `write_timeout`: time without progress in writing a response, then the connection is closed;
    /// default 60s.
    pub write_timeout: Duration,
    /// `head_limit`: size of request line and headers, 8K to 1M, beyond it 431; default 32K.
    pub head_limit: usize,
    /// `header_limit`: number of header lines, 1 to 1000, beyond it 431; default 100.
    pub header_limit: usize,
    /// `uri_limit`: size of the request's target, 16 to 32K bytes, beyond it 414; default 8K.
    pub uri_limit: usize,
    /// `body_limit`: size of a request's body, beyond it 413; default 16M.
    pub body_limit: u64,
    /// `error_pages`: absolute path of a folder with pages for errors, `404.html`, `50x.html` and so on,
    /// default unset.
    pub error_pages: Option<PathBuf>,
    /// `server`: text of the Server header in responses, default unset: there is none.
    pub server: Option<String>,
    /// `echo_txn`: yes or no, the transaction id as X-Txn in responses; default no.
    pub echo_txn: bool,
    /// `linger_timeout`: time of silence while an unread body is discarded after the answer; default 2s.
    pub linger_timeout: Duration,
    /// `linger_time`: time for all of that; default 30s.
    pub linger_time: Duration,
    /// `drain_timeout`: time that open requests have at stop and restart; default 30s.
    pub drain_timeout: Duration,
    /// `drain_idle`: time of silence after which a connection without a request is closed at stop and
    /// restart; default 1s.
    pub drain_idle: Duration,
    /// `drain_tunnel`: time that upgraded connections (WebSocket) still have at stop and restart;
    /// default 5s.
    pub drain_tunnel: Duration,
    /// `access_log`: `file` (below /var/log/brim), `journal` or `off`; default `file`.
    pub access_log: AccessLog,
    /// `access_log_format`: `brim`, `combined` or `json`; default `brim`.
    pub access_log_format: AccessLogFormat,
    /// `log_level`: `error` (also `critical`, `fatal`), `warning` (also `warn`), `notice`, `info` or
    /// `debug`, any case; default `info`.
    pub log_level: LogLevel,
    /// `log_headers`: yes or no, request headers in the access log, secrets blotted out; default no.
    pub log_headers: bool,
    /// `log_auth_tokens`: yes or no, the X-Auth-Token in the access log; default no.
    pub log_auth_tokens: bool,
    /// `count_status_codes`: list of status codes, 100 to 599, that have a counter each; default
    /// `404 408 499 501`.
    pub count_status_codes: Vec<u16>,
    /// `trusted_proxies`: list of addresses, networks (`10.0.0.0/8`) and the word `unix` (all peers on Unix
    /// sockets), whose X-Forwarded-For and X-Cluster-Client-Ip are believed; default empty.
    pub trusted_proxies: TrustedProxies,
    /// TLS; the keys stand at the fields of [`TlsKeys`].
    pub tls: TlsKeys,
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

/// Where access lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// A file of the instance in the logs directory.
    File,
    /// The journal, one field per column.
    Journal,
    /// Nowhere.
    Off,
}

/// How an access line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// Brim's eighteen fields.
    Brim,
    /// The combined format of Apache and nginx.
    Combined,
    /// One JSON object per line.
    Json,
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
            Some(ip) => self.networks.iter().any(|network| network.contains(&ip.to_canonical())),
            None => self.unix,
        }
    }
}

impl HttpSection {
    /// Reads a section, and with it the defaults in `[brim]`. There is always a value, with defaults
    /// where something is bad.
    pub fn read(tree: &Tree, name: &SectionName) -> (Self, Vec<Problem>) {
        let section = name.section();
        let mut reader = Reader::with_fallback(tree, &section);
        let read = Self::take(tree, name, &mut reader);
        let mut problems = crate::check::defaults(tree);
        // What is wrong in [brim] was found just before.
        let own = |problem: &Problem| problem.section.as_deref() != Some(DEFAULTS);
        problems.extend(reader.finish().into_iter().filter(own));
        (read, tree.arrange(problems))
    }

    /// Every key of such a section.
    pub fn keys() -> Vec<&'static str> {
        let (tree, name) = (Tree::default(), SectionName { kind: Kind::Wsgi, name: None });
        let mut reader = Reader::new(&tree, "");
        Self::take(&tree, &name, &mut reader);
        reader.known().to_vec()
    }

    /// Takes every key of the section from a reader.
    pub(crate) fn take(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> Self {
        let client_timeout = r.get("client_timeout").map(|Timeout(time)| time);
        let or_client = |seconds| client_timeout.unwrap_or(Duration::from_secs(seconds));
        retired(r);
        Self {
            name: name.clone(),
            listeners: read_listeners(r, tree.any_port()),
            backlog: narrow(count::<1, 1_000_000>(r, "backlog", 4096)),
            keepalive: r.get_or("keepalive", true),
            apps: r.own("apps").unwrap_or_default(),
            workers: r.get_or("workers", Workers::Auto),
            start: r.own("start").unwrap_or(Start::Always),
            program: r.own("program").map(|AbsolutePath(path)| path),
            concurrent_per_worker: narrow(count::<1, 1_000_000>(r, "concurrent_per_worker", 16384)),
            connections_per_client: r
                .get::<Count<0, 1_000_000>>("connections_per_client")
                .map(|Count(count)| narrow(count)),
            client_timeout,
            head_timeout: timeout(r, "head_timeout", Duration::from_secs(20)),
            idle_timeout: timeout(r, "idle_timeout", or_client(60)),
            body_timeout: timeout(r, "body_timeout", or_client(30)),
            body_min_rate: size::<1, { 1024 * 1024 * KIB }>(r, "body_min_rate", 512),
            write_timeout: timeout(r, "write_timeout", or_client(60)),
            head_limit: narrow(size::<{ 8 * KIB }, { 1024 * KIB }>(r, "head_limit", 32 * KIB)),
            header_limit: narrow(count::<1, 1000>(r, "header_limit", 100)),
            uri_limit: narrow(size::<16, { 32 * KIB }>(r, "uri_limit", 8 * KIB)),
            body_limit: r.get_or("body_limit", Size(16 * 1024 * KIB)).0,
            error_pages: r.get("error_pages").map(|AbsolutePath(path)| path),
            server: r.get("server").map(|Printable(text)| text),
            echo_txn: r.get_or("echo_txn", false),
            linger_timeout: span(r, "linger_timeout", 2),
            linger_time: span(r, "linger_time", 30),
            drain_timeout: span(r, "drain_timeout", 30),
            drain_idle: span(r, "drain_idle", 1),
            drain_tunnel: span(r, "drain_tunnel", 5),
            access_log: r.get_or("access_log", AccessLog::File),
            access_log_format: r.get_or("access_log_format", AccessLogFormat::Brim),
            log_level: r.get_or("log_level", LogLevel::Info),
            log_headers: r.get_or("log_headers", false),
            log_auth_tokens: r.get_or("log_auth_tokens", false),
            count_status_codes: status_codes(r),
            trusted_proxies: trusted_proxies(r),
            tls: TlsKeys::take(r),
        }
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

fn status_codes(r: &mut Reader<'_>) -> Vec<u16> {
    match r.list::<Count<100, 599>>("count_status_codes") {
        Some(codes) => codes.into_iter().map(|code| narrow(code.0)).collect(),
        None => vec![404, 408, 499, 501],
    }
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

fn count<const MIN: u64, const MAX: u64>(
    r: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> u64 {
    r.get_or(key, Count::<MIN, MAX>(default)).0
}

fn size<const MIN: u64, const MAX: u64>(
    r: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> u64 {
    r.get_or(key, SizeWithin::<MIN, MAX>(default)).0
}

fn timeout(r: &mut Reader<'_>, key: &'static str, default: Duration) -> Duration {
    r.get_or(key, Timeout(default)).0
}

fn span(r: &mut Reader<'_>, key: &'static str, seconds: u64) -> Duration {
    r.get_or(key, Span(Duration::from_secs(seconds))).0
}

/// To the field's own type, which holds every value that the key accepts.
pub(crate) fn narrow<T: TryFrom<u64> + Bounded>(number: u64) -> T {
    T::try_from(number).unwrap_or(T::MAX)
}

pub(crate) trait Bounded {
    const MAX: Self;
}

impl Bounded for u16 {
    const MAX: Self = Self::MAX;
}

impl Bounded for u32 {
    const MAX: Self = Self::MAX;
}

impl Bounded for usize {
    const MAX: Self = Self::MAX;
}

/// Text that a header may hold.
struct Printable(String);

impl<'de> Deserialize<'de> for Printable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() <= 256 && text.chars().all(|c| matches!(c, ' '..='~')) {
            return Ok(Self(text));
        }
        let expected = "a line of at most 256 printable letters of ASCII";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
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
