use super::{Cut, Echoed, Expected, Refused, Row, direct, proxied};

/// Chunked bodies.
const TABLE: &[(&str, &[u8], Expected)] = &[
    ("7.1", b"5\r\nhello\r\n0\r\n\r\n", Echoed("hello")),
    ("7.1", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", Echoed("hello")),
    ("7.1, nothing but the last", b"0\r\n\r\n", Echoed("")),
    (
        "7.1, hex of any case",
        b"a\r\n0123456789\r\nB\r\nabcdefghijk\r\n0\r\n\r\n",
        Echoed("0123456789abcdefghijk"),
    ),
    ("7.1, zeros in front", b"0000000000000005\r\nhello\r\n000\r\n\r\n", Echoed("hello")),
    (
        "7.1, more of them",
        b"00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
        Echoed("hello"),
    ),
    ("7.1.1", b"5;name\r\nhello\r\n0;last\r\n\r\n", Echoed("hello")),
    ("7.1.1", b"5;name=value;other=\"quoted; text\"\r\nhello\r\n0\r\n\r\n", Echoed("hello")),
    ("7.1.1", b"5 ; name = value\r\nhello\r\n0\r\n\r\n", Echoed("hello")),
    (
        "7.1.1, unknown ones are overlooked, whatever they hold",
        b"5;\0\x01\xff\r\nhello\r\n0\r\n\r\n",
        Echoed("hello"),
    ),
    // Not in the grammar, and not ambiguous; nothing of it is passed on.
    ("7.1.1, white space at the end", b"5 \t\r\nhello\r\n0 \r\n\r\n", Echoed("hello")),
    ("7.1", b"+5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"-5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"0x5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b" 5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"\t5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b";name\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"g\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5g\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5h\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5 5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5,\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5.0\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"0_5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5\0\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5\x0b\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1, no overflow: 2^64 + 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1, no overflow", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", Refused(400)),
    // These are lengths, and the body is cut short.
    ("8", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", Cut),
    ("8", b"100000005\r\nhello\r\n0\r\n\r\n", Cut),
    // A line ends with CR and LF, both of them.
    ("2.2", b"5\nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5\rhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5\r\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5\n\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5;name\nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5;name\rother\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5;name\r\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5;name=\"a\nb\"\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5 \nhello\r\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5\r\nhello\n0\r\n\r\n", Refused(400)),
    ("2.2", b"5\r\nhello\r0\r\n\r\n", Refused(400)),
    ("2.2", b"5\r\nhello\r\n0\n\n", Refused(400)),
    ("2.2", b"5\r\nhello\r\n0\n\r\n", Refused(400)),
    ("2.2", b"5\r\nhello\r\n0\r\r\n", Refused(400)),
    ("2.2", b"5\r\nhello\r\n0\r\n\n", Refused(400)),
    ("2.2", b"5\r\nhello\r\n0\r\n\r\r\n", Refused(400)),
    ("2.2", b"5\r\nhello\r\n0;last\n\r\n", Refused(400)),
    // A chunk that is longer or shorter than it says.
    ("7.1", b"5\r\nhello0\r\n\r\n", Refused(400)),
    ("7.1", b"4\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"6\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"7\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5\r\nhello\r\n\r\n0\r\n\r\n", Refused(400)),
    ("7.1", b"5\r\nhello  \r\n0\r\n\r\n", Refused(400)),
];

const HEAD: &[u8] = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Extensions of so many bytes, over several chunks.
fn extended(length: usize) -> Vec<u8> {
    let (first, second) = (length / 2, length - length / 2);
    let [first, second] = [first, second].map(|length| "x".repeat(length));
    format!("2;{first}\r\nhe\r\n3;{second}\r\nllo\r\n0\r\n\r\n").into_bytes()
}

fn rows() -> Vec<Row> {
    let table = TABLE
        .iter()
        .map(|(rule, body, expected)| Row::new(rule, [HEAD, *body].concat(), *expected));
    let most = [HEAD, &extended(16 * 1024 - 1)].concat();
    let more = [HEAD, &extended(16 * 1024)].concat();
    let mut rows: Vec<_> = table.collect();
    rows.push(Row::new("7.1.1, extensions have a limit", most, Echoed("hello")));
    rows.push(Row::new("7.1.1, extensions have a limit", more, Refused(400)));
    rows
}

#[test]
fn chunks_are_as_long_as_they_say_in_hex() {
    direct(&rows());
}

#[test]
fn chunks_through_the_proxy() {
    proxied(&rows());
}
