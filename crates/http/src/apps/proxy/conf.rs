use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use brim_config::{AbsolutePath, Count, Flag, Reader, SizeWithin, Span, Timeout, upstreams};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, header};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use super::forwarded::{FOR, HOST, PROTO};
use super::tls;

/// Longest path of a Unix socket, in bytes.
const UNIX_PATH_MAX: usize = 107;

/// A proxy's section.
pub(crate) struct Conf {
    /// `upstream`: list of `host:port`, `http://host[:port]`, `https://host[:port]`, `unix:/path`. Required.
    pub(super) upstreams: Vec<Spec>,
    /// `balance`: `round-robin` or `least-connections`, default `round-robin`.
    pub(super) balance: Balance,
    /// `connect_timeout`: time for resolving, connecting and the TLS handshake; default 5s.
    pub(super) connect_timeout: Duration,
    /// `response_timeout`: time from the end of the request to the head of the response; default 60s.
    pub(super) response_timeout: Duration,
    /// `idle_timeout`: time between two pieces of a response; default 60s.
    pub(super) idle_timeout: Duration,
    /// `keepalive`: idle connections that each worker keeps to each upstream, 0 to 10000, default 64.
    pub(super) keepalive: usize,
    /// `keepalive_timeout`: time that a connection is kept idle; default 4s.
    pub(super) keepalive_timeout: Duration,
    /// `retries`: further attempts of a request that may be repeated, 0 to 10, default 2.
    pub(super) retries: u64,
    /// `max_fails`: failures in a row after which an upstream rests, 0 (it never does) to 1000, default 3.
    pub(super) max_fails: u64,
    /// `fail_timeout`: time that it rests; default 1s.
    pub(super) fail_timeout: Duration,
    /// `max_connections`: connections of each worker to each upstream, 1 to 100000, default 4096.
    pub(super) max_connections: usize,
    /// `queue`: requests of each worker that wait for one of them, 0 to 100000, default 0; they wait at
    /// most `connect_timeout`.
    pub(super) queue: usize,
    /// `resolve`: time after which a name is looked up again; default 30s.
    pub(super) resolve: Duration,
    /// `forward_host`: `client`, `upstream` or a name: the Host that upstreams see; default `client`.
    pub(super) forward_host: ForwardHost,
    /// `forwarded`: `x-forwarded`, `forwarded`, `both` or `none`; default `x-forwarded`.
    pub(super) forwarded: Tell,
    /// `strip_prefix`: yes or no, the literal prefix of the route is cut off; default no.
    pub(super) strip_prefix: bool,
    /// `via`: yes or no, a Via header in requests; default no.
    pub(super) via: bool,
    /// `upgrade`: list of protocols to which a connection may be switched, default `websocket`; `none`
    /// for none.
    pub(super) upgrade: Vec<Protocol>,
    /// `tunnel_timeout`: time of silence after which a switched connection is closed; default 1h.
    pub(super) tunnel_timeout: Duration,
    /// `ca_file`: absolute path of the authorities' certificates for `https`, default those of the system;
    /// `verify`: yes or no, upstreams must have a certificate of theirs, default yes; `tls_name`: the name in
    /// it, default that in `upstream`.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// `response_head_limit`: size of a response's head, 8K to 1M, default 64K.
    pub(super) head_limit: usize,
}

/// How requests are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Balance {
    RoundRobin,
    LeastConnections,
}

/// Which headers tell upstreams of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tell {
    XForwarded,
    Forwarded,
    Both,
    None,
}

impl Tell {
    pub(super) fn x_forwarded(self) -> bool {
        matches!(self, Self::XForwarded | Self::Both)
    }

    pub(super) fn forwarded(self) -> bool {
        matches!(self, Self::Forwarded | Self::Both)
    }

    /// Whether this header is one of them.
    pub(super) fn tells(self, name: &HeaderName) -> bool {
        match *name {
            header::FORWARDED => self.forwarded(),
            _ => self.x_forwarded() && [FOR, PROTO, HOST].contains(name),
        }
    }
}

/// The name of a protocol in `Upgrade`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocol(pub(super) Box<str>);

