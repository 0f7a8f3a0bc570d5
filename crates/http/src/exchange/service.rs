//! From a whole head to the response: what hyper, and the shell itself, give heads to.

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;

use brim_service::Current;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, header};
use hyper::body::Incoming;

use super::Exchange;
use crate::admission::{self, Survey};
use crate::app::Request;
use crate::body::{Body, Response, Sending};
use crate::chain::Chain;
use crate::client::Peer;
use crate::connection::Clock;
use crate::error::Error;
use crate::worker::HttpWorker;

/// hyper's service: what a whole head is given to.
pub(crate) struct Service {
    current: Current<HttpWorker>,
    clock: Rc<Clock>,
    peer: Peer,
    /// The response to the first request, if that was answered before.
    given: Cell<Option<Box<http::Response<Sending>>>>,
}

impl Service {
    pub(crate) fn new(
        current: Current<HttpWorker>,
        clock: Rc<Clock>,
        peer: Peer,
        given: Option<Box<http::Response<Sending>>>,
    ) -> Self {
        Self { current, clock, peer, given: Cell::new(given) }
    }
}

/// There is no answer, and the connection (or the stream) is closed instead. hyper does so.
#[derive(Debug, thiserror::Error)]
#[error("the exchange is abandoned")]
pub(crate) struct Abandoned;

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = http::Response<Sending>;
    type Error = Abandoned;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Abandoned>>>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        if let Some(given) = self.given.take() {
            return Box::pin(std::future::ready(Ok(*given)));
        }
        // The state that is current now answers the whole request, whatever a reload brings.
        let worker = self.current.get();
        let (head, body) = request.into_parts();
        let answer = answer(worker, self.clock.clone(), self.peer.clone(), head, Some(body));
        // Not in an `async` block, which would have room for it twice.
        Box::pin(answer)
    }
}

/// Begins an exchange and has it answered.
pub(crate) fn answer(
    worker: Rc<HttpWorker>,
    clock: Rc<Clock>,
    peer: Peer,
    mut head: http::request::Parts,
    incoming: Option<Incoming>,
) -> impl Future<Output = Result<http::Response<Sending>, Abandoned>> + 'static {
    let survey = Survey::of(&head.headers);
    let exchange = Rc::new(Exchange::begin(worker.clone(), &head, &survey, peer));
    clock.begin(exchange.clone(), worker.clone());
    let body = Body::new(incoming, clock.clone(), exchange.clone(), survey.expectation);
    let admitted = admission::admit(&head, &survey, &worker.limits);
    admission::settle_host(&mut head);
    let admitted = admitted.map(|path| Request::new(head, path, body, exchange.clone()));
    async move {
        let response = respond(admitted, &worker, &exchange).await;
        if exchange.abandoned.get() {
            return Err(Abandoned);
        }
        Ok(response.map(|body| Sending::new(body, exchange, clock)))
    }
}

/// Headers that HTTP/2 does not have (RFC 9113 section 8.2.2).
const CONNECTION_SPECIFIC: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// An admitted request goes through the chain; an error or a panic becomes a response.
async fn respond(
    request: Result<Request, Error>,
    worker: &Rc<HttpWorker>,
    exchange: &Rc<Exchange>,
) -> Response {
    let answer = match request {
        Ok(request) => {
            let answer = AssertUnwindSafe(Chain::enter(&worker.chain, request));
            answer.catch_unwind().await.unwrap_or(Err(Error::Panic))
        }
        Err(error) => Err(error),
    };
    let mut response = answer.unwrap_or_else(|error| exchange.answer(error));
    if exchange.abandoned.get() {
        return response;
    }
    exchange.sign(response.headers_mut());
    exchange.set_status(response.status());
    if exchange.is_http2() {
        // A stream ends for itself. What is left of its request is not worth a reset of it, which many
        // clients take for the end of the response, too.
        CONNECTION_SPECIFIC.iter().for_each(|name| drop(response.headers_mut().remove(name)));
        exchange.leftover.take().let_come(worker.times.linger_total);
        return response;
    }
    if exchange.is_upgrading() {
        return response;
    }
    // There are few, and to look at each of them costs less than a lookup.
    let closes = response.headers().keys().any(|name| *name == header::CONNECTION);
    let whole = closes || exchange.leftover.take().discard().await;
    // DRAIN: every response from the signal on says that its connection ends.
    if !whole || worker.context.lifecycle.draining().is_some() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
