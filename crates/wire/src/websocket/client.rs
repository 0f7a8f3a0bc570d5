use super::utf8::Utf8;
use super::{CONTROL_BYTES, Flags};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Why a client's connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A reserved bit without an extension that gives it a meaning.
    #[error("a reserved bit is set")]
    Reserved,
    /// An opcode that does not exist.
    #[error("the opcode {0} does not exist")]
    Opcode(u8),
    /// A client's frames are masked.
    #[error("a frame without a mask")]
    Unmasked,
    /// A control frame in pieces, or with more than 125 bytes.
    #[error("a control frame in pieces or of more than 125 bytes")]
    Control,
    /// A continuation where nothing has begun.
    #[error("a continuation of nothing")]
    Continuation,
    /// A new message before the last one has ended.
    #[error("a message inside of another")]
    Interleaved,
    /// A length with its highest bit set, or in more bytes than it needs.
    #[error("a malformed length")]
    Length,
    /// A close frame whose code or length cannot be.
    #[error("a malformed close frame")]
    Close,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A message longer than allowed.
    #[error("a message of more than {limit} bytes")]
    TooLong {
        /// The caller's limit.
        limit: u64,
    },
}

impl Violation {
    /// The code of the close frame that tells the client (section 7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::TooLong { .. } => 1009,
            _ => 1002,
        }
    }
}

/// What came of a client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A piece of a text or binary message.
    Piece {
        /// The first byte of the message's first frame, FIN set; the same for all its pieces.
        flags: Flags,
        /// The piece, unmasked.
        bytes: &'a [u8],
        /// Whether the message ends with it.
        end: bool,
    },
    /// A whole ping, pong or close frame, perhaps between two pieces.
    Control(Control),
}

/// A control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its first byte.
    pub flags: Flags,
    payload: [u8; CONTROL_BYTES],
    length: usize,
}

impl Control {
    /// Its payload, unmasked.
    pub fn payload(&self) -> &[u8] {
        self.payload.get(..self.length).unwrap_or_default()
    }
}

/// A data frame that has begun.
#[derive(Clone, Copy, Debug)]
struct Under {
    left: u64,
    mask: [u8; 4],
    fin: bool,
}

/// Finds the frames of a client in a stream, checks and unmasks them.
///
/// It keeps no bytes: what it does not use stays with the caller, and is at most a header of 14 bytes, or a
/// control frame of 131. After a [`Violation`] the stream is of no more use.
#[derive(Clone, Debug)]
pub struct ClientFrames {
    limit: u64,
    compressed: bool,
    frame: Option<Under>,
    /// The message under way: its flags, and how long it is so far.
    message: Option<(Flags, u64)>,
    text: Utf8,
}

/// A frame's header.
struct Header {
    first: u8,
    length: u64,
    mask: [u8; 4],
    bytes: usize,
}

impl ClientFrames {
    /// For messages of at most so many bytes. `compressed`: an extension gives the first reserved bit a
    /// meaning; what has it set is passed on without a look at its text.
    pub fn new(limit: u64, compressed: bool) -> Self {
        Self { limit, compressed, frame: None, message: None, text: Utf8::default() }
    }

