use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x11, 0xa5, 0x00, 0xff];

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(&mut frame, Flags(first), payload);
    let header = frame.len() - payload.len();
    frame[1] |= 0x80;
    let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let masked: Vec<u8> = masked.collect();
    frame.truncate(header);
    [frame, MASK.to_vec(), masked].concat()
}

/// What comes of bytes that arrive in pieces, messages put together again; and the most that was kept.
fn heard(
    decoder: &mut ClientFrames,
    bytes: &[u8],
    cuts: &[usize],
    room: usize,
) -> (Vec<String>, usize) {
    let (mut kept, mut seen, mut most) = (Vec::new(), Vec::new(), 0);
    let (mut left, mut message) = (bytes, Vec::new());
    for cut in cuts.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (piece, rest) = left.split_at((*cut).min(left.len()));
        left = rest;
        kept.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut kept, room) {
                Err(violation) => {
                    seen.push(format!("{} {violation}", violation.code()));
                    return (seen, most);
                }
                Ok((used, event)) => {
                    let more = event.is_some();
                    match event {
                        Some(Event::Piece { flags, bytes, end }) => {
                            assert!(bytes.len() <= room);
                            message.extend_from_slice(bytes);
                            if end {
                                seen.push(format!("{flags} {:?}", std::mem::take(&mut message)));
                            }
                        }
                        Some(Event::Control(control)) => {
                            seen.push(format!("{} {:?}", control.flags, control.payload()));
                        }
                        None => {}
                    }
                    kept.drain(..used);
                    if !more {
                        break;
                    }
                }
            }
        }
        most = most.max(kept.len());
    }
    (seen, most)
}

fn all(bytes: &[u8]) -> Vec<String> {
    heard(&mut ClientFrames::new(1000, false), bytes, &[4096], 4096).0
}

#[test]
fn messages_come_whole_and_in_fragments() {
    assert_eq!(all(&frame(0x81, b"hi")), ["0x81 [104, 105]"]);
    assert_eq!(all(&frame(0x82, b"")), ["0x82 []"]);
    let fragments =
        [frame(0x01, b"h"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"i")].concat();
    assert_eq!(all(&fragments), ["0x89 [63]", "0x81 [104, 105]"]);
    let empty = [frame(0x02, b""), frame(0x80, b"")].concat();
    assert_eq!(all(&empty), ["0x82 []"]);
}

#[test]
fn what_breaks_a_rule_ends_the_stream() {
    let mut unmasked = Vec::new();
    append_frame(&mut unmasked, Flags::TEXT, b"hi");
    let long = frame(0x89, &[0; 126]);
    for (bytes, code) in [
        (frame(0xc1, b"x"), "1002"),
        (frame(0xa1, b"x"), "1002"),
        (frame(0x91, b"x"), "1002"),
        (frame(0x83, b"x"), "1002"),
        (frame(0x8b, b"x"), "1002"),
        (unmasked, "1002"),
        (frame(0x09, b"x"), "1002"),
        (long, "1002"),
        (frame(0x80, b"x"), "1002"),
        ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), "1002"),
        (vec![0x81, 0xfe, 0, 125], "1002"),
        ([&[0x82, 0xff][..], &65_535_u64.to_be_bytes()].concat(), "1002"),
        ([&[0x82, 0xff][..], &(1_u64 << 63).to_be_bytes()].concat(), "1002"),
        (frame(0x88, b"x"), "1002"),
        (frame(0x81, b"\xff"), "1007"),
        (frame(0x81, b"\xc3"), "1007"),
        ([frame(0x01, b"\xe2\x82"), frame(0x80, b"\x41")].concat(), "1007"),
        (frame(0x88, b"\x03\xe8\xff"), "1007"),
        (frame(0x82, &[0; 1001]), "1009"),
        ([frame(0x02, &[0; 600]), frame(0x80, &[0; 401])].concat(), "1009"),
        ([&[0x82, 0xff][..], &(u64::MAX >> 1).to_be_bytes()].concat(), "1009"),
    ] {
        let seen = all(&bytes);
        assert!(seen.last().is_some_and(|last| last.starts_with(code)), "{bytes:?}: {seen:?}");
    }
}

