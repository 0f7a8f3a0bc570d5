use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::connection::Clock;
use crate::error::Error;
use crate::exchange::Exchange;

mod chunk;
mod file;
mod leftover;

pub(crate) use chunk::{Chunk, Window, is_placeholder};
pub use file::FileRange;
pub(crate) use file::{read, read_cached};
pub(crate) use leftover::Leftover;

/// A response: status, headers and a body.
pub type Response = http::Response<ResponseBody>;

/// A request's body as it comes in: counted, limited, and with a clock that runs only while
/// somebody waits for the client.
#[derive(Debug)]
pub struct Body {
    /// Where there may be something to read; it is left to the exchange at the end.
    incoming: Option<Incoming>,
    /// Nobody has read anything yet, and the client may wait for a 100 until somebody does.
    unasked: bool,
    /// The last frame was trailers.
    trailers: bool,
    clock: Rc<Clock>,
    exchange: Rc<Exchange>,
    limit: u64,
    read: u64,
}

impl Body {
    pub(crate) fn new(
        incoming: Option<Incoming>,
        clock: Rc<Clock>,
        exchange: Rc<Exchange>,
        expectation: bool,
    ) -> Self {
        clock.body_open(incoming.as_ref().is_some_and(|incoming| !incoming.is_end_stream()));
        let limit = exchange.body_limit();
        let unasked = expectation;
        Self { incoming, unasked, trailers: false, clock, exchange, limit, read: 0 }
    }

