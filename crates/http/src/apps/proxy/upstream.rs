use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::conf::{Balance, Conf, Place, Spec};
use super::link::Link;
use crate::error::{Error, UpstreamFailure};

/// How often kept connections are looked through for dead and old ones.
const SWEEP: Duration = Duration::from_secs(1);

/// A worker's upstreams.
pub(super) struct Pool {
    upstreams: Vec<Rc<Upstream>>,
    balance: Balance,
    /// Whose turn it is.
    turn: Cell<usize>,
    name: Arc<str>,
}

/// An upstream as one worker sees it.
pub(super) struct Upstream {
    conf: Arc<Conf>,
    index: usize,
    /// What the access line says.
    note: Rc<str>,
    /// The last one used is the first one taken: those behind it may grow old.
    #[expect(clippy::vec_box, reason = "a link is large, and goes in and out")]
    idle: RefCell<Vec<Box<Link>>>,
    /// Connections that carry a request, or are being made to.
    busy: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
    /// Failures in a row.
    fails: Cell<u64>,
    /// Since when it rests.
    rests: Cell<Option<Instant>>,
    /// Somebody is finding out whether it still has to.
    on_trial: Cell<bool>,
    resolved: RefCell<Resolved>,
}

/// What a name stands for.
#[derive(Default)]
struct Resolved {
    addresses: Arc<[SocketAddr]>,
    at: Option<Instant>,
    /// Somebody is looking it up.
    looking: bool,
}

impl Pool {
    pub(super) fn new(conf: Arc<Conf>) -> Rc<Self> {
        let upstreams = (0..conf.upstreams.len()).map(|index| Upstream::new(conf.clone(), index));
        let names = conf.upstreams.iter().map(|spec| &*spec.text).collect::<Vec<_>>();
        let pool = Rc::new(Self {
            upstreams: upstreams.collect(),
            balance: conf.balance,
            // So that workers do not all begin with the same one.
            turn: Cell::new(fastrand::usize(..conf.upstreams.len().max(1))),
            name: names.join(" ").into(),
        });
        tokio::task::spawn_local(sweep(Rc::downgrade(&pool)));
        pool
    }

    /// The upstream for a request, none of which was in vain for it before. Where all rest, the one
    /// that has rested longest is tried, by one request at a time.
    pub(super) fn pick(
        &self,
        now: Instant,
        tried: &[Rc<Upstream>],
    ) -> Result<Rc<Upstream>, UpstreamFailure> {
        let count = self.upstreams.len();
        let turn = self.turn.get();
        self.turn.set(if turn + 1 >= count { 0 } else { turn + 1 });
        let (before, rest) = self.upstreams.split_at(turn.min(count));
        let in_turn = || rest.iter().chain(before);
        let untried =
            |upstream: &&Rc<Upstream>| !tried.iter().any(|tried| Rc::ptr_eq(tried, upstream));
        let mut fit = in_turn().filter(untried).filter(|upstream| upstream.is_fit(now));
        let chosen = match self.balance {
            Balance::RoundRobin => fit.next(),
            Balance::LeastConnections => fit.min_by_key(|upstream| upstream.busy.get()),
        };
        if let Some(upstream) = chosen {
            return Ok(upstream.clone());
        }
        let resting = self.upstreams.iter().filter(|upstream| !upstream.on_trial.get());
        let resting = resting.filter(untried);
        let longest = resting.min_by_key(|upstream| upstream.rests.get());
        longest.cloned().ok_or(UpstreamFailure::AllRest)
    }

    /// An error of the upstreams together.
    pub(super) fn failed(&self, failure: UpstreamFailure) -> Error {
        Error::Upstream { upstream: self.name.clone(), failure }
    }
}

/// Lets go of connections that were kept too long, or that are no longer open.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        for upstream in &pool.upstreams {
            upstream.idle.borrow_mut().retain_mut(|link| !link.is_old(now) && link.is_usable());
        }
    }
}

impl Upstream {
    fn new(conf: Arc<Conf>, index: usize) -> Rc<Self> {
        let mut note = "upstream:".to_owned();
        if let Some(spec) = conf.upstreams.get(index) {
            // Writing to a String cannot fail.
            let _ = write!(note, "{spec}");
        }
        Rc::new(Self {
            conf,
            index,
            note: note.into(),
            idle: RefCell::default(),
            busy: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
            fails: Cell::new(0),
            rests: Cell::new(None),
            on_trial: Cell::new(false),
            resolved: RefCell::default(),
        })
    }

    pub(super) fn conf(&self) -> &Conf {
        &self.conf
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.conf.upstreams[self.index]
    }

    pub(super) fn note(&self) -> Rc<str> {
        self.note.clone()
    }

    pub(super) fn error(&self, failure: UpstreamFailure) -> Error {
        Error::Upstream { upstream: self.spec().text.clone(), failure }
    }

    fn is_fit(&self, now: Instant) -> bool {
        self.rests.get().is_none_or(|since| now.duration_since(since) >= self.conf.fail_timeout)
    }

