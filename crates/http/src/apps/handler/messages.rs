//! Clients that speak no HTTP: JSON and XML socket messages, each of which goes to the handler whose route
//! its path matches.
//!
//! A connection has an exchange for each handler and kind that its messages are for, from the first of them
//! on.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brim_wire::link::{Reason, RequestHead, append_request};
use brim_wire::socket_message::{Kind, SocketMessageDecoder, SocketMessageError};
use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Shared;
use super::link::{Failure, Piece};

use crate::apps::proxy::Timer;
use crate::apps::proxy::forwarded::Origin;
use crate::client::Peer;
use crate::error::{Error, HandlerFailure};
use crate::exchange::{End, Exchange};
use crate::upgrade::Upgraded;
use crate::worker::{HttpWorker, Times};
use brim_service::Transport;

mod routes;
mod talk;

pub(crate) use routes::Messages;
use talk::{Talk, Under};

/// Bytes that are read at once.
const READ: usize = 4096;
/// Longest path of a message, in bytes. It fits into the smallest payload that a gateway may have.
const PATH: usize = 512;
/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Whether a connection that begins with this byte is one of socket messages.
pub(crate) fn begins_with(byte: u8) -> bool {
    matches!(byte, b'@' | b'<')
}

/// Serves a connection of socket messages to its end. `rest` has its first bytes.
pub(crate) async fn speak(
    worker: Rc<HttpWorker>,
    messages: Rc<Messages>,
    peer: Peer,
    transport: Transport,
    rest: Bytes,
) {
    let exchange = Rc::new(Exchange::of_messages(&worker, peer, &rest));
    let client = Upgraded::new(transport, rest, exchange.clone());
    let (lifecycle, times) = exchange.life();
    let mut speaker = Speaker::new(client, messages, exchange.clone(), &times);
    let mut drained = pin!(async {
        lifecycle.drain_begins().await;
        tokio::time::sleep(times.drain_tunnel).await;
    });
    let ended = loop {
        let step = poll_fn(|cx| match drained.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Step::Ends(Ended::Silently(Reason::FrontEndStops))),
            Poll::Pending => speaker.poll(cx),
        });
        match step.await {
            Step::Opens(under) => {
                if let Err(ended) = speaker.open(under).await {
                    break ended;
                }
            }
            Step::Ends(ended) => break ended,
        }
    };
    speaker.end(ended, times.linger).await;
    exchange.finish(End::Complete);
}

/// What a connection comes to.
enum Step {
    /// The first message for a handler.
    Opens(Under),
    Ends(Ended),
}

