use std::borrow::Cow;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use brim_config::Reader;
use brim_service::{Gather, WorkerContext};
use brim_stats::{Counter, Stat, WorkerStats};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version};
use percent_encoding::percent_decode_str;

use crate::body::{Body, Response};
use crate::chain::Next;
use crate::error::Error;
use crate::exchange::Exchange;

/// An HTTP app: one link of the chain that `apps =` names.
///
/// Its life: [`App::parse_conf`] reads its section, once per process and before anything is
/// disturbed; [`App::stats_conf`] names its counters; [`App::new`] makes one per worker; from then
/// on [`App::call`] answers requests or passes them on. All that a worker's app does happens on
/// that worker's thread, so nothing in it needs a lock, and whatever blocks belongs into
/// [`blocking`].
pub trait App: Sized + 'static {
    /// What the app's section says, shared by the workers.
    type Conf: Send + Sync + 'static;

    /// Reads the app's section. Whatever is wrong with it is told to the reader
    /// ([`Reader::require`], [`Reader::refuse`]); then nothing starts, or the reload is refused.
    /// Keys that nobody asked for are errors.
    fn parse_conf(section: &mut Reader<'_>) -> Self::Conf;

    /// The app's counters. By convention their names begin with the app's own and a dot.
    fn stats_conf(name: &str, conf: &Self::Conf) -> Vec<Stat> {
        let _ = (name, conf);
        Vec::new()
    }

    /// Makes the app of one worker.
    fn new(name: &str, conf: Arc<Self::Conf>, context: &AppContext) -> Self;

    /// Answers a request, or passes it on: `next.call(request).await`.
    fn call(&self, request: Request, next: Next) -> impl Future<Output = Result<Response, Error>>;
}

/// What an app gets from its worker.
#[derive(Clone, Debug)]
pub struct AppContext {
    stats: WorkerStats,
    gather: Gather,
    worker: usize,
}

impl AppContext {
    pub(crate) fn new(context: &WorkerContext) -> Self {
        let WorkerContext { stats, gather, index, .. } = context;
        Self { stats: stats.clone(), gather: gather.clone(), worker: *index }
    }

    /// This worker's counter of that name, as declared by [`App::stats_conf`].
    pub fn counter(&self, name: &str) -> Counter {
        self.stats.counter(name)
    }

    /// The stats of all instances.
    pub fn gather(&self) -> &Gather {
        &self.gather
    }

    /// The worker's number, from 0.
    pub fn worker(&self) -> usize {
        self.worker
    }
}

/// A request on its way through the chain.
#[derive(Debug)]
pub struct Request {
    // Boxed: a request is handed on several times, and this is the large part of it.
    head: Box<Parts>,
    body: Body,
    exchange: Rc<Exchange>,
}

impl Request {
    pub(crate) fn new(head: Box<Parts>, body: Body, exchange: Rc<Exchange>) -> Self {
        Self { head, body, exchange }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The target as it came.
    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    /// The target's path with its percent escapes decoded; what is not UTF-8 becomes U+FFFD.
    pub fn path(&self) -> Cow<'_, str> {
        percent_decode_str(self.head.uri.path()).decode_utf8_lossy()
    }

    /// The target's query as it came, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    /// The value of a query parameter, decoded; the last one where there are several.
    pub fn query_value(&self, name: &str) -> Option<String> {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let parameters = self.query()?.split(['&', ';']);
        let pairs = parameters.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(key, _)| decode(key) == name).map(|(_, value)| decode(value)).next_back()
    }

    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The headers, to be changed for the apps that follow.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.head.headers
    }

    /// The body.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, when the rest of the request is no longer needed.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The exchange: transaction id, addresses, what the access line says.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The exchange, for an app that needs it after it has passed the request on.
    pub fn shared_exchange(&self) -> Rc<Exchange> {
        self.exchange.clone()
    }
}

/// Runs what blocks (files, hashing, a database) on a thread of its own, so that the worker goes on
/// with other requests meanwhile.
pub async fn blocking<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Panic)
}
