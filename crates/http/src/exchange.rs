//! One request and its response: from the whole head to the last flushed byte.
//!
//! The one place where a finished request is counted and logged.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use brim_service::tls::ClientCertificate;
use brim_service::{Lifecycle, PeerAddress};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};

mod said;
mod service;

pub(crate) use said::Said;
pub(crate) use service::{Abandoned, Service, answer};

use crate::access_log::Line;
use crate::admission::Survey;
use crate::body::{Leftover, Response};
use crate::client::{self, Peer};
use crate::error::{self, Blame, Error, HandlerFailure};
use crate::txn;
use crate::upgrade::{Tunnel, Upgraded};
use crate::worker::{HttpWorker, Times};

pub(crate) const HEAD_TOO_LARGE: &str =
    "the head is larger than head_limit, or has more lines than header_limit";
pub(crate) const URI_TOO_LONG: &str = "the target is longer than uri_limit";

/// The status that is logged (and never sent) when the client left before there was a response.
const GONE: u16 = 499;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The whole response is with the kernel.
    Complete,
    /// The connection ended first.
    Broken,
}

/// One request and its response, as apps and the access log see it.
#[derive(Debug)]
pub struct Exchange {
    worker: Rc<HttpWorker>,
    pub(crate) start: Instant,
    pub(crate) txn: txn::Txn,
    pub(crate) peer: Peer,
    pub(crate) client: Option<IpAddr>,
    pub(crate) client_text: Option<Rc<str>>,
    pub(crate) method: Option<Method>,
    pub(crate) target: Uri,
    pub(crate) version: Option<Version>,
    /// What of the head the access log shows.
    pub(crate) shown: Shown,
    pub(crate) status: Cell<Option<StatusCode>>,
    pub(crate) bytes_in: Cell<u64>,
    pub(crate) bytes_out: Cell<u64>,
    pub(crate) said: RefCell<Said>,
    leftover: RefCell<Leftover>,
    kept: RefCell<Vec<Kept>>,
    tunnel: RefCell<Option<Tunnel>>,
    broken: Cell<bool>,
    abandoned: Cell<bool>,
    closes: Cell<bool>,
    done: Cell<bool>,
}

/// Something that an app holds until the exchange is over.
struct Kept(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Any>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

/// Request headers that the access log shows.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) referer: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) auth_token: Option<HeaderValue>,
    /// All of them, with `log_headers`.
    pub(crate) all: Option<HeaderMap>,
}

impl Exchange {
    fn begin(
        worker: Rc<HttpWorker>,
        head: &http::request::Parts,
        survey: &Survey<'_>,
        peer: Peer,
    ) -> Self {
        let client = client::address(peer.address, &head.headers, &worker.trusted_proxies);
        let shown = match worker.log.is_off() {
            true => Shown::default(),
            false => Shown {
                referer: survey.referer.cloned(),
                user_agent: survey.user_agent.cloned(),
                auth_token: worker
                    .log
                    .auth_tokens
                    .then(|| head.headers.get("x-auth-token").cloned())
                    .flatten(),
                all: worker.log.headers.then(|| head.headers.clone()),
            },
        };
        Self {
            start: Instant::now(),
            txn: txn::of(survey.txn),
            client_text: peer.text_of(client),
            peer,
            client,
            method: Some(head.method.clone()),
            target: head.uri.clone(),
            version: Some(head.version),
            shown,
            status: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            said: RefCell::default(),
            leftover: RefCell::default(),
            kept: RefCell::default(),
            tunnel: RefCell::default(),
            broken: Cell::new(false),
            abandoned: Cell::new(false),
            closes: Cell::new(false),
            done: Cell::new(false),
            worker,
        }
    }

