use super::LOWEST;
use super::content::{Content, Frame, Hello};
use super::error::LinkError;
use super::fields::append_short;
use super::head::{RequestHead, ResponseHead, append_headers};

/// How long the header of a frame is.
pub const HEADER_BYTES: usize = 16;

pub(super) const END: u8 = 0x01;
pub(super) const MORE: u8 = 0x02;
pub(super) const CLOSE: u8 = 0x04;
pub(super) const ANSWER: u8 = 0x08;

pub(super) mod kind {
    pub(in super::super) const HELLO: u8 = 1;
    pub(in super::super) const REQUEST: u8 = 2;
    pub(in super::super) const DATA: u8 = 3;
    pub(in super::super) const MESSAGE: u8 = 4;
    pub(in super::super) const RESPONSE: u8 = 5;
    pub(in super::super) const UPGRADE: u8 = 6;
    pub(in super::super) const CANCEL: u8 = 7;
    pub(in super::super) const CREDIT: u8 = 8;
    pub(in super::super) const TOUCH: u8 = 9;
    pub(in super::super) const GO_AWAY: u8 = 10;
    pub(in super::super) const PING: u8 = 11;
    pub(in super::super) const WATCH: u8 = 12;
}

/// The version that a kind came with, or this flag of it.
pub(super) fn version(kind: u8, flags: u8) -> u8 {
    match kind {
        kind::WATCH => 2,
        kind::DATA if flags & MORE != 0 => 2,
        _ => LOWEST,
    }
}

/// What a `Hello` begins with.
pub(super) const MAGIC: [u8; 4] = *b"Brim";

/// Appends a request's head and the client's headers; `end` if there is no body.
///
/// Fails, and appends nothing, if a part of it is too long for its length field.
pub fn append_request<'h>(
    out: &mut Vec<u8>,
    exchange: u64,
    head: &RequestHead<'_>,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    end: bool,
) -> Result<(), LinkError> {
    append(out, kind::REQUEST, flag(end, END), exchange, |out| {
        head.append(out)?;
        append_headers(out, headers)
    })
}

/// Appends an answer's head and the handler's headers; `end` if there is no body.
///
/// Fails, and appends nothing, if a part of it is too long for its length field.
pub fn append_response<'h>(
    out: &mut Vec<u8>,
    exchange: u64,
    head: &ResponseHead<'_>,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    (end, close): (bool, bool),
) -> Result<(), LinkError> {
    let flags = flag(end, END) | flag(end && close, CLOSE);
    append(out, kind::RESPONSE, flags, exchange, |out| {
        head.append(out)?;
        append_headers(out, headers)
    })
}

/// Appends the head and the headers of a WebSocket handshake that is taken.
///
/// Fails, and appends nothing, if a part of it is too long for its length field.
pub fn append_upgrade<'h>(
    out: &mut Vec<u8>,
    exchange: u64,
    head: &ResponseHead<'_>,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
) -> Result<(), LinkError> {
    append(out, kind::UPGRADE, 0, exchange, |out| {
        head.append(out)?;
        append_headers(out, headers)
    })
}

/// The header of a `Data` frame, for writes that gather: the bytes can stay where they are.
pub fn data_header(exchange: u64, length: u32, end: bool, close: bool) -> [u8; HEADER_BYTES] {
    header(kind::DATA, flag(end, END) | flag(end && close, CLOSE), length, exchange)
}

/// The header of a `Part` frame.
pub fn part_header(exchange: u64, length: u32) -> [u8; HEADER_BYTES] {
    header(kind::DATA, MORE, length, exchange)
}

/// Gives whole frames of one exchange to another.
pub fn readdress(mut frames: &mut [u8], exchange: u64) {
    while let Some((header, rest)) = std::mem::take(&mut frames).split_first_chunk_mut() {
        let [_, _, _, _, a, b, c, d, number @ ..]: &mut [u8; HEADER_BYTES] = header;
        *number = exchange.to_be_bytes();
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        frames = rest.get_mut(length..).unwrap_or_default();
    }
}

