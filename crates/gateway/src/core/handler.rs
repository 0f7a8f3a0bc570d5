use std::collections::VecDeque;
use std::time::{Duration, Instant};

use brim_config::{HandlerSection, Protocol};
use brim_stats::{Counter, WorkerStats};
use brim_wire::request::Encoding;
use brim_wire::{OwnedSender, Sender};

use super::Key;
use super::answer::LastHead;
use super::peer::Kind;
use super::request::Pen;

/// A section of handlers: who is connected, what waits for them.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) config: HandlerSection,
    pub(crate) pen: Pen,
    /// Whether the configuration still has it.
    pub(crate) is_served: bool,
    /// The connections that fetch requests and get some.
    pub(crate) senders: Vec<Key>,
    /// Those that will, and since when they are ready.
    pub(crate) fresh: Vec<(Key, Instant)>,
    /// The connections that publish replies, and since when they are ready.
    pub(crate) receivers: Vec<(Key, Instant)>,
    /// Whose turn it is among equals.
    pub(crate) turn: usize,
    /// What nobody could take yet.
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) queue_bytes: usize,
    pub(crate) last_head: LastHead,
    /// Exchanges whose answer has not begun.
    pub(crate) unanswered: usize,
    pub(crate) requests: Counter,
    pub(crate) open: Counter,
}

/// A message that waits for somebody to take it.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    pub(crate) credit: usize,
}

impl Handler {
    pub(crate) fn new(config: &HandlerSection, stats: &WorkerStats) -> Self {
        Self {
            pen: pen(config),
            is_served: true,
            senders: Vec::new(),
            fresh: Vec::new(),
            receivers: Vec::new(),
            turn: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
            last_head: LastHead::default(),
            unanswered: 0,
            requests: stats.counter(&format!("{}.request_count", config.name)),
            open: stats.counter(&format!("{}.peers_open", config.name)),
            config: config.clone(),
        }
    }

    pub(crate) fn configure(&mut self, config: &HandlerSection, stats: &WorkerStats) {
        let old = std::mem::replace(self, Self::new(config, stats));
        self.senders = old.senders;
        self.fresh = old.fresh;
        self.receivers = old.receivers;
        self.turn = old.turn;
        self.queue = old.queue;
        self.queue_bytes = old.queue_bytes;
        self.unanswered = old.unanswered;
        self.open.set(self.senders.len() as u64);
    }
}

impl Handler {
    /// The next connection that may get requests from now on.
    ///
    /// What a PUB socket sends before it has read our subscription is lost. A handler connects both its sockets at
    /// about the same time, so that a request waits until there are as many of the one kind as of the other; but
    /// not for long, for replies may come from somebody else.
    pub(crate) fn settled(&mut self, now: Instant) -> Option<Key> {
        let age = |since: Instant| now.saturating_duration_since(since);
        let (key, since) = *self.fresh.first()?;
        let subscribed = self.receivers.iter().filter(|(_, since)| age(*since) >= SUBSCRIBED);
        if subscribed.count() > self.senders.len() || age(since) >= ALONE {
            self.fresh.remove(0);
            return Some(key);
        }
        None
    }
}

/// How long a handler takes at most to act on our subscription.
const SUBSCRIBED: Duration = Duration::from_millis(20);
/// How long a connection that fetches requests waits for one that publishes.
const ALONE: Duration = Duration::from_millis(500);

fn pen(config: &HandlerSection) -> Pen {
    Pen {
        sender: Sender::new(config.send_ident.as_bytes()).ok().map(OwnedSender::from),
        encoding: match config.protocol {
            Protocol::Json => Encoding::Json,
            Protocol::Tnetstring => Encoding::Tnetstring,
        },
        download_credits: config.download_credits,
    }
}