enum Ended {
    /// The gateway hears why.
    Silently(Reason),
    /// The handler has said all.
    Over,
    /// The handler wants it closed at once, or there is none.
    Cut,
    /// The client hears why.
    Refused(StatusCode, &'static str),
}

struct Speaker {
    client: Upgraded,
    messages: Rc<Messages>,
    exchange: Rc<Exchange>,
    decoder: SocketMessageDecoder,
    input: Vec<u8>,
    under: Option<(usize, Under)>,
    talks: Vec<Talk>,
    /// What the client has not taken yet, and of whom.
    piece: Bytes,
    from: usize,
    /// The rest of its message follows, and comes before anything of others.
    is_cut: bool,
    /// The client is to take something.
    writes: bool,
    /// Of silence between messages.
    silence: Duration,
    /// For a whole message from its first byte.
    head: Duration,
    /// How long a client may take nothing.
    write: Duration,
    timer: Timer,
}

impl Speaker {
    fn new(
        client: Upgraded,
        messages: Rc<Messages>,
        exchange: Rc<Exchange>,
        times: &Times,
    ) -> Self {
        let silence = messages.silence();
        Self {
            client,
            decoder: SocketMessageDecoder::new(messages.longest_message()),
            messages,
            exchange,
            input: Vec::new(),
            under: None,
            talks: Vec::new(),
            piece: Bytes::new(),
            from: 0,
            is_cut: false,
            writes: false,
            silence,
            head: times.head,
            write: times.write,
            timer: Timer::new(times.head.min(silence)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let mut moved = false;
        for talk in &self.talks {
            moved |= talk.open.was_touched();
        }
        if let Poll::Ready(ended) = self.poll_write(cx, &mut moved) {
            return Poll::Ready(Step::Ends(ended));
        }
        if let Poll::Ready(step) = self.poll_read(cx, &mut moved) {
            return Poll::Ready(step);
        }
        let writes = !self.piece.is_empty();
        let wrote = std::mem::replace(&mut self.writes, writes);
        moved |= writes && !wrote;
        let between = self.input.is_empty() || self.under.is_some();
        if moved && between {
            let time = if writes { self.write.min(self.silence) } else { self.silence };
            self.timer.set(Instant::now(), time);
        }
        self.timer.poll(cx).map(|()| Step::Ends(Ended::Silently(Reason::ClientIdle)))
    }

    /// Writes what handlers have for the client.
    fn poll_write(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Ended> {
        loop {
            while !self.piece.is_empty() {
                match ready!(Pin::new(&mut self.client).poll_write(cx, &self.piece)) {
                    Ok(count) if count > 0 => {
                        self.piece.advance(count);
                        if let Some(talk) = self.talks.get(self.from) {
                            talk.open.used(count);
                        }
                        *moved = true;
                    }
                    _ => return Poll::Ready(Ended::Silently(Reason::ClientLeft)),
                }
            }
            let mut ended = None;
            let only = self.is_cut.then_some(self.from);
            let talks = self.talks.iter().enumerate();
            for (index, talk) in talks.filter(|(index, _)| only.is_none_or(|only| only == *index)) {
                match talk.open.poll_piece(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(Piece::Bytes(bytes))) => {
                        (self.piece, self.from, self.is_cut) = (bytes, index, talk.open.is_cut());
                        break;
                    }
                    Poll::Ready(Ok(Piece::End { .. })) => ended = Some(Ended::Over),
                    Poll::Ready(Err(failure)) => {
                        // What others have for the client is not worth waiting for.
                        talk.handler.shared.lost(failure);
                        return Poll::Ready(Ended::Cut);
                    }
                }
            }
            if self.piece.is_empty() {
                return ended.map_or(Poll::Pending, Poll::Ready);
            }
        }
    }

    /// Passes on what the client sends, a message after the other.
    fn poll_read(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Step> {
        loop {
            if let Some((talk, under)) = &mut self.under {
                let Some(talk) = self.talks.get_mut(*talk) else {
                    return Poll::Ready(Step::Ends(Ended::Cut));
                };
                ready!(talk.poll_send(cx, under, &self.input));
                let length = under.length;
                self.under = None;
                drop(self.input.drain(..length));
                if self.input.is_empty() {
                    self.input = Vec::new();
                }
                *moved = true;
                // What follows has its time from now on.
                self.timer.set(
                    Instant::now(),
                    if self.input.is_empty() { self.silence } else { self.head },
                );
            }
            match self.next() {
                Err(ended) => return Poll::Ready(Step::Ends(ended)),
                Ok(Some(under)) => match self.talk(&under) {
                    Some(talk) => {
                        self.under = Some((talk, under));
                        continue;
                    }
                    None => return Poll::Ready(Step::Opens(under)),
                },
                Ok(None) => {}
            }
            let mut buffer = [0; READ];
            let mut read = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut self.client).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    if self.input.is_empty() {
                        self.timer.set(Instant::now(), self.head);
                    }
                    self.input.extend_from_slice(read.filled());
                }
                _ => return Poll::Ready(Step::Ends(Ended::Silently(Reason::ClientLeft))),
            }
        }
    }

    /// The next message that is whole and for a handler.
    fn next(&mut self) -> Result<Option<Under>, Ended> {
        loop {
            let mut rest = &*self.input;
            let message = match self.decoder.decode(&mut rest) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(None),
                Err(error) => return Err(refused(error)),
            };
            let length = self.input.len() - rest.len();
            if message.is_ping() {
                drop(self.input.drain(..length));
                self.timer.set(Instant::now(), self.silence);
                continue;
            }
            if message.path.len() > PATH {
                let reason = "the path of the message is too long";
                return Err(Ended::Refused(StatusCode::URI_TOO_LONG, reason));
            }
            let Some(route) = self.messages.route(message.path) else {
                let reason = "no handler has a route for this message";
                return Err(Ended::Refused(StatusCode::NOT_FOUND, reason));
            };
            let path = 0..message.path.len();
            let start = if message.kind == Kind::Json { path.end + 1 } else { 0 };
            let body = start..start + message.body.len();
            return Ok(Some(Under { kind: message.kind, route, path, body, length }));
        }
    }

