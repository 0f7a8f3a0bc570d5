//! The gateway without its sockets: what came in, what is to go out. Time is an argument.
//!
//! ```text
//! link: frames -> exchange -> dispatch: a peer, or the queue -> request: a message
//! peers: messages -> deliver: whom they are for -> answer: head, body -> link: frames
//! ```
//!
//! The shell hands over what a connection has sent ([`Core::received`]), writes what is to be written
//! ([`Core::output`], [`Core::wrote`]), does what [`FileOrder`]s say, and calls [`Core::tick`] now and then.

use std::time::{Duration, Instant, SystemTime};

use brim_config::{GatewaySection, Role};
use brim_service::LogLimit;
use brim_stats::WorkerStats;
use brim_wire::link::{Numbered, Reason};

mod answer;
mod chunks;
mod clock;
pub(crate) mod counters;
mod deliver;
mod dispatch;
mod end;
mod exchange;
mod handler;
mod ids;
mod link;
mod message;
mod outgoing;
mod peer;
mod peers;
mod repeat;
mod request;
mod start;
mod unfinished;
mod upload;

use counters::Counters;
use exchange::Exchange;
use handler::Handler;
use ids::Ids;
use link::Link;
use outgoing::Outgoing;
use peer::{Peer, Side};
use unfinished::Unfinished;

/// Names a connection, for ever.
pub(crate) type Key = u64;

/// Bytes of an exchange that a front end may send before it gets more credit.
const WINDOW: u32 = 64 * 1024;
/// Seconds after which a client may try again that found no handler.
const RETRY_AFTER: u16 = 5;

/// The state of a gateway.
#[derive(Debug)]
pub(crate) struct Core {
    section: GatewaySection,
    /// When what is going on happens.
    now: Instant,
    handlers: Vec<Handler>,
    links: Numbered<Key, Link>,
    peers: Numbered<Key, Peer>,
    exchanges: Numbered<u32, Exchange>,
    ids: Ids,
    next_key: Key,
    /// Connections with something to be written.
    listed: Vec<Key>,
    /// What is to be done with files.
    orders: Vec<FileOrder>,
    /// Whose the files are.
    tickets: Numbered<u64, u32>,
    counters: Counters,
    warnings: Warnings,
    /// Bytes that wait in exchanges and queues.
    held: usize,
    /// Bytes that wait to be written.
    outs: usize,
    unfinished: Unfinished,
    /// No new exchanges are taken.
    is_stopping: bool,
}

/// What the shell does with a file, in order for each ticket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileOrder {
    /// Make a file that is not there, and write to it.
    Create { ticket: u64, path: String, mode: u32, group: Option<String> },
    /// Write at its end.
    Write { ticket: u64, bytes: Vec<u8> },
    /// Open a file below a folder, to read it.
    Open { ticket: u64, root: std::path::PathBuf, path: Vec<u8> },
    /// Read what comes next, at most so much.
    Read { ticket: u64, bytes: usize },
    /// Nothing more is to be done with it; of a file that was made, whether it is to be removed.
    Close { ticket: u64, remove: bool },
}

/// What came of an order.
#[derive(Debug)]
pub(crate) enum FileEvent {
    Created,
    Written(usize),
    /// None at the end.
    Read(Vec<u8>),
    Failed(std::io::Error),
}

/// Limits for what strangers can have logged.
#[derive(Debug, Default)]
struct Warnings {
    links: LogLimit,
    peers: LogLimit,
    replies: LogLimit,
    exchanges: LogLimit,
}

