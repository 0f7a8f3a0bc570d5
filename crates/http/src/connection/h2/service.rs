use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use brim_service::Current;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use hyper::body::Incoming;

use super::sending::StreamSending;
use super::streams::Streams;
use crate::client::Peer;
use crate::connection::Clock;
use crate::exchange::{self, Abandoned, End};
use crate::worker::HttpWorker;

/// hyper's service for the streams of one connection.
pub(crate) struct StreamService {
    current: Current<HttpWorker>,
    peer: Peer,
    streams: Rc<Streams>,
}

impl StreamService {
    pub(crate) fn new(current: Current<HttpWorker>, peer: Peer, streams: Rc<Streams>) -> Self {
        Self { current, peer, streams }
    }
}

impl hyper::service::Service<http::Request<Incoming>> for StreamService {
    type Response = http::Response<StreamSending>;
    type Error = Abandoned;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Abandoned>>>>;

    fn call(&self, mut request: http::Request<Incoming>) -> Self::Future {
        let worker = self.current.get();
        like_http1(&mut request);
        let head_only = *request.method() == Method::HEAD;
        let stream = Stream::begin(Rc::new(Clock::new(worker.clone())), self.streams.clone());
        let (head, body) = request.into_parts();
        let (clock, peer) = (stream.clock.clone(), self.peer.clone());
        let answer = exchange::answer(worker, clock, peer, head, Some(body));
        Box::pin(async move {
            let mut response = answer.await?;
            let unsent = head_only || bodiless(response.status());
            if head_only && !response.headers().contains_key(header::CONTENT_LENGTH) {
                let length = http_body::Body::size_hint(response.body()).exact();
                if let Some(length) = length.filter(|length| *length > 0) {
                    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                }
            }
            Ok(response.map(|body| StreamSending::new(body, stream, unsent)))
        })
    }
}

/// An exchange's place among the streams, until it is dropped.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) clock: Rc<Clock>,
    streams: Rc<Streams>,
    /// The client has got (or is sure to get) all of the response.
    pub(crate) whole: bool,
}

impl Stream {
    fn begin(clock: Rc<Clock>, streams: Rc<Streams>) -> Self {
        streams.begin(clock.clone());
        Self { clock, streams, whole: false }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.clock.end(if self.whole { End::Complete } else { End::Broken });
        self.streams.end(&self.clock, self.whole);
    }
}

/// Makes a request look as it would have come by HTTP/1, so that nobody else has to know: the target
/// without its authority, that as the Host, the cookies as one header (RFC 9113 section 8.2.3).
fn like_http1(request: &mut http::Request<Incoming>) {
    let uri = std::mem::take(request.uri_mut());
    if let Some(authority) = uri.authority() {
        let host = HeaderValue::from_str(authority.as_str());
        let headers = request.headers_mut();
        // One that differs is as bad as two of them, and admission is to see that.
        match (headers.get(header::HOST), host) {
            (Some(other), Ok(host)) if *other != host => drop(headers.append(header::HOST, host)),
            (None, Ok(host)) => drop(headers.insert(header::HOST, host)),
            _ => {}
        }
    }
    let path = uri.path_and_query().cloned();
    *request.uri_mut() = path.map_or(uri, |path: PathAndQuery| Uri::from(path));
    join_cookies(request.headers_mut());
}

fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut cookie = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        cookie.extend_from_slice(b"; ");
        cookie.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(cookie) = HeaderValue::from_bytes(&cookie) {
        headers.insert(header::COOKIE, cookie);
    }
}

/// Statuses whose responses have no body, whatever an app says.
fn bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
