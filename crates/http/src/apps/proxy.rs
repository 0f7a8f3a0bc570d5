//! The `proxy` app: answers by what another server answers.
//!
//! ```text
//! call -> head -> attempt -> pick (upstream) -> lease (connection) -> link -> sending -> download
//!      forwarded     ^                                                response   upload
//!                    +--- again, where that is safe                   decoder
//! ```
//!
//! A worker's connections to upstreams are driven by the tasks of the clients whose requests they
//! carry: there is no task in between, so a client that takes no more is an upstream that may send
//! no more, and a client that leaves takes its upstream connection along.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use brim_config::Reader;
use brim_stats::{Counter, Stat};
use http::Method;

use crate::app::{App, AppContext, Claims, Request};
use crate::body::Response;
use crate::chain::Next;
use crate::error::{Error, UpstreamFailure};

mod conf;
mod decoder;
mod download;
pub(super) mod forwarded;
mod head;
mod lease;
mod lines;
mod link;
mod response;
mod sending;
mod timer;
mod tls;
mod tunnel;
mod upload;
mod upstream;
mod wire;

use conf::Conf;
pub(super) use download::Unsized;
use head::Outgoing;
use lease::{Broken, Lease};
pub(super) use timer::Timer;
use upstream::{Pool, Upstream};

/// Passes requests on to one of several upstreams.
pub(crate) struct Proxy {
    conf: Arc<Conf>,
    pool: Rc<Pool>,
    counters: Rc<Counters>,
}

/// What a worker's proxy counts.
#[derive(Debug)]
struct Counters {
    requests: Counter,
    /// 502: refused, reset, malformed.
    bad_gateway: Counter,
    /// 503: all upstreams rest or are full.
    unavailable: Counter,
    /// 504: too slow.
    timeouts: Counter,
    retries: Counter,
    /// Responses that broke off after their head.
    cut_off: Counter,
    /// Connections that have switched to another protocol.
    upgrades: Counter,
}

impl Counters {
    const NAMES: [&'static str; 7] =
        ["requests", "bad_gateway", "unavailable", "timeouts", "retries", "cut_off", "upgrades"];

    fn new(name: &str, context: &AppContext) -> Self {
        let [requests, bad_gateway, unavailable, timeouts, retries, cut_off, upgrades] =
            Self::NAMES.map(|counter| context.counter(&format!("{name}.{counter}")));
        Self { requests, bad_gateway, unavailable, timeouts, retries, cut_off, upgrades }
    }

    fn count(&self, error: &Error) {
        if !matches!(error, Error::Upstream { .. }) {
            return;
        }
        match error.code().as_u16() {
            502 => self.bad_gateway.incr(),
            503 => self.unavailable.incr(),
            _ => self.timeouts.incr(),
        }
    }
}

impl App for Proxy {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf::read(section)
    }

    fn claims(_: &Conf) -> Claims {
        Claims::Everything
    }

    fn capacity(conf: &Conf) -> usize {
        conf.max_connections
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        Counters::NAMES.map(|counter| Stat::sum(format!("{name}.{counter}"))).into()
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        let counters = Rc::new(Counters::new(name, context));
        Self { pool: Pool::new(conf.clone()), conf, counters }
    }

    async fn call(&self, request: Request, _: Next) -> Result<Response, Error> {
        self.counters.requests.incr();
        let answer = self.pass_on(request).await;
        answer.inspect_err(|error| self.counters.count(error))
    }
}

impl Proxy {
    async fn pass_on(&self, request: Request) -> Result<Response, Error> {
        let outgoing = Outgoing::new(&self.conf, request)?;
        let mut tried = Vec::new();
        let mut last = None;
        for retry in 0..=self.conf.retries {
            let now = Instant::now();
            let upstream = match (self.pool.pick(now, &tried), last) {
                (Ok(upstream), _) => upstream,
                (Err(_), Some(error)) => return Err(error),
                (Err(failure), None) => return Err(self.pool.failed(failure)),
            };
            if retry > 0 {
                self.counters.retries.incr();
            }
            match self.attempt(&upstream, &outgoing, now).await {
                Ok(lease) => return download::response(lease, &outgoing, &self.counters),
                Err(Broken { error, again: false }) => return Err(error),
                Err(Broken { error, again: true }) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::debug!(
                        txn = outgoing.exchange.txn(),
                        error = cause,
                        "upstream failed"
                    );
                    tried.push(upstream);
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(Error::Panic))
    }

    /// A connection to an upstream, with the head of its answer. A kept one that turns out to be dead
    /// is the upstream's right and no failure: then it gets a fresh one.
    async fn attempt(
        &self,
        upstream: &Rc<Upstream>,
        outgoing: &Outgoing,
        now: Instant,
    ) -> Result<Lease, Broken> {
        let upload = &outgoing.upload;
        let mut kept = true;
        loop {
            let mut lease = match kept.then(|| Lease::kept(upstream, now)).flatten() {
                Some(lease) => lease,
                // Boxed: most requests do without, and their futures need no room for it.
                None => Box::pin(Lease::take(upstream, now, kept)).await?,
            };
            let fresh = lease.is_fresh();
            match lease.exchange(outgoing, now).await {
                Ok(()) => {
                    upstream.succeeded();
                    outgoing.exchange.log_info(upstream.note());
                    return Ok(lease);
                }
                Err(lease::Lost { failure, sent }) => {
                    drop(lease);
                    if let Some(error) = upload.failure() {
                        // The client's own fault.
                        return Err(Broken { error, again: false });
                    }
                    let again =
                        upload.is_replayable() && (!sent || is_idempotent(outgoing.method()));
                    if !fresh && again && !matches!(failure, UpstreamFailure::HeadTimeout) {
                        kept = false;
                        continue;
                    }
                    upstream.failed(now);
                    let again = again && !matches!(failure, UpstreamFailure::HeadTimeout);
                    return Err(Broken { error: upstream.error(failure), again });
                }
            }
        }
    }
}

/// RFC 9110 section 9.2.2: repeating it changes nothing.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
