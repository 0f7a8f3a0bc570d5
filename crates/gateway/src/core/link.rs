//! A front end's connection, and what its frames mean.

use std::time::Instant;

use brim_config::GatewaySection;
use brim_wire::link::{
    Cancel, Content, Frame, FrameDecoder, GoAway, GoAwayReason, HEADER_BYTES, HIGHEST, Hello,
    LOWEST, Limits, LinkError, Numbered, Reason, Side,
};

use super::end::Notice;
use super::outgoing::{Outgoing, Unread};
use super::peer::PONG_ROOM;
use super::{Core, Gone, Key, WINDOW};

/// Payloads that we take: a front end's `head_limit` is at most half of it.
const PAYLOAD: u32 = 2 * 1024 * 1024;
/// Headers of a request: more than a front end's `header_limit` can be.
const REQUEST_HEADERS: usize = 1100;

/// Bytes of an answer to a ping.
const PONG_BYTES: usize = HEADER_BYTES + 8;
/// Bytes of cancels that may wait for a front end: they have no credit.
const REFUSALS: usize = 1024 * 1024;

/// The limits of a front end's frames.
pub(crate) const LIMITS: Limits = Limits { payload: PAYLOAD as usize, headers: REQUEST_HEADERS };

/// A front end's worker.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) out: Outgoing,
    decoder: FrameDecoder,
    /// What it has said of itself.
    pub(crate) theirs: Option<Theirs>,
    /// Its exchanges that are open, and their ids.
    pub(crate) exchanges: Numbered<u64, u32>,
    /// The exchange that it began last.
    pub(crate) last: u64,
    /// The last exchange that we take, once we take no more.
    pub(crate) goaway: Option<u64>,
    pub(crate) opened: Instant,
    pongs: Unread,
    refusals: Unread,
}

/// What a front end allows.
#[derive(Debug)]
pub(crate) struct Theirs {
    pub(crate) credit: u32,
    pub(crate) payload: usize,
    pub(crate) version: u8,
    pub(crate) name: String,
}

/// Why a link is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenLink {
    #[error(transparent)]
    Frame(#[from] LinkError),
    #[error("a frame for exchange {0}, which was never begun")]
    NeverBegun(u64),
    #[error("a message in exchange {0}, which is one of HTTP")]
    NoMessages(u64),
    #[error("more of a body of exchange {0} than there is")]
    NoMoreBody(u64),
    #[error("payloads of at most {0} bytes, expected 1024 or more")]
    SmallPayload(u32),
    #[error("too much waits for the ends of frames")]
    Unfinished,
    #[error("more than {REFUSALS} bytes of cancels that it does not read")]
    Unread,
}

impl Link {
    pub(crate) fn new(section: &GatewaySection, is_stopping: bool, now: Instant) -> Self {
        let mut link = Self {
            out: Outgoing::default(),
            decoder: FrameDecoder::new(Side::FrontEnd, LIMITS),
            theirs: None,
            exchanges: Numbered::default(),
            last: 0,
            goaway: None,
            opened: now,
            pongs: Unread::default(),
            refusals: Unread::default(),
        };
        let name = section.server.name.section();
        link.frame(
            0,
            Content::Hello(Hello {
                lowest: LOWEST,
                highest: HIGHEST,
                credit: WINDOW,
                payload: PAYLOAD,
                exchanges: u32::try_from(section.max_exchanges).unwrap_or(u32::MAX),
                name: name.as_bytes(),
            }),
        );
        if is_stopping {
            link.go_away(GoAwayReason::Stops, "the gateway stops");
        }
        link
    }

    /// Appends a frame; one of ours always fits.
    pub(crate) fn frame(&mut self, exchange: u64, content: Content<'_>) {
        let _ = Frame { exchange, content }.append(self.out.buffer());
    }

    /// Appends a touch of an exchange whose last one ends at `touched` in the stream. While that is not written
    /// it says the same, and later.
    pub(crate) fn touch(&mut self, exchange: u64, touched: &mut u64) {
        if self.out.written() >= *touched {
            self.frame(exchange, Content::Touch);
            *touched = self.out.end();
        }
    }

    pub(crate) fn cancel(&mut self, exchange: u64, reason: Reason, retry_after: u16) {
        let before = self.out.waiting();
        self.frame(exchange, Content::Cancel(Cancel { reason, retry_after }));
        self.refusals.count(&self.out, self.out.waiting() - before);
    }

    /// Whether the front end speaks version 2.
    pub(crate) fn speaks_version_2(&self) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.version >= 2)
    }

    pub(crate) fn go_away(&mut self, reason: GoAwayReason, text: &str) {
        if self.goaway.is_none() {
            self.goaway = Some(self.last);
            let text = text.as_bytes();
            self.frame(0, Content::GoAway(GoAway { reason, last: self.last, text }));
        }
    }
}