    /// The body as it is by now; here nothing is left of it.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            incoming: self.incoming.take(),
            unasked: std::mem::take(&mut self.unasked),
            trailers: std::mem::take(&mut self.trailers),
            clock: self.clock.clone(),
            exchange: self.exchange.clone(),
            limit: self.limit,
            read: self.read,
        }
    }

    /// From now on another limit counts, and another time.
    pub(crate) fn limit_to(&mut self, limit: u64, timeout: Option<Duration>) {
        self.limit = limit;
        self.clock.body_timeout(timeout);
    }

    /// Whether the body may have the length that is announced: an app that has much to do before it
    /// reads asks first. Without a `Content-Length` nobody knows before it is read.
    pub fn check_length(&self) -> Result<(), Error> {
        self.within(self.limit)
    }

    pub(crate) fn within(&self, limit: u64) -> Result<(), Error> {
        let still = self.incoming.as_ref().map_or(0, |incoming| incoming.size_hint().lower());
        match self.read.saturating_add(still) > limit {
            true => Err(Error::BodyTooLarge { limit }),
            false => Ok(()),
        }
    }

    /// The next piece, `None` at the end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// At most `limit` bytes from the front. What comes after them stays unread; a client that
    /// goes away in the middle has sent what it has sent.
    pub async fn read_up_to(&mut self, limit: usize) -> Result<Bytes, Error> {
        if self.is_end_stream() {
            return Ok(Bytes::new());
        }
        let mut first = match self.chunk().await {
            Some(Err(Error::Gone(_))) | None => return Ok(Bytes::new()),
            Some(chunk) => chunk?,
        };
        if first.len() >= limit || self.is_end_stream() {
            first.truncate(limit);
            self.end_if_done();
            return Ok(first);
        }
        let mut all = BytesMut::from(first);
        while all.len() < limit {
            match self.chunk().await {
                Some(Err(Error::Gone(_))) | None => break,
                Some(chunk) => all.extend_from_slice(&chunk?),
            }
        }
        all.truncate(limit);
        self.end_if_done();
        Ok(all.freeze())
    }

    /// The whole body, or [`Error::BodyTooLarge`] where it has more than `limit` bytes.
    pub async fn read_all(&mut self, limit: usize) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > limit {
                return Err(Error::BodyTooLarge { limit: limit as u64 });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    fn end_if_done(&self) {
        if self.is_end_stream() {
            self.clock.body_open(false);
        }
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), Error> {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = true;
            if trailers.is_empty() {
                // There were some bytes, and no field in them.
                return Err(Error::refused(StatusCode::BAD_REQUEST, "the trailers are malformed"));
            }
        }
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.exchange.add_bytes_in(length);
        self.read = self.read.saturating_add(length);
        self.within(self.limit)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        // Before a client that waits for a 100 gets one.
        if this.unasked
            && let Err(error) = this.check_length()
        {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        this.unasked = false;
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => match this.clock.wait_for_body(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => Poll::Ready(Some(Err(Error::BodyTimeout))),
            },
            Poll::Ready(None) => {
                this.clock.body_open(false);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.clock.body_came(frame.data_ref().map_or(0, Bytes::len));
                this.end_if_done();
                Poll::Ready(Some(this.count(&frame).map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Error::reading(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

/// What was not read is left to the exchange, which knows what to do about it.
impl Drop for Body {
    fn drop(&mut self) {
        match self.incoming.take() {
            _ if self.trailers => self.exchange.leave(Leftover::Trailers),
            Some(incoming) if !incoming.is_end_stream() => {
                self.exchange.leave(match self.unasked {
                    true => Leftover::Unasked,
                    false => Leftover::Rest(incoming, self.clock.clone()),
                });
            }
            _ => {}
        }
    }
}

/// A response's body: bytes that are there, (parts of) files, or a stream.
#[derive(Default)]
pub enum ResponseBody {
    /// None.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// A part of a file, or all of it.
    File(FileRange),
    /// One after the other.
    Parts(VecDeque<Part>),
    /// Piece by piece. An error cuts the connection: the client then knows that it is not whole.
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error>>>),
}

/// One of several parts of a body.
#[derive(Debug)]
pub enum Part {
    /// Bytes that are there.
    Bytes(Bytes),
    /// A part of a file.
    File(FileRange),
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.length(),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::File(file) => file.poll_piece(cx),
        }
    }
}

impl ResponseBody {
    /// A body that is made while it is sent.
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = Error> + 'static) -> Self {
        Self::Stream(Box::pin(body))
    }
}

impl ResponseBody {
    /// Takes the part of a file that comes next, where that is what comes next.
    fn next_file(&mut self) -> Option<FileRange> {
        match self {
            Self::File(file) if file.length() > 0 => match std::mem::take(self) {
                Self::File(file) => Some(file),
                _ => None,
            },
            Self::Parts(parts) => {
                while parts.front().is_some_and(|part| part.length() == 0) {
                    parts.pop_front();
                }
                match parts.pop_front() {
                    Some(Part::File(file)) => Some(file),
                    other => {
                        other.into_iter().for_each(|part| parts.push_front(part));
                        None
                    }
                }
            }
            _ => None,
        }
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::File(file) => file.fmt(f),
            Self::Parts(parts) => write!(f, "Parts({})", parts.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Part> for ResponseBody {
    fn from(part: Part) -> Self {
        match part {
            Part::Bytes(bytes) => Self::Full(bytes),
            Part::File(file) => Self::File(file),
        }
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl From<String> for ResponseBody {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl From<&'static str> for ResponseBody {
    fn from(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::File(file) => file.poll_piece(cx).map_ok(Frame::data),
            Self::Parts(parts) => {
                while let Some(part) = parts.front_mut() {
                    match ready!(part.poll_piece(cx)) {
                        Some(piece) => return Poll::Ready(Some(piece.map(Frame::data))),
                        None => parts.pop_front(),
                    };
                }
                Poll::Ready(None)
            }
            Self::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::File(file) => file.length() == 0,
            Self::Parts(parts) => parts.iter().all(|part| part.length() == 0),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File(file) => SizeHint::with_exact(file.length()),
            Self::Parts(parts) => SizeHint::with_exact(parts.iter().map(Part::length).sum()),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// A response's body on its way to the client: counted, and its end noticed.
#[derive(Debug)]
pub(crate) struct Sending {
    body: ResponseBody,
    /// What was taken of it and not used: seldom anything.
    ahead: Option<Box<Ahead>>,
    exchange: Rc<Exchange>,
    clock: Rc<Clock>,
}

/// A frame, or the end.
type Ahead = Option<Result<Frame<Chunk>, Error>>;

impl Sending {
    pub(crate) fn new(body: ResponseBody, exchange: Rc<Exchange>, clock: Rc<Clock>) -> Self {
        Self { body, ahead: None, exchange, clock }
    }

    /// Its length, where that is known and not above a limit. What the kernel sends by itself is left out.
    pub(crate) fn is_within(&self, limit: u64) -> Option<u64> {
        let by_kernel = matches!(self.body, ResponseBody::File(_) | ResponseBody::Parts(_));
        self.body.size_hint().exact().filter(|length| !by_kernel && *length <= limit)
    }

    /// All of it, where it is there at once. It has this length.
    pub(crate) fn whole(&mut self, cx: &mut Context<'_>, length: u64) -> Option<Bytes> {
        if length == 0 {
            return Some(Bytes::new());
        }
        match Pin::new(&mut *self).poll_frame(cx) {
            Poll::Pending => None,
            Poll::Ready(frame) => match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(Chunk::Bytes(bytes)))) if bytes.len() as u64 == length => Some(bytes),
                Some(Ok(Ok(chunk))) => self.put_back(Some(Ok(Frame::data(chunk)))),
                Some(Ok(Err(frame))) => self.put_back(Some(Ok(frame))),
                Some(Err(error)) => self.put_back(Some(Err(error))),
                None => self.put_back(None),
            },
        }
    }

    fn put_back(&mut self, frame: Ahead) -> Option<Bytes> {
        self.ahead = Some(Box::new(frame));
        None
    }
}

impl http_body::Body for Sending {
    type Data = Chunk;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Error>>> {
        let this = self.get_mut();
        if let Some(frame) = this.ahead.take() {
            return Poll::Ready(*frame);
        }
        let outgoing = this.clock.outgoing();
        if outgoing.is_enabled()
            && let Some(range) = this.body.next_file()
        {
            // Counted when it is sent.
            let window = Window::new(range);
            outgoing.push(window.clone());
            return Poll::Ready(Some(Ok(Frame::data(Chunk::File(window)))));
        }
        // A panic here would take the whole connection along, and with it the access line.
        let frame = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.body).poll_frame(cx)));
        let frame = frame.unwrap_or(Poll::Ready(Some(Err(Error::Panic))));
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                this.exchange.add_bytes_out(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Poll::Ready(Some(Err(error))) => this.exchange.broke_off(error),
            _ => {}
        }
        frame.map_ok(|frame| frame.map_data(Chunk::Bytes))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let Some(Some(Ok(frame))) = self.ahead.as_deref() else { return hint };
        let ahead = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        hint.exact().map_or(hint, |length| SizeHint::with_exact(length + ahead))
    }
}

/// hyper drops the body when it has taken all of it (or gives up): from here on the exchange is over
/// as soon as everything is flushed.
impl Drop for Sending {
    fn drop(&mut self) {
        self.clock.response_produced();
    }
}
