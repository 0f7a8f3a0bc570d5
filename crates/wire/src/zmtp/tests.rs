use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: FrameLimits = FrameLimits { frame: 1000, parts: 3, message: 2000, command: 100 };

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

fn decode(mut bytes: &[u8]) -> Result<Vec<Frame<'_>>, ZmtpError> {
    let mut decoder = FrameDecoder::new(LIMITS);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut bytes)? {
        frames.push(frame);
    }
    Ok(frames)
}

fn parse(body: &[u8]) -> Command<'_> {
    Command::parse(body).expect("a command")
}

fn message(body: &[u8]) -> Frame<'_> {
    Frame::Message { body, more: false }
}

#[test]
fn our_greeting_is_that_of_the_rfc() {
    let bytes = Greeting::OURS.encode();
    let expected = unhex(&format!(
        "ff 0000000000000000 7f 03 01 4e554c4c {} 00 {}",
        "00".repeat(16),
        "00".repeat(31)
    ));
    assert_eq!(bytes.as_slice(), expected);
    let mut input = [bytes.as_slice(), b"next"].concat();
    input[1..9].fill(7);
    input[40] = 1;
    let mut rest = input.as_slice();
    assert_eq!(Greeting::decode(&mut rest), Ok(Some(Greeting::OURS)));
    assert_eq!(rest, b"next");
    for length in 0..64 {
        let mut part = &bytes[..length];
        assert_eq!(Greeting::decode(&mut part), Ok(None));
        assert_eq!(part.len(), length);
    }
    assert_eq!(Greeting::OURS.check_null(), Ok(()));
}

#[test]
fn a_wrong_greeting_is_refused_at_its_first_wrong_byte() {
    let table: [(usize, u8, &str); 9] = [
        (0, b'G', "byte 0: found 'G', expected 0xff, the start of a signature"),
        (9, 0x7e, "byte 9: found '~', expected 0x7f, the end of a signature"),
        (10, 0, "byte 10: found ZMTP 0, expected 3 or newer"),
        (10, 1, "byte 10: found ZMTP 1, expected 3 or newer"),
        (12, 0, "byte 12: found the byte 0x00, expected the name of a mechanism, then zeros"),
        (13, b'u', "byte 13: found 'u', expected the name of a mechanism, then zeros"),
        (17, b'X', "byte 17: found 'X', expected the name of a mechanism, then zeros"),
        (32, 2, "byte 32: found the byte 0x02, expected 0 or 1 for as-server"),
        (32, 0xff, "byte 32: found the byte 0xff, expected 0 or 1 for as-server"),
    ];
    for (at, byte, reason) in table {
        let mut bytes = Greeting::OURS.encode();
        bytes[at] = byte;
        let refusal = Greeting::decode(&mut &bytes[..=at]).expect_err("a refusal");
        assert_eq!(refusal.to_string(), reason);
        assert_eq!(Greeting::decode(&mut bytes.as_slice()), Err(refusal));
    }
}

#[test]
fn other_mechanisms_and_newer_versions_are_told_apart() {
    let mut bytes = Greeting { major: 4, minor: 0, ..Greeting::OURS }.encode();
    let newer = Greeting::decode(&mut bytes.as_slice()).unwrap().expect("a greeting");
    assert!(newer.is_3_1() && newer.check_null().is_ok());
    assert!(!Greeting { minor: 0, ..Greeting::OURS }.is_3_1());
    bytes[12..17].copy_from_slice(b"CURVE");
    let curve = Greeting::decode(&mut bytes.as_slice()).unwrap().expect("a greeting");
    let refusal = curve.check_null().expect_err("a refusal").to_string();
    assert_eq!(refusal, "byte 12: found the mechanism CURVE, expected NULL");
    let server = Greeting { as_server: true, ..Greeting::OURS };
    let server = Greeting::decode(&mut server.encode().as_slice()).unwrap().expect("a greeting");
    let refusal = server.check_null().expect_err("a refusal").to_string();
    assert_eq!(refusal, "byte 32: found the byte 0x01, expected 0 for as-server with NULL");
}

