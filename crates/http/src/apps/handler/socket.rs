//! A WebSocket: the client's frames become messages for the handler, and what the handler writes goes to the
//! client as it is.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brim_service::Lifecycle;
use brim_wire::link::Reason;
use brim_wire::websocket::{
    ClientFrames, Control, Event, Flags, ServerFrames, Violation, append_close, append_frame,
};
use bytes::{Buf, Bytes};
use http::header;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Shared;
use super::conf::{Conf, Pings};
use super::head::{self, Outgoing};
use super::link::{Answer, Failure, Open, Piece, message_bytes};
use crate::apps::proxy::Timer;
use crate::body::Response;
use crate::error::{Error, HandlerFailure};
use crate::upgrade::Upgraded;

/// Bytes that are read at once.
pub(super) const PIECE: usize = 16 * 1024;
/// Credit that any control frame fits into.
const LEAST: u32 = 128;
/// How long a handler may take to answer a client's close frame, and a client ours.
const CLOSING: Duration = Duration::from_secs(5);
/// Bytes of a client that are read and dropped while it closes.
const DISCARDED: usize = 1024 * 1024;

thread_local! {
    /// What was just read, and is mostly passed on at once: a silent connection holds no memory for it.
    static PIECES: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// What the client gets of an answer that takes its handshake.
pub(super) fn response(
    handler: &Rc<Shared>,
    outgoing: &Outgoing,
    open: Open,
    answer: Answer,
    conf: Arc<Conf>,
) -> Result<Response, Error> {
    let compressed = answer.headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS);
    let response = head::response(answer);
    let response = response.ok_or_else(|| handler.failed(HandlerFailure::Malformed))?;
    let (handler, exchange) = (handler.clone(), outgoing.request.exchange());
    let (lifecycle, times) = exchange.life();
    let txn: Box<str> = exchange.txn().into();
    exchange.upgrade(async move |client| {
        // DRAIN: the client hears of it, and has the rest of `drain_tunnel` to say goodbye.
        let drain = times.drain_tunnel.mul_f64(0.8);
        let open = Guarded { open, lifecycle: lifecycle.clone() };
        let terms = Terms { conf, compressed, write: times.write };
        // Boxed: the future would have room for it twice.
        let mut socket = Box::new(Socket::new(client, open, handler, terms));
        let ended = {
            let mut drained = pin!(async {
                lifecycle.drain_begins().await;
                tokio::time::sleep(drain).await;
            });
            poll_fn(|cx| match drained.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Ended::Says(Reason::FrontEndStops, 1001, "")),
                Poll::Pending => socket.poll(cx),
            })
            .await
        };
        tracing::debug!(txn, ?ended, "a WebSocket ends");
        Box::pin(socket.end(ended)).await;
    });
    Ok(response)
}

/// An exchange that tells why it ends when it is dropped in a drain.
struct Guarded {
    open: Open,
    lifecycle: Lifecycle,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.lifecycle.draining().is_some() {
            self.open.blame(Reason::FrontEndStops);
        }
    }
}

/// What a WebSocket is like.
struct Terms {
    conf: Arc<Conf>,
    /// The handler has agreed on an extension.
    compressed: bool,
    /// How long a client may take nothing.
    write: Duration,
}

