//! What HTTP/2 can carry and HTTP/1 cannot: it must not come out at the other side of the proxy.

use super::upstream::{Seen, Upstream};
use crate::http2::serve_unix;
use crate::support::{Frames, kind, literal};

use Expected::{Passed, Refused};

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It arrives at the upstream with this body, which comes back.
    Passed(&'static str),
    /// The stream or the connection ends, or the answer is 4xx; nothing arrives whole.
    Refused,
}

/// Where it is written (without a number in front RFC 9113), the fields, the body where there is one,
/// trailers where there are some.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
    &'static [(&'static str, &'static str)],
    Expected,
);

/// The fields of each request that names none of them itself.
const USUAL: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/echo")];

/// A field of this name is not sent, and neither is the usual one of the name that is its value.
const WITHOUT: &str = "without";

const BODY: Option<&str> = Some("hello");

const TABLE: &[Row] = &[
    ("8.1", &[], BODY, &[], Passed("hello")),
    ("8.1", &[], None, &[], Passed("")),
    ("8.1.1", &[("content-length", "5")], BODY, &[], Passed("hello")),
    ("8.1.1", &[("content-length", "0")], None, &[], Passed("")),
    ("8.1.1", &[("content-length", "4")], BODY, &[], Refused),
    ("8.1.1", &[("content-length", "6")], BODY, &[], Refused),
    ("8.1.1", &[("content-length", "0")], BODY, &[], Refused),
    ("8.1.1", &[("content-length", "5")], None, &[], Refused),
    ("9110 8.6", &[("content-length", "5"), ("content-length", "5")], BODY, &[], Passed("hello")),
    ("9110 8.6", &[("content-length", "5"), ("content-length", "6")], BODY, &[], Refused),
    ("9110 8.6", &[("content-length", "5, 5")], BODY, &[], Refused),
    ("9110 8.6", &[("content-length", "+5")], BODY, &[], Refused),
    ("9110 8.6", &[("content-length", "0x5")], BODY, &[], Refused),
    ("9110 8.6", &[("content-length", "")], BODY, &[], Refused),
    ("9110 8.6", &[("content-length", "18446744073709551621")], BODY, &[], Refused),
    ("8.2.2", &[("transfer-encoding", "chunked")], Some("0\r\n\r\n"), &[], Refused),
    ("8.2.2", &[("transfer-encoding", "identity")], BODY, &[], Refused),
    ("8.2.2", &[("connection", "close")], BODY, &[], Refused),
    ("8.2.2", &[("connection", "content-length")], BODY, &[], Refused),
    ("8.2.2", &[("keep-alive", "timeout=5")], BODY, &[], Refused),
    ("8.2.2", &[("proxy-connection", "keep-alive")], BODY, &[], Refused),
    ("8.2.2", &[("upgrade", "websocket")], BODY, &[], Refused),
    ("8.2.2", &[("te", "gzip")], BODY, &[], Refused),
    ("8.2.2", &[("te", "trailers")], BODY, &[], Passed("hello")),
    ("8.2.1", &[("Content-Length", "5")], BODY, &[], Refused),
    ("8.2.1", &[("X-Upper", "y")], BODY, &[], Refused),
    ("8.2.1", &[("x y", "z")], BODY, &[], Refused),
    ("8.2.1", &[("x:y", "z")], BODY, &[], Refused),
    ("8.2.1", &[("x\r\ny", "z")], BODY, &[], Refused),
    ("8.2.1", &[("transfer-encoding: chunked\r\nx", "y")], BODY, &[], Refused),
    ("8.2.1", &[("x\0", "y")], BODY, &[], Refused),
    ("8.2.1", &[("", "y")], BODY, &[], Refused),
    ("8.2.1", &[("x", "y\r\nTransfer-Encoding: chunked")], BODY, &[], Refused),
    ("8.2.1", &[("x", "y\nHost: z")], BODY, &[], Refused),
    ("8.2.1", &[("x", "y\rz")], BODY, &[], Refused),
    ("8.2.1", &[("x", "y\0z")], BODY, &[], Refused),
    ("9110 5.5", &[("x", "y\u{1}z")], BODY, &[], Refused),
    ("8.2.1", &[("x", " y")], BODY, &[], Refused),
    ("8.2.1", &[("x", "y ")], BODY, &[], Refused),
    ("8.2.1", &[("x", "\ty")], BODY, &[], Refused),
    ("8.2.1", &[("x", " ")], BODY, &[], Refused),
    ("8.2.3", &[("cookie", "a=b"), ("cookie", "c=d")], BODY, &[], Passed("hello")),
    ("8.3", &[(":unknown", "y")], BODY, &[], Refused),
    ("8.3", &[(":status", "200")], BODY, &[], Refused),
    ("8.3", &[("x", "y"), (":path", "/other")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "/echo"), (":path", "/other")], BODY, &[], Refused),
    ("8.3.1", &[(":method", "GET"), (":method", "POST")], BODY, &[], Refused),
    ("8.3.1", &[(":authority", "x"), (":authority", "y")], BODY, &[], Refused),
    ("8.3.1", &[(WITHOUT, ":method")], BODY, &[], Refused),
    ("8.3.1", &[(WITHOUT, ":path")], BODY, &[], Refused),
    ("8.3.1", &[(WITHOUT, ":scheme")], BODY, &[], Refused),
    ("8.3.1", &[(WITHOUT, ":authority")], BODY, &[], Refused),
    ("8.3.1", &[(WITHOUT, ":authority"), ("host", "x")], BODY, &[], Passed("hello")),
    ("8.3.1", &[("host", "x")], BODY, &[], Passed("hello")),
    ("8.3.1", &[("host", "y")], BODY, &[], Refused),
    ("8.3.1", &[("host", "x"), ("host", "x")], BODY, &[], Refused),
    ("8.3.1", &[(":authority", "user@x")], BODY, &[], Refused),
    ("8.3.1", &[(":authority", "a b")], BODY, &[], Refused),
    ("8.3.1", &[(":authority", "x/echo?")], BODY, &[], Refused),
    ("8.3.1", &[(":authority", "x\r\nX: y")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "echo")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "?query")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "http://y/echo")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "*")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "/echo HTTP/1.1\r\nX: y")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "/echo HTTP/1.1")], BODY, &[], Refused),
    ("8.3.1", &[(":path", "/ec\tho")], BODY, &[], Refused),
    ("8.3.1", &[(":method", "GET /other HTTP/1.1\r\n\r\nPOST")], BODY, &[], Refused),
    ("8.3.1", &[(":method", "GET /other")], BODY, &[], Refused),
    ("8.3.1", &[(":method", "")], BODY, &[], Refused),
    ("8.3.1", &[(":scheme", "http://y/?")], BODY, &[], Refused),
    ("8.5", &[(":method", "CONNECT")], BODY, &[], Refused),
    ("8441 4", &[(":method", "CONNECT"), (":protocol", "websocket")], BODY, &[], Refused),
    ("8441 4", &[(":protocol", "websocket")], BODY, &[], Refused),
    ("8.1", &[], BODY, &[("x", "y")], Passed("hello")),
    ("9110 6.5.1", &[], BODY, &[("content-length", "50")], Passed("hello")),
    ("9110 6.5.1", &[], BODY, &[("host", "trailer")], Passed("hello")),
    ("8.1", &[], BODY, &[(":path", "/other")], Refused),
    ("8.2.2", &[], BODY, &[("transfer-encoding", "chunked")], Refused),
];

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The usual fields, and these in place of theirs or behind them.
fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    let is_absent = |usual: &str| {
        fields.iter().any(
            |(name, value)| {
                if *name == WITHOUT { *value == usual } else { *name == usual }
            },
        )
    };
    let usual = USUAL.iter().filter(|(name, _)| !is_absent(name));
    let told = fields.iter().filter(|(name, _)| *name != WITHOUT);
    usual.chain(told).flat_map(|(name, value)| literal(name, value)).collect()
}

