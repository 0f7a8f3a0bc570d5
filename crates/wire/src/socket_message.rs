//! JSON and XML socket messages: what clients send on a bare connection, each ended by a NUL.
//!
//! | kind | message |
//! |---|---|
//! | JSON | `@`, a relative path, one space, `{`, anything, `}`, NUL |
//! | XML | `<`, a name of `[A-Za-z0-9.-]`, one of `/`, `>` and white space, anything, `>`, NUL |
//!
//! The path is of printable ASCII without `?`, `#` and spaces, at least one byte, and its first segment
//! has no `:`. Nothing stands between messages. Source: "Mongrel2's protocol", and RFC 3986 for the path.
//! What stands between the braces is not looked at: a NUL there ends nothing unless `}` precedes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Found;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Begins with `@`.
    Json,
    /// Begins with `<`.
    Xml,
}

/// A message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMessage<'a> {
    /// JSON or XML.
    pub kind: Kind,
    /// What routes are compared with: `@chat`, or `<` and the root's name.
    pub path: &'a [u8],
    /// The JSON object, or the whole XML text; without the NUL.
    pub body: &'a [u8],
}

/// Why a client is not understood. Bytes are counted from the start of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketMessageError {
    /// Something else stands where the format wants a certain thing.
    #[error("byte {at} of a message: found {found}, expected {expected}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What stands there.
        found: Found,
        /// What the format wants.
        expected: &'static str,
    },
    /// A message is longer than the caller allows, NUL included.
    #[error("a message of more than {limit} bytes")]
    TooLong {
        /// The caller's limit.
        limit: usize,
    },
}

/// Finds the messages of a connection.
///
/// It keeps no bytes: what is not a whole message yet stays with the caller, and is at most as long as
/// the longest message allowed. No byte is looked at more than twice.
#[derive(Clone, Debug)]
pub struct SocketMessageDecoder {
    limit: usize,
    /// Where the body begins in the message that is under way, once its head is whole.
    body: Option<usize>,
    /// How many of its bytes were looked at.
    seen: usize,
}

impl SocketMessageDecoder {
    /// For messages of at most so many bytes, NUL included.
    pub fn new(limit: usize) -> Self {
        Self { limit, body: None, seen: 0 }
    }

    /// The message at the start of `input`, as soon as it is whole.
    ///
    /// After a `None`, `input` begins with the same bytes the next time. After an error the connection is
    /// of no more use.
    pub fn decode<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<SocketMessage<'a>>, SocketMessageError> {
        let window = input.get(..self.limit).unwrap_or(input);
        let Some(found) = self.find(window)? else {
            if input.len() >= self.limit {
                return Err(SocketMessageError::TooLong { limit: self.limit });
            }
            return Ok(None);
        };
        let (message, rest) = input.split_at_checked(found.end).unwrap_or((input, &[]));
        *input = rest;
        (self.body, self.seen) = (None, 0);
        let text = message.strip_suffix(b"\0").unwrap_or(message);
        let (path, body) = match found.kind {
            Kind::Json => (text.get(..found.body - 1), text.get(found.body..)),
            Kind::Xml => (text.get(..found.body), Some(text)),
        };
        Ok(Some(SocketMessage {
            kind: found.kind,
            path: path.unwrap_or_default(),
            body: body.unwrap_or_default(),
        }))
    }

    fn find(&mut self, window: &[u8]) -> Result<Option<Extent>, SocketMessageError> {
        let kind = match window.first() {
            None => return Ok(None),
            Some(b'@') => Kind::Json,
            Some(b'<') => Kind::Xml,
            Some(_) => return Err(unexpected(window, 0, "'@' or '<'")),
        };
        let body = match self.body {
            Some(body) => body,
            None => {
                let head = match kind {
                    Kind::Json => json_head(window, &mut self.seen)?,
                    Kind::Xml => xml_head(window, &mut self.seen)?,
                };
                let Some(body) = head else { return Ok(None) };
                (self.body, self.seen) = (Some(body), body + 1);
                body
            }
        };
        let close = if kind == Kind::Json { b'}' } else { b'>' };
        while let Some(index) = window.get(self.seen..).and_then(|rest| memchr::memchr(0, rest)) {
            let nul = self.seen + index;
            self.seen = nul + 1;
            if window.get(nul - 1) == Some(&close) {
                return Ok(Some(Extent { kind, body, end: nul + 1 }));
            }
        }
        self.seen = window.len().max(self.seen);
        Ok(None)
    }
}

