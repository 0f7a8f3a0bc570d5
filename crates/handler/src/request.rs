use std::fmt;
use std::sync::Arc;

use brim_wire::request::{self as wire, Encoding, Key, Notice, UPLOAD_DONE, UPLOAD_START};
use brim_wire::websocket::Flags;
use brim_wire::{MessageError, Sender};
use bytes::Bytes;

/// Header names of a request, and values: more than any server lets through.
const HEADERS: usize = 2000;

/// Whom a reply is for: a server, and the number that it gave to a client.
///
/// With Mongrel2 the number stands for the client's connection. With Brim it stands for one request, or
/// for one connection that has messages (WebSocket, JSON, XML), unless the server is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    server: Arc<str>,
    id: u32,
}

/// What a server sent.
///
/// Names and values are bytes, parts of the message that are not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whom to answer.
    pub client: Client,
    /// The path as the client sent it, without the query; `@chat` or `<chat` in socket messages.
    pub path: Bytes,
    /// How the headers were written, and so how bytes in them that are not UTF-8 arrived.
    pub encoding: Encoding,
    /// The server's keys and the client's headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    kind: Kind,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client's HTTP request.
    Http,
    /// A further piece of an upload that comes in pieces: see [`Request::upload`].
    Piece,
    /// A client wants a WebSocket: see [`websocket::accept`](crate::websocket::accept).
    Handshake,
    /// A message of a WebSocket, whole; its flags tell text from binary, pings and the like.
    WebSocket(Flags),
    /// A JSON socket message.
    Json,
    /// An XML socket message.
    Xml,
    /// The client is gone. Nothing can be sent to it, and there is nobody to answer.
    Disconnect,
    /// The client took so many bytes of what was sent to it.
    Credits(u64),
}

/// How far an upload is that the server does not deliver in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload<'a> {
    /// The body goes to this file. Closing the connection now refuses it.
    Started(&'a [u8]),
    /// The body is in this file, whole. An answer is due.
    Finished(&'a [u8]),
    /// The body comes in pieces, as many bytes as the handler grants by
    /// [`Control::credits`](crate::Control).
    Piece {
        /// At which byte of the whole this piece begins.
        at: u64,
        /// Whether it is the last one. An answer is due.
        is_last: bool,
    },
}

/// Names and values in the order of the message, a line each: one name may stand there several times.
#[derive(Clone, Default)]
pub struct Headers {
    message: Bytes,
    lines: Vec<(Text, Text)>,
}

/// A name or a value.
#[derive(Clone)]
enum Text {
    /// It stands in the message, from here on and so long.
    Within(usize, usize),
    /// It was written with escapes there.
    Apart(Box<[u8]>),
}

impl Request {
    /// Reads a message; `server` is the last one seen, which saves memory for its name.
    pub(crate) fn parse(message: &Bytes, server: &mut Arc<str>) -> Result<Self, MessageError> {
        let parsed = wire::parse(message, HEADERS)?;
        if parsed.sender.as_str() != &**server {
            *server = Arc::from(parsed.sender.as_str());
        }
        let mut lines = Vec::with_capacity(16);
        for (name, values) in parsed.headers.iter() {
            let name = Text::of(message, name);
            lines.extend(values.iter().map(|value| (name.clone(), Text::of(message, value))));
        }
        Ok(Self {
            client: Client { server: Arc::clone(server), id: parsed.id },
            path: part(message, parsed.path),
            encoding: parsed.encoding,
            headers: Headers { message: message.clone(), lines },
            body: part(message, parsed.body),
            kind: kind(&parsed),
        })
    }

    /// What it is about.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The HTTP method, or what stands in its place; pieces of an upload after the first have none.
    pub fn method(&self) -> Option<&[u8]> {
        self.headers.key(Key::Method)
    }

    /// How far its upload is; `None` if the body, if any, is in the request.
    pub fn upload(&self) -> Option<Upload<'_>> {
        if let Some(at) = self.number(Key::UploadStream) {
            let is_last = self.headers.key(Key::UploadStreamDone).is_some();
            return Some(Upload::Piece { at, is_last });
        }
        let start = self.headers.get(UPLOAD_START)?;
        match self.headers.get(UPLOAD_DONE) {
            None => Some(Upload::Started(start)),
            Some(done) if done == start => Some(Upload::Finished(start)),
            // A client wrote one of them.
            Some(_) => None,
        }
    }

    /// The length of the body that the client announced, which is not here yet in uploads.
    pub fn content_length(&self) -> Option<u64> {
        number(self.headers.get("content-length")?)
    }

    /// Whether the client's connection may stay open after the answer, as far as the client says.
    pub fn keeps_alive(&self) -> bool {
        let is_close = |value: &[u8]| {
            value
                .split(|byte| *byte == b',')
                .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
        };
        self.headers.key(Key::Version) != Some(b"HTTP/1.0")
            && !self.headers.all("connection").any(is_close)
    }

    fn number(&self, key: Key) -> Option<u64> {
        number(self.headers.key(key)?)
    }
}

impl Client {
    /// The client that a server knows by this number. A server's name has letters, digits and hyphens.
    pub fn new(server: &str, id: u32) -> Result<Self, MessageError> {
        Sender::new(server.as_bytes())?;
        Ok(Self { server: Arc::from(server), id })
    }

    /// The server: its `send_ident`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The number.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.server, self.id)
    }
}

impl Headers {
    /// The first value of a name: upper-case for the server's keys, lower-case for the client's headers.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value of a key of the server's.
    pub fn key(&self, key: Key) -> Option<&[u8]> {
        self.get(key.as_str())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|(name, value)| (name.of_message(self), value.of_message(self)))
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        f.debug_map().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

impl Text {
    fn of(message: &[u8], bytes: &[u8]) -> Self {
        match place(message, bytes) {
            Some(start) => Self::Within(start, bytes.len()),
            None => Self::Apart(bytes.into()),
        }
    }

    fn of_message<'h>(&'h self, headers: &'h Headers) -> &'h [u8] {
        match self {
            Self::Within(start, length) => {
                headers.message.get(*start..start + length).unwrap_or_default()
            }
            Self::Apart(bytes) => bytes,
        }
    }
}

fn kind(request: &wire::Request<'_>) -> Kind {
    match request.notice() {
        Some(Notice::Disconnect) => return Kind::Disconnect,
        Some(Notice::Credits(bytes)) => return Kind::Credits(bytes),
        None => {}
    }
    match (request.method(), request.flags()) {
        (None, _) => Kind::Piece,
        (Some(b"WEBSOCKET_HANDSHAKE"), _) => Kind::Handshake,
        (Some(b"WEBSOCKET"), Some(flags)) => Kind::WebSocket(flags),
        (Some(b"JSON"), _) => Kind::Json,
        (Some(b"XML"), _) => Kind::Xml,
        _ => Kind::Http,
    }
}

/// These bytes, without a copy if they stand in the message.
fn part(message: &Bytes, bytes: &[u8]) -> Bytes {
    match place(message, bytes) {
        Some(start) => message.slice(start..start + bytes.len()),
        None => Bytes::copy_from_slice(bytes),
    }
}

/// Where these bytes begin, if they stand in the message.
fn place(message: &[u8], bytes: &[u8]) -> Option<usize> {
    let start = bytes.as_ptr().addr().checked_sub(message.as_ptr().addr())?;
    (start + bytes.len() <= message.len()).then_some(start)
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
