use super::frame::{COMMAND, LONG, MORE};

/// What stands before a frame's body: two bytes, or nine where the body is longer than 255.
///
/// For writes that gather: the body can stay where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    bytes: [u8; 9],
    size: usize,
}

impl FrameHeader {
    /// Of a message, or of a part that others follow.
    pub fn message(body: usize, more: bool) -> Self {
        Self::new(if more { MORE } else { 0 }, body)
    }

    /// Of a command.
    pub fn command(body: usize) -> Self {
        Self::new(COMMAND, body)
    }

    fn new(flags: u8, body: usize) -> Self {
        if let Ok(length) = u8::try_from(body) {
            return Self { bytes: [flags, length, 0, 0, 0, 0, 0, 0, 0], size: 2 };
        }
        let [a, b, c, d, e, f, g, h] = (body as u64).to_be_bytes();
        Self { bytes: [flags | LONG, a, b, c, d, e, f, g, h], size: 9 }
    }

    /// The bytes to send before the body.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }
}

/// Appends a message of one frame or more; of none, nothing.
pub fn append_message(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        let header = FrameHeader::message(part.len(), parts.peek().is_some());
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(part);
    }
}

pub(super) fn append_command(out: &mut Vec<u8>, name: &[u8], data: &[&[u8]]) {
    let data_bytes: usize = data.iter().map(|part| part.len()).sum();
    let header = FrameHeader::command(1 + name.len() + data_bytes);
    out.extend_from_slice(header.as_bytes());
    append_short(out, name);
    data.iter().for_each(|part| out.extend_from_slice(part));
}

/// A length byte and the bytes, cut after 255.
pub(super) fn append_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bytes.get(..usize::from(u8::MAX)).unwrap_or(bytes);
    out.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(bytes);
}

/// A message of one frame that is written before its length is known: its header is the long one.
#[derive(Debug)]
#[must_use = "a frame has a length only when it is closed"]
pub struct OpenFrame {
    start: usize,
}

impl OpenFrame {
    /// Leaves room for the header; what is appended from here on is the body.
    pub fn begin(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[LONG, 0, 0, 0, 0, 0, 0, 0, 0]);
        Self { start }
    }

    /// Writes the header.
    pub fn close(self, out: &mut [u8]) {
        self.close_with(out, 0);
    }

    /// Writes the header of a body whose last `rest` bytes are sent from elsewhere.
    pub fn close_with(self, out: &mut [u8], rest: usize) {
        let body = (out.len() + rest).saturating_sub(self.start + 9) as u64;
        if let Some(place) = out.get_mut(self.start + 1..self.start + 9) {
            place.copy_from_slice(&body.to_be_bytes());
        }
    }
}
