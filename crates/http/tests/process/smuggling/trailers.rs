use super::{Expected, Last, Refused, Row, direct, proxied};

/// Between the last chunk's line and the empty line of a body `hello`. Nobody here makes use of
/// trailers, which RFC 9112 section 7.1.2 allows; a connection that had some is not used again.
const TABLE: &[(&str, &[u8], Expected)] = &[
    ("7.1.2", b"X: y\r\n", Last("hello")),
    ("7.1.2", b"X: y\r\nZ:\r\n", Last("hello")),
    ("9110 6.5.1, no framing", b"Content-Length: 99\r\n", Last("hello")),
    ("9110 6.5.1, no framing", b"Transfer-Encoding: gzip\r\n", Last("hello")),
    ("9110 6.5.1, no routing", b"Host: trailer\r\n", Last("hello")),
    ("9110 6.5.1, no authentication", b"Authorization: Basic eDp5\r\n", Last("hello")),
    (
        "9110 6.5.1, no control",
        b"Connection: keep-alive\r\nExpect: 100-continue\r\n",
        Last("hello"),
    ),
    ("9110 6.5.1", b"X-Forwarded-For: 192.0.2.1\r\n", Last("hello")),
    ("5.1", b"garbage\r\n", Refused(400)),
    ("5.1", b"X : y\r\n", Refused(400)),
    ("5.1", b": y\r\n", Refused(400)),
    ("5.1", b"X Y: z\r\n", Refused(400)),
    ("5.2", b" X: y\r\n", Refused(400)),
    ("5.2", b"X: y\r\n z\r\n", Refused(400)),
    ("9110 5.5", b"X: \0\r\n", Refused(400)),
    ("9110 5.5", b"X: y\rz\r\n", Refused(400)),
    ("2.2", b"X: y\r\r\n", Refused(400)),
    // With a bare LF the body may end in two places. What is behind is taken for neither.
    ("2.2", b"\n", Refused(400)),
    ("2.2", b"\nX: y\r\n", Refused(400)),
    ("2.2", b"X: y\n\n", Last("hello")),
];

const FRONT: &[u8] =
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";

fn rows() -> Vec<Row> {
    let whole = |trailers: &[u8]| [FRONT, trailers, b"\r\n"].concat();
    let table =
        TABLE.iter().map(|(rule, trailers, expected)| Row::new(rule, whole(trailers), *expected));
    let lines = |count: usize| whole("X: y\r\n".repeat(count).as_bytes());
    let bytes = |count: usize| whole(format!("X: {}\r\n", "y".repeat(count - 5)).as_bytes());
    let mut rows: Vec<_> = table.collect();
    rows.extend([
        Row::new("7.1.2, a limit of lines", lines(100), Last("hello")),
        Row::new("7.1.2, a limit of lines", lines(101), Refused(400)),
        Row::new("7.1.2, a limit of bytes", bytes(16 * 1024 - 3), Last("hello")),
        Row::new("7.1.2, a limit of bytes", bytes(16 * 1024 - 2), Refused(400)),
    ]);
    rows
}

#[test]
fn trailers_change_nothing() {
    direct(&rows());
}

#[test]
fn trailers_through_the_proxy() {
    proxied(&rows());
}
