use super::{CONTROL_BYTES, Flags};

/// The longest header of a frame.
const LONGEST: usize = 14;

/// Follows frames on their way from a handler to a client, and knows where one ends.
///
/// Nothing is checked: what a handler sends is its own affair.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerFrames {
    header: [u8; LONGEST],
    /// Bytes of the header that have passed.
    seen: usize,
    /// Bytes of the payload that have not.
    left: u64,
    closed: bool,
}

impl ServerFrames {
    /// At the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a frame has ended and none has begun.
    pub fn is_between(&self) -> bool {
        self.seen == 0 && self.left == 0
    }

    /// Whether a close frame has begun.
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// How many of these bytes there are up to the next end of a frame, or all.
    pub fn up_to_end(mut self, bytes: &[u8]) -> usize {
        self.step(bytes)
    }

    /// Takes notice of bytes that were sent.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.step(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }

    /// Goes on to the next end of a frame, or to the end of the bytes.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let mut count = 0;
        if self.left == 0 {
            for byte in bytes {
                count += 1;
                if self.push(*byte) {
                    break;
                }
            }
        }
        let rest = bytes.len() - count;
        let payload = self.left.min(rest as u64);
        self.left -= payload;
        count + usize::try_from(payload).unwrap_or(rest)
    }

    /// Takes a byte of a header; true when it was the last one.
    fn push(&mut self, byte: u8) -> bool {
        if let Some(place) = self.header.get_mut(self.seen) {
            *place = byte;
        }
        self.seen += 1;
        let [first, second, ..] = self.header;
        if self.seen < 2 {
            return false;
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.seen < 2 + extended + mask {
            return false;
        }
        let number = self.header.iter().skip(2).take(extended);
        self.left = match extended {
            0 => u64::from(second & 0x7f),
            _ => number.fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.closed |= Flags(first).opcode() == Flags::CLOSE.opcode();
        self.seen = 0;
        true
    }
}

/// Appends a frame without a mask, as servers send it.
pub fn append_frame(out: &mut Vec<u8>, flags: Flags, payload: &[u8]) {
    out.push(flags.0);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Appends a close frame with a code and a reason, of which as much is said as there is room for.
pub fn append_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut end = reason.len().min(CONTROL_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = reason.as_bytes().get(..end).unwrap_or_default();
    append_frame(out, Flags::CLOSE, &[&code.to_be_bytes(), reason].concat());
}
