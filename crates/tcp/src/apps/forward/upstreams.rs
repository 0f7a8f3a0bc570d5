use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use brim_config::Target;
use brim_service::{LocalStream, Stream, connect};

use super::Shared;
use super::conf::{Balance, Conf};

/// A worker's upstreams.
pub(super) struct Upstreams {
    all: Vec<Shared>,
    balance: Balance,
    conf: Arc<Conf>,
    /// Whose turn it is.
    turn: Cell<usize>,
}

/// An upstream as one worker sees it.
pub(super) struct Upstream {
    target: Target,
    /// Connections that are open, or being made.
    busy: Cell<usize>,
    /// Failures in a row.
    fails: Cell<u64>,
    /// Since when it rests.
    rests: Cell<Option<Instant>>,
    resolved: RefCell<Option<Resolved>>,
}

/// What a name stood for.
struct Resolved {
    addresses: Arc<[SocketAddr]>,
    at: Instant,
}

impl Upstreams {
    /// Workers begin with different ones.
    pub(super) fn new(conf: Arc<Conf>, worker: usize) -> Self {
        let upstream = |target: &Target| Upstream {
            target: target.clone(),
            busy: Cell::new(0),
            fails: Cell::new(0),
            rests: Cell::new(None),
            resolved: RefCell::new(None),
        };
        let all = conf.upstreams.iter().map(|target| Rc::new(upstream(target))).collect();
        Self { all, balance: conf.balance, conf, turn: Cell::new(worker) }
    }

    /// The upstream for a client, none of those that were tried. Those that rest come last, the one that
    /// has rested longest first.
    pub(super) fn pick(&self, now: Instant, tried: &[Shared]) -> Option<Shared> {
        let count = self.all.len();
        let turn = self.turn.get() % count.max(1);
        self.turn.set(turn + 1);
        let untried = |upstream: &&Shared| !tried.iter().any(|tried| Rc::ptr_eq(tried, upstream));
        let in_turn = self.all.iter().cycle().skip(turn).take(count).filter(untried);
        let mut fit = in_turn.clone().filter(|upstream| upstream.is_fit(now, &self.conf));
        let chosen = match self.balance {
            Balance::RoundRobin => fit.next(),
            Balance::LeastConnections => fit.min_by_key(|upstream| upstream.busy.get()),
        };
        chosen.or_else(|| in_turn.min_by_key(|upstream| upstream.rests.get())).cloned()
    }
}

impl Upstream {
    fn is_fit(&self, now: Instant, conf: &Conf) -> bool {
        self.rests.get().is_none_or(|since| now.duration_since(since) >= conf.fail_timeout)
    }

    pub(super) fn succeeded(&self) {
        self.fails.set(0);
        if self.rests.take().is_some() {
            tracing::info!(upstream = %self.target, "upstream takes connections again");
        }
    }

    pub(super) fn failed(&self, now: Instant, conf: &Conf, error: &io::Error) {
        let fails = self.fails.get().saturating_add(1);
        self.fails.set(fails);
        tracing::debug!(upstream = %self.target, %error, "cannot connect");
        if conf.max_fails > 0 && fails >= conf.max_fails && self.rests.replace(Some(now)).is_none()
        {
            tracing::warn!(upstream = %self.target, %error, fails, "upstream fails and rests");
        }
    }

    pub(super) async fn connect(&self, conf: &Conf) -> io::Result<Stream> {
        Ok(match &self.target {
            Target::Unix(path) => Stream::Unix(LocalStream::connect(path).await?),
            Target::Address(address) => Stream::Tcp(connect(&[*address]).await?),
            Target::Name(name, port) => {
                let addresses = self.addresses(name, *port, conf).await?;
                Stream::Tcp(connect(&addresses).await?)
            }
        })
    }

    /// The addresses of a name; those of before where it cannot be looked up again.
    async fn addresses(&self, name: &str, port: u16, conf: &Conf) -> io::Result<Arc<[SocketAddr]>> {
        let known =
            self.resolved.borrow().as_ref().map(|known| (known.addresses.clone(), known.at));
        if let Some((addresses, at)) = &known
            && at.elapsed() < conf.resolve
        {
            return Ok(addresses.clone());
        }
        // On the runtime's threads for what blocks.
        let found = tokio::net::lookup_host((name, port)).await.map(Iterator::collect);
        let addresses: Arc<[SocketAddr]> = match (found, known) {
            (Ok(found), _) => found,
            (Err(error), Some((known, _))) => {
                tracing::warn!(upstream = %self.target, %error, "upstream not found, its old addresses are used");
                known
            }
            (Err(error), None) => return Err(error),
        };
        let resolved = Resolved { addresses: addresses.clone(), at: Instant::now() };
        *self.resolved.borrow_mut() = Some(resolved);
        Ok(addresses)
    }
}

/// One connection's place among those of its upstream.
pub(super) struct Busy(Shared);

impl Busy {
    pub(super) fn new(upstream: Shared) -> Self {
        upstream.busy.set(upstream.busy.get() + 1);
        Self(upstream)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}
