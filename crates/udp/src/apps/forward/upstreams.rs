use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brim_config::Target;

use super::conf::Conf;

/// How soon a name is looked up again that could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// A worker's upstreams.
pub(super) struct Upstreams {
    all: Vec<Rc<Upstream>>,
    fail_timeout: Duration,
    /// Whose turn it is.
    turn: Cell<usize>,
}

/// An upstream as one worker sees it.
pub(super) struct Upstream {
    pub(super) target: Target,
    /// Of a name, what it stands for; none while that is not known.
    addresses: RefCell<Arc<[SocketAddr]>>,
    /// Which of them is used: the next one when nobody is there.
    which: Cell<usize>,
    /// Since when it rests.
    rests: Cell<Option<Instant>>,
}

impl Upstreams {
    /// Workers begin with different ones. Names are looked up from now on.
    pub(super) fn new(conf: &Conf, worker: usize) -> Rc<Self> {
        let all = conf.upstreams.iter().map(|target| Upstream::new(target, conf.resolve));
        let (all, fail_timeout) = (all.collect(), conf.fail_timeout);
        Rc::new(Self { all, fail_timeout, turn: Cell::new(worker) })
    }

    /// The upstream for a client. Those that rest come last, the one that has rested longest first.
    pub(super) fn pick(&self, now: Instant) -> Option<(Rc<Upstream>, SocketAddr)> {
        let count = self.all.len();
        let turn = self.turn.get() % count.max(1);
        self.turn.set(turn + 1);
        let in_turn = self.all.iter().cycle().skip(turn).take(count);
        let known = in_turn.filter_map(|one| Some((one, one.address()?)));
        let rests = |one: &Upstream| {
            one.rests.get().filter(|since| now.duration_since(*since) < self.fail_timeout)
        };
        let chosen = known.min_by_key(|(one, _)| rests(one));
        chosen.map(|(one, address)| (one.clone(), address))
    }
}

impl Upstream {
    fn new(target: &Target, resolve: Duration) -> Rc<Self> {
        let address = match target {
            Target::Address(address) => Some(*address),
            Target::Name(..) | Target::Unix(_) => None,
        };
        let upstream = Rc::new(Self {
            target: target.clone(),
            addresses: RefCell::new(address.into_iter().collect()),
            which: Cell::new(0),
            rests: Cell::new(None),
        });
        if let Target::Name(name, port) = target {
            let weak = Rc::downgrade(&upstream);
            tokio::task::spawn_local(look_up(weak, name.clone(), *port, resolve));
        }
        upstream
    }

    fn address(&self) -> Option<SocketAddr> {
        let addresses = self.addresses.borrow();
        addresses.get(self.which.get() % addresses.len().max(1)).copied()
    }

    /// Nobody is there, at this address.
    pub(super) fn failed(&self, address: SocketAddr) {
        if self.address() == Some(address) {
            self.which.set(self.which.get().wrapping_add(1));
        }
        if self.rests.replace(Some(Instant::now())).is_none() {
            tracing::warn!(upstream = %self.target, "nobody is there, upstream rests");
        }
    }

    /// It answered.
    pub(super) fn succeeded(&self) {
        if self.rests.take().is_some() {
            tracing::info!(upstream = %self.target, "upstream answers again");
        }
    }
}

/// Looks a name up again and again, for as long as somebody uses it.
async fn look_up(upstream: Weak<Upstream>, name: String, port: u16, resolve: Duration) {
    loop {
        // On the runtime's threads for what blocks.
        let found = tokio::net::lookup_host((name.as_str(), port)).await;
        let Some(upstream) = upstream.upgrade() else { return };
        let pause = match found {
            Ok(addresses) => {
                *upstream.addresses.borrow_mut() = addresses.collect();
                resolve
            }
            Err(error) => {
                tracing::warn!(upstream = %upstream.target, %error, "upstream not found");
                AGAIN
            }
        };
        drop(upstream);
        tokio::time::sleep(pause).await;
    }
}