struct Extent {
    kind: Kind,
    body: usize,
    end: usize,
}

/// Where the `{` stands; `None` as long as it is not there. Goes on at `seen`.
fn json_head(window: &[u8], seen: &mut usize) -> Result<Option<usize>, SocketMessageError> {
    let slash = memchr::memchr(b'/', window);
    for (at, byte) in window.iter().enumerate().skip((*seen).max(1)) {
        *seen = at;
        match byte {
            b' ' if at > 1 => {
                return match window.get(at + 1) {
                    None => Ok(None),
                    Some(b'{') => Ok(Some(at + 1)),
                    Some(_) => Err(unexpected(window, at + 1, "'{' after the path")),
                };
            }
            b':' if slash.is_none_or(|slash| slash > at) => {
                return Err(unexpected(window, at, "no ':' in the first part of a path"));
            }
            b'!'..=b'~' if !matches!(byte, b'?' | b'#') => {}
            _ => return Err(unexpected(window, at, "a path of printable ASCII, a space and '{'")),
        }
    }
    Ok(None)
}

/// Where the name of the root ends; `None` as long as that is not there. Goes on at `seen`.
fn xml_head(window: &[u8], seen: &mut usize) -> Result<Option<usize>, SocketMessageError> {
    for (at, byte) in window.iter().enumerate().skip((*seen).max(1)) {
        *seen = at;
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => {}
            b'/' | b'>' | b' ' | b'\t' | b'\r' | b'\n' if at > 1 => return Ok(Some(at)),
            _ => {
                let expected = "the name of a root, then '/', '>' or white space";
                return Err(unexpected(window, at, expected));
            }
        }
    }
    Ok(None)
}

fn unexpected(window: &[u8], at: usize, expected: &'static str) -> SocketMessageError {
    let found = window.get(at).map_or(Found::End, |byte| Found::Byte(*byte));
    SocketMessageError::Unexpected { at, found, expected }
}

impl SocketMessage<'_> {
    /// Whether this only says that the client is alive: `@`, small letters and slashes, and an object
    /// that begins with `{"type":"ping"}`. It goes to no handler, whatever follows.
    ///
    /// White space may stand before `"ping"`, as in "Mongrel2's protocol".
    pub fn is_ping(&self) -> bool {
        let path = self.path.strip_prefix(b"@").unwrap_or_default();
        let is_plain = path.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'/');
        let kind = self.body.strip_prefix(br#"{"type":"#).map(<[u8]>::trim_ascii_start);
        !path.is_empty() && is_plain && kind.is_some_and(|kind| kind.starts_with(br#""ping"}"#))
    }
}

/// Appends what a client with socket messages gets for a handler's payload.
///
/// The payload in base64, without a NUL at its own end, and then a NUL, for which old clients wait; or,
/// with `raw_payload`, the payload as it is: then the handler sends the NUL itself.
pub fn append_reply(out: &mut Vec<u8>, payload: &[u8], raw_payload: bool) {
    if raw_payload {
        out.extend_from_slice(payload);
        return;
    }
    let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
    let start = out.len();
    let length = base64::encoded_len(payload.len(), true).unwrap_or_default();
    out.resize(start + length, 0);
    let written = out.get_mut(start..).map(|place| STANDARD.encode_slice(payload, place));
    debug_assert!(matches!(written, Some(Ok(count)) if count == length), "{written:?}");
    out.push(0);
}

#[cfg(test)]
mod tests;