/// What stands in Host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ForwardHost {
    Client,
    Upstream,
    Name(HeaderValue),
}

/// One upstream as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// As the user wrote it.
    pub(super) text: Arc<str>,
    pub(super) place: Place,
    /// The name in its certificate, over TLS.
    pub(super) tls: Option<ServerName<'static>>,
    /// What Host is with `forward_host = upstream`.
    pub(super) host: HeaderValue,
}

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Address(SocketAddr),
    Name(Arc<str>, u16),
    Unix(PathBuf),
}

impl Conf {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let mut upstreams = upstreams(r);
        let SizeWithin(head_limit) =
            r.get_or("response_head_limit", SizeWithin::<8192, 1_048_576>(65_536));
        let tls = tls(r, &mut upstreams);
        Self {
            upstreams,
            tls,
            balance: r.get_or("balance", Balance::RoundRobin),
            connect_timeout: timeout(r, "connect_timeout", 5),
            response_timeout: timeout(r, "response_timeout", 60),
            idle_timeout: timeout(r, "idle_timeout", 60),
            keepalive: count::<0, 10_000>(r, "keepalive", 64),
            keepalive_timeout: timeout(r, "keepalive_timeout", 4),
            retries: r.get_or("retries", Count::<0, 10>(2)).0,
            max_fails: r.get_or("max_fails", Count::<0, 1000>(3)).0,
            fail_timeout: r.get_or("fail_timeout", Span(Duration::from_secs(1))).0,
            max_connections: count::<1, 100_000>(r, "max_connections", 4096),
            queue: count::<0, 100_000>(r, "queue", 0),
            resolve: timeout(r, "resolve", 30),
            forward_host: r.get_or("forward_host", ForwardHost::Client),
            forwarded: r.get_or("forwarded", Tell::XForwarded),
            strip_prefix: r.get_or("strip_prefix", Flag(false)).0,
            via: r.get_or("via", Flag(false)).0,
            upgrade: protocols(r),
            tunnel_timeout: timeout(r, "tunnel_timeout", 3600),
            head_limit: usize::try_from(head_limit).unwrap_or(usize::MAX),
        }
    }
}

/// TLS, where an upstream has it.
fn tls(r: &mut Reader<'_>, upstreams: &mut [Spec]) -> Option<Arc<ClientConfig>> {
    let ca_file = r.get::<AbsolutePath>("ca_file").map(|AbsolutePath(path)| path);
    let Flag(verify) = r.get_or("verify", Flag(true));
    let name = r.get::<String>("tls_name").and_then(|name| {
        let parsed = ServerName::try_from(name).ok();
        if parsed.is_none() {
            r.refuse("tls_name", "not a host name or address");
        }
        parsed
    });
    let of_tls = upstreams.iter_mut().filter_map(|spec| spec.tls.as_mut());
    let mut any = false;
    for own in of_tls {
        any = true;
        if let Some(name) = &name {
            own.clone_from(name);
        }
    }
    if !any {
        return None;
    }
    match tls::config(ca_file.as_deref(), verify) {
        Ok(config) => Some(config),
        Err(problem) => {
            r.refuse("ca_file", problem);
            None
        }
    }
}

fn protocols(r: &mut Reader<'_>) -> Vec<Protocol> {
    let Some(protocols) = r.list::<Protocol>("upgrade") else {
        return vec![Protocol("websocket".into())];
    };
    protocols.into_iter().filter(|protocol| &*protocol.0 != "none").collect()
}

fn timeout(r: &mut Reader<'_>, key: &'static str, seconds: u64) -> Duration {
    r.get_or(key, Timeout(Duration::from_secs(seconds))).0
}

