use super::{Broken, Echoed, Expected, Last, Refused, Row, direct, proxied};

/// In a POST with the chunked body `hello`.
const TABLE: &[(&str, &[u8], Expected)] = &[
    ("7.1", b"Transfer-Encoding: chunked", Echoed("hello")),
    ("7, names know no case", b"TRANSFER-encoding: ChunKed", Echoed("hello")),
    ("5.1", b"Transfer-Encoding:chunked", Echoed("hello")),
    ("5.1", b"Transfer-Encoding: \tchunked\t ", Echoed("hello")),
    ("6.1, chunked once only", b"Transfer-Encoding: chunked, chunked", Refused(501)),
    ("6.1, a coding we do not know", b"Transfer-Encoding: gzip, chunked", Refused(501)),
    ("6.1", b"Transfer-Encoding: identity, chunked", Refused(501)),
    ("6.1", b"Transfer-Encoding: x,chunked", Refused(501)),
    ("6.1", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Refused(501)),
    ("6.1", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", Refused(501)),
    ("6.1", b"Transfer-Encoding: \r\nTransfer-Encoding: chunked", Refused(501)),
    (
        "9110 5.6.1.2 would let it pass, others do not",
        b"Transfer-Encoding: , chunked",
        Refused(501),
    ),
    ("9110 5.6.1.2 would let it pass, others do not", b"Transfer-Encoding: chunked,", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunked, gzip", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: gzip", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: identity", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: xchunked", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunkedx", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunke", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chu nked", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: \"chunked\"", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: 'chunked'", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunked;q=1", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunked 1", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding:", Refused(400)),
    ("6.3 item 4", "Transfer-Encoding: chun\u{212a}ed".as_bytes(), Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunked\xa0", Refused(400)),
    ("9110 5.5", b"Transfer-Encoding: \x0bchunked", Refused(400)),
    ("9110 5.5", b"Transfer-Encoding: chunked\x0b", Refused(400)),
    ("9110 5.5", b"Transfer-Encoding: \x0cchunked", Refused(400)),
    ("9110 5.5", b"Transfer-Encoding: chunked\0", Refused(400)),
    ("9110 5.5", b"Transfer-Encoding: \rchunked", Refused(400)),
    ("5.1", b"Transfer-Encoding : chunked", Refused(400)),
    ("5.1", b"Transfer-Encoding\t: chunked", Refused(400)),
    ("5.1", b"Transfer-Encoding\x0b: chunked", Refused(400)),
    ("5.2", b" Transfer-Encoding: chunked", Refused(400)),
    ("5.2", b"X: y\r\n Transfer-Encoding: chunked", Refused(400)),
    ("5.2", b"Transfer-Encoding:\r\n chunked", Refused(400)),
    ("5.2", b"Transfer-Encoding: gzip,\r\n\tchunked", Refused(400)),
    // Another name is another field, and without framing there is no body.
    ("6.3 item 7", b"Transfer_Encoding: chunked", Broken("")),
    ("6.3 item 7", b"X-Transfer-Encoding: chunked", Broken("")),
    ("6.3 item 7", b"X: Transfer-Encoding: chunked", Broken("")),
    ("6.3 item 7", b"TE: chunked", Broken("")),
    // Both: the chunks count, and the connection ends after the answer.
    ("6.3 item 3", b"Content-Length: 5\r\nTransfer-Encoding: chunked", Last("hello")),
    ("6.3 item 3", b"Transfer-Encoding: chunked\r\nContent-Length: 5", Last("hello")),
    ("6.3 item 3", b"transfer-encoding: CHUNKED\r\ncontent-length: 0", Last("hello")),
    (
        "6.3 item 3",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        Last("hello"),
    ),
    (
        "6.3 item 3",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        Last("hello"),
    ),
    ("6.3 item 3", b"Transfer-Encoding: chunked\r\nContent-Length: +5", Last("hello")),
    (
        "6.1, asking does not help",
        b"Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        Last("hello"),
    ),
    ("6.3 item 5", b"Content-Length: +5\r\nTransfer-Encoding: chunked", Refused(400)),
    ("6.1", b"Content-Length: 5\r\nTransfer-Encoding: gzip, chunked", Refused(501)),
    ("6.3 item 4", b"Content-Length: 5\r\nTransfer-Encoding: xchunked", Refused(400)),
    ("6.3 item 4", b"Transfer-Encoding: chunked, identity\r\nContent-Length: 5", Refused(400)),
    ("5.1", b"Content-Length: 5\r\nTransfer-Encoding : chunked", Refused(400)),
    // An upstream that is asked to forget it would find another end.
    ("9110 7.6.1", b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked", Echoed("hello")),
    ("9.6", b"Connection: close\r\nTransfer-Encoding: chunked", Last("hello")),
];

const BODY: &[u8] = b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

fn rows() -> Vec<Row> {
    let table = TABLE.iter().map(|(rule, fields, expected)| {
        let request = [b"POST /echo HTTP/1.1\r\nHost: x\r\n", *fields, BODY].concat();
        Row::new(rule, request, *expected)
    });
    let get = [b"GET /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", BODY].concat();
    let old = [b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked", BODY].concat();
    let both = "POST /echo HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked";
    let kept = "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked";
    let mut rows: Vec<_> = table.collect();
    rows.push(Row::new("6, a GET may have a body", get, Echoed("hello")));
    rows.push(Row::new("6.1, HTTP/1.0 knows no chunks", old, Refused(400)));
    rows.push(Row::new("6.1", [both.as_bytes(), BODY].concat(), Refused(400)));
    rows.push(Row::new("6.1", [kept.as_bytes(), BODY].concat(), Refused(400)));
    rows
}

#[test]
fn the_transfer_encoding_is_chunked_and_nothing_else() {
    direct(&rows());
}

#[test]
fn codings_through_the_proxy() {
    proxied(&rows());
}