fn send(client: &mut Frames, (_, fields, body, trailers, _): &Row) {
    let last = |last: bool| if last { END_STREAM } else { 0 };
    client.send(kind::HEADERS, END_HEADERS | last(body.is_none()), 1, &head(fields));
    if let Some(body) = body {
        client.send(kind::DATA, last(trailers.is_empty()), 1, body.as_bytes());
    }
    if !trailers.is_empty() {
        client.send(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers));
    }
}

#[test]
fn what_http1_cannot_carry_does_not_come_out_of_the_proxy() {
    let upstream = Upstream::start();
    let keys = format!("apps = there\n[there]\ncall = proxy\nupstream = {}", upstream.address);
    let (daemon, path) = serve_unix(&keys);
    let mut wrong = Vec::new();
    for row in TABLE {
        let mut client = Frames::connect(&path, &[]);
        send(&mut client, row);
        let body = client.body(1);
        let Seen { whole, strange } = upstream.take();
        let arrived: Vec<_> = whole.iter().map(|request| request.body.as_slice()).collect();
        let fits = match row.4 {
            Passed(text) => {
                arrived == [text.as_bytes()] && body.as_deref() == Some(text.as_bytes())
            }
            Refused => {
                arrived.is_empty() && body.as_ref().is_none_or(|body| body.starts_with(b"4"))
            }
        };
        if !fits || !strange.is_empty() {
            let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
            wrong.push(format!("{row:?}\n  got {body:?}, forwarded {whole:?} {strange:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(!daemon.log().contains("bug"), "{}", daemon.log());
}
