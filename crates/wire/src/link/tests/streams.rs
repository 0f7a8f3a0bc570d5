use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What comes of a stream that arrives in these pieces, and the most that was kept at a time.
fn in_pieces(from: Side, bytes: &[u8], cuts: &[usize]) -> (Vec<String>, usize) {
    let mut decoder = FrameDecoder::new(from, LIMITS);
    let (mut kept, mut seen, mut most) = (Vec::new(), Vec::new(), 0);
    let mut left = bytes;
    let mut cuts = cuts.iter().cycle();
    while !left.is_empty() {
        let (piece, rest) = left.split_at((*cuts.next().unwrap_or(&1)).min(left.len()));
        left = rest;
        kept.extend_from_slice(piece);
        let mut input = kept.as_slice();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(error) => {
                    seen.push(error.to_string());
                    return (seen, most);
                }
            }
        }
        kept = input.to_vec();
        most = most.max(kept.len());
    }
    (seen, most)
}

fn stream() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let piece = prop_oneof![
        6 => (0_usize..14, vec(any::<u8>(), 0..200), any::<u8>(), any::<bool>())
            .prop_map(|(index, content, flags, broken)| {
                let (_, mut example) = examples().into_iter().nth(index).expect("fourteen");
                let place = usize::from(flags) % example.len();
                if broken && content.first().is_some_and(|byte| *byte < 64) {
                    example[place] = content[0];
                }
                example
            }),
        3 => vec(any::<u8>(), 0..900).prop_map(|content| {
            bytes(&frame(3, Content::Data { bytes: &content, end: false, close: false }))
        }),
        1 => vec(any::<u8>(), 0..20),
    ];
    let side = prop::sample::select(vec![Side::FrontEnd, Side::Gateway]);
    (side, vec(piece, 0..10)).prop_map(|(side, pieces)| {
        let hello = bytes(&frame(0, Content::Hello(HELLO)));
        (side, [hello, pieces.concat()].concat())
    })
}

/// Names are written so.
fn lower_case() -> impl Strategy<Value = u8> {
    any::<u8>().prop_map(|byte| byte.to_ascii_lowercase())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_gives_the_same_frames(stream in stream(), cuts in vec(1_usize..400, 1..6)) {
        let (side, bytes) = stream;
        let (whole, _) = in_pieces(side, &bytes, &[bytes.len()]);
        let (split, most) = in_pieces(side, &bytes, &cuts);
        // A frame in pieces may be refused before what precedes it in the same piece is asked for
        // again, never otherwise.
        prop_assert_eq!(&whole, &split);
        prop_assert_eq!(&whole, &in_pieces(side, &bytes, &[1]).0);
        prop_assert!(most <= LIMITS.payload + HEADER_BYTES);
    }

    #[test]
    fn requests_go_round(
        pairs in vec((vec(lower_case(), 0..10), vec(any::<u8>(), 0..30)), 0..5),
        strings in vec(vec(any::<u8>(), 0..40), 5),
        (connection, length) in (any::<u64>(), proptest::option::of(0..u64::MAX)),
        (end, is_https) in any::<(bool, bool)>(),
    ) {
        let head = RequestHead {
            class: Class::WebSocket,
            version: 20,
            is_https,
            connection,
            length,
            client: &strings[0],
            handler: &strings[1],
            pattern: &strings[2],
            method: &strings[3],
            target: &strings[4],
        };
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut out = Vec::new();
        append_request(&mut out, 5, &head, pairs.iter().copied(), end).expect("a request");
        let mut decoder = greeted(Side::FrontEnd);
        let read = decoder.decode(&mut out.as_slice()).expect("no error").expect("a frame");
        let Content::Request { head: read_head, headers, end: read_end } = read.content else {
            panic!("{read:?}")
        };
        prop_assert_eq!((read_head, read_end, read.exchange), (head, end, 5));
        prop_assert_eq!(headers.iter().collect::<Vec<_>>(), pairs);
    }
}
