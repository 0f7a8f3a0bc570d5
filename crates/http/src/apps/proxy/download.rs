use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::Counters;
use super::decoder;
use super::head::Outgoing;
use super::lease::Lease;
use super::link::Link;
use super::timer::Timer;
use super::tunnel;
use super::upload::Upload;
use super::upstream::Upstream;
use crate::body::{Response, ResponseBody};
use crate::error::{Error, UpstreamFailure};
use crate::exchange::Exchange;

/// A response's body on its way to the client.
struct Download {
    /// What was read before it was clear that there is more.
    first: Option<Bytes>,
    source: Source,
    /// Bytes that are still to come behind `first`, where that was said.
    left: Option<u64>,
    upstream: Rc<Upstream>,
    counters: Rc<Counters>,
}

/// Who lets the connection read.
enum Source {
    /// We.
    Lease(Lease),
    /// A task: the client still sends its request, which has to go on while it takes nothing of the
    /// response. The connection is not used again.
    Task { pieces: Receiver<Piece>, _task: Task, timer: Timer },
    /// Nobody, the body is whole.
    Over,
}

/// A part of a body, `None` at its end.
type Piece = Result<Option<Bytes>, UpstreamFailure>;

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the client gets of an upstream's response.
pub(super) fn response(
    mut lease: Lease,
    outgoing: &Outgoing,
    counters: &Rc<Counters>,
) -> Result<Response, Error> {
    let head = lease.link().take_head();
    let mut parts = head.map_err(|failure| lease.upstream().error(failure))?;
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        upgrade(lease, &outgoing.exchange, counters);
        return Ok(Response::from_parts(parts, ResponseBody::Empty));
    }
    let link = lease.link();
    if link.is_over() {
        let body = nothing(&parts, outgoing);
        finish(lease, outgoing);
        return Ok(Response::from_parts(parts, body));
    }
    // Most responses are here whole, with their heads. What is not comes by `Download`.
    let first = match link.take() {
        Ok(decoder::Piece::Data(data)) => Some(data),
        Ok(_) => None,
        Err(failure) => return Err(lease.upstream().error(failure)),
    };
    let left = link.left();
    if link.is_over() {
        finish(lease, outgoing);
        return Ok(Response::from_parts(parts, first.unwrap_or_default().into()));
    }
    let upstream = lease.upstream().clone();
    let source = match outgoing.upload.is_whole() {
        true => Source::Lease(lease),
        false => {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            Source::task(lease, outgoing.upload.clone())
        }
    };
    let counters = counters.clone();
    let download = Download { first, source, left, upstream, counters };
    Ok(Response::from_parts(parts, ResponseBody::stream(download)))
}

/// From now on the connection is the client's.
fn upgrade(lease: Lease, exchange: &Exchange, counters: &Counters) {
    counters.upgrades.incr();
    let conf = lease.upstream().conf();
    let times = tunnel::Times { silence: conf.tunnel_timeout, half: conf.idle_timeout };
    let (link, busy) = lease.into_parts();
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
fn nothing(head: &Parts, outgoing: &Outgoing) -> ResponseBody {
    let sized = || head.headers.contains_key(header::CONTENT_LENGTH);
    match outgoing.asked().head && head.status != StatusCode::NO_CONTENT && !sized() {
        true => ResponseBody::stream(Unsized),
        false => ResponseBody::Empty,
    }
}

/// The response is whole. If the request is not, nobody wants it any more.
fn finish(lease: Lease, outgoing: &Outgoing) {
    if outgoing.upload.is_whole() {
        lease.give_back();
    }
}

impl Source {
    fn task(lease: Lease, upload: Upload) -> Self {
        let (link, busy) = lease.into_parts();
        let timer = Timer::new(busy.0.conf().idle_timeout);
        let (sender, pieces) = mpsc::channel(1);
        let task = tokio::task::spawn_local(async move {
            let _busy = busy;
            duplex(RefCell::new(link), upload, sender).await;
        });
        Self::Task { pieces, _task: Task(task), timer }
    }
}

/// Sends what the client still sends, and reads as fast as the client takes, until the response ends.
async fn duplex(link: RefCell<Box<Link>>, upload: Upload, pieces: Sender<Piece>) {
    let send = async {
        poll_fn(|cx| link.borrow_mut().poll_send(cx, &upload)).await;
        // If the client broke off, its response has no end.
        if !link.borrow().is_body_broken() {
            std::future::pending::<()>().await;
        }
    };
    let receive = async {
        while let Ok(room) = pieces.reserve().await {
            let piece = poll_fn(|cx| link.borrow_mut().poll_body(cx)).await;
            let more = matches!(piece, Ok(Some(_)));
            room.send(piece);
            if !more {
                break;
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
    }
}

impl Download {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        match &mut self.source {
            Source::Lease(lease) => lease.link().poll_body(cx),
            Source::Task { pieces, .. } => {
                let piece = pieces.poll_recv(cx);
                piece.map(|piece| piece.unwrap_or(Err(UpstreamFailure::CutOff)))
            }
            Source::Over => Poll::Ready(Ok(None)),
        }
    }

    fn timer(&mut self) -> Option<&mut Timer> {
        match &mut self.source {
            Source::Lease(lease) => Some(&mut lease.link().timer),
            Source::Task { timer, .. } => Some(timer),
            Source::Over => None,
        }
    }

    /// The upstream has until then for its next piece.
    fn set_timer(&mut self) {
        let time = self.upstream.conf().idle_timeout;
        if let Some(timer) = self.timer() {
            timer.set(Instant::now(), time);
        }
    }

    fn end(&mut self) {
        if let Source::Lease(lease) = std::mem::replace(&mut self.source, Source::Over) {
            lease.give_back();
        }
    }

    /// Notes a piece that goes on to the client.
    fn pass_on(&mut self, data: &Bytes) {
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        let whole = match &mut self.source {
            Source::Lease(lease) => lease.link().is_over(),
            _ => false,
        };
        if whole { self.end() } else { self.set_timer() }
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
            this.set_timer();
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match this.poll_piece(cx) {
            Poll::Pending => {
                let due = this.timer().is_some_and(|timer| timer.poll(cx).is_ready());
                match due {
                    true => Poll::Ready(Some(Err(this.broken(UpstreamFailure::BodyTimeout)))),
                    false => Poll::Pending,
                }
            }
            Poll::Ready(Ok(Some(data))) => {
                this.pass_on(&data);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Ok(None)) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Ready(Err(failure)) => Poll::Ready(Some(Err(this.broken(failure)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && matches!(self.source, Source::Over)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        let mut hint = SizeHint::default();
        if let Some(left) = self.left {
            hint.set_exact(left + first);
        }
        hint
    }
}

/// No body, whose length is not known all the same.
pub(in crate::apps) struct Unsized;

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
