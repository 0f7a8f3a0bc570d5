use std::time::Duration;

use brim_config::{Count, Reader, Span, Target, Timeout, upstreams};

/// What the section says.
pub(crate) struct Conf {
    /// `upstream`: list of `host:port` and `[::1]:port`; clients are given to them in turn. Required.
    pub(super) upstreams: Vec<Target>,
    /// `idle_timeout`: time of silence in both directions, after which a client's session ends; default 60s.
    pub(super) idle_timeout: Duration,
    /// `max_sessions`: clients that each worker keeps at the same time, 1 to 100000, default 4096. Datagrams
    /// of others are dropped.
    pub(super) max_sessions: usize,
    /// `fail_timeout`: time that an upstream rests after its machine said that nobody is there; default 1s.
    pub(super) fail_timeout: Duration,
    /// `resolve`: time after which a name is looked up again; default 30s.
    pub(super) resolve: Duration,
}

impl Conf {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let Count(max_sessions) = r.get_or("max_sessions", Count::<1, 100_000>(4096));
        Self {
            upstreams: of_datagrams(r),
            idle_timeout: timeout(r, "idle_timeout", 60),
            max_sessions: usize::try_from(max_sessions).unwrap_or(usize::MAX),
            fail_timeout: r.get_or("fail_timeout", Span(Duration::from_secs(1))).0,
            resolve: timeout(r, "resolve", 30),
        }
    }
}

/// Such as datagrams can be sent to.
fn of_datagrams(r: &mut Reader<'_>) -> Vec<Target> {
    let upstreams: Vec<Target> = upstreams(r);
    if upstreams.iter().any(|target| matches!(target, Target::Unix(_))) {
        r.refuse("upstream", "unix:/path cannot be an upstream of datagrams, expected host:port");
    }
    upstreams
}

fn timeout(r: &mut Reader<'_>, key: &'static str, seconds: u64) -> Duration {
    r.get_or(key, Timeout(Duration::from_secs(seconds))).0
}
