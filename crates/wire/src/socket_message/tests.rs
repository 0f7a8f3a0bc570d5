use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64;

fn decode(mut bytes: &[u8]) -> Result<Vec<SocketMessage<'_>>, SocketMessageError> {
    let mut decoder = SocketMessageDecoder::new(LIMIT);
    let mut messages = Vec::new();
    while let Some(message) = decoder.decode(&mut bytes)? {
        messages.push(message);
    }
    Ok(messages)
}

fn json<'a>(path: &'a [u8], body: &'a [u8]) -> SocketMessage<'a> {
    SocketMessage { kind: Kind::Json, path, body }
}

fn xml<'a>(path: &'a [u8], body: &'a [u8]) -> SocketMessage<'a> {
    SocketMessage { kind: Kind::Xml, path, body }
}

#[test]
fn messages_of_both_kinds_are_found_one_after_the_other() {
    let bytes = b"@chat {\"a\":1}\0@chat/sub {}\0<xmltest a=\"1\">hi</xmltest>\0<b/>\0<c>\0";
    let expected = [
        json(b"@chat", b"{\"a\":1}"),
        json(b"@chat/sub", b"{}"),
        xml(b"<xmltest", b"<xmltest a=\"1\">hi</xmltest>"),
        xml(b"<b", b"<b/>"),
        xml(b"<c", b"<c>"),
    ];
    assert_eq!(decode(bytes), Ok(expected.to_vec()));
    // What is between the braces is the client's affair; a NUL, too.
    assert_eq!(decode(b"@a {\0}} }x{\xff}\0"), Ok(vec![json(b"@a", b"{\0}} }x{\xff}")]));
    assert_eq!(decode(b"@a {} \0"), Ok(vec![]));
    assert_eq!(decode(b"@a {\0"), Ok(vec![]));
    assert_eq!(decode(b"@a/b:c {}\0"), Ok(vec![json(b"@a/b:c", b"{}")]));
    assert_eq!(decode(b""), Ok(vec![]));
}

#[test]
fn what_is_no_message_says_where_and_what_was_expected() {
    let refusals: [(&[u8], &str); 11] = [
        (b"GET / HTTP/1.1", "byte 0 of a message: found 'G', expected '@' or '<'"),
        (b"@a {}\0\n@a {}\0", "byte 0 of a message: found the byte 0x0a, expected '@' or '<'"),
        (
            b"@chat?x=1 {}\0",
            "byte 5 of a message: found '?', expected a path of printable ASCII, a space and '{'",
        ),
        (
            b"@ {}\0",
            "byte 1 of a message: found ' ', expected a path of printable ASCII, a space and '{'",
        ),
        (
            b"@a\0",
            "byte 2 of a message: found the byte 0x00, expected a path of printable ASCII, a space and '{'",
        ),
        (b"@a  {}\0", "byte 3 of a message: found ' ', expected '{' after the path"),
        (b"@a []\0", "byte 3 of a message: found '[', expected '{' after the path"),
        (
            b"@a:b {}\0",
            "byte 2 of a message: found ':', expected no ':' in the first part of a path",
        ),
        (
            b"@\xe9 {}\0",
            "byte 1 of a message: found the byte 0xe9, expected a path of printable ASCII, a space and '{'",
        ),
        (
            b"<>\0",
            "byte 1 of a message: found '>', expected the name of a root, then '/', '>' or white space",
        ),
        (
            b"<a_b>\0",
            "byte 2 of a message: found '_', expected the name of a root, then '/', '>' or white space",
        ),
    ];
    for (bytes, reason) in refusals {
        let refusal = decode(bytes).expect_err("a refusal").to_string();
        assert_eq!(refusal, reason);
    }
}

#[test]
fn a_byte_more_than_allowed_is_refused() {
    for start in ["@a {", "<a>", "@", "<"] {
        let mut bytes = start.as_bytes().to_vec();
        bytes.resize(LIMIT - 1, b'x');
        assert_eq!(decode(&bytes), Ok(vec![]), "{start}");
        bytes.push(b'x');
        assert_eq!(decode(&bytes), Err(SocketMessageError::TooLong { limit: LIMIT }), "{start}");
    }
    let longest = format!("@a {{{}}}\0", "x".repeat(LIMIT - 6));
    assert_eq!(longest.len(), LIMIT);
    assert_eq!(decode(longest.as_bytes()).map(|messages| messages.len()), Ok(1));
    let longer = format!("@a {{{}}}\0", "x".repeat(LIMIT - 5));
    assert!(decode(longer.as_bytes()).is_err());
}

#[test]
fn a_ping_is_told_by_how_it_begins() {
    let table: [(&[u8], &[u8], bool); 9] = [
        (b"@chat", br#"{"type":"ping"}"#, true),
        (b"@chat/sub", b"{\"type\": \t\"ping\"}", true),
        (b"@chat", br#"{"type":"ping"} and more}"#, true),
        (b"@chat2", br#"{"type":"ping"}"#, false),
        (b"@Chat", br#"{"type":"ping"}"#, false),
        (b"@chat", br#"{ "type":"ping"}"#, false),
        (b"@chat", br#"{"type":"ping" }"#, false),
        (b"@chat", br#"{"type":"pong"}"#, false),
        (b"<chat", br#"{"type":"ping"}"#, false),
    ];
    for (path, body, is_ping) in table {
        assert_eq!(json(path, body).is_ping(), is_ping, "{}", body.escape_ascii());
    }
}

#[test]
fn replies_end_with_the_nul_for_which_old_clients_wait() {
    let table: [(&[u8], bool, &[u8]); 6] = [
        (b"hello", false, b"aGVsbG8=\0"),
        (b"hello\0", false, b"aGVsbG8=\0"),
        (b"hello\0\0", false, b"aGVsbG8A\0"),
        (b"", false, b"\0"),
        (b"hello", true, b"hello"),
        (b"hello\0", true, b"hello\0"),
    ];
    for (payload, raw_payload, expected) in table {
        let mut out = b"before".to_vec();
        append_reply(&mut out, payload, raw_payload);
        assert_eq!(&out[6..], expected);
    }
}

/// What comes of a stream that arrives in these pieces.
fn in_pieces(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut decoder = SocketMessageDecoder::new(LIMIT);
    let (mut kept, mut seen, mut left) = (Vec::new(), Vec::new(), bytes);
    let mut cuts = cuts.iter().cycle();
    while !left.is_empty() {
        let (piece, rest) = left.split_at((*cuts.next().unwrap_or(&1)).min(left.len()));
        left = rest;
        kept.extend_from_slice(piece);
        let mut input = kept.as_slice();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => seen.push(format!("{message:?}")),
                Ok(None) => break,
                Err(error) => {
                    seen.push(error.to_string());
                    return seen;
                }
            }
        }
        kept = input.to_vec();
        assert!(kept.len() < LIMIT);
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_gives_the_same_messages(
        scraps in vec(prop_oneof![
            vec(any::<u8>(), 0..3),
            prop::sample::select(vec![
                "@chat {}\0", "@a {\"b\":1}\0", "<x/>\0", "<y>hi</y>\0", "@", "<", " {", "}\0", ">\0",
                "@a/b:c {", "\0", "{", "}", "@long/path/of/some/more/bytes/than/fit/into/the/limit",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ], 0..12),
        cuts in vec(1_usize..40, 1..6),
    ) {
        let bytes = scraps.concat();
        let whole = in_pieces(&bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(&whole, &in_pieces(&bytes, &cuts));
        prop_assert_eq!(&whole, &in_pieces(&bytes, &[1]));
    }
}
