//! What happens because time has passed, and how the gateway stops.

use std::time::Instant;

use brim_wire::link::{GoAwayReason, Reason};

use super::end::Notice;
use super::start::why;
use super::{Core, Key};

impl Core {
    /// Looks at all clocks.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = now;
        self.settle();
        self.expire();
        let timeout = self.section.handshake_timeout;
        let links = self.links.iter().filter(|(_, link)| link.theirs.is_none());
        let links = links.map(|(key, link)| (*key, link.opened, None));
        let peers = self.peers.iter().filter(|(_, peer)| !peer.is_ready());
        let peers = peers.map(|(key, peer)| (*key, peer.opened, Some(peer.handler)));
        let silent: Vec<(Key, Option<usize>)> = links
            .chain(peers)
            .filter(|(_, opened, _)| now.saturating_duration_since(*opened) >= timeout)
            .map(|(key, _, place)| (key, place))
            .collect();
        for (key, place) in silent {
            let what = "a connection is closed: it has not said who it is in handshake_timeout";
            match place {
                Some(place) => self.turn_away(place, &what),
                None => self.turn_away_link(&what),
            }
            self.close(key);
        }
        self.beat();
        self.gauge();
    }

    /// Exchanges for which it is too late.
    fn expire(&mut self) {
        let late = self.exchanges.iter();
        let late =
            late.filter(|(_, one)| one.deadline.is_some_and(|deadline| deadline <= self.now));
        let late: Vec<u32> = late.map(|(id, _)| *id).collect();
        for id in late {
            let Some(exchange) = self.exchanges.get(&id) else { continue };
            let Some(handler) = self.handlers.get(exchange.handler) else { continue };
            let is_alone = exchange.is_queued && handler.senders.is_empty();
            let reason = if is_alone { Reason::NoHandler } else { Reason::HandlerTimeout };
            let until = self.now + handler.config.handler_timeout;
            if let Some(peer) = exchange.peer.and_then(|peer| self.peers.get_mut(&peer)) {
                peer.suspect_until = Some(until);
            }
            self.fail(id, reason, &why(reason), Notice::Yes);
        }
    }

    /// Asks silent handlers whether they are there, and lets those go that do not answer.
    fn beat(&mut self) {
        let heartbeat = self.section.heartbeat;
        let (mut asked, mut gone) = (Vec::new(), Vec::new());
        for (key, peer) in &mut self.peers {
            match peer.beat(heartbeat, self.now) {
                false => gone.push((*key, peer.handler)),
                true if peer.asked_at(self.now) => asked.push(*key),
                true => {}
            }
        }
        asked.into_iter().for_each(|key| self.list(key));
        for (key, place) in gone {
            self.turn_away(place, &"a handler is disconnected: it does not answer a PING");
            self.close(key);
        }
    }

    /// How many exchanges that began by then will end by themselves.
    // DRAIN: the gateway serves on, new exchanges too, until those are over that were open at the signal; then it
    // says goaway, new ones wait for the successor at the sockets, and what is left is ended.
    pub(crate) fn finite(&self, since: Instant) -> usize {
        let open = self.exchanges.values();
        open.filter(|exchange| exchange.began <= since && exchange.ends_by_itself()).count()
    }

    /// Takes no new exchanges, here or on links to come.
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
        let keys: Vec<Key> = self.links.keys().copied().collect();
        for key in keys {
            if let Some(link) = self.links.get_mut(&key) {
                link.go_away(GoAwayReason::Stops, "the gateway stops");
            }
            self.list(key);
        }
    }

    /// Ends what is open and tells the handlers.
    pub(crate) fn end_all(&mut self, now: Instant) {
        self.now = now;
        let ids: Vec<u32> = self.exchanges.keys().copied().collect();
        for id in ids {
            let is_fresh = self.exchanges.get(&id).is_some_and(|one| one.peer.is_none());
            let reason = if is_fresh { Reason::GatewayStops } else { Reason::HandlerLeft };
            self.end(id, Some(reason), Notice::Yes);
        }
    }

    /// Closes all connections when what waits for them is written.
    pub(crate) fn close_all(&mut self, now: Instant) {
        self.now = now;
        let keys: Vec<Key> = self.links.keys().chain(self.peers.keys()).copied().collect();
        keys.into_iter().for_each(|key| self.close_gently(key));
    }

    fn close_gently(&mut self, key: Key) {
        if let Some(out) = Self::out(&mut self.links, &mut self.peers, key) {
            out.is_closing = true;
        }
        if self.links.contains_key(&key) {
            self.left(key);
        }
        self.list(key);
    }
}
