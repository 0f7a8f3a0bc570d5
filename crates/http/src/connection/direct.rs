//! What most requests are: a GET with nothing special to it, answered by something short. The shell speaks those
//! itself, by a fifth fewer instructions than with hyper's general ways, and holds no buffer between them. As
//! soon as there is anything else, hyper goes on from the beginning of that request, and, where an app has
//! answered it already, with that answer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use brim_service::Transport;
use bytes::{Buf, Bytes};
use http::request::Parts;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Sleep, sleep_until};

use super::Shell;
use super::clock::{Clock, Due};
use super::crowd::park_after;
use crate::body::Sending;
use crate::exchange::{self, Abandoned};
use crate::spare;

mod head;
mod response;

/// The longest head that is tried, in bytes, with all that comes along with it.
const INPUT: usize = 16 * 1024;
/// The longest body that is sent without hyper.
const BODY: u64 = 64 * 1024;
/// The longest body that goes out in one piece with its head.
const JOINED: usize = 16 * 1024;

thread_local! {
    /// What was just read. Nothing of it is left when the thread does something else.
    static INPUT_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; INPUT]);
    /// What is just to be written.
    static OUTPUT_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why this is over.
pub(super) enum Turn {
    /// What comes now is for hyper: these bytes were read of it. If there is a response, it answers the
    /// first request in them.
    Hyper(Bytes, Option<Box<Response<Sending>>>),
    /// The client is silent.
    Silent,
    /// It goes on with this worker.
    Moves(usize),
    /// For good.
    Over,
    /// The client does not take its response.
    Stuck,
}

/// When the clock is looked at next.
struct Look<'a> {
    alarm: Pin<&'a mut Sleep>,
    /// It wakes this task, the only one that a connection ever has: so there is no need to ask it at each turn.
    is_set: bool,
}

impl Shell {
    /// Answers what is simple, until something else comes, silence or the end. `rest` was read before.
    pub(super) async fn speak_directly(&self, transport: &mut Transport, mut rest: Bytes) -> Turn {
        let first = Clock::next_look(Instant::now(), park_after());
        let mut look = Look { alarm: pin!(sleep_until(first.into())), is_set: false };
        loop {
            let (mut head, ()) = Request::new(()).into_parts();
            let asked = poll_fn(|cx| match self.poll_asked(cx, transport, &mut rest, &mut head) {
                Poll::Pending => self.poll_due(cx, &mut look).map(Err),
                asked => asked,
            });
            let bytes = match asked.await {
                Ok(bytes) => bytes,
                Err(turn) => return turn,
            };
            let (clock, peer) = (self.clock.clone(), self.peer.clone());
            let mut answer = pin!(exchange::answer(self.current.get(), clock, peer, head, None));
            let mut at_once = true;
            let answered = poll_fn(|cx| {
                if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answered.map_err(|Abandoned| Turn::Over));
                }
                at_once = false;
                if self.poll_ahead(cx, transport, &mut rest).is_ready() {
                    return Poll::Ready(Err(Turn::Over));
                }
                self.poll_due(cx, &mut look).map(Err)
            });
            let (head, mut body) = match answered.await {
                Ok(response) => response.into_parts(),
                Err(turn) => return turn,
            };
            let now = || if at_once { self.clock.since() } else { Instant::now() };
            let output = poll_fn(|cx| Poll::Ready(Output::of(cx, &head, &mut body, now)));
            let Some(mut output) = output.await else {
                let both = [bytes, std::mem::take(&mut rest)].concat();
                let response = Response::from_parts(head, body);
                return Turn::Hyper(both.into(), Some(Box::new(response)));
            };
            drop(body);
            spare::keep(head.headers);
            let written = poll_fn(|cx| match self.poll_write(cx, transport, &mut output) {
                Poll::Pending => self.poll_due(cx, &mut look).map(Err),
                Poll::Ready(written) => Poll::Ready(written.map_err(|_| Turn::Over)),
            });
            if let Err(turn) = written.await {
                return turn;
            }
            if self.clock.closes() {
                return Turn::Over;
            }
            // What was read ahead would have to go with it.
            if rest.is_empty()
                && let Some(worker) = self.destination()
            {
                return Turn::Moves(worker);
            }
        }
    }

    /// Waits for the next request; its bytes.
    fn poll_asked(
        &self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
        rest: &mut Bytes,
        head: &mut Parts,
    ) -> Poll<Result<Bytes, Turn>> {
        if !rest.is_empty() {
            let whole = std::mem::take(rest);
            return Poll::Ready(match head::plain_get(&whole, head) {
                Some(bytes) => {
                    *rest = whole.slice(bytes.len()..);
                    Ok(bytes)
                }
                None => Err(Turn::Hyper(whole, None)),
            });
        }
        poll_input(cx, transport, |input| match input {
            Ok([]) | Err(_) => Err(Turn::Over),
            Ok(input) => match head::plain_get(input, head) {
                Some(bytes) => {
                    *rest = Bytes::copy_from_slice(input.get(bytes.len()..).unwrap_or_default());
                    Ok(bytes)
                }
                None => Err(Turn::Hyper(Bytes::copy_from_slice(input), None)),
            },
        })
    }

    /// While an answer is made: the client may send its next request meanwhile, or end its half. Ready when the
    /// connection is broken.
    fn poll_ahead(
        &self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
        rest: &mut Bytes,
    ) -> Poll<()> {
        while rest.is_empty() && !self.clock.is_ended() {
            if ready!(transport.poll_readable(cx)).is_err() {
                return Poll::Ready(());
            }
            let came = poll_input(cx, transport, |input| input.map(Bytes::copy_from_slice));
            match ready!(came) {
                Ok(came) if came.is_empty() => self.clock.note_end(),
                Ok(came) => *rest = came,
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Writes a response and ends its exchange.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
        output: &mut Output,
    ) -> Poll<io::Result<()>> {
        let before = (output.left(), transport.written());
        let written = output.poll_write(cx, transport);
        if written.is_ready() || before != (output.left(), transport.written()) {
            self.clock.write_goes();
        }
        if written.is_pending() {
            self.clock.write_blocks();
        }
        ready!(written)?;
        self.clock.flushed(cx);
        Poll::Ready(Ok(()))
    }

    /// Ready when it is time to give up.
    fn poll_due(&self, cx: &mut Context<'_>, look: &mut Look<'_>) -> Poll<Turn> {
        if look.is_set && !look.alarm.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            // Who has had enough for this turn is put off, and the alarm is not set.
            look.is_set = has_budget_remaining();
            ready!(look.alarm.as_mut().poll(cx));
            let now = Instant::now();
            match self.clock.due(now) {
                Due::Wait(time) => look.alarm.as_mut().reset(Clock::next_look(now, time).into()),
                Due::Park => return Poll::Ready(Turn::Silent),
                Due::WriteTimeout => return Poll::Ready(Turn::Stuck),
                Due::Gone | Due::HeadTimeout => return Poll::Ready(Turn::Over),
            }
        }
    }
}