#[test]
fn a_message_as_long_as_allowed_is_taken() {
    assert_eq!(all(&frame(0x82, &[0; 1000])).len(), 1);
    let halves = [frame(0x02, &[0; 600]), frame(0x80, &[0; 400])].concat();
    assert_eq!(all(&halves).len(), 1);
}

#[test]
fn bad_text_fails_at_the_first_byte_that_cannot_be_mended() {
    let mut decoder = ClientFrames::new(1000, false);
    let mut bytes = frame(0x01, b"\xce\xba\xe1\xbd\xb9\xf4\x90");
    let seen = heard(&mut decoder, &std::mem::take(&mut bytes), &[1], 100).0;
    assert_eq!(seen, ["1007 text that is not UTF-8"]);
    let halves = [frame(0x01, b"\xe2"), frame(0x00, b"\x82"), frame(0x80, b"\xac")].concat();
    assert_eq!(all(&halves), ["0x81 [226, 130, 172]"]);
}

#[test]
fn the_codes_of_close_frames_are_checked() {
    for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999_u16] {
        assert_eq!(all(&frame(0x88, &code.to_be_bytes())).len(), 1);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535_u16] {
        assert_eq!(all(&frame(0x88, &code.to_be_bytes())), ["1002 a malformed close frame"]);
    }
    assert_eq!(all(&frame(0x88, b"")), ["0x88 []"]);
}

#[test]
fn an_extension_gives_the_first_bit_a_meaning() {
    let hear = |bytes: &[u8]| heard(&mut ClientFrames::new(1000, true), bytes, &[4096], 100).0;
    assert_eq!(hear(&frame(0xc1, b"\xff")), ["0xC1 [255]"]);
    assert_eq!(hear(&frame(0x81, b"\xff")), ["1007 text that is not UTF-8"]);
    assert_eq!(hear(&frame(0xc9, b"")), ["1002 a reserved bit is set"]);
    let later = [frame(0x41, b"a"), frame(0xc0, b"b")].concat();
    assert_eq!(hear(&later), ["1002 a reserved bit is set"]);
}

#[test]
fn frames_of_a_server_are_followed() {
    let mut frames = Vec::new();
    let mut ends = Vec::new();
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        append_frame(&mut frames, Flags::BINARY, &vec![7; length]);
        ends.push(frames.len());
    }
    append_close(&mut frames, 1001, &"\u{e4}".repeat(100));
    ends.push(frames.len());
    for step in [1, 3, 1000, 1_000_000] {
        let (mut server, mut at, mut found) = (ServerFrames::new(), 0, Vec::new());
        while at < frames.len() {
            assert!(!server.has_closed() || at >= ends[ends.len() - 2]);
            let window = &frames[at..frames.len().min(at + step)];
            let count = server.up_to_end(window);
            assert!(count > 0);
            server.pass(&window[..count]);
            at += count;
            if server.is_between() {
                found.push(at);
            }
        }
        assert_eq!(found, ends);
        assert!(server.has_closed());
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let first =
        prop::sample::select(vec![0x01, 0x02, 0x00, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xc1]);
    let piece = prop_oneof![
        8 => (first, vec(any::<u8>(), 0..300)).prop_map(|(first, payload)| frame(first, &payload)),
        4 => ".{0,80}".prop_map(|text| frame(0x81, text.as_bytes())),
        1 => vec(any::<u8>(), 0..20),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_gives_the_same_messages(
        stream in stream(),
        cuts in vec(1_usize..200, 1..6),
        room in 1_usize..300,
    ) {
        let whole = heard(&mut ClientFrames::new(500, false), &stream, &[usize::MAX], 4096).0;
        let (split, most) = heard(&mut ClientFrames::new(500, false), &stream, &cuts, room);
        prop_assert_eq!(whole, split);
        prop_assert!(most < 131);
    }
}
