use super::error::LinkError;
use super::fields::{Fields, append_length_of, append_long, append_short, unexpected};
use crate::error::Found;
use crate::words::append_lower;

/// What an exchange carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A request and its response.
    Http,
    /// A WebSocket handshake, and messages after it.
    WebSocket,
    /// JSON socket messages of one connection.
    Json,
    /// XML socket messages of one connection.
    Xml,
}

/// The name of the one header that is the front end's own: the SHA-1 of the certificate that the client has shown,
/// in hex digits. With its colon, no client can send it.
pub const CERTIFICATE: &[u8] = b":peer-cert-sha1";

/// What begins an exchange, without its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// What follows.
    pub class: Class,
    /// The HTTP version times ten: 10, 11 or 20; 0 for socket messages.
    pub version: u8,
    /// Whether the client came by TLS.
    pub is_https: bool,
    /// Which of the front end's connections it is: the same number for the same connection.
    pub connection: u64,
    /// The bytes of the body, if they are known.
    pub length: Option<u64>,
    /// The client's address as text, without a port; empty if it has none.
    pub client: &'a [u8],
    /// The section of the handler.
    pub handler: &'a [u8],
    /// The route that matched.
    pub pattern: &'a [u8],
    /// The method; empty for socket messages.
    pub method: &'a [u8],
    /// Path and query as they came; for socket messages the path, `@chat` or `<root`.
    pub target: &'a [u8],
}

/// What begins an answer, without its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// 200 to 999; 101 in an upgrade.
    pub status: u16,
    /// The bytes of the body, if they are known.
    pub length: Option<u64>,
    /// The reason phrase, as the handler wrote it.
    pub reason: &'a [u8],
}

/// Names and values in the order of their arrival, checked; names may repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// As they are sent, without their count.
    bytes: &'a [u8],
    count: u16,
}

impl Class {
    fn code(self) -> u8 {
        match self {
            Self::Http => 1,
            Self::WebSocket => 2,
            Self::Json => 3,
            Self::Xml => 4,
        }
    }
}

const UNKNOWN_LENGTH: u64 = u64::MAX;

impl<'a> RequestHead<'a> {
    /// What stands before the first `?`.
    pub fn path(&self) -> &'a [u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    /// What stands after the first `?`, if there is one.
    pub fn query(&self) -> Option<&'a [u8]> {
        self.target.get(self.path().len() + 1..)
    }

    pub(super) fn read(fields: &mut Fields<'a>) -> Result<Self, LinkError> {
        let at = fields.at();
        let wrong = |at, byte, expected| Err(unexpected(at, Found::Byte(byte), expected));
        let class = match fields.u8("a class")? {
            1 => Class::Http,
            2 => Class::WebSocket,
            3 => Class::Json,
            4 => Class::Xml,
            byte => return wrong(at, byte, "a class, 1 to 4"),
        };
        let version = match (fields.u8("a version")?, class) {
            (version @ (10 | 11 | 20), Class::Http | Class::WebSocket) => version,
            (0, Class::Json | Class::Xml) => 0,
            (byte, _) => return wrong(at + 1, byte, "10, 11 or 20, or 0 for socket messages"),
        };
        let is_https = match fields.u8("a scheme")? {
            0 => false,
            1 => true,
            byte => return wrong(at + 2, byte, "0 for http or 1 for https"),
        };
        fields.zeros(1)?;
        let connection = fields.u64("the number of a connection")?;
        let length = read_length(fields)?;
        let client = fields.short_string("a client's address")?;
        let handler = fields.short_string("a handler's name")?;
        let pattern = fields.short_string("a route")?;
        let method = fields.short_string("a method")?;
        let target = fields.long_string("a target")?;
        Ok(Self {
            class,
            version,
            is_https,
            connection,
            length,
            client,
            handler,
            pattern,
            method,
            target,
        })
    }

    pub(super) fn append(&self, out: &mut Vec<u8>) -> Result<(), LinkError> {
        let scheme = u8::from(self.is_https);
        out.extend_from_slice(&[self.class.code(), self.version, scheme, 0]);
        out.extend_from_slice(&self.connection.to_be_bytes());
        append_length(out, self.length);
        append_short(out, self.client, "a client's address")?;
        append_short(out, self.handler, "a handler's name")?;
        append_short(out, self.pattern, "a route")?;
        append_short(out, self.method, "a method")?;
        append_long(out, self.target, "a target")
    }
}

impl<'a> ResponseHead<'a> {
    pub(super) fn read(fields: &mut Fields<'a>) -> Result<Self, LinkError> {
        let status = fields.u16("a status")?;
        let length = read_length(fields)?;
        let reason = fields.short_string("a reason phrase")?;
        Ok(Self { status, length, reason })
    }

    pub(super) fn append(&self, out: &mut Vec<u8>) -> Result<(), LinkError> {
        out.extend_from_slice(&self.status.to_be_bytes());
        append_length(out, self.length);
        append_short(out, self.reason, "a reason phrase")
    }
}

fn read_length(fields: &mut Fields<'_>) -> Result<Option<u64>, LinkError> {
    let length = fields.u64("the length of a body")?;
    Ok((length != UNKNOWN_LENGTH).then_some(length))
}

fn append_length(out: &mut Vec<u8>, length: Option<u64>) {
    out.extend_from_slice(&length.unwrap_or(UNKNOWN_LENGTH).to_be_bytes());
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them as they stand there: the same bytes are the same headers.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Names and values, one after the other.
    pub fn iter(&self) -> HeadersIter<'a> {
        HeadersIter { bytes: self.bytes }
    }

    /// Reads the last part of a head.
    pub(super) fn read(fields: &mut Fields<'a>, limit: usize) -> Result<Self, LinkError> {
        let count = fields.u16("the number of headers")?;
        if usize::from(count) > limit {
            return Err(LinkError::TooManyHeaders { count: usize::from(count), limit });
        }
        let bytes = fields.rest();
        let mut headers = HeadersIter { bytes };
        if headers.by_ref().take(usize::from(count)).count() == usize::from(count) {
            fields.skip_to(headers.bytes);
        } else {
            // Again, to see what is wrong, and where.
            for _ in 0..count {
                read_header(fields)?;
            }
        }
        Ok(Self { bytes, count })
    }
}

/// Counts and appends headers, their names in lower case.
pub(super) fn append_headers<'h>(
    out: &mut Vec<u8>,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
) -> Result<(), LinkError> {
    let place = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut count = 0_usize;
    for (name, value) in headers {
        count += 1;
        append_length_of(out, name, "a header's name")?;
        append_lower(out, name);
        append_long(out, value, "a header's value")?;
    }
    let limit = usize::from(u16::MAX);
    let counted = u16::try_from(count);
    let counted =
        counted.map_err(|_| LinkError::Unsendable { what: "headers", length: count, limit })?;
    if let Some(place) = out.get_mut(place..place + 2) {
        place.copy_from_slice(&counted.to_be_bytes());
    }
    Ok(())
}

fn read_header<'a>(fields: &mut Fields<'a>) -> Result<(&'a [u8], &'a [u8]), LinkError> {
    let name = fields.short_string("a header's name")?;
    Ok((name, fields.long_string("a header's value")?))
}

/// Walks through [`Headers`].
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.bytes.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.bytes = rest;
        Some((name, value))
    }
}
