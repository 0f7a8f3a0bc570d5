use std::borrow::Cow;

use super::encode::Encoding;
use super::json;
use super::key::Key;
use super::notice::{CREDITS, DISCONNECT, NOTICE_PATH, Notice};
use crate::error::{Found, MessageError};
use crate::netstring;
use crate::reader::Reader;
use crate::sender::Sender;
use crate::tnetstring::{self, Value};
use crate::websocket::Flags;

/// A dictionary and its lists.
const DEPTH: usize = 2;

/// A request as a handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The server, to be repeated in replies.
    pub sender: Sender<'a>,
    /// Whom to answer.
    pub id: u32,
    /// The path; in notices [`NOTICE_PATH`].
    pub path: &'a [u8],
    /// How the headers were written, and so how values in them are to be taken.
    pub encoding: Encoding,
    /// The server's keys and the client's headers.
    pub headers: Headers<'a>,
    /// The body.
    pub body: &'a [u8],
}

/// Names with one value or more, in the order of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// A name, and how many values come before its own.
    names: Vec<(Cow<'a, [u8]>, usize)>,
    values: Vec<Cow<'a, [u8]>>,
}

/// Reads a whole message as a request with at most so many header names, and as many values.
pub fn parse(message: &[u8], headers: usize) -> Result<Request<'_>, MessageError> {
    let mut reader = Reader::new(message);
    let sender = Sender::read(&mut reader)?;
    reader.expect(b' ', "a letter, a digit or '-', or ' ' after the sender's id")?;
    let id = reader.number("an id below 4294967296")?;
    reader.expect(b' ', "' ' after the id")?;
    let path = reader.take_while(|byte| byte != b' ');
    reader.expect(b' ', "' ' after the path")?;
    let (encoding, headers) = parse_headers(&mut reader, message, headers)?;
    let body = netstring::read(&mut reader, message.len())?;
    if !reader.is_at_end() {
        return Err(reader.unexpected("nothing after the body"));
    }
    Ok(Request { sender, id, path, encoding, headers, body })
}

fn parse_headers<'a>(
    reader: &mut Reader<'a>,
    message: &'a [u8],
    limit: usize,
) -> Result<(Encoding, Headers<'a>), MessageError> {
    let start = reader.at();
    let limits = tnetstring::Limits { bytes: message.len(), depth: DEPTH };
    let mut headers = Headers::default();
    match tnetstring::read(reader, message, limits)? {
        Value::String(text) => {
            let text_start = reader.at() - text.len() - 1;
            json::parse(text, &mut headers, limit).map_err(|error| {
                if headers.is_full(limit) && error.is_data() {
                    return MessageError::TooMany { at: start, what: "headers", limit };
                }
                let column = if error.line() == 1 { error.column().saturating_sub(1) } else { 0 };
                MessageError::Unexpected {
                    at: text_start + column,
                    found: text.get(column).map_or(Found::End, |byte| Found::Byte(*byte)),
                    expected: "a JSON object of strings and lists of strings",
                }
            })?;
            Ok((Encoding::Json, headers))
        }
        Value::Dictionary(entries) => {
            let wrong = |expected| MessageError::Unexpected {
                at: start,
                found: Found::Bytes(reader.at() - start),
                expected,
            };
            for (name, value) in entries {
                let mut is_room = headers.add_name(Cow::Borrowed(name), limit);
                let mut add = |value: Value<'a>| {
                    let value = value.as_string().ok_or_else(|| wrong("strings in the headers"))?;
                    is_room = is_room && headers.add_value(Cow::Borrowed(value), limit);
                    Ok(())
                };
                match value {
                    Value::List(mut values) => values.try_for_each(add)?,
                    value => add(value)?,
                }
                if !is_room {
                    return Err(MessageError::TooMany { at: start, what: "headers", limit });
                }
            }
            Ok((Encoding::Tnetstring, headers))
        }
        _ => Err(MessageError::Unexpected {
            at: start,
            found: Found::Bytes(reader.at() - start),
            expected: "a netstring of JSON or a dictionary",
        }),
    }
}

impl<'a> Headers<'a> {
    /// Begins a header; says no if there are too many.
    pub(super) fn add_name(&mut self, name: Cow<'a, [u8]>, limit: usize) -> bool {
        let is_room = self.names.len() < limit;
        if is_room {
            self.names.push((name, self.values.len()));
        }
        is_room
    }

    /// Adds a value to the header that was begun last; says no if there are too many.
    pub(super) fn add_value(&mut self, value: Cow<'a, [u8]>, limit: usize) -> bool {
        let is_room = self.values.len() < limit;
        if is_room {
            self.values.push(value);
        }
        is_room
    }

    fn is_full(&self, limit: usize) -> bool {
        self.names.len() >= limit || self.values.len() >= limit
    }

    /// Every name with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[Cow<'a, [u8]>])> {
        let ends = self.names.iter().skip(1).map(|(_, start)| *start);
        let ends = ends.chain([self.values.len()]);
        self.names.iter().zip(ends).map(|((name, start), end)| {
            (name.as_ref(), self.values.get(*start..end).unwrap_or_default())
        })
    }

    /// The values of a name, which is upper-case for the server's and lower-case for a client's.
    pub fn all(&self, name: &str) -> &[Cow<'a, [u8]>] {
        let found = self.iter().find(|(key, _)| *key == name.as_bytes());
        found.map(|(_, values)| values).unwrap_or_default()
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).first().map(AsRef::as_ref)
    }

    /// The value of a key of the server's.
    pub fn key(&self, key: Key) -> Option<&[u8]> {
        self.get(key.as_str())
    }
}

impl Request<'_> {
    /// The HTTP method, or what stands in its place; pieces of an upload after the first have none.
    pub fn method(&self) -> Option<&[u8]> {
        self.headers.key(Key::Method)
    }

    /// What the server tells unasked; `None` for what a client sent.
    pub fn notice(&self) -> Option<Notice> {
        if self.path != NOTICE_PATH || self.method() != Some(b"JSON") {
            return None;
        }
        match self.body {
            DISCONNECT => Some(Notice::Disconnect),
            CREDITS => self.number(Key::DownloadCredits).map(Notice::Credits),
            _ => None,
        }
    }

    /// What kind of WebSocket message this is.
    pub fn flags(&self) -> Option<Flags> {
        self.headers.key(Key::Flags).and_then(Flags::parse)
    }

    /// A decimal value of the server's, as those of uploads and credits are.
    pub fn number(&self, key: Key) -> Option<u64> {
        let digits = self.headers.key(key)?;
        let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}
