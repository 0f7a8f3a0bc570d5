use super::error::ZmtpError;
use crate::error::Found;

pub(super) const MORE: u8 = 0b001;
pub(super) const LONG: u8 = 0b010;
pub(super) const COMMAND: u8 = 0b100;

/// What a peer may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of a frame's body.
    pub frame: u64,
    /// Frames of a message.
    pub parts: usize,
    /// Bytes of all bodies of a message.
    pub message: u64,
    /// Bytes of a command's body, with its name.
    pub command: u64,
}

/// A frame, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message or a part of one.
    Message {
        /// What it carries.
        body: &'a [u8],
        /// Whether further parts of the same message follow.
        more: bool,
    },
    /// A command's body, for [`Command::parse`](super::Command::parse).
    Command(&'a [u8]),
}

/// Finds the frames of one direction of a connection, from the end of the greeting on.
///
/// It keeps no bytes: what is not a whole frame yet stays with the caller, and is at most nine bytes
/// more than the longest frame allowed. A frame is refused at its announcement.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    limits: FrameLimits,
    /// Where the next frame begins.
    at: u64,
    /// Frames and bytes of the message that is under way.
    parts: usize,
    bytes: u64,
}

/// What stands before a body.
struct Header {
    flags: u8,
    size: usize,
    body: u64,
}

impl FrameDecoder {
    /// For a fresh connection.
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, at: 0, parts: 0, bytes: 0 }
    }

    /// How many bytes were used so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The frame at the start of `input`, as soon as it is whole.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, ZmtpError> {
        let Some(header) = self.header(input)? else { return Ok(None) };
        self.check(&header)?;
        // What fits the limits but not an address was never there.
        let end = usize::try_from(header.body).ok().and_then(|body| body.checked_add(header.size));
        let Some((frame, rest)) = end.and_then(|end| input.split_at_checked(end)) else {
            return Ok(None);
        };
        let body = frame.get(header.size..).unwrap_or_default();
        *input = rest;
        self.at = self.at.saturating_add(frame.len() as u64);
        if header.flags & COMMAND != 0 {
            return Ok(Some(Frame::Command(body)));
        }
        let more = header.flags & MORE != 0;
        (self.parts, self.bytes) =
            if more { (self.parts + 1, self.bytes + header.body) } else { (0, 0) };
        Ok(Some(Frame::Message { body, more }))
    }

    fn header(&self, input: &[u8]) -> Result<Option<Header>, ZmtpError> {
        let Some((flags, rest)) = input.split_first() else { return Ok(None) };
        let unexpected =
            |expected| ZmtpError::Unexpected { at: self.at, found: Found::Byte(*flags), expected };
        if *flags & !(MORE | LONG | COMMAND) != 0 {
            return Err(unexpected("flags of 0 to 7"));
        }
        if *flags & COMMAND != 0 && *flags & MORE != 0 {
            return Err(unexpected("a command without the flag MORE"));
        }
        let (size, body) = if *flags & LONG == 0 {
            (2, rest.first().map(|length| u64::from(*length)))
        } else {
            (9, rest.first_chunk().map(|length| u64::from_be_bytes(*length)))
        };
        Ok(body.map(|body| Header { flags: *flags, size, body }))
    }

    fn check(&self, header: &Header) -> Result<(), ZmtpError> {
        let too_long = |what, announced, limit| {
            Err(ZmtpError::TooLong { at: self.at, what, announced, limit })
        };
        if header.flags & COMMAND != 0 {
            return match self.limits.command {
                limit if header.body > limit => too_long("command", header.body, limit),
                _ => Ok(()),
            };
        }
        if header.body > self.limits.frame {
            return too_long("frame", header.body, self.limits.frame);
        }
        let bytes = self.bytes.saturating_add(header.body);
        if bytes > self.limits.message {
            return too_long("message", bytes, self.limits.message);
        }
        if self.parts >= self.limits.parts {
            return Err(ZmtpError::TooManyParts { at: self.at, limit: self.limits.parts });
        }
        Ok(())
    }
}
