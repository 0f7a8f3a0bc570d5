use std::time::Duration;

use brim_config::{Count, Reader, Span, Target, Timeout, upstreams};
use serde::Deserialize;

/// What the section says.
pub(crate) struct Conf {
    /// `upstream`: list of `host:port`, `[::1]:port`, `unix:/path`. Required.
    pub(super) upstreams: Vec<Target>,
    /// `balance`: `least-connections` or `round-robin`, default `least-connections`.
    pub(super) balance: Balance,
    /// `connect_timeout`: time for resolving and connecting, of each upstream that is tried; default 5s.
    pub(super) connect_timeout: Duration,
    /// `idle_timeout`: time of silence in both directions, after which a connection is closed, instead of
    /// `client_timeout`; 0 is for ever; default 10min.
    pub(super) idle_timeout: Duration,
    /// `send_proxy_protocol`: `no`, `v1` or `v2`, the header by which upstreams hear who the client is;
    /// default `no`.
    pub(super) send_proxy_protocol: ProxyHeader,
    /// `max_fails`: failures in a row after which an upstream rests, 0 (it never does) to 1000, default 3.
    pub(super) max_fails: u64,
    /// `fail_timeout`: time that it rests; default 1s.
    pub(super) fail_timeout: Duration,
    /// `resolve`: time after which a name is looked up again; default 30s.
    pub(super) resolve: Duration,
}

/// How clients are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Balance {
    LeastConnections,
    RoundRobin,
}

/// Which header upstreams get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProxyHeader {
    No,
    V1,
    V2,
}

impl Conf {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            upstreams: upstreams(r),
            balance: r.get_or("balance", Balance::LeastConnections),
            connect_timeout: timeout(r, "connect_timeout", 5),
            idle_timeout: span(r, "idle_timeout", 600),
            send_proxy_protocol: r.get_or("send_proxy_protocol", ProxyHeader::No),
            max_fails: r.get_or("max_fails", Count::<0, 1000>(3)).0,
            fail_timeout: span(r, "fail_timeout", 1),
            resolve: timeout(r, "resolve", 30),
        }
    }
}

fn timeout(r: &mut Reader<'_>, key: &'static str, seconds: u64) -> Duration {
    r.get_or(key, Timeout(Duration::from_secs(seconds))).0
}

fn span(r: &mut Reader<'_>, key: &'static str, seconds: u64) -> Duration {
    r.get_or(key, Span(Duration::from_secs(seconds))).0
}