impl Frame<'_> {
    /// Appends the frame.
    ///
    /// Fails, and appends nothing, if a part of it is too long for its length field.
    pub fn append(&self, out: &mut Vec<u8>) -> Result<(), LinkError> {
        let exchange = self.exchange;
        let mut plain = |kind, flags, parts: &[&[u8]]| {
            append(out, kind, flags, exchange, |out| {
                parts.iter().for_each(|part| out.extend_from_slice(part));
                Ok(())
            })
        };
        match self.content {
            Content::Data { bytes, end, close } => {
                plain(kind::DATA, flag(end, END) | flag(end && close, CLOSE), &[bytes])
            }
            Content::Part(bytes) => plain(kind::DATA, MORE, &[bytes]),
            Content::Cancel(cancel) => {
                let code = [cancel.reason.code(), 0];
                plain(kind::CANCEL, 0, &[&code, &cancel.retry_after.to_be_bytes()])
            }
            Content::Credit(bytes) => plain(kind::CREDIT, 0, &[&bytes.to_be_bytes()]),
            Content::Touch => plain(kind::TOUCH, 0, &[]),
            Content::Watch => plain(kind::WATCH, 0, &[]),
            Content::Ping { context, is_answer } => {
                plain(kind::PING, flag(is_answer, ANSWER), &[&context.to_be_bytes()])
            }
            Content::Request { head, headers, end } => {
                append_request(out, exchange, &head, headers.iter(), end)
            }
            Content::Response { head, headers, end, close } => {
                append_response(out, exchange, &head, headers.iter(), (end, close))
            }
            Content::Upgrade { head, headers } => {
                append_upgrade(out, exchange, &head, headers.iter())
            }
            Content::Hello(hello) => {
                append(out, kind::HELLO, 0, exchange, |out| append_hello(out, &hello))
            }
            Content::Message { flags, path, bytes, more } => {
                append(out, kind::MESSAGE, flag(more, MORE), exchange, |out| {
                    out.push(flags);
                    append_short(out, path, "a message's path")?;
                    out.extend_from_slice(bytes);
                    Ok(())
                })
            }
            Content::GoAway(away) => append(out, kind::GO_AWAY, 0, exchange, |out| {
                out.extend_from_slice(&[away.reason.code(), 0]);
                out.extend_from_slice(&away.last.to_be_bytes());
                append_short(out, away.text, "a text for the log")
            }),
        }
    }
}

fn append_hello(out: &mut Vec<u8>, hello: &Hello<'_>) -> Result<(), LinkError> {
    let limit = usize::from(u8::MAX);
    if hello.name.len() > limit {
        let length = hello.name.len();
        return Err(LinkError::Unsendable { what: "a link's name", length, limit });
    }
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[hello.lowest, hello.highest, 0, 0]);
    for number in [hello.credit, hello.payload, hello.exchanges] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    append_short(out, hello.name, "a link's name")
}

fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

fn header(kind: u8, flags: u8, length: u32, exchange: u64) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    let [e, f, g, h, i, j, k, l] = exchange.to_be_bytes();
    [version(kind, flags), kind, flags, 0, a, b, c, d, e, f, g, h, i, j, k, l]
}

/// A header, and the payload that `write` appends.
fn append(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    exchange: u64,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), LinkError>,
) -> Result<(), LinkError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let length = write(out).and_then(|()| {
        let length = out.len() - start - HEADER_BYTES;
        let limit = u32::MAX as usize;
        u32::try_from(length).map_err(|_| LinkError::Unsendable {
            what: "a payload",
            length,
            limit,
        })
    });
    match length {
        Ok(length) => {
            if let Some(place) = out.get_mut(start..start + HEADER_BYTES) {
                place.copy_from_slice(&header(kind, flags, length, exchange));
            }
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}
