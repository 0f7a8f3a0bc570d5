use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use brim_wire::link::{Cancel, Content, Reason};

use super::call::{Answer, Call, Failure, Piece};
use super::line::Line;
use super::pieces::Pieces;

/// What a message has beside its bytes, without its path.
const MESSAGE_FIELDS: usize = 3;

/// An exchange that is under way, for whoever began it. Dropping it cancels it, if it is not over.
pub(in crate::apps::handler) struct Open {
    line: Rc<Line>,
    call: Rc<Call>,
    reason: Cell<Reason>,
}

impl Open {
    pub(super) fn new(line: Rc<Line>, call: Rc<Call>) -> Self {
        Self { line, call, reason: Cell::new(Reason::ClientLeft) }
    }

    /// Waits for the answer.
    pub(in crate::apps::handler) fn poll_answer(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        self.call.poll_answer(cx)
    }

    /// Waits for what comes next.
    pub(in crate::apps::handler) fn poll_piece(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Piece, Failure>> {
        self.call.poll_piece(cx)
    }

    /// Whether the rest of its message follows the piece that was taken last.
    pub(in crate::apps::handler) fn is_cut(&self) -> bool {
        self.call.is_cut()
    }

    /// Whether nothing follows what was taken, and whether that closes the client's connection.
    pub(in crate::apps::handler) fn all_taken(&self) -> Option<bool> {
        self.call.all_taken()
    }

    /// Whether the gateway has said all, and whether that closes the client's connection.
    pub(in crate::apps::handler) fn ended(&self) -> Option<bool> {
        self.call.ended()
    }

    /// All that waits, where nothing follows it.
    pub(in crate::apps::handler) fn take_all(&self) -> Pieces {
        self.call.take_all()
    }

    /// Bytes have left our memory, and the gateway may send as many more.
    pub(in crate::apps::handler) fn used(&self, bytes: usize) {
        if let Some(granted) = self.call.used(bytes)
            && self.is_under_way()
        {
            self.line.send(self.call.id, Content::Credit(granted));
        }
    }

    /// Whether somebody said that the client is alive since the last question.
    pub(in crate::apps::handler) fn was_touched(&self) -> bool {
        self.call.was_touched()
    }

    /// Whether both sides still have something to say.
    pub(in crate::apps::handler) fn is_under_way(&self) -> bool {
        !self.call.is_failed() && self.call.ended().is_none()
    }

    /// Waits until data of at least `least` bytes may be sent; how many.
    pub(in crate::apps::handler) fn poll_credit(
        &self,
        cx: &mut Context<'_>,
        least: u32,
    ) -> Poll<usize> {
        std::task::ready!(self.line.poll_room(cx));
        let credit = std::task::ready!(self.call.poll_credit(cx, least));
        Poll::Ready(credit.min(self.line.payload()))
    }

    /// Sends a piece of the body, for which there has to be credit.
    pub(in crate::apps::handler) fn data(&self, bytes: &[u8], end: bool) {
        if !self.is_under_way() {
            return;
        }
        self.call.spend(bytes.len());
        self.line.send_data(self.call.id, bytes, end);
    }

    /// Sends a piece of a message, for which there has to be credit: [`message_bytes`] of it.
    pub(in crate::apps::handler) fn message(
        &self,
        flags: u8,
        path: &[u8],
        bytes: &[u8],
        more: bool,
    ) {
        if self.is_under_way() {
            self.call.spend(message_bytes(path) + bytes.len());
            self.line.send(self.call.id, Content::Message { flags, path, bytes, more });
        }
    }

    /// Why it is cancelled, should it be dropped before its end.
    pub(in crate::apps::handler) fn blame(&self, reason: Reason) {
        self.reason.set(reason);
    }

    /// Ends it now.
    pub(in crate::apps::handler) fn cancel(&self, reason: Reason) {
        self.let_go(reason);
        self.call.fail(Failure::Dropped);
    }

    /// Tells the gateway, if it is not over for that.
    fn let_go(&self, reason: Reason) {
        if self.is_under_way() {
            self.line.forget(self.call.id);
            let cancel = Cancel { reason, retry_after: 0 };
            self.line.send(self.call.id, Content::Cancel(cancel));
        }
    }
}

/// What a piece of a message takes of the credit beside its bytes.
pub(in crate::apps::handler) fn message_bytes(path: &[u8]) -> usize {
    MESSAGE_FIELDS + path.len()
}

impl Drop for Open {
    fn drop(&mut self) {
        // Nobody else waits for what would come.
        self.let_go(self.reason.get());
        if !self.line.is_open() {
            // It may have been the last one.
            self.line.wake();
        }
    }
}
