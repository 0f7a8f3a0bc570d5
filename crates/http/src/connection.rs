//! The connection shell: a task per connection that owns the socket.
//!
//! The shell itself speaks what is simple (`direct`). With the first request that is not, hyper gets the
//! socket. After a moment of silence the shell takes it back and parks it, which costs a fifth of what
//! hyper's hold does (`make bench`).
//! The shell keeps the clocks, answers what hyper would refuse without a word, and closes so that
//! the last answer arrives.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use brim_config::Address;
use brim_service::proxy_protocol::BadHeader;
use brim_service::{Connection, Current, Open, Refused, Rounds, Stream, Transport, linger};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, sleep_until};

mod clock;
mod crowd;
mod direct;
mod h2;
mod io;
mod opening;
mod outgoing;

pub(crate) use clock::Clock;
pub(crate) use h2::memory as http2_memory;

use crate::apps::{self, Messages};
use crate::body::Sending;
use crate::client::Peer;
use crate::error::{self, Error, ErrorPages};
use crate::exchange::{self, End, Exchange, Service};
use crate::upgrade::Upgraded;
use crate::worker::HttpWorker;
use clock::Due;
use crowd::{Conversation, Room, park_after};
use direct::Turn;
use io::Io;

/// Serves a connection to its end.
// Not `async`: the future would hold its arguments beside the shell that they have become.
pub(crate) fn serve(
    current: Current<HttpWorker>,
    connection: Connection,
) -> impl Future<Output = ()> + 'static {
    let Connection { stream, peer, local, open } = connection;
    let shell = Shell::new(current, Peer::new(peer), local, open);
    let is_open = !shell.has_to_open();
    shell.run(Transport::Plain(stream), is_open)
}

/// Tells a client that there is nobody to serve it.
pub(crate) async fn turn_away(stream: Stream) {
    let mut transport = Transport::Plain(stream);
    let silence = std::time::Duration::from_secs(1);
    // The request is to arrive first: some clients take an answer that comes too early for an error.
    let _ = tokio::time::timeout(silence, transport.stream().readable()).await;
    let reason = "this server is not configured correctly; its status says why";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let misconfigured = error::raw(status, reason, &ErrorPages::default(), "", false);
    linger::write(&mut transport, &misconfigured).await;
    linger::linger(transport, silence, silence * 2).await;
}

/// Tells a client that it has too many connections.
pub(crate) async fn refuse(current: Current<HttpWorker>, refused: Refused) {
    let Refused { stream, peer, turn: _turn } = refused;
    let (silence, since) = (std::time::Duration::from_secs(1), Instant::now());
    let mut transport = Transport::Plain(stream);
    let worker = current.get();
    // What it asks for would be too much work: it is told the same whatever it is.
    let exchange = Exchange::unheard(&worker, Peer::new(peer), since, b"");
    let reason = "too many connections from one address";
    let answer = exchange.refuse(StatusCode::TOO_MANY_REQUESTS, reason);
    // So would a handshake be, and without one there is nothing to say.
    if worker.tls.is_some() {
        return;
    }
    drop(worker);
    let _ = tokio::time::timeout(silence, transport.stream().readable()).await;
    linger::write(&mut transport, &answer).await;
    linger::linger(transport, silence, silence * 2).await;
}

struct Shell {
    current: Current<HttpWorker>,
    clock: Rc<Clock>,
    peer: Peer,
    local: Arc<Address>,
    rounds: Rounds,
    open: Open,
}

/// How a conversation ended.
enum Spoken {
    /// In silence; here is the transport, and what was read of it and not used.
    Silent(Transport, Bytes),
    /// With a 101: the connection goes on in another protocol. What hyper had read and not used is
    /// a part of that.
    Upgraded(Transport, Bytes, Rc<Exchange>),
    /// It goes on with this worker.
    Moves(Transport, usize),
    /// For good.
    Over(Transport),
    /// With a head that gets this refusal.
    Refused(Transport, StatusCode, &'static str),
    /// With a client that does not take its response.
    Stuck,
    /// Before it began: there was no agreement on TLS.
    Failed(Option<Transport>, std::io::Error),
    /// Before it began: nobody said for whom it is.
    Unnamed(BadHeader),
    /// Not yet: what follows are socket messages.
    Messages(Transport, Bytes, Rc<Messages>),
    /// Not yet: what follows is HTTP/2.
    Http2(Transport, Bytes),
    /// With everything said.
    Ended,
}

impl Shell {
    fn new(current: Current<HttpWorker>, peer: Peer, local: Arc<Address>, open: Open) -> Self {
        let clock = Rc::new(Clock::new(current.get()));
        Self { current, clock, peer, local, rounds: Rounds::default(), open }
    }

