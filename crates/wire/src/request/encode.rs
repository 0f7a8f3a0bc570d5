use super::json;
use super::key::Key;
use crate::netstring::{self, Open};
use crate::sender::Sender;

/// How the headers are written: `protocol = json` or `tnetstring`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A netstring of a JSON object.
    #[default]
    Json,
    /// A tnetstring dictionary, exact for any bytes.
    Tnetstring,
}

/// What stands before the headers.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The server.
    pub sender: Sender<'a>,
    /// Whom the handler answers.
    pub id: u32,
    /// The path; a space in it, which no client can send, is written as `%20`.
    pub path: &'a [u8],
}

/// What the caller appends after a body that it announced by [`RequestWriter::finish_head`].
pub const BODY_END: u8 = b',';

/// Appends one request to a buffer, its headers one by one as they come.
///
/// The order of keys is the caller's. Until it is finished, the buffer holds half a message.
#[derive(Debug)]
#[must_use = "a request is whole only when it is finished"]
pub struct RequestWriter<'b> {
    out: &'b mut Vec<u8>,
    encoding: Encoding,
    block: Open,
    is_empty: bool,
}

impl<'b> RequestWriter<'b> {
    /// Begins a request.
    pub fn begin(out: &'b mut Vec<u8>, encoding: Encoding, envelope: &Envelope<'_>) -> Self {
        out.extend_from_slice(envelope.sender.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(envelope.id).as_bytes());
        out.push(b' ');
        append_path(out, envelope.path);
        out.push(b' ');
        let block = Open::begin(out);
        if encoding == Encoding::Json {
            out.push(b'{');
        }
        Self { out, encoding, block, is_empty: true }
    }

    /// Writes a key of the server's.
    pub fn key(&mut self, key: Key, value: &[u8]) {
        let key = key.as_str().as_bytes();
        match self.encoding {
            Encoding::Json => {
                self.comma();
                self.out.push(b'"');
                self.out.extend_from_slice(key);
                self.out.extend_from_slice(b"\":");
                json::append_string(self.out, value);
            }
            Encoding::Tnetstring => {
                netstring::append(self.out, key);
                netstring::append(self.out, value);
            }
        }
    }

    /// Writes a key of the server's with a number, which is a string for handlers, too.
    pub fn number(&mut self, key: Key, value: u64) {
        self.key(key, itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes a client's headers in the order of their first arrival; those of one name as a list.
    ///
    /// Names are written in lower case, whatever they were, so that none is a [`Key`]. Names that
    /// repeat cost a look through all headers each.
    pub fn headers<'h, I>(&mut self, headers: I)
    where
        I: Iterator<Item = (&'h [u8], &'h [u8])> + Clone,
    {
        if !may_repeat(headers.clone()) {
            headers.for_each(|(name, value)| {
                self.name(name);
                self.string(value);
            });
            return;
        }
        for (index, (name, value)) in headers.clone().enumerate() {
            let same = |(other, _): &(&[u8], &[u8])| other.eq_ignore_ascii_case(name);
            if headers.clone().take(index).any(|header| same(&header)) {
                continue;
            }
            self.name(name);
            let mut others = headers.clone().skip(index + 1).filter(same).peekable();
            if others.peek().is_none() {
                self.string(value);
            } else {
                self.list(std::iter::once((name, value)).chain(others));
            }
        }
    }

    /// Ends the headers and appends the body.
    pub fn finish(self, body: &[u8]) {
        let out = self.close();
        netstring::append(out, body);
    }

    /// Ends the headers and announces a body of so many bytes, which the caller sends, and then
    /// [`BODY_END`].
    pub fn finish_head(self, body: usize) {
        let out = self.close();
        netstring::append_length(out, body);
    }

    fn close(self) -> &'b mut Vec<u8> {
        let kind = match self.encoding {
            Encoding::Json => {
                self.out.push(b'}');
                b','
            }
            Encoding::Tnetstring => b'}',
        };
        self.block.close(self.out, kind);
        self.out
    }

    fn comma(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }

    fn name(&mut self, name: &[u8]) {
        match self.encoding {
            Encoding::Json => {
                self.comma();
                let start = self.out.len();
                json::append_string(self.out, name);
                lower_from(self.out, start);
                self.out.push(b':');
            }
            Encoding::Tnetstring => {
                let start = self.out.len();
                netstring::append(self.out, name);
                lower_from(self.out, start);
            }
        }
    }

    fn string(&mut self, value: &[u8]) {
        match self.encoding {
            Encoding::Json => json::append_string(self.out, value),
            Encoding::Tnetstring => netstring::append(self.out, value),
        }
    }

    fn list<'h>(&mut self, values: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
        match self.encoding {
            Encoding::Json => {
                self.out.push(b'[');
                for (index, (_, value)) in values.enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    json::append_string(self.out, value);
                }
                self.out.push(b']');
            }
            Encoding::Tnetstring => {
                let open = Open::begin(self.out);
                values.for_each(|(_, value)| netstring::append(self.out, value));
                open.close(self.out, b']');
            }
        }
    }
}

fn append_path(out: &mut Vec<u8>, path: &[u8]) {
    for (index, part) in path.split(|byte| *byte == b' ').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"%20");
        }
        out.extend_from_slice(part);
    }
}

fn lower_from(out: &mut [u8], start: usize) {
    if let Some(written) = out.get_mut(start..) {
        written.make_ascii_lowercase();
    }
}

/// Whether two names may be the same: seldom wrongly yes, never wrongly no.
fn may_repeat<'h>(headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> bool {
    let mut seen = 0_u128;
    for (name, _) in headers {
        let byte = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default() | 0x20);
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let middle = name.get(name.len() / 2);
        let hash = (byte(name.first()) ^ length.wrapping_mul(37))
            .wrapping_add(byte(name.last()).wrapping_mul(7))
            .wrapping_add(byte(middle).wrapping_mul(61));
        let bit = 1_u128 << (hash % 128);
        if seen & bit != 0 {
            return true;
        }
        seen |= bit;
    }
    false
}
