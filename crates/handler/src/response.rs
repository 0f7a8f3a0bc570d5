//! HTTP/1.1 responses as bytes, for [`Replies::send`](crate::Replies::send).
//!
//! [`http::Response`] makes sure that names and values are none that could end a line. Who frames the body
//! writes the header that says so: `Content-Length` and `Transfer-Encoding` of the response are left out.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode};

use crate::request::Request;

/// What ends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// [`LAST_CHUNK`].
    Chunked,
    /// The end of the connection; for clients that know no chunks, and for streams without an end.
    Close,
}

/// The end of a body in chunks.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A response with its body and its `Content-Length`.
pub fn whole<B: AsRef<[u8]>>(response: &Response<B>) -> Bytes {
    let body = response.body().as_ref();
    let mut out = begin(response, Framing::Length(body.len() as u64), body.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}

/// The head of a response whose body is sent later; what the response has for a body is not looked at.
pub fn head<B>(response: &Response<B>, framing: Framing) -> Bytes {
    let mut out = begin(response, framing, 0);
    out.extend_from_slice(b"\r\n");
    Bytes::from(out)
}

/// A piece of a body in chunks. No bytes make no chunk: an empty one would be the last.
pub fn chunk(bytes: &[u8]) -> Bytes {
    if bytes.is_empty() {
        return Bytes::new();
    }
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    Bytes::from(out)
}

/// [`whole`], as this request wants it.
pub(crate) fn answer<B>(response: &Response<B>, request: &Request, says_close: bool) -> Bytes
where
    B: AsRef<[u8]>,
{
    let body = response.body().as_ref();
    let mut out = begin(response, Framing::Length(body.len() as u64), body.len());
    if says_close {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if request.method() != Some(b"HEAD") && has_body(response.status()) {
        out.extend_from_slice(body);
    }
    Bytes::from(out)
}

/// Status line and headers.
fn begin<B>(response: &Response<B>, framing: Framing, room: usize) -> Vec<u8> {
    let status = response.status();
    let mut out = Vec::with_capacity(room + 256);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    append_headers(&mut out, response.headers());
    match framing {
        _ if !has_body(status) => {}
        Framing::Length(length) => {
            out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Close => out.extend_from_slice(b"connection: close\r\n"),
    }
    out
}

fn append_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// RFC 9110, section 6.4.1.
fn has_body(status: StatusCode) -> bool {
    !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_response_has_its_length_and_no_other_framing() {
        let response = Response::builder()
            .status(404)
            .header("Content-Type", "text/plain")
            .header("content-length", "77")
            .header("transfer-encoding", "chunked")
            .body("Not here.")
            .unwrap();
        let expected = "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\n\
                        content-length: 9\r\n\r\nNot here.";
        assert_eq!(whole(&response), expected);
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        let response = Response::new(());
        let start = "HTTP/1.1 200 OK\r\n";
        for (framing, line) in [
            (Framing::Length(3), "content-length: 3\r\n"),
            (Framing::Chunked, "transfer-encoding: chunked\r\n"),
            (Framing::Close, "connection: close\r\n"),
        ] {
            assert_eq!(head(&response, framing), format!("{start}{line}\r\n"));
        }
        let none = Response::builder().status(204).body(()).unwrap();
        assert_eq!(head(&none, Framing::Chunked), "HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn chunks_have_their_length_in_hexadecimal() {
        assert_eq!(chunk(b"hello"), "5\r\nhello\r\n");
        assert_eq!(chunk(&[b'x'; 26]).get(..4), Some(&b"1a\r\n"[..]));
        assert_eq!(chunk(b""), "");
    }
}