fn count<const MIN: u64, const MAX: u64>(
    r: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> usize {
    usize::try_from(r.get_or(key, Count::<MIN, MAX>(default)).0).unwrap_or(usize::MAX)
}

impl FromStr for Spec {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let localhost = HeaderValue::from_static("localhost");
        if let Some(path) = text.strip_prefix("unix:") {
            let usable = path.starts_with('/')
                && path.len() <= UNIX_PATH_MAX
                && !path.chars().any(char::is_control);
            let place = usable.then(|| Place::Unix(path.into())).ok_or(())?;
            return Ok(Self { text: text.into(), place, tls: None, host: localhost });
        }
        let (tls, default, authority) = match text.split_once("://") {
            Some(("http", authority)) => (false, Some(80), authority),
            Some(("https", authority)) => (true, Some(443), authority),
            Some(_) => return Err(()),
            None => (false, None, text),
        };
        let (host, port) = split_port(authority);
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(())?,
            None => default.ok_or(())?,
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let place = match (bare, host.parse::<IpAddr>()) {
            (Some(v6), _) => {
                let v6: Ipv6Addr = v6.parse().map_err(drop)?;
                Place::Address(SocketAddr::new(v6.into(), port))
            }
            (None, Ok(ip @ IpAddr::V4(_))) => Place::Address(SocketAddr::new(ip, port)),
            (None, _) if brim_config::is_host_name(host) => Place::Name(host.into(), port),
            _ => return Err(()),
        };
        let tls = match tls {
            true => Some(ServerName::try_from(bare.unwrap_or(host).to_owned()).map_err(drop)?),
            false => None,
        };
        let host = HeaderValue::from_str(authority).map_err(drop)?;
        Ok(Self { text: text.into(), place, tls, host })
    }
}

/// The port, if there is one. Colons inside brackets are no port's.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            match port.bytes().all(|b| b.is_ascii_digit()) {
                true => (host, Some(port)),
                false => (authority, Some("")),
            }
        }
        _ => (authority, None),
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "host:port, http://host[:port], https://host[:port] or unix:/path, without a path behind the port";
        text.parse().map_err(|()| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
        // Through h2c, a client could say to the upstream whatever it likes.
        if text.len() <= 64 && text.bytes().all(token) && !text.starts_with("h2c") {
            return Ok(Self(text.into()));
        }
        let expected = "the name of a protocol such as websocket, not h2c, or `none`";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de> Deserialize<'de> for ForwardHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = text.parse::<Authority>().ok().filter(|name| !name.as_str().contains('@'));
        match (text.as_str(), name.and_then(|name| name.as_str().parse().ok())) {
            ("client", _) => Ok(Self::Client),
            ("upstream", _) => Ok(Self::Upstream),
            (_, Some(name)) => Ok(Self::Name(name)),
            _ => {
                let expected = "`client`, `upstream` or a host name";
                Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<Spec, ()> {
        text.parse()
    }

    #[test]
    fn upstreams_have_these_forms() {
        let place = |text: &str| spec(text).map(|spec| (spec.place, spec.tls.is_some()));
        let address = |text: &str| Place::Address(text.parse().unwrap());
        let name = |name: &str, port| Place::Name(name.into(), port);
        assert_eq!(place("127.0.0.1:8080"), Ok((address("127.0.0.1:8080"), false)));
        assert_eq!(place("[::1]:8080"), Ok((address("[::1]:8080"), false)));
        assert_eq!(place("http://[::1]"), Ok((address("[::1]:80"), false)));
        assert_eq!(place("https://10.0.0.1"), Ok((address("10.0.0.1:443"), true)));
        assert_eq!(place("app_1.example.com:3000"), Ok((name("app_1.example.com", 3000), false)));
        assert_eq!(place("https://example.com:8443"), Ok((name("example.com", 8443), true)));
        assert_eq!(place("unix:/run/app.sock"), Ok((Place::Unix("/run/app.sock".into()), false)));
        assert_eq!(spec("https://example.com").unwrap().host, "example.com");
    }

    #[test]
    fn what_is_no_upstream_is_refused() {
        let long = format!("unix:/{}", "x".repeat(107));
        for text in [
            "",
            "localhost",
            "1.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:0",
            "1.2.3.4:65536",
            "::1:80",
            "[::1]",
            "[1.2.3.4]:80",
            "http://",
            "http://a/",
            "http://a/b",
            "http://u@a",
            "ftp://a",
            "http://a:80:80",
            "a b:1",
            "a:+1",
            "unix:",
            "unix:run",
            "1.2.3:80",
            "-a:1",
            "a..b:1",
            "http://a?b",
            &long,
        ] {
            assert_eq!(spec(text), Err(()), "{text}");
        }
    }
}