/// How a WebSocket ends.
#[derive(Debug)]
enum Ended {
    /// The client is gone.
    Left,
    /// The client hears of it by a close frame, the gateway by a cancel.
    Says(Reason, u16, &'static str),
    /// The handler has said all.
    Over,
    /// The handler wants it closed at once.
    Cut,
}

struct Socket {
    client: Upgraded,
    open: Guarded,
    handler: Rc<Shared>,
    conf: Arc<Conf>,
    frames: ClientFrames,
    /// What was read and not used: the beginning of a frame, or what there is no credit for.
    input: Vec<u8>,
    /// What the handler wrote and the client has not taken yet.
    piece: Bytes,
    server: ServerFrames,
    /// A ping to answer.
    pong: Option<Control>,
    /// A frame of ours, for the next gap between those of the handler.
    own: Vec<u8>,
    /// The client is to take something.
    waits: bool,
    /// The client's close frame came.
    closed: bool,
    write: Duration,
    timer: Timer,
}

impl Socket {
    fn new(client: Upgraded, open: Guarded, handler: Rc<Shared>, terms: Terms) -> Self {
        let Terms { conf, compressed, write } = terms;
        Self {
            client,
            open,
            handler,
            frames: ClientFrames::new(conf.max_message, compressed),
            input: Vec::new(),
            piece: Bytes::new(),
            server: ServerFrames::new(),
            pong: None,
            own: Vec::new(),
            waits: false,
            closed: false,
            write,
            timer: Timer::new(conf.silence),
            conf,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut moved = self.open.open.was_touched();
        let written = self.poll_write(cx, &mut moved);
        if let Poll::Ready(ended) = written {
            return Poll::Ready(ended);
        }
        if let Poll::Ready(ended) = self.poll_read(cx, &mut moved) {
            return Poll::Ready(ended);
        }
        // An answer to a ping need not wait.
        if self.pong.is_some()
            && let Poll::Ready(ended) = self.poll_write(cx, &mut moved)
        {
            return Poll::Ready(ended);
        }
        let waits = !self.piece.is_empty() || !self.own.is_empty();
        let waited = std::mem::replace(&mut self.waits, waits);
        moved |= waits && !waited;
        let time = match (self.closed, waits) {
            (true, _) => CLOSING,
            (false, true) => self.write.min(self.conf.silence),
            (false, false) => self.conf.silence,
        };
        // After its close frame nothing that a client sends buys it time.
        if moved && !self.closed {
            self.timer.set(Instant::now(), time);
        }
        self.timer.poll(cx).map(|()| match (self.closed, waits) {
            (true, _) => Ended::Says(Reason::ClientLeft, 1000, ""),
            (false, true) => Ended::Left,
            (false, false) => Ended::Says(Reason::ClientIdle, 1001, "silent for too long"),
        })
    }

    /// Writes what the handler and we have for the client.
    fn poll_write(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Ended> {
        loop {
            if self.own.is_empty()
                && let Some(ping) = self.pong.take()
            {
                append_frame(&mut self.own, Flags::PONG, ping.payload());
            }
            if !self.own.is_empty() && self.server.is_between() {
                match ready!(Pin::new(&mut self.client).poll_write(cx, &self.own)) {
                    Ok(count) if count > 0 => drop(self.own.drain(..count)),
                    _ => return Poll::Ready(Ended::Left),
                }
                *moved = true;
                continue;
            }
            if self.piece.is_empty() {
                match self.open.open.poll_piece(cx) {
                    Poll::Ready(Ok(Piece::Bytes(bytes))) => self.piece = bytes,
                    Poll::Ready(Ok(Piece::End { .. })) => return Poll::Ready(Ended::Over),
                    Poll::Ready(Err(failure)) => return Poll::Ready(self.fail(failure)),
                    Poll::Pending => {
                        // TLS may hold back something.
                        return match Pin::new(&mut self.client).poll_flush(cx) {
                            Poll::Ready(Err(_)) => Poll::Ready(Ended::Left),
                            _ => Poll::Pending,
                        };
                    }
                }
                continue;
            }
            let limit = match self.own.is_empty() {
                true => self.piece.len(),
                false => self.server.up_to_end(&self.piece),
            };
            let bytes = self.piece.get(..limit).unwrap_or_default();
            match ready!(Pin::new(&mut self.client).poll_write(cx, bytes)) {
                Ok(count) if count > 0 => {
                    self.server.pass(bytes.get(..count).unwrap_or_default());
                    self.piece.advance(count);
                    self.open.open.used(count);
                    *moved = true;
                }
                _ => return Poll::Ready(Ended::Left),
            }
        }
    }

    fn fail(&self, failure: Failure) -> Ended {
        let Failure::Cancelled(cancel) = failure else {
            return Ended::Says(Reason::ClientLeft, 1011, "the handler is gone");
        };
        self.handler.failed(super::failure(cancel.reason));
        match cancel.reason {
            Reason::HandlerCancelled => Ended::Cut,
            Reason::TooLarge => Ended::Says(Reason::ClientLeft, 1009, ""),
            Reason::GatewayStops => Ended::Says(Reason::ClientLeft, 1012, ""),
            Reason::Overload | Reason::NoHandler => Ended::Says(Reason::ClientLeft, 1013, ""),
            _ => Ended::Says(Reason::ClientLeft, 1011, "the handler is gone"),
        }
    }

    /// Reads what the client sends, as far as there is credit for it.
    fn poll_read(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Ended> {
        if !self.input.is_empty() {
            let mut input = std::mem::take(&mut self.input);
            let used = self.consume(cx, &mut input);
            match used {
                Ok(used) => drop(input.drain(..used)),
                Err(violation) => return Poll::Ready(self.broke(violation)),
            }
            if !input.is_empty() {
                self.input = input;
            }
        }
        loop {
            if !self.closed && self.open.open.poll_credit(cx, LEAST).is_pending() {
                return Poll::Pending;
            }
            let step = PIECES.with_borrow_mut(|piece| self.pass(cx, piece));
            match ready!(step) {
                Ok(true) => *moved = true,
                Ok(false) => return Poll::Ready(Ended::Left),
                Err(Trouble::Io) => return Poll::Ready(Ended::Left),
                Err(Trouble::Broke(violation)) => return Poll::Ready(self.broke(violation)),
            }
        }
    }

    /// Reads a piece and passes on what of it can be; false at the end.
    fn pass(&mut self, cx: &mut Context<'_>, piece: &mut [u8]) -> Poll<Result<bool, Trouble>> {
        let mut read = ReadBuf::new(piece);
        ready!(Pin::new(&mut self.client).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(false));
        }
        if self.closed {
            return Poll::Ready(Ok(true));
        }
        let read = piece.get_mut(..count).unwrap_or_default();
        if self.input.is_empty() {
            let used = self.consume(cx, read).map_err(Trouble::Broke)?;
            self.input.extend_from_slice(read.get(used..).unwrap_or_default());
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(read);
            let used = self.consume(cx, &mut input).map_err(Trouble::Broke)?;
            input.drain(..used);
            if !input.is_empty() {
                self.input = input;
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Passes frames on; how many bytes it has used.
    fn consume(&mut self, cx: &mut Context<'_>, mut input: &mut [u8]) -> Result<usize, Violation> {
        let whole = input.len();
        while !self.closed {
            let Poll::Ready(credit) = self.open.open.poll_credit(cx, LEAST) else { break };
            let room = credit.saturating_sub(message_bytes(b""));
            let (used, event) = self.frames.decode(input, room)?;
            let end = match event {
                Some(Event::Piece { flags, bytes, end }) => {
                    self.open.open.message(flags.0, b"", bytes, !end);
                    if end {
                        self.handler.messages.incr();
                    }
                    false
                }
                Some(Event::Control(control)) => {
                    self.control(control);
                    false
                }
                None => true,
            };
            input = input.get_mut(used..).unwrap_or_default();
            if end {
                break;
            }
        }
        Ok(whole - input.len())
    }

    fn control(&mut self, control: Control) {
        match control.flags {
            Flags::PING if self.conf.ping == Pings::Answer => {
                // RFC 6455 section 5.5.3: of several pings only the last needs an answer.
                self.pong = Some(control);
            }
            Flags::CLOSE => {
                self.tell(&control);
                self.closed = true;
                self.timer = Timer::new(CLOSING);
            }
            _ => self.tell(&control),
        }
    }

    fn tell(&self, control: &Control) {
        self.handler.messages.incr();
        self.open.open.message(control.flags.0, b"", control.payload(), false);
    }

    fn broke(&self, violation: Violation) -> Ended {
        tracing::debug!(
            error = &violation as &dyn std::error::Error,
            "a WebSocket client broke a rule"
        );
        self.handler.violations.incr();
        Ended::Says(Reason::ClientBroke, violation.code(), "")
    }

    /// The last words, and the end of the connection.
    async fn end(mut self: Box<Self>, ended: Ended) {
        let open = &self.open.open;
        // What is left of a frame of ours goes first.
        let mut last = std::mem::take(&mut self.own);
        match ended {
            Ended::Left => return open.cancel(Reason::ClientLeft),
            Ended::Cut => return,
            Ended::Over => {}
            Ended::Says(reason, code, text) => {
                open.cancel(reason);
                if self.server.is_between() && !self.server.has_closed() {
                    append_close(&mut last, code, text);
                }
            }
        }
        let client = &mut self.client;
        let deadline = tokio::time::Instant::from_std(Instant::now() + CLOSING);
        let goodbye = async {
            client.write_all(&last).await?;
            client.shutdown().await?;
            // Closing with unread bytes would reset the connection, and cost the client the last ones.
            let mut discarded = 0;
            let mut piece = vec![0; 4096];
            while discarded < DISCARDED {
                match client.read(&mut piece).await? {
                    0 => break,
                    count => discarded += count,
                }
            }
            Ok(())
        };
        let _: Result<io::Result<()>, _> = tokio::time::timeout_at(deadline, goodbye).await;
    }
}

/// Why reading ends.
enum Trouble {
    Io,
    Broke(Violation),
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}
