use super::{Echoed, Expected, Last, Refused, Row, direct, proxied};

/// In a POST with the body `hello`.
const TABLE: &[(&str, &[u8], Expected)] = &[
    ("9110 8.6", b"Content-Length: 5", Echoed("hello")),
    ("9110 5.1, names know no case", b"content-LENGTH: 5", Echoed("hello")),
    ("5.1, white space is optional", b"Content-Length:5", Echoed("hello")),
    ("5.1, and goes", b"Content-Length: \t 5 \t", Echoed("hello")),
    ("9110 8.6, digits are digits", b"Content-Length: 0005", Echoed("hello")),
    ("9110 8.6, the same twice is one", b"Content-Length: 5\r\nContent-Length: 5", Echoed("hello")),
    ("9110 8.6, or refused", b"Content-Length: 5, 5", Refused(400)),
    ("9110 8.6, or refused", b"Content-Length: 5,5", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5\r\nContent-Length: 6", Refused(400)),
    ("6.3 item 5", b"Content-Length: 6\r\nContent-Length: 5", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5\r\nX: y\r\ncontent-length: 0", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5\r\nContent-Length: ", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5, 6", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5,", Refused(400)),
    ("6.3 item 5", b"Content-Length: ,5", Refused(400)),
    ("6.3 item 5", b"Content-Length: +5", Refused(400)),
    ("6.3 item 5", b"Content-Length: -1", Refused(400)),
    ("6.3 item 5", b"Content-Length: -0", Refused(400)),
    ("6.3 item 5", b"Content-Length: 0x5", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5 5", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5;", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5.0", Refused(400)),
    ("6.3 item 5", b"Content-Length: 5e0", Refused(400)),
    ("6.3 item 5", b"Content-Length: 1_0", Refused(400)),
    ("6.3 item 5", b"Content-Length: \"5\"", Refused(400)),
    ("6.3 item 5", b"Content-Length: five", Refused(400)),
    ("6.3 item 5", "Content-Length: \u{ff15}".as_bytes(), Refused(400)),
    ("6.3 item 5", b"Content-Length:", Refused(400)),
    ("6.3 item 5", b"Content-Length: \t ", Refused(400)),
    ("9110 8.6, no overflow: 2^64 + 5", b"Content-Length: 18446744073709551621", Refused(400)),
    ("9110 8.6, no overflow: 2^64", b"Content-Length: 18446744073709551616", Refused(400)),
    ("9110 8.6, no overflow: 2^32 + 5", b"Content-Length: 4294967301", Refused(413)),
    ("9110 8.6, no overflow: 2^63 - 1", b"Content-Length: 9223372036854775807", Refused(413)),
    ("9110 5.5", b"Content-Length: 5\x0b", Refused(400)),
    ("9110 5.5", b"Content-Length: \x0c5", Refused(400)),
    ("9110 5.5", b"Content-Length: 5\0", Refused(400)),
    ("5.1", b"Content-Length : 5", Refused(400)),
    ("5.1", b"Content-Length\t: 5", Refused(400)),
    ("5.2", b"Content-Length:\r\n 5", Refused(400)),
    ("5.2", b"Content-Length: \r\n\t5", Refused(400)),
    ("5.2", b"Content-Length: 5\r\n 5", Refused(400)),
    // An upstream that is asked to forget it would find another end.
    ("9110 7.6.1", b"Connection: content-length\r\nContent-Length: 5", Echoed("hello")),
    ("9.3", b"Connection: close\r\nContent-Length: 5", Last("hello")),
];

fn rows() -> Vec<Row> {
    let table = TABLE.iter().map(|(rule, fields, expected)| {
        let request = [b"POST /echo HTTP/1.1\r\nHost: x\r\n", *fields, b"\r\n\r\nhello"].concat();
        Row::new(rule, request, *expected)
    });
    let get = "GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    let old = "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello";
    let kept = "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello";
    let mut rows: Vec<_> = table.collect();
    rows.push(Row::new("6, a GET may have a body", get, Echoed("hello")));
    rows.push(Row::new("9.3", old, Last("hello")));
    rows.push(Row::new("9.3", kept, Echoed("hello")));
    rows
}

#[test]
fn content_lengths_are_digits_and_agree() {
    direct(&rows());
}

#[test]
fn lengths_through_the_proxy() {
    proxied(&rows());
}
