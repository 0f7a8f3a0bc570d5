use brim_wire::link::{Content, FrameDecoder, Limits, Side};
use proptest::prelude::*;

use super::*;

/// What a front end gets of an answer: status, length, body, whether it ended, headers as they are sent.
type Got = (u16, Option<u64>, Vec<u8>, bool, Vec<u8>);

/// What is sent of an answer that says no more than its length.
const NO_HEADERS: &[u8] = b"";

/// Feeds pieces, with so much credit in front of each attempt: twice, for a head that has come before makes no
/// difference.
fn fed(pieces: &[&[u8]], credit: u32) -> Result<Got, AnswerError> {
    let mut last = LastHead::default();
    let first = fed_after(&mut last, (1, false), pieces, credit);
    assert_eq!(fed_after(&mut last, (2, false), pieces, credit), first);
    first
}

/// (`exchange`, `is_head_method`): what it answers.
fn fed_after(
    last: &mut LastHead,
    (exchange, is_head_method): (u64, bool),
    pieces: &[&[u8]],
    credit: u32,
) -> Result<Got, AnswerError> {
    let mut answer = Answer::new();
    let mut out = Vec::new();
    let mut send = SendCredit::new(0);
    let mut ended = false;
    for piece in pieces {
        let mut input = *piece;
        while !ended {
            let mut sink = Sink {
                out: &mut out,
                exchange,
                credit: &mut send,
                payload: 1024,
                is_handshake: false,
                is_head_method,
                has_parts: false,
                last: Some(last),
            };
            match answer.feed(&mut input, &mut sink)? {
                Fed::All => break,
                Fed::Blocked => send.grant(credit).expect("credit"),
                Fed::Ended => ended = true,
            }
        }
    }
    Ok(read(&out, exchange, ended))
}

fn read(out: &[u8], exchange: u64, ended: bool) -> Got {
    let mut decoder = FrameDecoder::new(Side::Gateway, Limits { payload: 1024, headers: 100 });
    // The decoder wants a hello first.
    let mut hello = vec![1, 1, 0, 0, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0];
    hello.extend_from_slice(b"Brim\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let all = [&hello, out].concat();
    let mut input = all.as_slice();
    let mut got = (0, None, Vec::new(), false, Vec::new());
    while let Some(frame) = decoder.decode(&mut input).expect("a frame") {
        assert!(!got.3, "a frame behind the end");
        match frame.content {
            Content::Hello(_) => {}
            Content::Response { head, headers, end, .. } => {
                assert_eq!(frame.exchange, exchange);
                (got.0, got.1, got.3) = (head.status, head.length, end);
                got.4 = headers.as_bytes().to_vec();
            }
            Content::Data { bytes, end, .. } => {
                assert_eq!(frame.exchange, exchange);
                got.2.extend_from_slice(bytes);
                got.3 = end;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(input.is_empty());
    assert_eq!(got.3, ended);
    got
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:X};a=b\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    bytes
}

proptest! {
    #[test]
    fn pieces_and_credit_change_nothing(
        body in prop::collection::vec(any::<u8>(), 0..3000),
        size in 1_usize..400,
        credit in 1_u32..3000,
        chunk in 1_usize..1000,
    ) {
        let length = body.len() as u64;
        let mut plain = format!("HTTP/1.1 201 Made\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        plain.extend_from_slice(&body);
        let pieces: Vec<_> = plain.chunks(size).collect();
        prop_assert_eq!(fed(&pieces, credit), Ok((201, Some(length), body.clone(), true, NO_HEADERS.to_vec())));
        let coded = chunked(&body, chunk);
        let pieces: Vec<_> = coded.chunks(size).collect();
        prop_assert_eq!(fed(&pieces, credit), Ok((200, None, body, true, NO_HEADERS.to_vec())));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        start in prop::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 100 C\r\n\r\n",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        size in 1_usize..50,
    ) {
        let all = [start.as_bytes(), &bytes].concat();
        let pieces: Vec<_> = all.chunks(size).collect();
        let _ = fed(&pieces, 100);
    }
}

#[test]
fn an_answer_is_its_own_whatever_came_before() {
    let answers = [
        "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\n\r\nHi",
        "HTTP/1.1 200 OK\r\nX: 2\r\nContent-Length: 2\r\n\r\nHo",
        "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nHi",
        "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nH\r\n0\r\n\r\n",
    ];
    let whole = |answer: &&str, is_head| match is_head {
        true => answer.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned(),
        false => (*answer).to_owned(),
    };
    let ways = answers.iter().flat_map(|answer| [(answer, false), (answer, true)]);
    for (first, of_head) in ways.clone() {
        for (second, is_head) in ways.clone() {
            let (first, second) = (whole(first, of_head), whole(second, is_head));
            let alone = fed_after(&mut LastHead::default(), (9, is_head), &[second.as_bytes()], 99);
            let mut last = LastHead::default();
            fed_after(&mut last, (1, of_head), &[first.as_bytes()], 99).expect("the first");
            let after = fed_after(&mut last, (9, is_head), &[second.as_bytes()], 99);
            assert_eq!(after, alone, "{first:?} and {second:?}");
        }
    }
}

#[test]
fn a_head_of_one_byte_more_than_is_remembered_is_not() {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: ";
    let head = |bytes: usize| {
        let rest = start.len() + "\r\n\r\n".len();
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - rest))
    };
    for (bytes, is_remembered) in [(REMEMBERED, true), (REMEMBERED + 1, false)] {
        let mut last = LastHead::default();
        let answer = head(bytes) + "Hi";
        for exchange in [1, 2] {
            let got = fed_after(&mut last, (exchange, false), &[answer.as_bytes()], 99);
            assert!(got.is_ok_and(|got| got.2 == b"Hi"));
            assert_eq!(!last.head.is_empty(), is_remembered);
        }
    }
}

#[test]
fn a_head_of_one_byte_more_than_the_limit_is_refused_whole_or_in_pieces() {
    let head = |bytes: usize| {
        let rest = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(bytes - rest))
    };
    // So long a head is too long for a payload of 1024 bytes, but that is found later.
    for bytes in [HEAD_BYTES + 1, HEAD_BYTES + 5] {
        let head = head(bytes);
        assert_eq!(fed(&[head.as_bytes()], 1), Err(AnswerError::TooLong));
        let pieces: Vec<_> = head.as_bytes().chunks(1000).collect();
        assert_eq!(fed(&pieces, 1), Err(AnswerError::TooLong));
    }
    assert!(fed(&[head(1000).as_bytes()], 1).is_ok());
}

#[test]
fn trailers_and_lines_of_chunks_have_limits() {
    let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (rest, is_good) in [
        (format!("5;{}\r\nHello\r\n0\r\n\r\n", "x".repeat(8000)), true),
        (format!("5;{}\r\nHello\r\n0\r\n\r\n", "x".repeat(8200)), false),
        (format!("0\r\n{}\r\n", "a: b\r\n".repeat(10_000)), true),
        (format!("0\r\n{}\r\n", "a: b\r\n".repeat(11_000)), false),
    ] {
        let fed = fed(&[start.as_bytes(), rest.as_bytes()], 10);
        assert_eq!(fed.is_ok(), is_good, "{fed:?}");
    }
}
