use proptest::prelude::*;

use super::*;

/// Gives these pieces to a decoder one after the other: the body, whether it was whole, and what was
/// left of the bytes.
fn decode(
    mut decoder: Decoder,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, bool, Vec<u8>), &'static str> {
    let (mut input, mut body) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Piece::Data(data) = decoder.take(&mut input)? {
            assert!(!data.is_empty());
            body.extend_from_slice(&data);
        }
    }
    Ok((body, decoder.is_over(), input.to_vec()))
}

fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, bool, Vec<u8>), &'static str> {
    let at_once = decode(Decoder::chunked(), &[bytes]);
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(
        decode(Decoder::chunked(), &single),
        at_once,
        "{:?}",
        String::from_utf8_lossy(bytes)
    );
    at_once
}

fn whole(body: &[u8], rest: &[u8]) -> Result<(Vec<u8>, bool, Vec<u8>), &'static str> {
    Ok((body.to_vec(), true, rest.to_vec()))
}

#[test]
fn a_length_ends_where_it_says() {
    assert_eq!(decode(Decoder::Length(3), &[b"abcdef"]), whole(b"abc", b"def"));
    assert_eq!(decode(Decoder::Length(3), &[b"a", b"b", b"c"]), whole(b"abc", b""));
    assert_eq!(decode(Decoder::Length(0), &[b"x"]), whole(b"", b"x"));
    assert_eq!(decode(Decoder::Length(4), &[b"abc"]), Ok((b"abc".into(), false, vec![])));
    assert_eq!(decode(Decoder::Close, &[b"ab", b"c"]), Ok((b"abc".into(), false, vec![])));
    assert!(Decoder::Close.may_end() && !Decoder::Length(1).may_end());
}

#[test]
fn chunks_end_where_they_say() {
    assert_eq!(chunked(b"3\r\nabc\r\n0\r\n\r\n"), whole(b"abc", b""));
    assert_eq!(chunked(b"3\r\nabc\r\n02\r\nde\r\n000\r\n\r\nmore"), whole(b"abcde", b"more"));
    assert_eq!(chunked(b"A;x=\"y\"\r\n0123456789\r\n0 ;z\r\n\r\n"), whole(b"0123456789", b""));
    assert_eq!(chunked(b"3  \r\nabc\r\n0\t\r\n\r\n"), whole(b"abc", b""));
    assert_eq!(chunked(b"1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n"), whole(b"a", b""));
    for part in
        [&b""[..], b"3", b"3\r", b"3\r\n", b"3\r\nab", b"3\r\nabc", b"0\r\n", b"0\r\nX: y\r\n"]
    {
        assert!(chunked(part).is_ok_and(|(_, over, _)| !over), "{part:?}");
    }
}

#[test]
fn chunks_that_could_be_read_in_two_ways_are_refused() {
    for bytes in [
        &b"\r\n"[..],
        b"3\nabc\r\n",
        b"3\r\nabc\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\rx",
        b" 3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"-1\r\n",
        b"3 4\r\nabc\r\n",
        b"3,\r\nabc\r\n",
        b"g\r\n",
        b";x\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3;a\0\r\nabc\r\n",
        b"10000000000000000\r\n",
        b"00000000000000003\r\nabc\r\n",
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n: x\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX: \x01\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert!(chunked(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(
        chunked(b"ffffffffffffffff\r\nabc"),
        Ok((b"abc".into(), false, vec![])),
        "the largest length"
    );
}

#[test]
fn lines_of_chunks_have_a_limit() {
    let extended =
        |size: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(size - 4)).into_bytes();
    assert_eq!(chunked(&extended(LINE)), whole(b"a", b""));
    assert!(chunked(&extended(LINE + 1)).is_err());
    let trailers = |size: usize| {
        format!("0\r\n{}X: {}\r\n\r\n", "A: b\r\n".repeat(100), "x".repeat(size - 607)).into_bytes()
    };
    assert_eq!(decode(Decoder::chunked(), &[&trailers(TRAILERS)]), whole(b"", b""));
    assert!(decode(Decoder::chunked(), &[&trailers(TRAILERS + 1)]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// However a body is cut into chunks and those into reads, it comes out, and nothing else does.
    #[test]
    fn a_body_comes_out_of_its_chunks(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
        cuts in proptest::collection::vec(1_usize..20, 0..60),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes.extend_from_slice(&rest);
        let (mut pieces, mut left) = (Vec::new(), &bytes[..]);
        for cut in cuts {
            let (piece, behind) = left.split_at(cut.min(left.len()));
            pieces.push(piece);
            left = behind;
        }
        pieces.push(left);
        prop_assert_eq!(decode(Decoder::chunked(), &pieces), whole(&chunks.concat(), &rest));
    }

    /// Whatever comes, and in whatever pieces, means the same, and never more than it has bytes.
    #[test]
    fn rubbish_means_the_same_in_all_pieces(
        bytes in "([0-9a-fA-F; \t:xX]|\r\n|\r\n\r\n|\r|\n|0\r\n){0,30}",
        cut in 0_usize..60,
    ) {
        let (bytes, cut) = (bytes.as_bytes(), cut.min(bytes.len()));
        let at_once = chunked(bytes);
        prop_assert_eq!(&decode(Decoder::chunked(), &[&bytes[..cut], &bytes[cut..]]), &at_once);
        if let Ok((body, _, rest)) = at_once {
            prop_assert!(body.len() + rest.len() <= bytes.len());
        }
    }
}