    /// Looks at the start of `input`: how many bytes were used, and what came of them. `None` where more
    /// bytes are needed. A piece has at most `room` bytes, which has to be above 0. Unmasks in place.
    pub fn decode<'a>(
        &mut self,
        input: &'a mut [u8],
        room: usize,
    ) -> Result<(usize, Option<Event<'a>>), Violation> {
        let mut used = 0;
        loop {
            if let Some(frame) = self.frame {
                let Some(rest) = input.get_mut(used..) else { return Ok((used, None)) };
                // Borrowed for good only where something is returned.
                if rest.is_empty() && frame.left > 0 {
                    return Ok((used, None));
                }
                return self.piece(frame, input, used, room);
            }
            let rest = input.get(used..).unwrap_or_default();
            let Some(header) = self.header(rest)? else { return Ok((used, None)) };
            if header.first & 0x08 != 0 {
                let length = usize::try_from(header.length).unwrap_or(usize::MAX);
                let Some(payload) = rest.get(header.bytes..header.bytes + length) else {
                    return Ok((used, None));
                };
                let control = control(&header, payload)?;
                return Ok((used + header.bytes + length, Some(Event::Control(control))));
            }
            used += header.bytes;
            let fin = header.first & FIN != 0;
            if header.length > 0 || fin {
                self.frame = Some(Under { left: header.length, mask: header.mask, fin });
            }
        }
    }

    fn piece<'a>(
        &mut self,
        mut frame: Under,
        input: &'a mut [u8],
        at: usize,
        room: usize,
    ) -> Result<(usize, Option<Event<'a>>), Violation> {
        let rest = input.get_mut(at..).unwrap_or_default();
        let left = usize::try_from(frame.left).unwrap_or(usize::MAX);
        let count = rest.len().min(room).min(left);
        let bytes = rest.get_mut(..count).unwrap_or_default();
        unmask(bytes, &mut frame.mask);
        frame.left -= count as u64;
        let flags = self.message.map_or(Flags(0), |(flags, _)| flags);
        let end = frame.fin && frame.left == 0;
        self.frame = (frame.left > 0).then_some(frame);
        if flags == Flags::TEXT && !(self.text.feed(bytes) && (!end || self.text.is_whole())) {
            return Err(Violation::Utf8);
        }
        if end {
            self.message = None;
        }
        Ok((at + count, Some(Event::Piece { flags, bytes, end })))
    }

    /// Reads and checks a header as far as it is there; `None` where it is not whole.
    fn header(&mut self, input: &[u8]) -> Result<Option<Header>, Violation> {
        let Some(first) = input.first().copied() else { return Ok(None) };
        self.check_first(first)?;
        let Some(second) = input.get(1).copied() else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & 0x7f;
        if first & 0x08 != 0 && usize::from(short) > CONTROL_BYTES {
            return Err(Violation::Control);
        }
        let (length, start) = match short {
            126 => {
                let Some(bytes) = input.get(2..).and_then(<[u8]>::first_chunk) else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes(*bytes)), 4)
            }
            127 => {
                let Some(bytes) = input.get(2..).and_then(<[u8]>::first_chunk) else {
                    return Ok(None);
                };
                (u64::from_be_bytes(*bytes), 10)
            }
            short => (u64::from(short), 2),
        };
        let least = match short {
            126 => 126,
            127 => 0x1_0000,
            _ => 0,
        };
        if length < least || length >> 63 != 0 {
            return Err(Violation::Length);
        }
        self.check_length(first, length)?;
        let Some(mask) = input.get(start..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        if first & 0x08 == 0 {
            let so_far = self.message.map_or(0, |(_, so_far)| so_far);
            let begun = self.message.map_or(Flags(first | FIN), |(flags, _)| flags);
            if self.message.is_none() {
                self.text = Utf8::default();
            }
            self.message = Some((begun, so_far + length));
        }
        Ok(Some(Header { first, length, mask: *mask, bytes: start + 4 }))
    }

    fn check_first(&self, first: u8) -> Result<(), Violation> {
        let opcode = Flags(first).opcode();
        // RFC 7692 section 6.1: only the first frame of a message says that it is compressed.
        let allowed = if self.compressed && matches!(opcode, 1 | 2) { RSV1 } else { 0 };
        if first & RSV & !allowed != 0 {
            return Err(Violation::Reserved);
        }
        match opcode {
            0 if self.message.is_none() => Err(Violation::Continuation),
            1 | 2 if self.message.is_some() => Err(Violation::Interleaved),
            0..=2 => Ok(()),
            8..=10 if first & FIN == 0 => Err(Violation::Control),
            8..=10 => Ok(()),
            other => Err(Violation::Opcode(other)),
        }
    }

    fn check_length(&self, first: u8, length: u64) -> Result<(), Violation> {
        let so_far = self.message.map_or(0, |(_, so_far)| so_far);
        let is_data = first & 0x08 == 0;
        match is_data && so_far.saturating_add(length) > self.limit {
            true => Err(Violation::TooLong { limit: self.limit }),
            false => Ok(()),
        }
    }
}

fn control(header: &Header, masked: &[u8]) -> Result<Control, Violation> {
    let mut payload = [0; CONTROL_BYTES];
    let length = masked.len();
    if let Some(place) = payload.get_mut(..length) {
        place.copy_from_slice(masked);
        unmask(place, &mut header.mask.clone());
    }
    let control = Control { flags: Flags(header.first), payload, length };
    if control.flags == Flags::CLOSE {
        check_close(control.payload())?;
    }
    Ok(control)
}

/// Section 7.4, and the registry of codes as of 2024: those that may stand in a frame.
fn check_close(payload: &[u8]) -> Result<(), Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(()) } else { Err(Violation::Close) };
    };
    match u16::from_be_bytes(*code) {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(Violation::Close),
    }
    std::str::from_utf8(reason).map(|_| ()).map_err(|_| Violation::Utf8)
}

/// Takes the mask off, and turns it to where the next byte goes on.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    let left = rest.len() % 4;
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    mask.rotate_left(left);
}