    /// `open`: what comes before the first request is over.
    fn run(
        mut self,
        mut transport: Transport,
        mut open: bool,
    ) -> impl Future<Output = ()> + 'static {
        let mut rest = Bytes::new();
        async move {
            while !rest.is_empty() || self.park(&mut transport).await {
                // Boxed: what a conversation needs is freed while the connection is parked.
                let spoken = match std::mem::replace(&mut open, true) {
                    true => Box::pin(self.speak(transport, rest)).await,
                    false => Box::pin(self.open(transport)).await,
                };
                match spoken {
                    Spoken::Silent(silent, unused) => (transport, rest) = (silent, unused),
                    Spoken::Moves(transport, worker) => return self.move_to(worker, transport),
                    spoken => return self.conclude(spoken).await,
                }
            }
            if let Transport::Tls(_) = transport {
                Box::pin(linger::end(&mut transport)).await;
            }
        }
    }

    /// Goes on with another worker, between two requests.
    fn move_to(self, worker: usize, mut transport: Transport) {
        let Self { current, peer, local, open, .. } = self;
        let (address, secure) = (peer.address, peer.secure);
        current.hand_over(worker, move |current| {
            transport.come_over();
            let mut peer = Peer::new(address);
            peer.secure = secure;
            peer.certificate = opening::certificate(&transport);
            current.get().counters.count_moved_connection();
            let rounds = current.rounds_from_now();
            let shell = Self { rounds, ..Self::new(current, peer, local, open) };
            tokio::task::spawn_local(shell.run(transport, true));
        });
    }

    /// The worker that serves this connection from now on, if that is another one. What is watched stays, for
    /// to who watches it would be gone; and so does everything in a drain.
    fn destination(&self) -> Option<usize> {
        self.current.destination(&self.rounds, self.clock.since(), |worker| {
            let stays = self.peer.connection.is_watched()
                || self.clock.is_ended()
                || self.current.get().context.lifecycle.draining().is_some();
            !stays && self.open.move_to(worker)
        })
    }

    /// Waits for the first byte of a head; false when the connection has been silent too long.
    async fn park(&self, transport: &mut Transport) -> bool {
        self.clock.rest();
        let worker = self.current.get();
        let (idle, since) = (worker.times.idle, self.clock.since());
        let lifecycle = worker.context.lifecycle.clone();
        drop(worker);
        let mut silence = pin!(tokio::time::sleep_until((since + idle).into()));
        let mut drain = pin!(lifecycle.drain_begins());
        let mut draining = false;
        poll_fn(|cx| {
            if let Poll::Ready(readable) = transport.poll_readable(cx) {
                return Poll::Ready(readable.is_ok());
            }
            // DRAIN: silence counts from the signal at the earliest.
            if !draining && drain.as_mut().poll(cx).is_ready() {
                draining = true;
                if let Some(drain) = lifecycle.draining() {
                    let deadline = (since + idle).min(since.max(drain.since) + drain.idle);
                    silence.as_mut().reset(deadline.into());
                }
            }
            silence.as_mut().poll(cx).map(|()| false)
        })
        .await
    }

    /// Speaks HTTP/1 until silence, refusal or the end.
    async fn speak(&self, mut transport: Transport, rest: Bytes) -> Spoken {
        self.clock.serve_for(self.current.get());
        let conversation = Conversation::begin(Room::Direct);
        match self.speak_directly(&mut transport, rest).await {
            Turn::Hyper(rest, given) => {
                drop(conversation);
                // Boxed: most conversations have no use for the room that it takes.
                Box::pin(self.speak_by_hyper(transport, rest, given)).await
            }
            Turn::Silent => Spoken::Silent(transport, Bytes::new()),
            Turn::Moves(worker) => Spoken::Moves(transport, worker),
            Turn::Over => Spoken::Over(transport),
            Turn::Stuck => Spoken::Stuck,
        }
    }

