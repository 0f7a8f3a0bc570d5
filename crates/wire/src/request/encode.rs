use memchr::memchr;

use super::json;
use super::key::Key;
use crate::netstring::{self, Open};
use crate::sender::Sender;
use crate::words::append_lower;

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
        Self { out, encoding, block }
    }

    /// Writes a key of the server's.
    pub fn key(&mut self, key: Key, value: &[u8]) {
        match self.encoding {
            Encoding::Json => {
                self.out.extend_from_slice(key.json().as_bytes());
                json::append_rest(self.out, value);
            }
            Encoding::Tnetstring => {
                netstring::append(self.out, key.as_str().as_bytes());
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
        let start = self.out.len();
        let mut seen = Seen::default();
        for (index, (name, value)) in headers.clone().enumerate() {
            if seen.perhaps(name) && headers.clone().take(index).any(|known| is_same(known.0, name))
            {
                self.out.truncate(start);
                return self.grouped(headers);
            }
            self.header(name, value);
        }
    }

    /// The same where a name repeats.
    fn grouped<'h, I>(&mut self, headers: I)
    where
        I: Iterator<Item = (&'h [u8], &'h [u8])> + Clone,
    {
        for (index, (name, value)) in headers.clone().enumerate() {
            let same = |(other, _): &(&[u8], &[u8])| is_same(other, name);
            if headers.clone().take(index).any(|header| same(&header)) {
                continue;
            }
            let mut others = headers.clone().skip(index + 1).filter(same).peekable();
            if others.peek().is_none() {
                self.header(name, value);
            } else {
                self.list(name, std::iter::once((name, value)).chain(others));
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
                // Each entry begins with a comma: that of the first one is the object's brace.
                match self.out.get_mut(self.block.content()) {
                    Some(comma) => *comma = b'{',
                    None => self.out.push(b'{'),
                }
                self.out.push(b'}');
                b','
            }
            Encoding::Tnetstring => b'}',
        };
        self.block.close(self.out, kind);
        self.out
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        self.name(name);
        match self.encoding {
            Encoding::Json => {
                self.out.extend_from_slice(b"\":\"");
                json::append_rest(self.out, value);
            }
            Encoding::Tnetstring => netstring::append(self.out, value),
        }
    }

    fn list<'h>(&mut self, name: &[u8], values: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
        self.name(name);
        match self.encoding {
            Encoding::Json => {
                self.out.extend_from_slice(b"\":[");
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

    /// Without what ends it in JSON.
    fn name(&mut self, name: &[u8]) {
        match self.encoding {
            Encoding::Json => {
                self.out.extend_from_slice(b",\"");
                json::append_name(self.out, name);
            }
            Encoding::Tnetstring => {
                netstring::append_length(self.out, name.len());
                append_lower(self.out, name);
                self.out.push(b',');
            }
        }
    }
}

fn append_path(out: &mut Vec<u8>, path: &[u8]) {
    if memchr(b' ', path).is_none() {
        return out.extend_from_slice(path);
    }
    for (index, part) in path.split(|byte| *byte == b' ').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"%20");
        }
        out.extend_from_slice(part);
    }
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Names that have come, as far as that takes little: it is seldom wrong about a new one, never about an old one.
#[derive(Default)]
struct Seen(u128);

impl Seen {
    /// Whether the name may have come before.
    fn perhaps(&mut self, name: &[u8]) -> bool {
        let byte = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default() | 0x20);
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let middle = name.get(name.len() / 2);
        let hash = (byte(name.first()) ^ length.wrapping_mul(37))
            .wrapping_add(byte(name.last()).wrapping_mul(7))
            .wrapping_add(byte(middle).wrapping_mul(61));
        let bit = 1_u128 << (hash % 128);
        let known = self.0;
        self.0 |= bit;
        known & bit != 0
    }
}
