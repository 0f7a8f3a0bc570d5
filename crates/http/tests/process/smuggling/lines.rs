use super::{Echoed, Expected, Last, Refused, Row, direct, proxied};

/// Whole requests.
const TABLE: &[(&str, &[u8], Expected)] = &[
    // Section 2.2 lets a server take a bare LF for the end of a line, and we do.
    ("2.2", b"POST /echo HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello", Echoed("hello")),
    ("2.2", b"POST /echo HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\nhello", Echoed("hello")),
    ("2.2", b"POST /echo HTTP/1.1\nHost: x\r\nContent-Length: 5\n\r\nhello", Echoed("hello")),
    ("2.2", b"POST /echo HTTP/1.1\r\nHost: x\r\nX: y\nContent-Length: 5\r\n\r\nhello", Echoed("hello")),
    ("2.2, empty lines in front", b"\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n", Echoed("")),
    ("2.2, empty lines in front", b"\r\n\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n", Echoed("")),
    // A bare CR is never one.
    ("2.2", b"\rGET /echo HTTP/1.1\r\nHost: x\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\rHost: x\r\r", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\r\nHost: x\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\r\rX: y\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\r\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: a\r\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX\r: a\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: \r\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\r\n", Refused(400)),
    // White space in front of a name.
    ("2.2", b"GET /echo HTTP/1.1\r\n Host: x\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\n\tHost: x\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", Refused(400)),
    ("2.2", b"GET /echo HTTP/1.1\r\n \r\nHost: x\r\n\r\n", Refused(400)),
    ("5.2", b"GET /echo HTTP/1.1\r\nX: y\r\n z\r\nHost: x\r\n\r\n", Refused(400)),
    ("5.2", b"GET /echo HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", Refused(400)),
    ("5.2", b"GET /echo HTTP/1.1\r\nHost:\r\n x\r\n\r\n", Refused(400)),
    ("5.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: y\r\n\tz\r\n\r\n", Refused(400)),
    ("5.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: y\n z\r\n\r\n", Refused(400)),
    ("5.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: y\r\n \r\n\r\n", Refused(400)),
    ("5.2", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: y\r\n Content-Length: 37\r\n\r\n", Refused(400)),
    // Before the colon, and without one.
    ("5.1", b"GET /echo HTTP/1.1\r\nHost : x\r\n\r\n", Refused(400)),
    ("5.1", b"GET /echo HTTP/1.1\r\nHost\t: x\r\n\r\n", Refused(400)),
    ("5.1", b"GET /echo HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", Refused(400)),
    ("5.1", b"GET /echo HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", Refused(400)),
    ("5.1", b"GET /echo HTTP/1.1\r\nHost: x\r\n:\r\n\r\n", Refused(400)),
    ("5.1", b"GET /echo HTTP/1.1\r\nHost: x\r\nX\r\n\r\n", Refused(400)),
    ("5.1", b"GET /echo HTTP/1.1\r\nHost: x\r\nX y\r\n\r\n", Refused(400)),
    ("5.1, an empty value is one", b"GET /echo HTTP/1.1\r\nHost: x\r\nX:\r\n\r\n", Echoed("")),
    ("9110 5.5, tabs within", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: a\tb\r\n\r\n", Echoed("")),
    ("9110 5.5, obs-text", b"GET /echo HTTP/1.1\r\nHost: x\r\nX: \x80\xff\r\n\r\n", Echoed("")),
    ("9.3", b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: x, close\r\n\r\n", Last("")),
    ("9.3", b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", Last("")),
    // Nobody here speaks what it offers.
    ("9110 7.8", b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", Echoed("")),
];

/// RFC 9110 section 5.6.2.
const NO_TOKEN: &[u8] = b"\"(),/;<=>?@[\\]{} \t\x7f\x80\xff";

fn rows() -> Vec<Row> {
    let table = TABLE.iter().map(|(rule, request, expected)| Row::new(rule, request, *expected));
    let get = |field: &[u8]| [b"GET /echo HTTP/1.1\r\nHost: x\r\n", field, b"\r\n\r\n"].concat();
    let controls = || (0..0x20).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte));
    let mut rows: Vec<_> = table.collect();
    rows.extend(controls().map(|byte| {
        Row::new("9110 5.5", get(&[b"X: a".as_slice(), &[byte], b"b"].concat()), Refused(400))
    }));
    rows.extend(controls().chain(NO_TOKEN.iter().copied()).map(|byte| {
        Row::new("9110 5.1", get(&[b"X".as_slice(), &[byte], b"Y: z"].concat()), Refused(400))
    }));
    rows
}

#[test]
fn lines_end_as_they_should_and_hold_no_control_bytes() {
    direct(&rows());
}

#[test]
fn lines_through_the_proxy() {
    proxied(&rows());
}
