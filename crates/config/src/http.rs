//! `[wsgi]` and `[wsgi#NAME]`: an HTTP front end.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::address::{Address, Listener};
use crate::http2::Http2Keys;
use crate::keys::{count, narrow, size, span, timeout};
use crate::name::{Kind, SectionName};
use crate::problem::Problem;
use crate::quantity::{AbsolutePath, Count, Size, Timeout};
use crate::reader::Reader;
use crate::server::{ServerSection, keys_of, read_with};
use crate::tls::TlsKeys;
use crate::tree::Tree;

const KIB: u64 = 1024;

/// A section of the kind `wsgi`. Keys are looked up in the section, then in `[brim]`, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSection {
    /// The keys that all kinds of servers have.
    pub server: ServerSection,
    /// `apps`: names of sections or built-in apps, the chain in order, default empty. Not from `[brim]`.
    pub apps: Vec<String>,
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
    pub server_header: Option<String>,
    /// `echo_txn`: yes or no, the transaction id as X-Txn in responses; default no.
    pub echo_txn: bool,
    /// `linger_timeout`: time of silence while an unread body is discarded after the answer; default 2s.
    pub linger_timeout: Duration,
    /// `linger_time`: time for all of that; default 30s.
    pub linger_time: Duration,
    /// `drain_tunnel`: time that upgraded connections (WebSocket) still have at stop and restart;
    /// default 5s.
    pub drain_tunnel: Duration,
    /// `access_log`: `file` (below /var/log/brim), `journal` or `off`; default `file`.
    pub access_log: AccessLog,
    /// `access_log_format`: `brim`, `combined` or `json`; default `brim`.
    pub access_log_format: AccessLogFormat,
    /// `log_headers`: yes or no, request headers in the access log, secrets blotted out; default no.
    pub log_headers: bool,
    /// `log_auth_tokens`: yes or no, the X-Auth-Token in the access log; default no.
    pub log_auth_tokens: bool,
    /// `count_status_codes`: list of status codes, 100 to 599, that have a counter each; default
    /// `404 408 413 417 499 501`.
    pub count_status_codes: Vec<u16>,
    /// TLS; the keys stand at the fields of [`TlsKeys`].
    pub tls: TlsKeys,
    /// HTTP/2; the keys stand at the fields of [`Http2Keys`].
    pub http2: Http2Keys,
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

impl HttpSection {
    /// Reads a section, and with it the defaults in `[brim]`. There is always a value, with defaults
    /// where something is bad.
    pub fn read(tree: &Tree, name: &SectionName) -> (Self, Vec<Problem>) {
        read_with(tree, name, |reader| Self::take(tree, name, reader))
    }

    /// Every key of such a section.
    pub fn keys() -> Vec<&'static str> {
        keys_of(Kind::Wsgi, Self::take)
    }

    /// Takes every key of the section from a reader.
    pub(crate) fn take(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> Self {
        let client_timeout = r.get("client_timeout").map(|Timeout(time)| time);
        let or_client = |seconds| client_timeout.unwrap_or(Duration::from_secs(seconds));
        let section = Self {
            server: ServerSection::take(tree, name, r),
            apps: r.own("apps").unwrap_or_default(),
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
            server_header: r.get("server").map(|Printable(text)| text),
            echo_txn: r.get_or("echo_txn", false),
            linger_timeout: span(r, "linger_timeout", 2),
            linger_time: span(r, "linger_time", 30),
            drain_tunnel: span(r, "drain_tunnel", 5),
            access_log: r.get_or("access_log", AccessLog::File),
            access_log_format: r.get_or("access_log_format", AccessLogFormat::Brim),
            log_headers: r.get_or("log_headers", false),
            log_auth_tokens: r.get_or("log_auth_tokens", false),
            count_status_codes: status_codes(r),
            tls: TlsKeys::take(r),
            http2: Http2Keys::take(r),
        };
        let listeners = &section.server.listeners;
        let on_unix = |listener: &Listener| matches!(listener.address, Address::Unix(_));
        let is_set = section.http2.h2c && r.own_entry("h2c").is_some();
        if is_set && !listeners.is_empty() && !listeners.iter().any(on_unix) {
            r.warn("h2c", "has no effect: the section listens on no Unix socket");
        }
        section
    }
}

fn status_codes(r: &mut Reader<'_>) -> Vec<u16> {
    match r.list::<Count<100, 599>>("count_status_codes") {
        Some(codes) => codes.into_iter().map(|code| narrow(code.0)).collect(),
        None => vec![404, 408, 413, 417, 499, 501],
    }
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