    /// Lets hyper speak HTTP/1 until silence, refusal or the end. If a response is given, it is for the
    /// first request.
    async fn speak_by_hyper(
        &self,
        transport: Transport,
        rest: Bytes,
        given: Option<Box<Response<Sending>>>,
    ) -> Spoken {
        let worker = self.current.get();
        let _conversation = Conversation::begin(Room::Hyper);
        let io = TokioIo::new(Io::new(transport, rest, self.clock.clone()));
        let (clock, peer) = (self.clock.clone(), self.peer.clone());
        let service = Service::new(self.current.clone(), clock, peer, given);
        let mut hyper = worker.protocol.serve_connection(io, service);
        let uri_limit = worker.limits.uri;
        drop(worker);
        let first = Clock::next_look(Instant::now(), park_after());
        let mut look = pin!(sleep_until(first.into()));
        let (result, due) = poll_fn(|cx| {
            if let Poll::Ready(result) = hyper.poll_without_shutdown(cx) {
                return Poll::Ready((Some(result), None));
            }
            if self.clock.closes() {
                return Poll::Ready((None, Some(Due::Gone)));
            }
            while look.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                match self.clock.due(now) {
                    Due::Wait(time) => look.as_mut().reset(Clock::next_look(now, time).into()),
                    due => return Poll::Ready((None, Some(due))),
                }
            }
            Poll::Pending
        })
        .await;
        let parts = hyper.into_parts();
        let transport = parts.io.into_inner().into_transport();
        match (result, due) {
            (_, Some(Due::Park)) => {
                // Even an empty one keeps hyper's whole buffer.
                let rest = Some(parts.read_buf).filter(|rest| !rest.is_empty());
                Spoken::Silent(transport, rest.unwrap_or_default())
            }
            (_, Some(Due::HeadTimeout)) => {
                Spoken::Refused(transport, StatusCode::REQUEST_TIMEOUT, "the head came too slowly")
            }
            (_, Some(Due::Gone)) => Spoken::Over(transport),
            (_, Some(_)) => Spoken::Stuck,
            (Some(Ok(())), None) if let Some(exchange) = self.clock.take_upgrading() => {
                Spoken::Upgraded(transport, parts.read_buf, exchange)
            }
            (result, None) => match self.clock.refused() {
                Some(status) => {
                    let status = match is_target_too_long(&parts.read_buf, uri_limit) {
                        true => StatusCode::URI_TOO_LONG,
                        false => status,
                    };
                    Spoken::Refused(transport, status, refusal(status))
                }
                None if result
                    .is_some_and(|result| result.is_err_and(|error| error.is_parse())) =>
                {
                    let status = StatusCode::BAD_REQUEST;
                    Spoken::Refused(transport, status, refusal(status))
                }
                None => Spoken::Over(transport),
            },
        }
    }

    /// What follows silence and requests by HTTP/1. Boxed, each: what lasts for long need not hold the
    /// room that others take.
    fn conclude(&self, spoken: Spoken) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        match spoken {
            Spoken::Upgraded(transport, rest, exchange) => {
                Box::pin(self.tunnel(transport, rest, exchange))
            }
            spoken => Box::pin(self.speak_on(spoken)),
        }
    }

    /// HTTP/2, socket messages, or the end.
    async fn speak_on(&self, spoken: Spoken) {
        let spoken = match spoken {
            Spoken::Http2(transport, rest) => Box::pin(h2::speak(self, transport, rest)).await,
            Spoken::Messages(transport, rest, messages) => {
                let (worker, peer) = (self.current.get(), self.peer.clone());
                Box::pin(apps::speak(worker, messages, peer, transport, rest)).await;
                Spoken::Ended
            }
            spoken => spoken,
        };
        self.close(spoken).await;
    }

    /// Ends a connection so that its last answer arrives.
    async fn close(&self, spoken: Spoken) {
        self.clock.end(End::Broken);
        let times = self.current.get().times;
        match spoken {
            Spoken::Refused(mut transport, status, reason) => {
                let answer = self.refuse(status, reason);
                linger::write(&mut transport, &answer).await;
                linger::linger(transport, times.linger, times.linger_total).await;
            }
            Spoken::Over(mut transport) => {
                // Of a body that nobody read, what came last is a part, and no head.
                let body_open = self.clock.is_body_open();
                if let Some(exchange) = self.unheard().filter(|_| !body_open) {
                    exchange.finish(End::Broken);
                }
                if body_open || linger::is_unread(&transport) {
                    linger::linger(transport, times.linger, times.linger_total).await;
                } else if let Transport::Tls(_) = transport {
                    linger::end(&mut transport).await;
                }
            }
            Spoken::Stuck => tracing::debug!(peer = ?self.peer.address, "the client takes no more"),
            Spoken::Failed(transport, error) => {
                self.current.get().counters.count_failed_handshake();
                tracing::debug!(peer = ?self.peer.address, local = %self.local, %error, "no agreement on TLS");
                if let Some(transport) = transport {
                    // What was wrong is on its way to the client.
                    linger::linger(transport, times.linger, times.linger_total).await;
                }
            }
            Spoken::Unnamed(error) => {
                self.current.get().counters.count_bad_proxy_header();
                tracing::debug!(peer = ?self.peer.address, local = %self.local, %error, "refused a connection");
            }
            Spoken::Silent(..)
            | Spoken::Moves(..)
            | Spoken::Upgraded(..)
            | Spoken::Http2(..)
            | Spoken::Messages(..)
            | Spoken::Ended => {}
        }
    }

    /// Leaves the connection to the app that has upgraded it. A reload does not touch it.
    async fn tunnel(&self, transport: Transport, rest: Bytes, exchange: Rc<Exchange>) {
        let Some(tunnel) = exchange.take_tunnel() else { return };
        let lifecycle = self.current.get().context.lifecycle.clone();
        let work = tunnel.begin(Upgraded::new(transport, rest, exchange.clone()));
        let work = AssertUnwindSafe(work).catch_unwind();
        let drained = async {
            // DRAIN: it may last for ever, so it ends while others still do their work.
            lifecycle.drain_begins().await;
            sleep(self.current.get().times.drain_tunnel).await;
        };
        tokio::select! {
            ended = work => if ended.is_err() {
                exchange.broke_off(&Error::Panic);
            },
            () = drained => {}
        }
        exchange.finish(End::Complete);
    }

    /// The record of a head that did not become a request, unless there was none: empty lines are
    /// not the beginning of one.
    fn unheard(&self) -> Option<Exchange> {
        let sample = self.clock.take_sample();
        let (worker, since) = (self.current.get(), self.clock.since());
        (!sample.trim_ascii().is_empty())
            .then(|| Exchange::unheard(&worker, self.peer.clone(), since, &sample))
    }

    /// Counts and logs a head that gets no further; the answer to it.
    fn refuse(&self, status: StatusCode, reason: &str) -> Vec<u8> {
        let sample = self.clock.take_sample();
        let (worker, since) = (self.current.get(), self.clock.since());
        let exchange = Exchange::unheard(&worker, self.peer.clone(), since, &sample);
        tracing::debug!(peer = ?self.peer.address, local = %self.local, %status, "refused a head");
        exchange.refuse(status, reason)
    }
}

/// Whether it is the target that makes a head too large, which RFC 9112 section 3 wants told.
fn is_target_too_long(head: &[u8], limit: usize) -> bool {
    let mut words = head.trim_ascii_start().split(u8::is_ascii_whitespace);
    words.nth(1).is_some_and(|target| target.len() > limit)
}

/// What is wrong with a head that hyper refused.
fn refusal(status: StatusCode) -> &'static str {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => exchange::HEAD_TOO_LARGE,
        StatusCode::URI_TOO_LONG => exchange::URI_TOO_LONG,
        _ => "the head is not HTTP/1.1 as RFC 9112 has it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_size<A, B, F>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// What a parked connection keeps: its task, and the clock.
    #[test]
    fn a_parked_connection_is_small() {
        let (task, clock) = (future_size(serve), size_of::<Clock>());
        println!("task {task} bytes, clock {clock} bytes");
        assert!(task + clock <= 800, "task {task}, clock {clock}");
    }
}
