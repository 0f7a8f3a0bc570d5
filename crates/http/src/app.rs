use std::borrow::Cow;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use brim_config::{HostName, Reader, RequestPath};
use brim_stats::Stat;
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version, header};
use percent_encoding::percent_decode_str;

use crate::body::{Body, Response};
use crate::chain::Next;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::scope::Matched;
use crate::spare;

pub use brim_service::AppContext;

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

    /// Which of the requests that get to it the app answers, as far as its section tells that: for
    /// `brimctl routes`, and for the warning that an app hides a later one.
    fn claims(conf: &Self::Conf) -> Claims {
        let _ = conf;
        Claims::Perhaps
    }

    /// How many requests the app of one worker takes at a time, where there is a limit to that. No more
    /// connections are brought together on a worker.
    fn capacity(conf: &Self::Conf) -> usize {
        let _ = conf;
        usize::MAX
    }

    /// Makes the app of one worker.
    fn new(name: &str, conf: Arc<Self::Conf>, context: &AppContext) -> Self;

    /// Answers a request for which nobody has to wait, before [`App::call`] is tried: that spares its future.
    /// `None` where it is not such a request, and then nothing has happened.
    fn call_at_once(&self, request: &Request) -> Option<Result<Response, Error>> {
        let _ = request;
        None
    }

    /// Answers a request, or passes it on: `next.call(request).await`.
    fn call(&self, request: Request, next: Next) -> impl Future<Output = Result<Response, Error>>;
}

/// Which requests an app answers, of those that its host and its routes let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claims {
    /// All.
    Everything,
    /// Those for one path ([`Request::path`]).
    Path(String),
    /// Some; which, shows only then.
    Perhaps,
    /// None: it passes them on, at most changed.
    Nothing,
}

/// A request on its way through the chain.
// Boxed whole: it is handed on several times, and each future on its way has room for it twice.
#[derive(Debug)]
pub struct Request(Box<Whole>);

#[derive(Debug)]
struct Whole {
    head: Head,
    body: Body,
    exchange: Rc<Exchange>,
}

/// A request's head, with what is known of it.
#[derive(Debug)]
struct Head {
    parts: Parts,
    path: RequestPath,
    route: Option<Matched>,
}

impl Drop for Head {
    fn drop(&mut self) {
        spare::keep(std::mem::take(&mut self.parts.headers));
    }
}

impl Request {
    pub(crate) fn new(parts: Parts, path: RequestPath, body: Body, exchange: Rc<Exchange>) -> Self {
        let head = Head { parts, path, route: None };
        Self(Box::new(Whole { head, body, exchange }))
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.0.head.parts.method
    }

    /// The target as it came.
    pub fn uri(&self) -> &Uri {
        &self.0.head.parts.uri
    }

    /// The path in the one form that counts: percent escapes decoded, `.` and `..` resolved, slashes in
    /// a row as one. It begins with `/`, save that of `OPTIONS *`. What is not UTF-8 becomes U+FFFD.
    pub fn path(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.path_bytes())
    }

    /// [`path`](Self::path) to the byte: what routes are matched against.
    pub fn path_bytes(&self) -> &[u8] {
        self.0.head.path.decoded(self.0.head.parts.uri.path())
    }

    /// The path for another server: without `.` and `..`, and else spelled as it came.
    pub fn forward_path(&self) -> &str {
        self.0.head.path.forward(self.0.head.parts.uri.path())
    }

    /// The route by which the request came to this app; `None` where the app has none.
    pub fn route(&self) -> Option<&Matched> {
        self.0.head.route.as_ref()
    }

    /// What [`path_bytes`](Self::path_bytes) has behind the route's prefix: all of it without a route.
    /// It may be empty, and begins with `/` unless the prefix ends with one (or with a pattern).
    pub fn rest_bytes(&self) -> &[u8] {
        self.path_bytes().get(self.prefix_length()..).unwrap_or_default()
    }

    /// What [`forward_path`](Self::forward_path) has behind the route's prefix.
    pub fn forward_rest(&self) -> &str {
        self.0.head.path.forward_behind(self.0.head.parts.uri.path(), self.prefix_length())
    }

    fn prefix_length(&self) -> usize {
        self.route().map_or(0, |route| route.prefix().len())
    }

    /// The host that the request is for, without its port: that of the target, where it names one (RFC
    /// 9112 section 3.2.2), else that of the `Host` header.
    pub fn host(&self) -> Option<HostName<'_>> {
        let parts = &self.0.head.parts;
        match parts.uri.authority() {
            Some(authority) => HostName::parse(authority.as_str()),
            None => HostName::parse(parts.headers.get(header::HOST)?.to_str().ok()?),
        }
    }

    pub(crate) fn set_route(&mut self, route: Option<Matched>) {
        self.0.head.route = route;
    }

    pub(crate) fn limit_body(&mut self, limit: u64, timeout: Option<Duration>) {
        self.0.body.limit_to(limit, timeout);
    }

    /// Whether a body of the announced length is within a limit.
    pub(crate) fn body_within(&self, limit: u64) -> Result<(), Error> {
        self.0.body.within(limit)
    }

    /// The target's query as it came, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.0.head.parts.uri.query()
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
        self.0.head.parts.version
    }

    /// Its head in parts.
    pub(crate) fn parts(&self) -> &Parts {
        &self.0.head.parts
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.head.parts.headers
    }

    /// The headers, to be changed for the apps that follow.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.0.head.parts.headers
    }

    /// The body.
    pub fn body(&mut self) -> &mut Body {
        &mut self.0.body
    }

    /// The body, when the rest of the request is no longer needed.
    pub fn into_body(self) -> Body {
        self.0.body
    }

    /// The exchange: transaction id, addresses, what the access line says.
    pub fn exchange(&self) -> &Exchange {
        &self.0.exchange
    }

    /// The exchange, for an app that needs it after it has passed the request on.
    pub fn shared_exchange(&self) -> Rc<Exchange> {
        self.0.exchange.clone()
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