    /// The record of a head that never became a request: what can be read of its first line.
    /// `since`: when it began.
    pub(crate) fn unheard(
        worker: &Rc<HttpWorker>,
        peer: Peer,
        since: Instant,
        sample: &[u8],
    ) -> Self {
        let line = sample.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let method = words.next().and_then(|word| Method::from_bytes(word).ok());
        let target = words.next().and_then(|word| Uri::try_from(word).ok());
        let version = match words.next() {
            Some(b"HTTP/1.1") => Some(Version::HTTP_11),
            Some(b"HTTP/1.0") => Some(Version::HTTP_10),
            _ => None,
        };
        Self {
            worker: worker.clone(),
            start: since,
            txn: txn::random(),
            client: peer.address.map(|peer| peer.ip().to_canonical()),
            client_text: peer.text.clone(),
            peer,
            method: target.as_ref().and(method),
            target: target.unwrap_or_default(),
            version,
            shown: Shown::default(),
            status: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            said: RefCell::default(),
            leftover: RefCell::default(),
            kept: RefCell::default(),
            tunnel: RefCell::default(),
            broken: Cell::new(false),
            abandoned: Cell::new(false),
            closes: Cell::new(false),
            done: Cell::new(false),
        }
    }

    /// The record of a connection that speaks socket messages, whose first bytes these are.
    pub(crate) fn of_messages(worker: &Rc<HttpWorker>, peer: Peer, first: &[u8]) -> Self {
        let kind = if first.starts_with(b"<") { "XML" } else { "JSON" };
        // The path that is matched against routes, with a slash where the log has one.
        let ends = |byte: &u8| !byte.is_ascii_graphic() || *byte == b'{' || *byte == b'>';
        let path = first.split(ends).next().unwrap_or_default();
        let line = [kind.as_bytes(), b" /", path, b" -"].concat();
        let exchange = Self::unheard(worker, peer, Instant::now(), &line);
        exchange.set_status(StatusCode::OK);
        exchange
    }

    /// The transaction id: in every log line about this request.
    pub fn txn(&self) -> &str {
        &self.txn
    }

    /// The peer's address; `None` over a Unix socket.
    pub fn peer(&self) -> PeerAddress {
        self.peer.address
    }

