use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use brim_wire::zmtp::{
    Command, Frame, FrameDecoder, FrameLimits, Greeting, SocketType, ZmtpError, append_ready,
    append_subscription,
};

use super::outgoing::Outgoing;

/// Bytes of a command.
const COMMAND_BYTES: u64 = 8192;
/// Bytes of a message from a peer that has nothing to say.
const IDLE_BYTES: u64 = 8192;
/// Unwritten bytes beyond which PONGs are left out.
pub(crate) const PONG_ROOM: usize = 64 * 1024;
/// Bytes that wait for a handler, beyond which it gets no more.
const ROOM: usize = 256 * 1024;
/// Messages that do.
const MESSAGES: usize = 4096;

/// Which of a handler's two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It fetches requests: PULL, we are PUSH.
    Send,
    /// It publishes replies: PUB, we are SUB.
    Recv,
}

/// A handler's connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) out: Outgoing,
    pub(crate) side: Side,
    /// The place of its section.
    pub(crate) handler: usize,
    stage: Stage,
    is_3_1: bool,
    /// What of `out` is of which exchange, in order.
    pub(crate) marks: VecDeque<Mark>,
    /// Exchanges with bytes that it is to be told of as soon as it has room.
    pub(crate) untold: HashSet<u32>,
    /// Exchanges that it has to answer.
    pub(crate) outstanding: usize,
    /// Until when others are asked first: it has let somebody wait for too long.
    pub(crate) suspect_until: Option<Instant>,
    pub(crate) opened: Instant,
    pub(crate) heard: Instant,
    asked: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Greeting,
    Handshake(FrameDecoder),
    Ready(FrameDecoder),
}

/// A message within what is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    /// Credit for the client when it is written.
    pub(crate) credit: usize,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the handler has to answer.
    Request,
    /// What belongs to an exchange that it has got already.
    More,
    /// What nobody waits for.
    Notice,
}

/// Why a peer is let go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerError {
    #[error(transparent)]
    Zmtp(#[from] ZmtpError),
    #[error("a socket of the type {found}, expected {expected}")]
    Type { found: String, expected: &'static str },
    #[error("something else before the end of the handshake, expected READY")]
    NoReady,
    #[error("it refuses us: {0}")]
    Refused(String),
}

/// What a peer says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// It is ready.
    Ready,
    /// A message, or a part of one.
    Message(&'a [u8]),
}

impl Peer {
    pub(crate) fn new(side: Side, handler: usize, now: Instant) -> Self {
        let mut out = Outgoing::default();
        out.buffer().extend_from_slice(&Greeting::OURS.encode());
        Self {
            out,
            side,
            handler,
            stage: Stage::Greeting,
            is_3_1: false,
            marks: VecDeque::new(),
            untold: HashSet::new(),
            outstanding: 0,
            suspect_until: None,
            opened: now,
            heard: now,
            asked: None,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready(_))
    }

    /// Whether it gets more: one that does not read gets none.
    pub(crate) fn has_room(&self) -> bool {
        !self.out.is_closing && self.out.waiting() < ROOM && self.marks.len() < MESSAGES
    }

    /// The next thing in what it has sent.
    pub(crate) fn hear<'a>(
        &mut self,
        input: &mut &'a [u8],
        (parts, message): (usize, usize),
        subscription: &str,
    ) -> Result<Option<Heard<'a>>, PeerError> {
        loop {
            let frame = match &mut self.stage {
                Stage::Greeting => {
                    let Some(greeting) = Greeting::decode(input)? else { return Ok(None) };
                    greeting.check_null()?;
                    self.is_3_1 = greeting.is_3_1();
                    let ours = self.ours();
                    append_ready(self.out.buffer(), ours, None);
                    let message = match self.side {
                        Side::Send => IDLE_BYTES,
                        Side::Recv => message as u64,
                    };
                    self.stage = Stage::Handshake(FrameDecoder::new(FrameLimits {
                        frame: message,
                        parts,
                        message: message.saturating_mul(parts as u64),
                        command: COMMAND_BYTES,
                    }));
                    continue;
                }
                Stage::Handshake(decoder) | Stage::Ready(decoder) => decoder.decode(input)?,
            };
            match frame {
                None => return Ok(None),
                Some(Frame::Message { .. }) if !self.is_ready() => return Err(PeerError::NoReady),
                Some(Frame::Message { body, .. }) if self.side == Side::Recv => {
                    return Ok(Some(Heard::Message(body)));
                }
                // Handlers have nothing to say where they fetch requests.
                Some(Frame::Message { .. }) => {}
                Some(Frame::Command(body)) => {
                    if self.command(Command::parse(body)?, subscription)? {
                        return Ok(Some(Heard::Ready));
                    }
                }
            }
        }
    }

    /// Acts on a command; whether the handshake ends with it.
    fn command(&mut self, command: Command<'_>, subscription: &str) -> Result<bool, PeerError> {
        match (command, self.is_ready()) {
            (Command::Ready(properties), false) => {
                let found = properties.socket_type();
                if !found.is_some_and(|found| self.ours().goes_with(found)) {
                    let found = properties.get("Socket-Type").unwrap_or_default();
                    let found = found.escape_ascii().to_string();
                    Command::Error { reason: b"wrong socket type" }.append(self.out.buffer());
                    return Err(PeerError::Type { found, expected: self.theirs() });
                }
                if let Stage::Handshake(decoder) = &self.stage {
                    self.stage = Stage::Ready(decoder.clone());
                }
                if self.side == Side::Recv {
                    let subscribe = Command::Subscribe(subscription.as_bytes());
                    append_subscription(self.out.buffer(), subscribe, self.is_3_1);
                }
                Ok(true)
            }
            (Command::Error { reason }, _) => {
                Err(PeerError::Refused(reason.escape_ascii().to_string()))
            }
            (_, false) => Err(PeerError::NoReady),
            (Command::Ping { context, .. }, true) => {
                if self.out.waiting() < PONG_ROOM {
                    Command::Pong { context }.append(self.out.buffer());
                }
                Ok(false)
            }
            // PONGs, subscriptions where we publish nothing, and what is not known.
            _ => Ok(false),
        }
    }

    /// Asks whether it is there if it was silent for so long. `false` if it has not answered in twice the time.
    pub(crate) fn beat(&mut self, heartbeat: Duration, now: Instant) -> bool {
        if !self.is_ready() || !self.is_3_1 || heartbeat.is_zero() {
            return true;
        }
        match self.asked {
            Some(asked) if self.heard >= asked => self.asked = None,
            Some(asked) => return now.saturating_duration_since(asked) < heartbeat * 2,
            None => {}
        }
        if now.saturating_duration_since(self.heard) >= heartbeat {
            self.asked = Some(now);
            Command::Ping { ttl: 0, context: b"" }.append(self.out.buffer());
        }
        true
    }

    /// Whether it waits for the answer to a question since this moment.
    pub(crate) fn asked_at(&self, now: Instant) -> bool {
        self.asked == Some(now)
    }

    fn ours(&self) -> SocketType {
        match self.side {
            Side::Send => SocketType::Push,
            Side::Recv => SocketType::Sub,
        }
    }

    fn theirs(&self) -> &'static str {
        match self.side {
            Side::Send => "PULL",
            Side::Recv => "PUB or XPUB",
        }
    }
}