/// Reads what has come, and has it looked at.
fn poll_input<T>(
    cx: &mut Context<'_>,
    transport: &mut Transport,
    look_at: impl FnOnce(io::Result<&[u8]>) -> T,
) -> Poll<T> {
    INPUT_BUFFER.with_borrow_mut(|input| {
        let mut input = ReadBuf::new(input);
        let read = ready!(Pin::new(transport).poll_read(cx, &mut input));
        Poll::Ready(look_at(read.map(|()| input.filled())))
    })
}

/// A response on its way.
struct Output {
    /// Its head, and what fits in with it.
    first: Vec<u8>,
    written: usize,
    /// The rest.
    rest: Bytes,
}

impl Output {
    /// `None` where it is not all there, or there is something special to it: then nothing is taken.
    fn of(
        cx: &mut Context<'_>,
        head: &http::response::Parts,
        body: &mut Sending,
        now: impl FnOnce() -> Instant,
    ) -> Option<Self> {
        let length = body.is_within(BODY)?;
        let mut output = Self { first: OUTPUT_BUFFER.take(), written: 0, rest: Bytes::new() };
        output.first.clear();
        response::write(head, length, now, &mut output.first)?;
        let whole = body.whole(cx, length)?;
        if whole.len() <= JOINED {
            output.first.extend_from_slice(&whole);
        } else {
            output.rest = whole;
        }
        Some(output)
    }

    /// How many bytes are still to be written.
    fn left(&self) -> usize {
        self.first.len() - self.written + self.rest.len()
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
    ) -> Poll<io::Result<()>> {
        let mut transport = Pin::new(transport);
        loop {
            let first = self.first.get(self.written..).unwrap_or_default();
            let written = match (first.is_empty(), self.rest.is_empty()) {
                (true, true) => break,
                (true, false) => transport.as_mut().poll_write(cx, &self.rest),
                (false, true) => transport.as_mut().poll_write(cx, first),
                (false, false) => {
                    let both = [IoSlice::new(first), IoSlice::new(&self.rest)];
                    transport.as_mut().poll_write_vectored(cx, &both)
                }
            };
            let count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_first = count.min(first.len());
            self.written += of_first;
            self.rest.advance(count - of_first);
        }
        transport.poll_flush(cx)
    }
}

/// The next response on this thread has use for the room.
impl Drop for Output {
    fn drop(&mut self) {
        if self.first.capacity() <= 2 * JOINED {
            OUTPUT_BUFFER.set(std::mem::take(&mut self.first));
        }
    }
}