    /// The exchange that a message belongs to, if there is one.
    fn talk(&self, under: &Under) -> Option<usize> {
        let (_, handler) = self.messages.get(under.route)?;
        let same = |talk: &Talk| Rc::ptr_eq(&talk.handler, handler) && talk.kind == under.kind;
        self.talks.iter().position(same)
    }

    /// Begins an exchange with a message.
    async fn open(&mut self, under: Under) -> Result<(), Ended> {
        let Some((route, handler)) = self.messages.get(under.route) else {
            return Err(Ended::Cut);
        };
        let shared = &handler.shared;
        shared.requests.incr();
        let line = handler.gateway.line(handler.conf.gateway_wait).await;
        let line = line.map_err(|_| {
            drop(shared.failed(HandlerFailure::NoGateway));
            Ended::Cut
        })?;
        let (class, target) = (under.class(), self.input.get(under.path.clone()));
        let exchange = &*self.exchange;
        let headers = http::HeaderMap::new();
        let origin = Origin {
            peer: exchange.peer.text.as_deref(),
            trusted: false,
            scheme: exchange.scheme(),
            host: None,
            headers: &headers,
        };
        let from = origin.path();
        let head = RequestHead {
            class,
            version: 0,
            is_https: exchange.peer.secure,
            connection: exchange.peer.connection.number,
            length: Some(under.body.len() as u64),
            client: exchange.client_text.as_deref().unwrap_or_default().as_bytes(),
            handler: shared.name.as_bytes(),
            pattern: route.as_str().as_bytes(),
            method: b"",
            target: target.unwrap_or_default(),
        };
        let header = Some(from.as_bytes()).filter(|from| !from.is_empty());
        let header = header.map(|from| (&b"x-forwarded-for"[..], from));
        let begun = line.begin(class, &exchange.peer.connection, |out, id| {
            append_request(out, id, &head, header.into_iter(), false)
        });
        let open = begun.map_err(|_| {
            drop(shared.failed(HandlerFailure::Full));
            Ended::Cut
        })?;
        let talk = Talk { handler: handler.clone(), kind: under.kind, open, is_first: true };
        self.talks.push(talk);
        self.under = Some((self.talks.len() - 1, under));
        Ok(())
    }

    async fn end(mut self, ended: Ended, linger: Duration) {
        let mut last = Vec::new();
        match ended {
            Ended::Cut => return,
            Ended::Over => {}
            Ended::Silently(reason) => {
                self.talks.iter().for_each(|talk| talk.open.cancel(reason));
                if reason == Reason::ClientLeft {
                    return;
                }
            }
            Ended::Refused(status, reason) => {
                self.talks.iter().for_each(|talk| talk.open.cancel(Reason::ClientBroke));
                for talk in &self.talks {
                    talk.handler.shared.violations.incr();
                }
                last = self.exchange.refuse(status, reason);
            }
        }
        let client = &mut self.client;
        let goodbye = async {
            let _ = client.write_all(&last).await;
            let _ = client.shutdown().await;
            let mut discarded = vec![0; READ];
            while client.read(&mut discarded).await.is_ok_and(|count| count > 0) {}
        };
        let _ = tokio::time::timeout(GOODBYE.min(linger), goodbye).await;
    }
}

impl Shared {
    /// Counts how a connection was lost to its handler.
    fn lost(&self, failure: Failure) {
        let failure = match failure {
            Failure::Cancelled(cancel) => super::failure(cancel.reason),
            Failure::Lost { .. } | Failure::Dropped => HandlerFailure::LinkLost,
        };
        let _: Error = self.failed(failure);
    }
}

fn refused(error: SocketMessageError) -> Ended {
    tracing::debug!(error = &error as &dyn std::error::Error, "a socket message is malformed");
    match error {
        SocketMessageError::TooLong { .. } => Ended::Refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the message is longer than socket_max_message",
        ),
        SocketMessageError::Unexpected { .. } => {
            Ended::Refused(StatusCode::BAD_REQUEST, "this is neither HTTP nor a socket message")
        }
    }
}
