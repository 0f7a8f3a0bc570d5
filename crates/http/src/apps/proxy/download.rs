use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use super::Counters;
use super::head::{self, Outgoing};
use super::lease::{Lease, Timer};
use super::tunnel;
use super::upload::Upload;
use super::upstream::Upstream;
use crate::body::{Response, ResponseBody};
use crate::error::{Error, UpstreamFailure};
use crate::exchange::Exchange;

/// A response's body on its way to the client.
struct Download {
    incoming: Incoming,
    /// What was read before it was clear that there is more.
    first: Option<Bytes>,
    source: Source,
    upstream: Rc<Upstream>,
    counters: Rc<Counters>,
}

/// Who lets the connection read.
enum Source {
    /// We.
    Lease(Lease),
    /// A task: the client still sends its request, which has to go on while it takes nothing of the
    /// response. The connection is not used again.
    Task { _task: Task, timer: Timer },
    /// Nobody, the body is whole.
    Over,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the client gets of an upstream's response.
pub(super) fn response(
    lease: Lease,
    answer: http::Response<Incoming>,
    outgoing: &Outgoing,
    counters: Rc<Counters>,
) -> Result<Response, Error> {
    let upstream = lease.upstream().clone();
    let (mut parts, mut incoming) = answer.into_parts();
    head::response(&mut parts, outgoing).map_err(|failure| upstream.error(failure))?;
    let mut response = Response::default();
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        upgrade(lease, &outgoing.exchange, &counters);
        return Ok(response);
    }
    if incoming.is_end_stream() {
        *response.body_mut() = nothing(&response, outgoing);
        finish(lease, &outgoing.upload);
        return Ok(response);
    }
    // Most responses are here whole, with their heads. What is not comes by `Download`.
    let mut unwoken = Context::from_waker(Waker::noop());
    let mut first = None;
    if let Poll::Ready(frame) = Pin::new(&mut incoming).poll_frame(&mut unwoken) {
        first = match frame.transpose() {
            Ok(frame) => frame.and_then(|frame| frame.into_data().ok()),
            Err(error) => return Err(upstream.error(UpstreamFailure::Lost(error))),
        };
    }
    if incoming.is_end_stream() {
        *response.body_mut() = first.unwrap_or_default().into();
        finish(lease, &outgoing.upload);
        return Ok(response);
    }
    let source = match outgoing.upload.is_whole() {
        true => Source::Lease(lease),
        false => {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            Source::task(lease)
        }
    };
    *response.body_mut() =
        ResponseBody::stream(Download { incoming, first, source, upstream, counters });
    Ok(response)
}

/// From now on the connection is the client's.
fn upgrade(lease: Lease, exchange: &Rc<Exchange>, counters: &Counters) {
    counters.upgrades.incr();
    let conf = lease.upstream().conf();
    let times = tunnel::Times { silence: conf.tunnel_timeout, half: conf.idle_timeout };
    let (link, busy, _) = lease.into_parts();
    let (wire, early) = link.into_wire();
    let txn: Box<str> = exchange.txn().into();
    exchange.upgrade(async move |client| {
        let _busy = busy;
        if let Err(error) = tunnel::join(client, wire, early, times).await {
            tracing::debug!(txn, %error, "a tunnel broke");
        }
    });
}

/// The body of a response that has none. That to a HEAD may have one of unknown length.
fn nothing(response: &Response, outgoing: &Outgoing) -> ResponseBody {
    let sized = response.headers().contains_key(header::CONTENT_LENGTH);
    match outgoing.is_head() && !sized && response.status() != StatusCode::NO_CONTENT {
        true => ResponseBody::stream(Unsized),
        false => ResponseBody::Empty,
    }
}

/// The response is whole. If the request is not, nobody wants it any more.
fn finish(lease: Lease, upload: &Upload) {
    if upload.is_whole() {
        lease.give_back();
    }
}

impl Source {
    fn task(lease: Lease) -> Self {
        let (mut link, busy, timer) = lease.into_parts();
        let task = tokio::task::spawn_local(async move {
            let _busy = busy;
            let _ = poll_fn(|cx| link.poll(cx)).await;
        });
        Self::Task { _task: Task(task), timer }
    }
}

impl Download {
    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamFailure>>> {
        let mut poll = |cx: &mut Context<'_>| {
            let frame = Pin::new(&mut self.incoming).poll_frame(cx);
            frame.map(|frame| frame.map(|frame| frame.map_err(UpstreamFailure::Lost)))
        };
        let Source::Lease(lease) = &mut self.source else { return poll(cx) };
        let mut unwoken = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = poll(&mut unwoken) {
            return Poll::Ready(frame);
        }
        let over = lease.link().poll(cx).is_ready();
        match poll(&mut unwoken) {
            Poll::Pending if over => Poll::Ready(Some(Err(UpstreamFailure::CutOff))),
            frame => frame,
        }
    }

    fn timer(&mut self) -> Option<&mut Timer> {
        match &mut self.source {
            Source::Lease(lease) => Some(&mut lease.link().timer),
            Source::Task { timer, .. } => Some(timer),
            Source::Over => None,
        }
    }

    fn idle_timeout(&self) -> Duration {
        self.upstream.conf().idle_timeout
    }

    fn end(&mut self) {
        if let Source::Lease(lease) = std::mem::replace(&mut self.source, Source::Over) {
            lease.give_back();
        }
    }

    fn broken(&mut self, failure: UpstreamFailure) -> Error {
        self.source = Source::Over;
        self.counters.cut_off.incr();
        self.upstream.error(failure)
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            let time = this.idle_timeout();
            if let Some(timer) = this.timer() {
                timer.set(time);
            }
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            if matches!(this.source, Source::Over) {
                return Poll::Ready(None);
            }
            match this.poll_incoming(cx) {
                Poll::Pending => {
                    let due = this.timer().is_some_and(|timer| timer.poll(cx).is_ready());
                    return match due {
                        true => Poll::Ready(Some(Err(this.broken(UpstreamFailure::BodyTimeout)))),
                        false => Poll::Pending,
                    };
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let time = this.idle_timeout();
                    if let Some(timer) = this.timer() {
                        timer.set(time);
                    }
                    if this.incoming.is_end_stream() {
                        this.end();
                    }
                    // Trailers are not passed on.
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(failure))) => {
                    return Poll::Ready(Some(Err(this.broken(failure))));
                }
                Poll::Ready(None) => {
                    this.end();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && matches!(self.source, Source::Over)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.incoming.size_hint();
        if let (Some(first), Some(left)) = (&self.first, hint.exact()) {
            hint.set_exact(left + first.len() as u64);
        }
        hint
    }
}

/// No body, whose length is not known all the same.
struct Unsized;

impl http_body::Body for Unsized {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(None)
    }
}