    /// It answered.
    pub(super) fn succeeded(&self) {
        self.fails.set(0);
        if self.rests.take().is_some() {
            tracing::info!(upstream = %self.spec(), "upstream answers again");
        }
    }

    /// It did not, to a request that was begun at `now`.
    pub(super) fn failed(&self, now: Instant) {
        let fails = self.fails.get().saturating_add(1);
        self.fails.set(fails);
        if self.conf.max_fails == 0 || fails < self.conf.max_fails {
            return;
        }
        if self.rests.replace(Some(now)).is_none() {
            tracing::warn!(upstream = %self.spec(), fails, "upstream fails and rests");
        }
    }

    /// A kept connection that was open at this moment.
    pub(super) fn take_idle(&self, now: Instant) -> Option<Box<Link>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let mut link = idle.pop()?;
            if link.is_old(now) {
                // Those below are older still.
                idle.clear();
                return None;
            }
            if link.is_usable() {
                return Some(link);
            }
        }
    }

    pub(super) fn keep(&self, link: Box<Link>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.conf.keepalive {
            idle.push(link);
        }
    }

    /// Whether there may be one more connection.
    pub(super) fn has_room(&self) -> bool {
        self.busy.get() < self.conf.max_connections
    }

    /// Waits for room for one more connection.
    pub(super) async fn room(self: &Rc<Self>) -> Result<Busy, UpstreamFailure> {
        if self.has_room() {
            return Ok(Busy::new(self.clone()));
        }
        if self.waiting.get() >= self.conf.queue {
            return Err(UpstreamFailure::Full);
        }
        self.wait_for_room().await
    }

    async fn wait_for_room(self: &Rc<Self>) -> Result<Busy, UpstreamFailure> {
        let _waiting = Waiting::new(self);
        let freed = async {
            while !self.has_room() {
                self.freed.notified().await;
            }
        };
        let waited = tokio::time::timeout(self.conf.connect_timeout, freed).await;
        waited.map_err(|_| UpstreamFailure::Full)?;
        Ok(Busy::new(self.clone()))
    }

    /// Marks it as on trial, if it rests, until that is dropped.
    pub(super) fn try_out(self: &Rc<Self>, now: Instant) -> Option<Trial> {
        (!self.is_fit(now)).then(|| {
            self.on_trial.set(true);
            Trial(self.clone())
        })
    }

    /// The addresses of its name. Those that are known are used while they are looked up again.
    pub(super) async fn addresses(&self) -> Result<Arc<[SocketAddr]>, UpstreamFailure> {
        let known = self.resolved.borrow().addresses.clone();
        match known.is_empty() {
            false => Ok(known),
            true => self.resolve().await,
        }
    }

    async fn resolve(&self) -> Result<Arc<[SocketAddr]>, UpstreamFailure> {
        let Place::Name(name, port) = &self.spec().place else { return Ok(Arc::default()) };
        // On the runtime's threads for what blocks.
        let found = tokio::net::lookup_host((&**name, *port)).await;
        let found = found.map_err(UpstreamFailure::Resolve)?.collect::<Arc<[_]>>();
        let mut resolved = self.resolved.borrow_mut();
        resolved.at = Some(Instant::now());
        if !found.is_empty() {
            resolved.addresses = found.clone();
        }
        Ok(found)
    }

    /// Looks the name up again from time to time, beside the request that finds it old.
    pub(super) fn refresh(self: &Rc<Self>, now: Instant) {
        let mut resolved = self.resolved.borrow_mut();
        let old = resolved.at.is_some_and(|at| now.duration_since(at) >= self.conf.resolve);
        if !old || std::mem::replace(&mut resolved.looking, true) {
            return;
        }
        drop(resolved);
        let upstream = self.clone();
        tokio::task::spawn_local(async move {
            let before = upstream.resolved.borrow().addresses.clone();
            match upstream.resolve().await {
                // Connections to where it no longer is are not used again.
                Ok(found) if found != before => upstream.idle.borrow_mut().clear(),
                Ok(_) => {}
                Err(failure) => {
                    tracing::warn!(upstream = %upstream.spec(), error = &failure as &dyn std::error::Error, "upstream not found, its old addresses are used");
                    upstream.resolved.borrow_mut().at = Some(Instant::now());
                }
            }
            upstream.resolved.borrow_mut().looking = false;
        });
    }
}

/// One connection's place among those of its upstream.
pub(super) struct Busy(pub(super) Rc<Upstream>);

impl Busy {
    pub(super) fn new(upstream: Rc<Upstream>) -> Self {
        upstream.busy.set(upstream.busy.get() + 1);
        Self(upstream)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        if self.0.waiting.get() > 0 {
            self.0.freed.notify_one();
        }
    }
}

struct Waiting<'a>(&'a Upstream);

impl<'a> Waiting<'a> {
    fn new(upstream: &'a Upstream) -> Self {
        upstream.waiting.set(upstream.waiting.get() + 1);
        Self(upstream)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// The only request that an upstream gets while it rests.
pub(super) struct Trial(Rc<Upstream>);

impl Drop for Trial {
    fn drop(&mut self) {
        self.0.on_trial.set(false);
    }
}