impl Core {
    pub(super) fn link_received(&mut self, key: Key, input: &mut &[u8]) -> Result<(), Gone> {
        loop {
            let Some(link) = self.links.get_mut(&key) else { return Err(Gone) };
            if link.out.is_closing {
                *input = &[];
                return Ok(());
            }
            if link.refusals.count(&link.out, 0) > REFUSALS {
                self.break_link(key, &BrokenLink::Unread);
                continue;
            }
            let before = *input;
            let frame = match link.decoder.decode(input) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => frame,
                Err(error) => {
                    self.break_link(key, &error.into());
                    continue;
                }
            };
            let whole = before.get(..before.len() - input.len()).unwrap_or_default();
            let payload = whole.get(HEADER_BYTES..).unwrap_or_default();
            if let Err(error) = self.frame(key, &frame, payload) {
                self.break_link(key, &error);
            }
        }
    }

    /// Counts a front end that is let go without a word, and tells of it.
    pub(super) fn turn_away_link(&self, what: &dyn std::fmt::Display) {
        self.counters.bad_link_count.incr();
        if let Some(held_back) = self.warnings.links.pass(self.now) {
            tracing::warn!(held_back, "{what}");
        }
    }

    pub(super) fn break_link(&mut self, key: Key, error: &BrokenLink) {
        self.counters.bad_link_count.incr();
        let Some(link) = self.links.get_mut(&key) else { return };
        if let Some(held_back) = self.warnings.links.pass(self.now) {
            let name = link.theirs.as_ref().map(|theirs| theirs.name.as_str());
            tracing::warn!(front_end = name, held_back, "a front end broke a rule: {error}");
        }
        let reason = match error {
            BrokenLink::Frame(LinkError::Versions { .. }) => GoAwayReason::Version,
            _ => GoAwayReason::Broke,
        };
        if matches!(error, BrokenLink::Unfinished | BrokenLink::Unread) {
            return self.cut(key);
        }
        link.goaway = None;
        link.go_away(reason, &error.to_string());
        self.close(key);
    }

    fn frame(&mut self, key: Key, frame: &Frame<'_>, payload: &[u8]) -> Result<(), BrokenLink> {
        let Some(link) = self.links.get_mut(&key) else { return Ok(()) };
        let number = frame.exchange;
        match frame.content {
            Content::Hello(hello) => {
                if hello.payload < 1024 {
                    return Err(BrokenLink::SmallPayload(hello.payload));
                }
                let name = String::from_utf8_lossy(hello.name).into_owned();
                tracing::debug!(front_end = name, "a front end connected");
                let payload = usize::try_from(hello.payload).unwrap_or(usize::MAX);
                let (credit, version) = (hello.credit, hello.version());
                link.theirs = Some(Theirs { credit, payload, version, name });
                return Ok(());
            }
            Content::Request { head, headers, end } => {
                link.last = number;
                if link.goaway.is_none() {
                    self.begin(key, (number, payload), (&head, &headers), end);
                }
                return Ok(());
            }
            Content::Ping { context, is_answer: false } => {
                if link.pongs.count(&link.out, 0) < PONG_ROOM {
                    link.frame(0, Content::Ping { context, is_answer: true });
                    link.pongs.count(&link.out, PONG_BYTES);
                    self.list(key);
                }
                return Ok(());
            }
            Content::Ping { .. } | Content::GoAway(_) => return Ok(()),
            _ => {}
        }
        if number > link.last {
            return Err(BrokenLink::NeverBegun(number));
        }
        // Frames for exchanges that are over were under way then.
        let Some(id) = link.exchanges.get(&number).copied() else {
            if let Content::Cancel(_) = frame.content {
                self.client_left(key, number);
            }
            return Ok(());
        };
        match frame.content {
            Content::Data { bytes, end, .. } => self.body(id, bytes, end),
            Content::Message { flags, path, bytes, more } => {
                self.client_message(id, (flags, path, bytes, more), payload.len())
            }
            Content::Cancel(_) => {
                self.end(id, None, Notice::Yes);
                Ok(())
            }
            Content::Credit(bytes) => {
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.send.grant(bytes)?;
                    self.pump(id);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// All that a front end had open is over.
    pub(super) fn link_left(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let ids: Vec<u32> = link.exchanges.drain().map(|(_, id)| id).collect();
        for id in ids {
            self.end(id, None, Notice::Yes);
        }
        self.ids.of_link(key).into_iter().for_each(|id| self.withdraw(id));
    }

    /// The client's connection of an exchange is gone that was over.
    fn client_left(&mut self, key: Key, number: u64) {
        match self.ids.watched_by(key, number) {
            // In the middle of a later exchange, whose own cancel is to come.
            Some(id) if self.exchanges.contains_key(&id) => self.end(id, None, Notice::Yes),
            Some(id) => self.withdraw(id),
            None => {}
        }
    }
}
