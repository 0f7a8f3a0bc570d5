//! Heads of responses: what they say of themselves, and what of it goes on.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use httparse::{ParserConfig, Status};
use memchr::memchr_iter;

use super::decoder::Decoder;
use super::head::is_of_one_hop;
use crate::spare;

/// Most header lines.
const LINES: usize = 100;
const MALFORMED: &str = "its head is malformed";

/// What a response has to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// A HEAD, whose response has no body.
    pub(super) head: bool,
    /// The protocol to which the connection may be switched.
    pub(super) upgrade: Option<&'a HeaderValue>,
}

/// A response without its body, and without what is about the upstream's connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    /// Where its body ends.
    pub(super) body: Decoder,
    /// The connection can be used again behind the body.
    pub(super) keeps: bool,
}

/// What the fields of a head say about its body and its connection.
#[derive(Debug, Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    closes: bool,
    keeps: bool,
    upgrade: Option<HeaderValue>,
    /// Headers that `Connection` names.
    listed: Vec<HeaderName>,
}

/// How far the heads of one response have been read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes of those that were taken.
    taken: usize,
    /// Bytes of the next one in which its end is not.
    searched: usize,
    names: Names,
}

impl Progress {
    /// Begins another response of the same connection.
    pub(super) fn restart(&mut self) {
        (self.taken, self.searched) = (0, 0);
    }
}

/// Names of fields as an upstream spells them: mostly, those of its next head are the same.
#[derive(Debug, Default)]
struct Names(Vec<(Box<str>, HeaderName)>);

impl Names {
    /// Most names that are remembered, and the longest, in bytes.
    const MOST: usize = 32;
    const LONGEST: usize = 64;

    /// The name that is spelled so, and that mostly was the one at `place`.
    fn get(&mut self, place: usize, name: &str) -> Option<HeaderName> {
        let same = |known: &&(Box<str>, HeaderName)| *known.0 == *name;
        let known = self.0.get(place).filter(same).or_else(|| self.0.iter().find(same));
        if let Some((_, known)) = known {
            return Some(known.clone());
        }
        let read = HeaderName::from_bytes(name.as_bytes()).ok()?;
        if self.0.len() < Self::MOST && name.len() <= Self::LONGEST {
            self.0.push((name.into(), read.clone()));
        }
        Some(read)
    }
}

/// Takes a final response's head off the front of what was read; `None` until it is there. Those that
/// are only informational are thrown away, and count.
pub(super) fn take(
    input: &mut BytesMut,
    progress: &mut Progress,
    limit: usize,
    asked: Asked<'_>,
) -> Result<Option<Head>, &'static str> {
    const TOO_LARGE: &str = "its head is too large";
    loop {
        let Some(end) = end(input, progress.searched) else {
            // A line's end may be the last of these.
            progress.searched = input.len().saturating_sub(2);
            let fits = progress.taken + input.len() < limit;
            return if fits { Ok(None) } else { Err(TOO_LARGE) };
        };
        progress.taken += end;
        progress.searched = 0;
        if progress.taken > limit {
            return Err(TOO_LARGE);
        }
        if let Some(head) = read(&input.split_to(end).freeze(), &mut progress.names, asked)? {
            return Ok(Some(head));
        }
    }
}

/// Where a head ends: behind the first empty line.
fn end(input: &[u8], searched: usize) -> Option<usize> {
    let rest = input.get(searched..)?;
    let behind = |at| match rest.get(at + 1..)? {
        [b'\n', ..] => Some(searched + at + 2),
        [b'\r', b'\n', ..] => Some(searched + at + 3),
        _ => None,
    };
    memchr_iter(b'\n', rest).find_map(behind)
}

/// Understands a whole head; `None` for one that is only informational.
fn read(bytes: &Bytes, names: &mut Names, asked: Asked<'_>) -> Result<Option<Head>, &'static str> {
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut parsed = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut lines) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err("its head has more than 100 lines"),
        _ => return Err(MALFORMED),
    }
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(MALFORMED)?;
    let old = parsed.version == Some(0);
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    if status.is_informational() && !switches {
        return Ok(None);
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers = spare::take();
    let headers = &mut parts.headers;
    headers.reserve(parsed.headers.len());
    let mut fields = Fields::default();
    for (place, line) in parsed.headers.iter().enumerate() {
        let name = names.get(place, line.name).ok_or(MALFORMED)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value));
        let value = value.map_err(|_| MALFORMED)?;
        if !fields.note(&name, &value)? {
            headers.append(name, value);
        }
    }
    fields.listed.iter().for_each(|name| drop(headers.remove(name)));
    if fields.chunked && (fields.length.is_some() || old) {
        return Err("both Transfer-Encoding and Content-Length, or HTTP/1.0 with the former");
    }
    if switches {
        switch(headers, &fields, asked)?;
        return Ok(Some(Head { parts, body: Decoder::Length(0), keeps: false }));
    }
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = match fields.length {
        _ if asked.head || bodiless => Decoder::Length(0),
        _ if fields.chunked => Decoder::chunked(),
        Some(length) => Decoder::Length(length),
        None => Decoder::Close,
    };
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    let keeps = !fields.closes && (!old || fields.keeps) && body != Decoder::Close;
    Ok(Some(Head { parts, body, keeps }))
}

impl Fields {
    /// Sees what a field says; true for one that goes no further.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, &'static str> {
        match *name {
            header::CONTENT_LENGTH => {
                let length = length(value.as_bytes()).ok_or("a malformed Content-Length")?;
                return match self.length.replace(length) {
                    Some(other) if other != length => Err("more than one Content-Length"),
                    first => Ok(first.is_some()),
                };
            }
            header::TRANSFER_ENCODING => {
                let chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
                if !chunked || std::mem::replace(&mut self.chunked, true) {
                    return Err("a Transfer-Encoding other than chunked");
                }
            }
            header::CONNECTION => {
                for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.note_option(token);
                }
            }
            header::UPGRADE => self.upgrade = Some(value.clone()),
            _ => return Ok(is_of_one_hop(name)),
        }
        Ok(true)
    }

    fn note_option(&mut self, token: &[u8]) {
        if token.eq_ignore_ascii_case(b"close") {
            self.closes = true;
        } else if token.eq_ignore_ascii_case(b"keep-alive") {
            self.keeps = true;
        } else if let Ok(name) = HeaderName::from_bytes(token) {
            // The body's length is not for anybody to take away.
            self.listed.extend(Some(name).filter(|name| *name != header::CONTENT_LENGTH));
        }
    }
}

/// A plain number, without a sign and not a list.
fn length(value: &[u8]) -> Option<u64> {
    let add = |length: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    };
    value.iter().try_fold(0, add).filter(|_| !value.is_empty())
}

/// Makes a 101 one to the client, who has to have asked for it.
fn switch(headers: &mut HeaderMap, fields: &Fields, asked: Asked<'_>) -> Result<(), &'static str> {
    let same = |to: &&HeaderValue| {
        asked.upgrade.is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(to.as_bytes()))
    };
    let protocol = fields.upgrade.as_ref().filter(same);
    let protocol = protocol.ok_or("nobody asked for this protocol")?;
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
    Ok(())
}

#[cfg(test)]
mod tests;
