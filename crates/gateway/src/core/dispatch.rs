//! Who gets a message: the handler that has the least to answer, or the queue.

use brim_config::HandlerSection;
use brim_wire::link::{Class, Content, Reason};

use super::exchange::Body;
use super::handler::Queued;
use super::peer::{Kind, Mark, Peer};
use super::request::Pen;
use super::{Core, Key};

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) id: u32,
    pub(super) kind: Kind,
    /// Bytes of credit for the client when the handler's socket took it.
    pub(super) credit: usize,
}

impl Core {
    /// Writes a message of an exchange to a handler, to the one that got the last if it can take it.
    pub(super) fn dispatch(
        &mut self,
        wish: Wish,
        write: impl FnOnce(&Pen, &mut Vec<u8>),
    ) -> Result<(), Reason> {
        let exchange = self.exchanges.get(&wish.id).ok_or(Reason::GatewayFailed)?;
        let (place, sticky) = (exchange.handler, exchange.peer);
        self.send(place, sticky, wish, write)
    }

    /// Writes a message to a handler of a section.
    pub(super) fn send(
        &mut self,
        place: usize,
        sticky: Option<Key>,
        wish: Wish,
        write: impl FnOnce(&Pen, &mut Vec<u8>),
    ) -> Result<(), Reason> {
        let chosen = self.choose(place, sticky);
        let handler = self.handlers.get_mut(place).ok_or(Reason::GatewayFailed)?;
        if let Some(key) = chosen.filter(|_| handler.queue.is_empty())
            && let Some(peer) = self.peers.get_mut(&key)
        {
            let start = peer.out.end();
            write(&handler.pen, peer.out.buffer());
            let Wish { id, kind, credit } = wish;
            peer.marks.push_back(Mark { start, end: peer.out.end(), id, kind, credit });
            self.assigned(key, wish.id, wish.kind);
            return Ok(());
        }
        if handler.senders.is_empty() && handler.config.handler_wait.is_zero() {
            return Err(Reason::NoHandler);
        }
        if handler.queue_bytes >= handler.config.max_queue {
            return Err(Reason::Overload);
        }
        let mut bytes = Vec::new();
        write(&handler.pen, &mut bytes);
        let Wish { id, kind, credit } = wish;
        self.enqueue(place, Queued { id, kind, bytes, credit }, false);
        Ok(())
    }

    /// Puts a message into the queue, in front of the others if it was about to go already.
    pub(super) fn enqueue(&mut self, place: usize, queued: Queued, is_first: bool) {
        let Some(handler) = self.handlers.get_mut(place) else { return };
        let wait = match handler.senders.is_empty() {
            true => handler.config.handler_wait,
            false => handler.config.handler_timeout,
        };
        if queued.kind == Kind::Request
            && let Some(exchange) = self.exchanges.get_mut(&queued.id)
        {
            exchange.is_queued = true;
            let is_limited = handler.senders.is_empty() || !wait.is_zero();
            exchange.deadline = is_limited.then(|| self.now + wait);
        }
        self.held += queued.bytes.len();
        handler.queue_bytes += queued.bytes.len();
        if is_first {
            handler.queue.push_front(queued);
        } else {
            handler.queue.push_back(queued);
        }
    }

    /// The connection that gets the next message: the given one, or that with the least to answer. One that has
    /// no room gets none, one that has let somebody wait too long comes last.
    fn choose(&mut self, place: usize, sticky: Option<Key>) -> Option<Key> {
        let has_room = |key: &Key| self.peers.get(key).is_some_and(Peer::has_room);
        let handler = self.handlers.get_mut(place)?;
        if let Some(sticky) = sticky.filter(|key| handler.senders.contains(key) && has_room(key)) {
            return Some(sticky);
        }
        let count = handler.senders.len();
        handler.turn = if count == 0 { 0 } else { (handler.turn + 1) % count };
        let (early, late) = handler.senders.split_at_checked(handler.turn)?;
        late.iter().chain(early).copied().filter(has_room).min_by_key(|key| {
            let peer = self.peers.get(key);
            peer.map(|peer| {
                (peer.suspect_until.is_some_and(|until| until > self.now), peer.outstanding)
            })
        })
    }

