use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use brim_service::Wake;
use brim_wire::link::{Cancel, Class, LinkError, ReceiveCredit, ResponseHead, SendCredit};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::pieces::Pieces;
use crate::client::Presence;

/// An exchange as the link sees it: what came for it and waits, and what credit it has.
pub(in crate::apps::handler) struct Call {
    /// Its number on the link.
    pub(super) id: u64,
    /// Where its request begins in what the link has ever been given to write.
    pub(super) start: u64,
    class: Class,
    pub(super) client: Rc<Presence>,
    state: RefCell<State>,
}

struct State {
    answer: Option<Answer>,
    answered: bool,
    pieces: Pieces,
    /// Of socket messages: whether the rest of its message follows each piece.
    cuts: VecDeque<bool>,
    /// The same of the piece that was taken last.
    is_cut: bool,
    end: Option<End>,
    failure: Option<Failure>,
    touched: bool,
    send: SendCredit,
    receive: ReceiveCredit,
    /// Who waits for what comes.
    reader: Wake,
    /// Who waits for credit.
    writer: Wake,
}

/// What begins an answer.
#[derive(Debug)]
pub(in crate::apps::handler) struct Answer {
    pub(in crate::apps::handler) status: u16,
    /// Empty if it is the usual one.
    pub(in crate::apps::handler) reason: Bytes,
    pub(in crate::apps::handler) length: Option<u64>,
    /// Without those about the connection.
    pub(in crate::apps::handler) headers: HeaderMap,
    pub(in crate::apps::handler) is_upgrade: bool,
}

/// What follows a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// Perhaps another one.
    Another,
    /// The rest of its message.
    Rest,
    /// Nothing; whether the client's connection is closed then.
    End { close: bool },
}

/// The gateway has said all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    close: bool,
}

/// What comes next.
#[derive(Debug)]
pub(in crate::apps::handler) enum Piece {
    Bytes(Bytes),
    /// Nothing more; whether the client's connection is closed then.
    End {
        close: bool,
    },
}

/// An exchange came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::apps::handler) enum Failure {
    /// The gateway says why.
    Cancelled(Cancel),
    /// The link is gone; `unread`: nobody can have seen the request.
    Lost { unread: bool },
    /// The client's side has ended it.
    Dropped,
}

/// A frame that may not be there.
const MISPLACED: &str = "a frame in its place in an exchange";

impl Call {
    pub(super) fn new(
        id: u64,
        start: u64,
        class: Class,
        client: Rc<Presence>,
        (theirs, ours): (u32, u32),
    ) -> Self {
        let state = State {
            answer: None,
            answered: matches!(class, Class::Json | Class::Xml),
            pieces: Pieces::default(),
            cuts: VecDeque::new(),
            is_cut: false,
            end: None,
            failure: None,
            touched: false,
            send: SendCredit::new(theirs),
            receive: ReceiveCredit::new(ours),
            reader: Wake::default(),
            writer: Wake::default(),
        };
        Self { id, start, class, client, state: RefCell::new(state) }
    }

    /// The answer begins: without headers if they cannot be sent. `end` is there if nothing follows, and says
    /// whether the client's connection is closed then.
    pub(super) fn answer(
        &self,
        head: &ResponseHead<'_>,
        headers: Option<HeaderMap>,
        end: Option<bool>,
        is_upgrade: bool,
    ) -> Result<(), LinkError> {
        let mut state = self.state.borrow_mut();
        if state.answered || (is_upgrade && self.class != Class::WebSocket) {
            return Err(misplaced());
        }
        state.answered = true;
        let Some(headers) = headers else {
            // What cannot be sent to a client is the handler's fault, not the link's.
            drop(state);
            self.fail(Failure::Cancelled(Cancel {
                reason: brim_wire::link::Reason::HandlerBroke,
                retry_after: 0,
            }));
            return Ok(());
        };
        state.answer = Some(Answer {
            status: head.status,
            reason: unusual(head),
            length: head.length,
            headers,
            is_upgrade,
        });
        state.end = end.map(|close| End { close });
        state.reader.wake();
        Ok(())
    }

    /// Bytes of a data frame.
    pub(super) fn data(&self, bytes: Bytes, follows: Follows) -> Result<(), LinkError> {
        let mut state = self.state.borrow_mut();
        let has_messages = matches!(self.class, Class::Json | Class::Xml);
        if !state.answered || state.end.is_some() || follows == Follows::Rest && !has_messages {
            return Err(misplaced());
        }
        state.receive.received(bytes.len())?;
        if !bytes.is_empty() {
            state.pieces.push(bytes);
            if has_messages {
                state.cuts.push_back(follows == Follows::Rest);
            }
        }
        if let Follows::End { close } = follows {
            state.end = Some(End { close });
        }
        state.reader.wake();
        Ok(())
    }