#[test]
fn the_rfcs_worked_example_is_read_and_written() {
    let client = unhex(
        "04 29 05 5245414459 0b 536f636b65742d54797065 00000006 4445414c4552
         08 4964656e74697479 00000000",
    );
    let server = unhex("04 1c 05 5245414459 0b 536f636b65742d54797065 00000006 524f55544552");
    let mut out = Vec::new();
    append_ready(&mut out, SocketType::Dealer, Some(b""));
    assert_eq!(out, client);
    out.clear();
    append_ready(&mut out, SocketType::Router, None);
    assert_eq!(out, server);

    let frames = decode(&client).expect("a frame");
    let [Frame::Command(body)] = frames[..] else { panic!("{frames:?}") };
    let Command::Ready(properties) = parse(body) else { panic!("no READY") };
    assert_eq!(properties.socket_type(), Some(SocketType::Dealer));
    assert_eq!(properties.get("sOCKET-tYPE"), Some(&b"DEALER"[..]));
    assert_eq!((properties.identity(), properties.count()), (&b""[..], 2));
}

#[test]
fn commands_are_read_and_written_alike() {
    let table: [(&str, Command<'_>); 8] = [
        ("0409 0450494e47 000a 6869", Command::Ping { ttl: 10, context: b"hi" }),
        ("0407 0450494e47 ffff", Command::Ping { ttl: 65535, context: b"" }),
        ("0407 04504f4e47 6869", Command::Pong { context: b"hi" }),
        ("040d 09535542534352494245 752d31", Command::Subscribe(b"u-1")),
        ("040a 09535542534352494245", Command::Subscribe(b"")),
        ("040a 0643414e43454c 752d31", Command::Cancel(b"u-1")),
        ("0409 054552524f52 02 6e6f", Command::Error { reason: b"no" }),
        ("0407 044a4f494e ff00", Command::Unknown { name: b"JOIN", data: b"\xff\0" }),
    ];
    for (hex, command) in table {
        let bytes = unhex(hex);
        let frames = decode(&bytes).expect("a frame");
        let [Frame::Command(body)] = frames[..] else { panic!("{frames:?}") };
        assert_eq!(parse(body), command);
        let mut out = Vec::new();
        command.append(&mut out);
        assert_eq!(out, bytes, "{command:?}");
    }
}

#[test]
fn subscriptions_have_an_older_form() {
    let mut out = Vec::new();
    append_subscription(&mut out, Command::Subscribe(b"ab"), false);
    append_subscription(&mut out, Command::Cancel(b""), false);
    assert_eq!(out, unhex("0003 01 6162 0001 00"));
    let frames = decode(&out).expect("two frames");
    assert_eq!(frames, [message(b"\x01ab"), message(b"\0")]);
    assert_eq!(subscription(b"\x01ab"), Some(Command::Subscribe(b"ab")));
    assert_eq!(subscription(b"\0"), Some(Command::Cancel(b"")));
    assert_eq!(subscription(b"\x02ab"), None);
    assert_eq!(subscription(b""), None);
    out.clear();
    append_subscription(&mut out, Command::Cancel(b"u-1"), true);
    assert_eq!(out, unhex("040a 0643414e43454c 752d31"));
}

#[test]
fn a_wrong_command_says_where_and_what_was_expected() {
    let ready = |data: &str| unhex(&format!("05 5245414459 {data}"));
    let table: [(Vec<u8>, &str); 12] = [
        (vec![], "byte 0: found the end, expected the name of a command"),
        (vec![0], "byte 0: found 0 bytes, expected the name of a command"),
        (vec![5, b'R'], "byte 0: found 1 byte, expected the name of a command"),
        (vec![1, b' '], "byte 1: found ' ', expected the name of a command"),
        (unhex("04 50494e47 00"), "byte 5: found 1 byte, expected two bytes of time to live"),
        (
            unhex(&format!("04 50494e47 0000 {}", "00".repeat(17))),
            "byte 7: found 17 bytes, expected a context of at most 16 bytes",
        ),
        (
            unhex(&format!("04 504f4e47 {}", "00".repeat(17))),
            "byte 5: found 17 bytes, expected a context of at most 16 bytes",
        ),
        (unhex("05 4552524f52 03 6e6f"), "byte 6: found 2 bytes, expected the reason of an error"),
        (ready("00 00000000"), "byte 6: found 0 bytes, expected the name of a property"),
        (ready("05 41"), "byte 6: found 1 byte, expected the name of a property"),
        (
            ready("01 41 000000"),
            "byte 8: found 3 bytes, expected four bytes of length and a value of it",
        ),
        (
            ready("01 41 00000000 01 42 ffffffff 00"),
            "byte 14: found 5 bytes, expected four bytes of length and a value of it",
        ),
    ];
    for (body, reason) in table {
        let refusal = Command::parse(&body).expect_err("a refusal");
        assert_eq!(refusal.to_string(), reason);
    }
    let longest = unhex(&format!("04 50494e47 0000 {}", "00".repeat(16)));
    assert_eq!(parse(&longest), Command::Ping { ttl: 0, context: &[0; 16] });
    let strange = ready("0b 536f636b65742d54797065 00000001 58");
    let Command::Ready(properties) = parse(&strange) else { panic!("no READY") };
    assert_eq!((properties.socket_type(), properties.identity()), (None, &b""[..]));
}

#[test]
fn frames_are_short_up_to_255_bytes_and_long_from_there_on() {
    for length in [0, 1, 255, 256, 1000] {
        let body = vec![b'x'; length];
        let mut out = Vec::new();
        append_message(&mut out, &[&body, &[], &body]);
        let header = if length < 256 {
            vec![1, u8::try_from(length).unwrap()]
        } else {
            [&[3_u8][..], &(length as u64).to_be_bytes()].concat()
        };
        assert!(out.starts_with(&header), "{length}");
        let frames = decode(&out).expect("three frames");
        let part = |body, more| Frame::Message { body, more };
        assert_eq!(frames, [part(&body, true), part(&[], true), part(&body, false)]);
    }
    let mut out = b"before".to_vec();
    append_message(&mut out, &[]);
    let open = OpenFrame::begin(&mut out);
    out.extend_from_slice(b"abc");
    open.close(&mut out);
    assert_eq!(out[6..], unhex("02 0000000000000003 616263"));
    assert_eq!(decode(&out[6..]), Ok(vec![message(b"abc")]));
    let open = OpenFrame::begin(&mut out);
    out.push(b'd');
    open.close_with(&mut out, 4);
    assert_eq!(out[18..], unhex("02 0000000000000005 64"));
}

#[test]
fn a_frame_of_2_to_the_62_bytes_is_refused_when_it_is_announced() {
    for (flags, what, limit) in [(2, "frame", 1000), (3, "frame", 1000), (6, "command", 100)] {
        let announced = 1_u64 << 62;
        let bytes = [&[flags][..], &announced.to_be_bytes()].concat();
        assert_eq!(decode(&bytes), Err(ZmtpError::TooLong { at: 0, what, announced, limit }));
        // Eight bytes of the size are not all.
        assert_eq!(decode(&bytes[..8]), Ok(vec![]));
        let announced = limit + 1;
        let bytes = [&[flags][..], &announced.to_be_bytes()].concat();
        assert_eq!(decode(&bytes), Err(ZmtpError::TooLong { at: 0, what, announced, limit }));
        let bytes = [&[flags][..], &limit.to_be_bytes()].concat();
        assert_eq!(decode(&bytes), Ok(vec![]));
    }
}

#[test]
fn flags_that_are_reserved_and_commands_of_several_frames_are_refused() {
    let refusal = decode(&[8]).expect_err("a refusal").to_string();
    assert_eq!(refusal, "byte 0: found the byte 0x08, expected flags of 0 to 7");
    assert!(decode(&[0x80]).is_err());
    let refusal = decode(&[0, 0, 5]).expect_err("a refusal").to_string();
    assert_eq!(refusal, "byte 2: found the byte 0x05, expected a command without the flag MORE");
    assert!(decode(&[7]).is_err());
    assert_eq!(decode(&[4, 0]), Ok(vec![Frame::Command(b"")]));
}

#[test]
fn a_message_has_no_more_frames_and_bytes_than_allowed() {
    let three = unhex("0100 0100 0000");
    assert_eq!(decode(&three.repeat(5)).map(|frames| frames.len()), Ok(15));
    let four = unhex("0100 0100 0100 0000");
    assert_eq!(decode(&four), Err(ZmtpError::TooManyParts { at: 6, limit: 3 }));
    // A command in between changes nothing.
    let four = unhex("0100 0406 04 504f4e47 00 0100 0100 00");
    assert_eq!(decode(&four).map(|frames| frames.len()), Ok(4));
    let four = unhex("0100 0406 04 504f4e47 00 0100 0100 0000");
    assert_eq!(decode(&four), Err(ZmtpError::TooManyParts { at: 14, limit: 3 }));

    let mut out = Vec::new();
    append_message(&mut out, &[&[0; 1000], &[0; 1000]]);
    assert_eq!(decode(&out.repeat(3)).map(|frames| frames.len()), Ok(6));
    out.clear();
    append_message(&mut out, &[&[0; 1000], &[0; 1000], &[0; 1]]);
    let refusal = ZmtpError::TooLong { at: 2018, what: "message", announced: 2001, limit: 2000 };
    assert_eq!(decode(&out), Err(refusal));
}

#[test]
fn two_million_more_frames_end_at_the_limit() {
    let bytes = [1, 0].repeat(2_000_000);
    assert_eq!(decode(&bytes), Err(ZmtpError::TooManyParts { at: 6, limit: 3 }));
}

#[test]
fn socket_types_go_with_their_counterparts() {
    for one in SocketType::ALL {
        assert_eq!(SocketType::parse(one.as_str().as_bytes()), Some(one));
        for other in SocketType::ALL {
            assert_eq!(one.goes_with(other), other.goes_with(one), "{one:?} {other:?}");
        }
    }
    let pairs = SocketType::ALL
        .into_iter()
        .flat_map(|one| SocketType::ALL.into_iter().filter(move |other| one.goes_with(*other)));
    assert_eq!(pairs.count(), 21);
    assert!(SocketType::Push.goes_with(SocketType::Pull));
    assert!(SocketType::Sub.goes_with(SocketType::Pub));
    assert_eq!(SocketType::parse(b"push"), None);
}

/// What comes of a stream that arrives in these pieces, and the most that was kept at a time.
fn in_pieces(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, usize) {
    let mut decoder = FrameDecoder::new(LIMITS);
    let mut kept: Vec<u8> = Vec::new();
    let mut seen = Vec::new();
    let mut most = 0;
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

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        8 => (any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(more, body)| {
            let header = FrameHeader::message(body.len(), more);
            [header.as_bytes(), &body].concat()
        }),
        2 => vec(any::<u8>(), 0..100).prop_map(|body| {
            [FrameHeader::command(body.len()).as_bytes(), &body].concat()
        }),
        1 => vec(any::<u8>(), 0..12),
    ];
    vec(frame, 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_gives_the_same_frames(bytes in frames(), cuts in vec(1_usize..400, 1..6)) {
        let (whole, _) = in_pieces(&bytes, &[bytes.len().max(1)]);
        let (split, most) = in_pieces(&bytes, &cuts);
        prop_assert_eq!(&whole, &split);
        let (single, _) = in_pieces(&bytes, &[1]);
        prop_assert_eq!(&whole, &single);
        prop_assert!(most <= 1000 + 9);
    }

    #[test]
    fn arbitrary_commands_never_panic_and_go_round(
        name in prop::sample::select(vec!["", "READY", "ERROR", "PING", "PONG", "CANCEL", "X"]),
        data in vec(any::<u8>(), 0..60),
    ) {
        let _ = Command::parse(&data);
        let mut body = vec![u8::try_from(name.len()).unwrap()];
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&data);
        if let Ok(command) = Command::parse(&body) {
            if let Command::Ready(properties) = command {
                prop_assert!(properties.count() <= data.len());
            }
            let mut out = Vec::new();
            command.append(&mut out);
            let frames = decode(&out).expect("a frame");
            let Frame::Command(again) = frames[0] else { panic!("{frames:?}") };
            prop_assert_eq!(Command::parse(again), Ok(command));
        }
    }

    #[test]
    fn arbitrary_greetings_never_panic(at in 0_usize..64, bytes in vec(any::<u8>(), 0..80)) {
        let _ = Greeting::decode(&mut bytes.as_slice());
        let mut greeting = Greeting::OURS.encode();
        greeting[at] = bytes.first().copied().unwrap_or_default();
        if let Ok(Some(read)) = Greeting::decode(&mut greeting.as_slice()) {
            prop_assert_eq!(Greeting::decode(&mut read.encode().as_slice()), Ok(Some(read)));
        }
    }
}
