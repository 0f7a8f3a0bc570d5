//! How exchanges end.

use brim_wire::link::Reason;

use super::dispatch::Wish;
use super::exchange::{Body, Exchange, Item};
use super::peer::Kind;
use super::start::why;
use super::{Core, FileOrder, Key, RETRY_AFTER};

/// Whether the handler that got something of an exchange last is told that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Yes,
    /// It has ended the exchange itself.
    No,
}

impl Core {
    /// An exchange is over: with a reason before its time, without one because the front end said so.
    pub(super) fn end(&mut self, id: u32, reason: Option<Reason>, notice: Notice) {
        let Some(exchange) = self.remove(id) else { return };
        if let Some(reason) = reason
            && let Some(link) = self.links.get_mut(&exchange.link)
        {
            let retry_after = match reason {
                Reason::NoHandler | Reason::Overload => RETRY_AFTER,
                _ => 0,
            };
            link.cancel(exchange.number, reason, retry_after);
            self.list(exchange.link);
        }
        let (place, peer) = (exchange.handler, exchange.peer);
        match notice {
            Notice::Yes if self.ids.is_kept(id) => self.withdraw(id),
            Notice::Yes if peer.is_some() => self.tell_of(id, place, peer),
            Notice::No if peer.is_some() => self.ids.part(id, place),
            _ => {}
        }
    }

    /// Takes the id of a client's connection back, and tells the handlers. Should the connection still be
    /// there, it gets another one.
    pub(super) fn withdraw(&mut self, id: u32) {
        self.ids
            .release(id)
            .into_iter()
            .for_each(|(place, peer)| self.tell_of(id, place, Some(peer)));
    }

    /// Tells a handler that there is nobody of this id.
    pub(super) fn tell_of(&mut self, id: u32, place: usize, peer: Option<Key>) {
        self.counters.notice_count.incr();
        let wish = Wish { id, kind: Kind::Notice, credit: 0 };
        // Nobody is left to be told, or too much waits: then there is no telling.
        let _ = self.send(place, peer, wish, |pen, out| pen.disconnect(out, id));
    }

    /// Ends an exchange before its time, counts that and tells of it.
    pub(super) fn fail(
        &mut self,
        id: u32,
        reason: Reason,
        what: &dyn std::fmt::Display,
        notice: Notice,
    ) {
        let place = self.exchanges.get(&id).map_or(usize::MAX, |exchange| exchange.handler);
        self.fault(reason, place, what);
        self.end(id, Some(reason), notice);
    }

    /// An exchange ended with the handler's answer, whose end was sent.
    pub(super) fn finish(&mut self, id: u32) {
        let Some(exchange) = self.remove(id).filter(|exchange| exchange.is_unanswered) else {
            return;
        };
        if let Some(peer) = exchange.peer.and_then(|peer| self.peers.get_mut(&peer)) {
            peer.suspect_until = None;
        }
    }

    /// The same, where the handler has said that it wants the client gone.
    pub(super) fn finish_for_good(&mut self, id: u32, place: usize) {
        self.remove(id);
        self.ids.part(id, place);
    }

    /// The head of an answer was sent, or none is due.
    pub(super) fn answered(&mut self, id: u32) {
        let Some(exchange) = self.exchanges.get_mut(&id).filter(|one| one.is_unanswered) else {
            return;
        };
        exchange.is_unanswered = false;
        exchange.deadline = None;
        if let Some(handler) = self.handlers.get_mut(exchange.handler) {
            handler.unanswered = handler.unanswered.saturating_sub(1);
        }
        let peer = exchange.peer.and_then(|peer| self.peers.get_mut(&peer));
        if let Some(peer) = peer {
            peer.suspect_until = None;
            if !exchange.answer_is_due() && std::mem::take(&mut exchange.is_outstanding) {
                peer.outstanding = peer.outstanding.saturating_sub(1);
            }
        }
    }

    fn remove(&mut self, id: u32) -> Option<Exchange> {
        let exchange = self.exchanges.remove(&id)?;
        if let Some(link) = self.links.get_mut(&exchange.link) {
            link.exchanges.remove(&exchange.number);
        }
        if let Some(handler) = self.handlers.get_mut(exchange.handler) {
            handler.unanswered -= usize::from(exchange.is_unanswered).min(handler.unanswered);
            let bytes = handler.queue_bytes;
            if exchange.is_queued && bytes > handler.config.max_queue / 2 {
                let exchanges = &self.exchanges;
                handler
                    .queue
                    .retain(|one| one.kind == Kind::Notice || exchanges.contains_key(&one.id));
                handler.queue_bytes = handler.queue.iter().map(|one| one.bytes.len()).sum();
                self.held = self.held.saturating_sub(bytes - handler.queue_bytes);
            }
        }
        if exchange.is_outstanding
            && let Some(peer) = exchange.peer.and_then(|peer| self.peers.get_mut(&peer))
        {
            peer.outstanding = peer.outstanding.saturating_sub(1);
        }
        if let Some(peer) = exchange.peer {
            self.ids.meet(id, (exchange.handler, peer));
        }
        self.let_go(&exchange);
        Some(exchange)
    }