    /// A message was given to a connection.
    fn assigned(&mut self, key: Key, id: u32, kind: Kind) {
        self.list(key);
        if kind == Kind::Notice {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if kind == Kind::Request {
            exchange.is_queued = false;
            let timeout = self.handlers.get(exchange.handler);
            let timeout = timeout.map(|handler| handler.config.handler_timeout);
            let is_waited_for =
                exchange.is_unanswered && exchange.answer_is_due() && exchange.is_body_over();
            exchange.deadline = timeout
                .filter(|timeout| is_waited_for && !timeout.is_zero())
                .map(|timeout| self.now + timeout);
        }
        let was_outstanding = exchange.is_outstanding;
        let before = exchange.peer.replace(key);
        let is_outstanding = (was_outstanding || kind == Kind::Request) && exchange.answer_is_due();
        exchange.is_outstanding = is_outstanding;
        let is_answered = exchange.is_unanswered && !exchange.answer_is_due();
        let is_moved = before != Some(key);
        if was_outstanding
            && (is_moved || !is_outstanding)
            && let Some(before) = before.and_then(|before| self.peers.get_mut(&before))
        {
            before.outstanding = before.outstanding.saturating_sub(1);
        }
        if is_outstanding
            && (is_moved || !was_outstanding)
            && let Some(peer) = self.peers.get_mut(&key)
        {
            peer.outstanding += 1;
        }
        if is_answered {
            self.answered(id);
        }
    }

    /// Gives out what waits, as long as somebody takes it.
    pub(super) fn drain_queue(&mut self, place: usize) {
        loop {
            let Some(handler) = self.handlers.get_mut(place) else { return };
            let Some(first) = handler.queue.front() else { return };
            let is_over = first.kind != Kind::Notice && !self.exchanges.contains_key(&first.id);
            let sticky = self.exchanges.get(&first.id).and_then(|exchange| exchange.peer);
            let chosen = if is_over { None } else { self.choose(place, sticky) };
            if chosen.is_none() && !is_over {
                return;
            }
            let Some(handler) = self.handlers.get_mut(place) else { return };
            let Some(queued) = handler.queue.pop_front() else { return };
            handler.queue_bytes -= queued.bytes.len();
            self.held -= queued.bytes.len();
            if let Some((key, peer)) =
                chosen.and_then(|key| self.peers.get_mut(&key).map(|peer| (key, peer)))
            {
                let start = peer.out.end();
                peer.out.buffer().extend_from_slice(&queued.bytes);
                let Queued { id, kind, credit, .. } = queued;
                peer.marks.push_back(Mark { start, end: peer.out.end(), id, kind, credit });
                self.assigned(key, id, kind);
            }
        }
    }

    /// A handler's socket took something.
    pub(super) fn peer_took(&mut self, key: Key) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let written = peer.out.written();
        let place = peer.handler;
        let mut credits = Vec::new();
        while let Some(mark) = peer.marks.front().filter(|mark| mark.end <= written) {
            if mark.credit > 0 {
                credits.push((mark.id, mark.credit));
            }
            peer.marks.pop_front();
        }
        credits.into_iter().for_each(|(id, credit)| self.grant(id, credit));
        if self.handlers.get(place).is_some_and(|handler| !handler.queue.is_empty()) {
            self.drain_queue(place);
        }
        while let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.has_room())
            && let Some(id) = peer.untold.iter().next().copied()
        {
            peer.untold.remove(&id);
            self.tell_credits(id);
        }
    }

    /// Lets a client send more if it has more, now that so many bytes have left us.
    pub(super) fn grant(&mut self, id: u32, bytes: usize) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.class == Class::Http && matches!(exchange.body, Body::Over) {
            return;
        }
        if let Some(granted) = exchange.receive.used(bytes)
            && let Some(link) = self.links.get_mut(&exchange.link)
        {
            link.frame(exchange.number, Content::Credit(granted));
            let key = exchange.link;
            self.list(key);
        }
    }

    /// The section of an exchange's handler.
    pub(super) fn config(&self, id: u32) -> Option<&HandlerSection> {
        let place = self.exchanges.get(&id)?.handler;
        self.handlers.get(place).map(|handler| &handler.config)
    }
}
