//! The peer table: who may come, who is ready, who is let go.

use brim_config::GatewaySection;

use super::peer::{Heard, Peer, Side};
use super::{Core, Gone, Key};

impl Core {
    /// Whether one more connection may come to an endpoint; the oldest that has not said who it is goes.
    pub(super) fn make_room(&mut self, new: &Peer) -> Option<()> {
        let GatewaySection { max_peers, max_handshakes, .. } = self.section;
        let mine = |peer: &Peer| {
            peer.handler == new.handler && peer.side == new.side && !peer.out.is_closing
        };
        let peers = self.peers.iter().filter(|(_, peer)| mine(peer));
        let (mut ready, mut strange, mut oldest) = (0, 0, None);
        for (key, peer) in peers {
            if peer.is_ready() {
                ready += 1;
            } else {
                strange += 1;
                oldest = oldest.min(Some((peer.opened, *key))).or(Some((peer.opened, *key)));
            }
        }
        if ready >= max_peers {
            self.turn_away(new.handler, &"a handler is turned away: there are max_peers of them");
            return None;
        }
        if strange >= max_handshakes
            && let Some((_, key)) = oldest
        {
            let what = "a connection of max_handshakes is closed: it has not said who it is";
            self.turn_away(new.handler, &what);
            self.close(key);
        }
        Some(())
    }

    pub(super) fn peer_received(&mut self, key: Key, input: &mut &[u8]) -> Result<(), Gone> {
        loop {
            let Some(peer) = self.peers.get_mut(&key) else { return Err(Gone) };
            if peer.out.is_closing {
                *input = &[];
                return Ok(());
            }
            peer.heard = self.now;
            let (place, side) = (peer.handler, peer.side);
            let Some(handler) = self.handlers.get_mut(place) else { return Err(Gone) };
            let limits = (self.section.max_parts, handler.config.max_reply);
            let heard = peer.hear(input, limits, &handler.config.recv_ident);
            let is_waiting = peer.out.waiting() > 0;
            if is_waiting {
                self.list(key);
            }
            match heard {
                Ok(None) => return Ok(()),
                Ok(Some(Heard::Message(message))) => self.reply(place, message),
                Ok(Some(Heard::Ready)) => self.peer_ready(key, place, side),
                Err(error) => {
                    self.turn_away(place, &format_args!("a handler is disconnected: {error}"));
                    self.close(key);
                }
            }
        }
    }

    fn peer_ready(&mut self, key: Key, place: usize, side: Side) {
        let Some(handler) = self.handlers.get_mut(place) else { return };
        tracing::debug!(handler = handler.config.name, ?side, "a handler connected");
        match side {
            Side::Send => handler.fresh.push((key, self.now)),
            Side::Recv => handler.receivers.push((key, self.now)),
        }
        self.settle();
    }

    /// Lets those handlers have requests that can answer.
    pub(super) fn settle(&mut self) {
        for place in 0..self.handlers.len() {
            while let Some(handler) = self.handlers.get_mut(place)
                && let Some(key) = handler.settled(self.now)
            {
                handler.senders.push(key);
                handler.open.set(handler.senders.len() as u64);
                self.drain_queue(place);
            }
        }
    }

    /// Counts a handler that is let go, and tells of it.
    pub(super) fn turn_away(&self, place: usize, what: &dyn std::fmt::Display) {
        self.counters.bad_peer_count.incr();
        if let Some(held_back) = self.warnings.peers.pass(self.now) {
            let handler = self.handlers.get(place).map(|handler| handler.config.name.as_str());
            tracing::warn!(handler, held_back, "{what}");
        }
    }
}
