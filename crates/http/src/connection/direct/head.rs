//! Heads of requests that ask for nothing special.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use httparse::{ParserConfig, Status};

use crate::spare;

/// Most header lines.
const LINES: usize = 100;
/// Bytes that are had at once for the heads to come. All of them are held as long as one head in them.
const BLOCK: usize = 4096;
/// A longer head has memory of its own.
const SHORT: usize = BLOCK / 4;

thread_local! {
    /// Where the next heads go.
    static HEADS: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK));
}

/// Reads a GET without a body, by HTTP/1.1, on a connection that stays; its bytes. `head` is fresh.
///
/// `None` for anything else, be it unusual, malformed, too large or not whole. It is hyper's then, whose
/// parser this is too, so that nothing is understood in two ways.
// Into `head`, because it is large to be handed on.
pub(super) fn plain_get(input: &[u8], head: &mut Parts) -> Option<Bytes> {
    if !input.starts_with(b"GET /") {
        return None;
    }
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut parsed = httparse::Request::new(&mut []);
    let config = ParserConfig::default();
    let length = match config.parse_request_with_uninit_headers(&mut parsed, input, &mut lines) {
        Ok(Status::Complete(length)) if parsed.version == Some(1) => length,
        _ => return None,
    };
    let bytes = copy(input.get(..length)?);
    // What was parsed, in the copy.
    let shared = |part: &[u8]| {
        let start = part.as_ptr().addr().checked_sub(input.as_ptr().addr())?;
        (start + part.len() <= length).then(|| bytes.slice(start..start + part.len()))
    };
    head.method = Method::GET;
    head.uri = Uri::from_maybe_shared(shared(parsed.path?.as_bytes())?).ok()?;
    // Not before there is a head: a connection that waits for one would hold the room.
    head.headers = spare::take();
    head.headers.reserve(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(shared(line.value)?).ok()?;
        match name {
            header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::EXPECT => return None,
            header::CONNECTION if !value.as_bytes().eq_ignore_ascii_case(b"keep-alive") => {
                return None;
            }
            _ => head.headers.append(name, value),
        };
    }
    Some(bytes)
}

/// A copy of a head, short ones side by side: with each alone, there would be two pieces of memory to be had
/// and given back for every request.
fn copy(head: &[u8]) -> Bytes {
    if head.len() > SHORT {
        return Bytes::copy_from_slice(head);
    }
    HEADS.with_borrow_mut(|heads| {
        heads.extend_from_slice(head);
        heads.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Option<(Parts, Bytes)> {
        let (mut head, ()) = http::Request::new(()).into_parts();
        let bytes = plain_get(input, &mut head)?;
        Some((head, bytes))
    }

    fn is_plain(head: &str) -> bool {
        read(head.as_bytes()).is_some()
    }

    #[test]
    fn what_browsers_ask_for_is_plain() {
        let input = b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nCookie: a\r\ncookie: b\r\n\r\nGET /";
        let (parts, bytes) = read(input).unwrap();
        assert_eq!((&parts.method, &*parts.uri.to_string()), (&Method::GET, "/a?b=1"));
        assert_eq!(parts.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(parts.headers["host"], "x");
        assert_eq!(bytes, input[..input.len() - 5]);
    }

    #[test]
    fn each_head_stays_what_it_was() {
        let heads: Vec<_> =
            (0..3 * BLOCK).map(|length| vec![length as u8; length % BLOCK]).collect();
        let copies: Vec<_> = heads.iter().map(|head| copy(head)).collect();
        assert_eq!(copies, heads);
        let room = HEADS.with_borrow(|heads| heads.capacity());
        assert!(room <= BLOCK, "{room}");
    }

    #[test]
    fn anything_else_is_not() {
        for head in [
            "",
            "GET",
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            assert!(!is_plain(head), "{head:?}");
        }
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(count));
        assert!(is_plain(&lines(LINES)) && !is_plain(&lines(LINES + 1)));
    }
}