    pub(super) fn grant(&self, bytes: u32) -> Result<(), LinkError> {
        let mut state = self.state.borrow_mut();
        state.send.grant(bytes)?;
        state.writer.wake();
        Ok(())
    }

    pub(super) fn touch(&self) {
        let mut state = self.state.borrow_mut();
        state.touched = true;
        state.reader.wake();
    }

    /// It comes to nothing, and what waits for the client is worth nothing any more.
    pub(super) fn fail(&self, failure: Failure) {
        let mut state = self.state.borrow_mut();
        if state.failure.is_none() {
            state.failure = Some(failure);
            state.answer = None;
            state.pieces = Pieces::default();
            state.cuts.clear();
        }
        state.reader.wake();
        state.writer.wake();
    }

    /// Waits for the answer.
    pub(super) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        let mut state = self.state.borrow_mut();
        if let Some(failure) = state.failure {
            return Poll::Ready(Err(failure));
        }
        match state.answer.take() {
            Some(answer) => Poll::Ready(Ok(answer)),
            None => state.wait_to_read(cx),
        }
    }

    /// Waits for what comes next.
    pub(super) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        let mut state = self.state.borrow_mut();
        if let Some(failure) = state.failure {
            return Poll::Ready(Err(failure));
        }
        match (state.pieces.pop(), state.end) {
            (Some(piece), _) => {
                state.is_cut = state.cuts.pop_front().unwrap_or(false);
                Poll::Ready(Ok(Piece::Bytes(piece)))
            }
            (None, Some(End { close })) => Poll::Ready(Ok(Piece::End { close })),
            (None, None) => state.wait_to_read(cx),
        }
    }

    /// Whether the rest of its message follows the piece that was taken last.
    pub(super) fn is_cut(&self) -> bool {
        self.state.borrow().is_cut
    }

    /// Whether nothing follows what was taken, and whether that closes the client's connection.
    pub(super) fn all_taken(&self) -> Option<bool> {
        let state = self.state.borrow();
        state.end.filter(|_| state.pieces.is_empty()).map(|end| end.close)
    }

    /// Whether the gateway has said all, and whether that closes the client's connection.
    pub(super) fn ended(&self) -> Option<bool> {
        self.state.borrow().end.map(|end| end.close)
    }

    /// All that waits, where nothing follows it.
    pub(super) fn take_all(&self) -> Pieces {
        std::mem::take(&mut self.state.borrow_mut().pieces)
    }

    /// Bytes that have left our memory; what to grant for them.
    pub(super) fn used(&self, bytes: usize) -> Option<u32> {
        self.state.borrow_mut().receive.used(bytes)
    }

    /// Whether somebody said that the client is alive since the last question.
    pub(super) fn was_touched(&self) -> bool {
        std::mem::take(&mut self.state.borrow_mut().touched)
    }

    pub(super) fn is_failed(&self) -> bool {
        self.state.borrow().failure.is_some()
    }

    /// Waits until at least so many bytes may be sent; how many.
    pub(super) fn poll_credit(&self, cx: &mut Context<'_>, least: u32) -> Poll<usize> {
        let state = self.state.borrow();
        let left = state.send.left();
        if left >= least {
            return Poll::Ready(left as usize);
        }
        state.writer.keep(cx);
        Poll::Pending
    }

    /// Takes credit for what is sent.
    pub(super) fn spend(&self, bytes: usize) {
        let taken = self.state.borrow_mut().send.take(bytes);
        debug_assert!(taken == bytes, "more was sent than there was credit for");
    }
}

impl State {
    fn wait_to_read<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.reader.keep(cx);
        Poll::Pending
    }
}

pub(super) fn misplaced() -> LinkError {
    LinkError::Unexpected { at: 1, found: brim_wire::Found::Bytes(1), expected: MISPLACED }
}

/// The reason phrase, if it is not that which a status has anyway.
fn unusual(head: &ResponseHead<'_>) -> Bytes {
    let usual = StatusCode::from_u16(head.status).ok().and_then(|status| status.canonical_reason());
    match usual.is_some_and(|usual| usual.as_bytes() == head.reason) {
        true => Bytes::new(),
        false => Bytes::copy_from_slice(head.reason),
    }
}
