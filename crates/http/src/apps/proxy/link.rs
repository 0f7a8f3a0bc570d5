use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use tokio::io::AsyncReadExt;

use super::decoder::{Decoder, Piece};
use super::response::{self, Asked, Progress};
use super::sending::{Framing, Sending, Stopped};
use super::timer::Timer;
use super::upload::Upload;
use super::upstream::Upstream;
use super::wire::Wire;
use crate::error::UpstreamFailure;

/// Bytes that are read at once, at first and at most.
const PIECE: usize = 8 * 1024;
const PIECE_MAX: usize = 64 * 1024;

/// A connection to an upstream: one request goes out, one response comes in, both piece by piece. A
/// request costs a write and a read, and no memory that the connection does not have already.
pub(super) struct Link {
    wire: Wire,
    sending: Sending,
    /// The connection took no more of the request, for this reason.
    stopped: Option<Stopped>,
    /// What was read and not used.
    input: BytesMut,
    /// How much is read next.
    piece: usize,
    heads: Progress,
    /// A head that was read: it stays here until it is passed on.
    head: Option<Parts>,
    head_limit: usize,
    body: Decoder,
    /// The response allows another request.
    keeps: bool,
    pub(super) timer: Timer,
    /// When it is too old for another request.
    keep_until: Instant,
    fresh: bool,
}

impl Link {
    pub(super) async fn open(upstream: &Upstream) -> Result<Box<Self>, UpstreamFailure> {
        let wire = Wire::connect(upstream).await?;
        let conf = upstream.conf();
        Ok(Box::new(Self {
            wire,
            sending: Sending::default(),
            stopped: None,
            input: BytesMut::new(),
            piece: PIECE,
            heads: Progress::default(),
            head: None,
            head_limit: conf.head_limit,
            body: Decoder::Length(0),
            keeps: true,
            timer: Timer::new(conf.response_timeout),
            keep_until: Instant::now(),
            fresh: true,
        }))
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether it has rested for too long.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        now >= self.keep_until
    }

    /// From now on nobody uses it, and then nobody may.
    pub(super) fn rest(&mut self, until: Instant) {
        if std::mem::replace(&mut self.piece, PIECE) > PIECE {
            self.input = BytesMut::new();
        }
        self.keep_until = until;
        self.fresh = false;
    }

    /// Whether nothing is left of a request and its response, and both allow another.
    pub(super) fn is_reusable(&self) -> bool {
        self.keeps
            && self.stopped.is_none()
            && self.sending.is_over()
            && self.body.is_over()
            && self.input.is_empty()
    }

    /// Whether a connection without a request is open, and can take one. Whatever comes when nothing was
    /// asked for would be taken for an answer.
    pub(super) fn is_usable(&mut self) -> bool {
        self.is_reusable() && self.wire.is_silent()
    }

    /// The socket, and what came behind the response's head.
    pub(super) fn into_wire(self) -> (Wire, Bytes) {
        (self.wire, self.input.freeze())
    }

    /// Begins a request.
    pub(super) fn begin(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Framing) {
        self.heads.restart();
        self.sending.begin(write);
    }

    /// Whether something of the request may have arrived.
    pub(super) fn has_begun(&self) -> bool {
        self.sending.has_begun()
    }

    /// Sends what can be sent; ready when there is no more to do. An upstream that takes no more may have
    /// answered all the same.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, upload: &Upload) -> Poll<()> {
        if self.stopped.is_none() && !self.sending.is_over() {
            self.stopped = ready!(self.sending.poll(cx, &mut self.wire, upload)).err();
        }
        Poll::Ready(())
    }

    /// Whether the request's body was not what was announced.
    pub(super) fn is_body_broken(&self) -> bool {
        matches!(self.stopped, Some(Stopped::Body))
    }

    /// Waits for the head of the response.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        asked: Asked<'_>,
    ) -> Poll<Result<(), UpstreamFailure>> {
        loop {
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(UpstreamFailure::Lost(match self.stopped.take() {
                    Some(Stopped::Wire(error)) => error,
                    _ => io::ErrorKind::UnexpectedEof.into(),
                })));
            }
            let head = response::take(&mut self.input, &mut self.heads, self.head_limit, asked);
            if let Some(head) = head.map_err(UpstreamFailure::Strange)? {
                self.keeps = head.keeps;
                self.body = head.body;
                self.head = Some(head.parts);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The head of the response, which has to be there.
    pub(super) fn take_head(&mut self) -> Result<Parts, UpstreamFailure> {
        self.head.take().ok_or(UpstreamFailure::CutOff)
    }

    /// How many bytes of the body are still to come, where that was said.
    pub(super) fn left(&self) -> Option<u64> {
        self.body.left()
    }

    /// Whether the whole body was taken.
    pub(super) fn is_over(&self) -> bool {
        self.body.is_over()
    }

    /// A part of the body that was already read.
    pub(super) fn take(&mut self) -> Result<Piece, UpstreamFailure> {
        self.body.take(&mut self.input).map_err(UpstreamFailure::Strange)
    }

    /// The next part of the body, `None` at its end.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, UpstreamFailure>> {
        loop {
            match self.take()? {
                Piece::Data(data) => return Poll::Ready(Ok(Some(data))),
                Piece::Over => return Poll::Ready(Ok(None)),
                Piece::Wants if ready!(self.poll_read(cx))? > 0 => {}
                Piece::Wants if self.body.may_end() => {
                    self.body = Decoder::Length(0);
                    return Poll::Ready(Ok(None));
                }
                Piece::Wants => return Poll::Ready(Err(UpstreamFailure::CutOff)),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, UpstreamFailure>> {
        self.input.reserve(self.piece);
        let read = pin!(self.wire.read_buf(&mut self.input));
        let count = ready!(read.poll(cx)).map_err(UpstreamFailure::Lost)?;
        // Large bodies come in large pieces; a connection that mostly waits holds a small one.
        if count >= self.piece {
            self.piece = (self.piece * 2).min(PIECE_MAX);
        }
        Poll::Ready(Ok(count))
    }
}
