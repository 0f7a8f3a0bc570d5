use brim_wire::link::{Content, FrameDecoder, Limits, Side};
use proptest::prelude::*;

use super::*;

/// What a front end gets of an answer: status, length, body, whether it ended.
type Got = (u16, Option<u64>, Vec<u8>, bool);

/// Feeds pieces, with so much credit in front of each attempt: twice, for a head that has come before makes no
/// difference.
fn fed(pieces: &[&[u8]], credit: u32) -> Result<Got, AnswerError> {
    let mut last = LastHead::default();
    let first = fed_after(&mut last, pieces, credit);
    assert_eq!(fed_after(&mut last, pieces, credit), first);
    first
}

fn fed_after(last: &mut LastHead, pieces: &[&[u8]], credit: u32) -> Result<Got, AnswerError> {
    let mut answer = Answer::new();
    let mut out = Vec::new();
    let mut send = SendCredit::new(0);
    let mut ended = false;
    for piece in pieces {
        let mut input = *piece;
        while !ended {
            let mut sink = Sink {
                out: &mut out,
                exchange: 1,
                credit: &mut send,
                payload: 1024,
                is_handshake: false,
                is_head_method: false,
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
    Ok(read(&out, ended))
}

fn read(out: &[u8], ended: bool) -> Got {
    let mut decoder = FrameDecoder::new(Side::Gateway, Limits { payload: 1024, headers: 100 });
    // The decoder wants a hello first.
    let mut hello = vec![1, 1, 0, 0, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0];
    hello.extend_from_slice(b"Brim\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let all = [&hello, out].concat();
    let mut input = all.as_slice();
    let mut got = (0, None, Vec::new(), false);
    while let Some(frame) = decoder.decode(&mut input).expect("a frame") {
        assert!(!got.3, "a frame behind the end");
        match frame.content {
            Content::Hello(_) => {}
            Content::Response { head, end, .. } => {
                (got.0, got.1, got.3) = (head.status, head.length, end);
            }
            Content::Data { bytes, end, .. } => {
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
        prop_assert_eq!(fed(&pieces, credit), Ok((201, Some(length), body.clone(), true)));
        let coded = chunked(&body, chunk);
        let pieces: Vec<_> = coded.chunks(size).collect();
        prop_assert_eq!(fed(&pieces, credit), Ok((200, None, body, true)));
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