    /// The client's address: the peer's, or what a trusted proxy says.
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The certificate that the client has shown in the TLS handshake, if it was asked for one.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.peer.certificate.as_deref()
    }

    /// Whether it is one of many on an HTTP/2 connection.
    pub(crate) fn is_http2(&self) -> bool {
        self.version == Some(Version::HTTP_2)
    }

    /// Appends a field of its own to the access line.
    pub fn log_info(&self, field: impl Into<Rc<str>>) {
        self.said.borrow_mut().log_info.push(field.into());
    }

    /// The user that the client claims to be, for the access line.
    pub fn set_remote_user(&self, user: impl Into<String>) {
        self.said.borrow_mut().remote_user = Some(user.into());
    }

    /// The user that the client has proved to be, for the access line.
    pub fn set_authenticated_user(&self, user: impl Into<String>) {
        self.said.borrow_mut().authenticated_user = Some(user.into());
    }

    /// What made this request, where it was not a client, for the access line.
    pub fn set_source(&self, source: impl Into<String>) {
        self.said.borrow_mut().source = Some(source.into());
    }

    /// Says what becomes of the connection once the response, which has to be a 101, is sent. The
    /// exchange lasts as long as that work does: its bytes are counted, and its access line is
    /// written at the end. A reload leaves the connection alone; a drain ends it after
    /// `drain_tunnel`. Only HTTP/1.1 has this.
    pub fn upgrade<Work: Future<Output = ()> + 'static>(
        &self,
        work: impl FnOnce(Upgraded) -> Work + 'static,
    ) {
        *self.tunnel.borrow_mut() = Some(Tunnel::new(work));
    }

    /// Whether the connection goes on in another protocol.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.status.get() == Some(StatusCode::SWITCHING_PROTOCOLS) && self.tunnel.borrow().is_some()
    }

    pub(crate) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }

    /// Keeps something until the last byte of the response is with the kernel, then drops it.
    pub fn keep(&self, something: impl Any) {
        self.kept.borrow_mut().push(Kept(Box::new(something)));
    }

    /// Makes an error the response that it would become at the end of the chain: for apps that have
    /// to see every response.
    pub fn answer(&self, error: Error) -> Response {
        self.complain(&error);
        if let Error::Handler { failure: HandlerFailure::Cancelled, .. } = error {
            self.abandon();
        }
        error.into_response(&self.worker.error_pages)
    }

    /// What every response says beside what its app says.
    fn sign(&self, headers: &mut HeaderMap) {
        if let Some(server) = &self.worker.server {
            headers.entry(header::SERVER).or_insert_with(|| server.clone());
        }
        if self.worker.echo_txn
            && let Ok(txn) = HeaderValue::from_str(&self.txn)
        {
            headers.insert(txn::HEADER, txn);
        }
    }

    /// Ends the exchange of a head that never became a request; the answer to it, in bytes.
    pub(crate) fn refuse(&self, status: StatusCode, reason: &str) -> Vec<u8> {
        self.set_status(status);
        self.finish(End::Complete);
        let mut headers = String::new();
        if let Some(server) = self.worker.server.as_ref().and_then(|server| server.to_str().ok()) {
            headers += &format!("Server: {server}\r\n");
        }
        if self.worker.echo_txn {
            headers += &format!("X-Txn: {}\r\n", self.txn);
        }
        let to_head = self.method == Some(Method::HEAD);
        error::raw(status, reason, &self.worker.error_pages, &headers, to_head)
    }

    /// Whether the peer is a proxy that is believed about its clients.
    pub(crate) fn trusts_peer(&self) -> bool {
        self.worker.trusted_proxies.trusts(self.peer.address.map(|peer| peer.ip()))
    }

    /// By what the client speaks to us.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.peer.secure { "https" } else { "http" }
    }

    /// The connection is closed instead of an answer.
    pub(crate) fn abandon(&self) {
        self.abandoned.set(true);
    }

    /// The connection is closed after the response, whose head does not say so.
    pub(crate) fn close_after(&self) {
        self.closes.set(true);
    }

    /// Whether the connection is closed after the response.
    pub(crate) fn closes(&self) -> bool {
        self.closes.get()
    }

    /// Whether the process drains, and the times that the section gives.
    pub(crate) fn life(&self) -> (Lifecycle, Times) {
        (self.worker.context.lifecycle.clone(), self.worker.times)
    }

    pub(crate) fn add_bytes_in(&self, count: u64) {
        self.bytes_in.set(self.bytes_in.get() + count);
    }

    pub(crate) fn add_bytes_out(&self, count: u64) {
        self.bytes_out.set(self.bytes_out.get() + count);
    }

    pub(crate) fn body_limit(&self) -> u64 {
        self.worker.limits.body
    }

    /// Nobody reads the request's body any more.
    pub(crate) fn leave(&self, leftover: Leftover) {
        self.leftover.replace(leftover);
    }

    pub(crate) fn set_status(&self, status: StatusCode) {
        self.status.set(Some(status));
    }

    /// A response's body broke off: what the client has is not whole.
    pub(crate) fn broke_off(&self, error: &Error) {
        self.broken.set(true);
        self.complain(error);
    }

    /// Says to the journal what is our fault, at a bounded rate.
    fn complain(&self, error: &Error) {
        let path = self.target.path();
        let (error, blame) = (error.bare(), error.blame());
        if !matches!(blame, Blame::Us | Blame::Upstream) {
            tracing::debug!(txn = %self.txn, path, error = error as &dyn std::error::Error, "request failed");
        } else if let Some(held) = self.worker.log_limit.pass(Instant::now()) {
            if blame == Blame::Upstream {
                tracing::warn!(txn = %self.txn, path, held_back = held, error = error as &dyn std::error::Error, "request failed");
                return;
            }
            tracing::error!(txn = %self.txn, path, held_back = held, error = error as &dyn std::error::Error, "request failed");
        }
    }

    /// Counts and logs the exchange, once; the time of that.
    pub(crate) fn finish(&self, end: End) -> Instant {
        let now = Instant::now();
        if self.done.replace(true) {
            return now;
        }
        let status = self.status.get().map_or(GONE, |status| status.as_u16());
        self.worker.counters.count(status);
        let broken = self.broken.get() || end == End::Broken;
        let line = Line { exchange: self, status, broken, now };
        self.worker.log.write(&line, &self.worker.context);
        drop(self.kept.take());
        now
    }
}