    /// Frees what an exchange had.
    fn let_go(&mut self, exchange: &Exchange) {
        let body = match &exchange.body {
            Body::Inline { bytes, .. } => bytes.len(),
            Body::Stream(upload) => upload.pending.len(),
            Body::File(upload) => {
                self.close_file(upload.ticket, true);
                upload.unwritten
            }
            Body::Over | Body::Discard => 0,
        };
        for item in &exchange.waiting {
            if let Item::File { ticket, .. } = item {
                self.close_file(*ticket, false);
            }
        }
        let message = exchange.message.as_ref().map_or(0, |message| message.bytes.len());
        let head = exchange.head.as_ref().map_or(0, |head| head.len());
        self.held = self.held.saturating_sub(body + message + head + exchange.waiting_bytes);
    }

    pub(super) fn close_file(&mut self, ticket: u64, remove: bool) {
        if self.tickets.remove(&ticket).is_some() {
            self.orders.push(FileOrder::Close { ticket, remove });
        }
    }

    /// A handler's connection is gone: what it has not read goes to another one, what it had is over.
    pub(super) fn peer_left(&mut self, key: Key) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let marks = std::mem::take(&mut peer.marks);
        let untold = std::mem::take(&mut peer.untold);
        let place = peer.handler;
        let mut unread = Vec::new();
        for mark in marks {
            // Nothing of it may have been written, and the end of one is the start of the next.
            let bytes = peer.out.slice(mark.start, mark.end).map(<[u8]>::to_vec);
            unread.extend(bytes.map(|bytes| (mark, bytes)));
        }
        if peer.is_ready() {
            // What another one gets must not go here, too.
            peer.out.wrote(usize::MAX);
        }
        let Some(handler) = self.handlers.get_mut(place) else { return };
        let count = handler.senders.len();
        handler.fresh.retain(|(fresh, _)| *fresh != key);
        handler.receivers.retain(|(receiver, _)| *receiver != key);
        handler.senders.retain(|sender| *sender != key);
        handler.open.set(handler.senders.len() as u64);
        if handler.senders.len() == count {
            return;
        }
        self.requeue(place, unread);
        let theirs = self.exchanges.iter_mut().filter(|(_, one)| one.peer == Some(key));
        let mut over = Vec::new();
        for (id, exchange) in theirs {
            exchange.peer = None;
            exchange.is_outstanding = false;
            if exchange.answer_is_due() {
                over.push(*id);
            }
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.outstanding = 0;
        }
        for id in over {
            let reason = Reason::HandlerLeft;
            self.fail(id, reason, &why(reason), Notice::No);
        }
        self.drain_queue(place);
        self.abandon_queue(place);
        untold.into_iter().for_each(|id| self.tell_credits(id));
    }

    /// Puts what a connection has not read in front of what waits.
    fn requeue(&mut self, place: usize, unread: Vec<(super::peer::Mark, Vec<u8>)>) {
        let is_kept = |mark: &super::peer::Mark| mark.kind != Kind::Notice;
        for (mark, bytes) in unread.into_iter().rev().filter(|(mark, _)| is_kept(mark)) {
            let Some(exchange) = self.exchanges.get_mut(&mark.id) else { continue };
            if mark.kind == Kind::Request {
                let peer = exchange.peer.take();
                if std::mem::take(&mut exchange.is_outstanding)
                    && let Some(peer) = peer.and_then(|peer| self.peers.get_mut(&peer))
                {
                    peer.outstanding = peer.outstanding.saturating_sub(1);
                }
            }
            let queued =
                super::handler::Queued { id: mark.id, kind: mark.kind, bytes, credit: mark.credit };
            self.enqueue(place, queued, true);
        }
    }

    /// Nobody is left: what waits has a handler's absence to wait for, or is over at once.
    fn abandon_queue(&mut self, place: usize) {
        let Some(handler) = self.handlers.get(place) else { return };
        if !handler.senders.is_empty() {
            return;
        }
        let wait = handler.config.handler_wait;
        let ids: Vec<u32> = handler.queue.iter().map(|one| one.id).collect();
        for id in ids {
            let Some(exchange) = self.exchanges.get_mut(&id) else { continue };
            let late = self.now + wait;
            exchange.deadline = Some(exchange.deadline.map_or(late, |known| known.min(late)));
            if wait.is_zero() {
                let reason = Reason::NoHandler;
                self.fail(id, reason, &why(reason), Notice::No);
            }
        }
        if wait.is_zero()
            && let Some(handler) = self.handlers.get_mut(place)
        {
            self.held = self.held.saturating_sub(handler.queue_bytes);
            handler.queue_bytes = 0;
            handler.queue.clear();
        }
    }
}