/// A connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Core {
    pub(crate) fn new(
        section: GatewaySection,
        stats: &WorkerStats,
        now: Instant,
        today: SystemTime,
    ) -> Self {
        let mut core = Self {
            handlers: Vec::new(),
            links: Numbered::default(),
            peers: Numbered::default(),
            exchanges: Numbered::default(),
            ids: Ids::new(today),
            now,
            next_key: 1,
            listed: Vec::new(),
            orders: Vec::new(),
            tickets: Numbered::default(),
            counters: Counters::new(stats),
            warnings: Warnings::default(),
            held: 0,
            outs: 0,
            unfinished: Unfinished::default(),
            is_stopping: false,
            section: section.clone(),
        };
        core.configure(section, stats);
        core
    }

    /// Takes another configuration. Handlers keep their place, those that are gone too.
    pub(crate) fn configure(&mut self, section: GatewaySection, stats: &WorkerStats) {
        self.counters = Counters::new(stats);
        self.handlers.iter_mut().for_each(|handler| handler.is_served = false);
        for config in &section.handlers {
            let known = self.handlers.iter_mut().find(|known| known.config.name == config.name);
            match known {
                Some(known) => known.configure(config, stats),
                None => self.handlers.push(Handler::new(config, stats)),
            }
        }
        self.section = section;
        self.gauge();
    }

    /// A connection was accepted at a socket; `None` if nobody is met there any more.
    pub(crate) fn open(&mut self, role: Role, now: Instant) -> Option<Key> {
        self.now = now;
        let key = self.next_key;
        let side = |index: usize, side| {
            let name = &self.section.handlers.get(index)?.name;
            let place = self.handlers.iter().position(|handler| handler.config.name == *name)?;
            Some(Peer::new(side, place, now))
        };
        let peer = match role {
            Role::Link => {
                if self.links.len() >= self.section.max_links {
                    self.turn_away_link(&"a front end is turned away: there are max_links of them");
                    return None;
                }
                let mut link = Link::new(&self.section, self.is_stopping, now);
                link.out.is_closing = self.is_stopping;
                self.links.insert(key, link);
                None
            }
            _ if self.is_stopping => return None,
            Role::Send(index) => Some(side(index, Side::Send)?),
            Role::Recv(index) => Some(side(index, Side::Recv)?),
        };
        if let Some(peer) = peer {
            self.make_room(&peer)?;
            self.peers.insert(key, peer);
        }
        self.next_key += 1;
        self.gauge();
        self.list(key);
        Some(key)
    }

    /// Acts on what a connection has sent. `input` begins then with what is not whole.
    pub(crate) fn received(
        &mut self,
        key: Key,
        input: &mut &[u8],
        now: Instant,
    ) -> Result<(), Gone> {
        self.now = now;
        if self.links.contains_key(&key) {
            self.link_received(key, input)
        } else {
            self.peer_received(key, input)
        }
    }

    /// A connection is closed.
    pub(crate) fn closed(&mut self, key: Key, now: Instant) {
        self.now = now;
        self.left(key);
        let out = match (self.links.remove(&key), self.peers.remove(&key)) {
            (Some(link), _) => Some(link.out),
            (None, peer) => peer.map(|peer| peer.out),
        };
        if let Some(mut out) = out {
            out.wrote(usize::MAX);
            out.count(&mut self.outs);
        }
        self.kept(key, 0);
    }

    /// Connections that have something to be written since this was asked last.
    pub(crate) fn take_listed(&mut self) -> Vec<Key> {
        let listed = std::mem::take(&mut self.listed);
        for key in &listed {
            if let Some(out) = Self::out(&mut self.links, &mut self.peers, *key) {
                out.is_listed = false;
                out.count(&mut self.outs);
            }
        }
        listed
    }

    /// What is to be done with files since this was asked last.
    pub(crate) fn take_orders(&mut self) -> Vec<FileOrder> {
        std::mem::take(&mut self.orders)
    }

    /// What a connection is to be sent, and whether it is to be closed after it.
    pub(crate) fn output(&self, key: Key) -> (&[u8], bool) {
        let link = self.links.get(&key).map(|link| &link.out);
        let out = link.or_else(|| self.peers.get(&key).map(|peer| &peer.out));
        out.map_or((&[], true), |out| (out.unwritten(), out.is_closing))
    }

    /// So much of it was written.
    pub(crate) fn wrote(&mut self, key: Key, count: usize, now: Instant) {
        self.now = now;
        let Some(out) = Self::out(&mut self.links, &mut self.peers, key) else { return };
        out.wrote(count);
        out.count(&mut self.outs);
        if self.peers.contains_key(&key) {
            self.peer_took(key);
        }
    }

    /// Whether nobody is connected.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.peers.is_empty()
    }

    /// Has a connection written to.
    fn list(&mut self, key: Key) {
        if let Some(out) = Self::out(&mut self.links, &mut self.peers, key)
            && !out.is_listed
        {
            out.is_listed = true;
            self.listed.push(key);
        }
    }

    fn out<'a>(
        links: &'a mut Numbered<Key, Link>,
        peers: &'a mut Numbered<Key, Peer>,
        key: Key,
    ) -> Option<&'a mut Outgoing> {
        match links.get_mut(&key) {
            Some(link) => Some(&mut link.out),
            None => peers.get_mut(&key).map(|peer| &mut peer.out),
        }
    }

    /// Writes what is left and closes.
    fn close(&mut self, key: Key) {
        if let Some(out) = Self::out(&mut self.links, &mut self.peers, key) {
            out.is_closing = true;
        }
        self.left(key);
        self.list(key);
    }

    /// Closes at once, whatever is left to be written.
    fn cut(&mut self, key: Key) {
        self.close(key);
        if let Some(out) = Self::out(&mut self.links, &mut self.peers, key) {
            out.wrote(usize::MAX);
        }
    }

    /// Ends what depends on a connection that is closed, or about to be.
    fn left(&mut self, key: Key) {
        if self.links.contains_key(&key) {
            self.link_left(key);
        } else if self.peers.contains_key(&key) {
            self.peer_left(key);
        }
    }

    /// Whether nothing more may be taken in.
    fn is_full(&self) -> bool {
        // One message alone may be longer than the half: that keeps nobody out.
        let unfinished = self.unfinished.sum.min(self.section.max_memory / 2);
        self.held.saturating_add(self.outs).saturating_add(unfinished) > self.section.max_memory
    }

    /// Brings the counters of what there is now up to date.
    fn gauge(&self) {
        self.counters.links_open.set(self.links.len() as u64);
        self.counters.peers_open.set(self.peers.len() as u64);
        self.counters.exchanges_open.set(self.exchanges.len() as u64);
        self.counters.waiting_bytes.set((self.held + self.outs + self.unfinished.sum) as u64);
    }

    /// Whether somebody is ready who gets no requests yet.
    pub(crate) fn has_fresh(&self) -> bool {
        self.handlers.iter().any(|handler| !handler.fresh.is_empty())
    }

    /// How often the clocks are to be looked at.
    pub(crate) fn period(&self) -> Duration {
        if self.has_fresh() {
            return Duration::from_millis(10);
        }
        let times = self.section.handlers.iter();
        let times = times.flat_map(|handler| [handler.handler_wait, handler.handler_timeout]);
        let own = [self.section.handshake_timeout, self.section.heartbeat];
        let shortest = times.chain(own).filter(|time| !time.is_zero()).min();
        let quarter = shortest.unwrap_or(Duration::from_secs(4)) / 4;
        quarter.clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Counts why an exchange ends before its time, and tells of it.
    fn fault(&self, reason: Reason, handler: usize, what: &dyn std::fmt::Display) {
        self.counters.count(reason);
        if let Some(held_back) = self.warnings.exchanges.pass(self.now) {
            let handler = self.handlers.get(handler).map(|handler| handler.config.name.as_str());
            tracing::warn!(handler, held_back, "{what}");
        }
    }
}

#[cfg(test)]
mod tests;
