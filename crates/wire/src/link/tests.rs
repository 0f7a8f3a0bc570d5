use std::collections::BTreeMap;

use super::*;
use crate::Found;

mod streams;

const PAGE: &str = include_str!("../../../../docs/link.md");
const LIMITS: Limits = Limits { payload: 1000, headers: 5 };

const HELLO: Hello<'_> = Hello {
    lowest: 1,
    highest: 2,
    credit: 65536,
    payload: 65536,
    exchanges: 0,
    name: b"wsgi:alt/123",
};

const REQUEST: RequestHead<'_> = RequestHead {
    class: Class::Http,
    version: 11,
    is_https: false,
    connection: 7,
    length: Some(0),
    client: b"127.0.0.1",
    handler: b"chat",
    pattern: b"/chat",
    method: b"GET",
    target: b"/chat?x=1",
};

/// The page's examples: what stands in code blocks that begin with "hex" and a name.
fn examples() -> BTreeMap<&'static str, Vec<u8>> {
    let blocks = PAGE.split("```hex ").skip(1).map(|block| {
        let (name, rest) = block.split_once('\n').expect("a name");
        let text = rest.split("```").next().expect("a block");
        let digits: Vec<u8> = text
            .lines()
            .flat_map(|line| line.split(';').next().unwrap_or_default().bytes())
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("two digits")
        };
        (name, digits.chunks(2).map(byte).collect())
    });
    blocks.collect()
}

/// Headers as they are sent, for [`headers`].
fn sent(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    head::append_headers(&mut out, pairs.iter().copied()).expect("headers");
    out
}

fn headers(sent: &[u8]) -> Headers<'_> {
    Headers::read(&mut fields::Fields::new(sent, 0), 100).expect("headers")
}

fn frame(exchange: u64, content: Content<'_>) -> Frame<'_> {
    Frame { exchange, content }
}

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = b"before".to_vec();
    frame.append(&mut out).expect("a frame");
    out.split_off(6)
}

/// A decoder that has had its hello.
fn greeted(from: Side) -> FrameDecoder {
    let mut decoder = FrameDecoder::new(from, LIMITS);
    let hello = bytes(&frame(0, Content::Hello(HELLO)));
    assert!(matches!(decoder.decode(&mut hello.as_slice()), Ok(Some(_))));
    decoder
}

fn refusal(from: Side, bytes: &[u8]) -> LinkError {
    greeted(from).decode(&mut { bytes }).expect_err("a refusal")
}

#[test]
fn the_pages_examples_are_what_the_code_writes_and_reads() {
    use Side::{FrontEnd, Gateway};
    let one = sent(&[(b"host", b"example.com")]);
    let html = sent(&[(b"content-type", b"text/html")]);
    let ok = ResponseHead { status: 200, length: Some(5), reason: b"OK" };
    let switch = ResponseHead { status: 101, length: Some(0), reason: b"" };
    let none = Headers::default();
    let cancel = Cancel { reason: Reason::NoHandler, retry_after: 5 };
    let away = GoAway { reason: GoAwayReason::Stops, last: 42, text: b"stop" };
    let context = 0x0102_0304_0506_0708;
    let table = [
        ("hello", FrontEnd, frame(0, Content::Hello(HELLO))),
        (
            "request",
            FrontEnd,
            frame(1, Content::Request { head: REQUEST, headers: headers(&one), end: true }),
        ),
        ("data", FrontEnd, frame(1, Content::Data { bytes: b"hello", end: true, close: false })),
        ("data-end", Gateway, frame(2, Content::Data { bytes: b"", end: true, close: true })),
        ("part", Gateway, frame(2, Content::Part(b"b25"))),
        (
            "message",
            FrontEnd,
            frame(2, Content::Message { flags: 0x81, path: b"", bytes: b"hi", more: false }),
        ),
        (
            "response",
            Gateway,
            frame(
                1,
                Content::Response { head: ok, headers: headers(&html), end: false, close: false },
            ),
        ),
        ("upgrade", Gateway, frame(2, Content::Upgrade { head: switch, headers: none })),
        ("credit", Gateway, frame(1, Content::Credit(32768))),
        ("touch", Gateway, frame(2, Content::Touch)),
        ("watch", Gateway, frame(1, Content::Watch)),
        ("cancel", Gateway, frame(1, Content::Cancel(cancel))),
        ("goaway", Gateway, frame(0, Content::GoAway(away))),
        ("ping", FrontEnd, frame(0, Content::Ping { context, is_answer: true })),
    ];
    let mut examples = examples();
    for (name, from, frame) in table {
        let example = examples.remove(name).unwrap_or_else(|| panic!("no example {name}"));
        assert_eq!(bytes(&frame), example, "{name}");
        let is_hello = matches!(frame.content, Content::Hello(_));
        let mut decoder = if is_hello { FrameDecoder::new(from, LIMITS) } else { greeted(from) };
        let mut input = example.as_slice();
        assert_eq!(decoder.decode(&mut input), Ok(Some(frame)), "{name}");
        assert!(input.is_empty(), "{name}");
    }
    assert!(examples.is_empty(), "not tested: {examples:?}");
}

#[test]
fn the_pages_table_of_reasons_is_that_of_the_code() {
    let rows = PAGE.lines().filter_map(|line| {
        let mut cells = line.split(" | ");
        let code: u8 = cells.next()?.strip_prefix("| ")?.parse().ok()?;
        let side = cells.next()?;
        ["front end", "gateway"].contains(&side).then_some((code, side))
    });
    let sender = |code| if code < 32 { "front end" } else { "gateway" };
    let reasons = Reason::ALL.iter().map(|reason| (reason.code(), sender(reason.code())));
    assert_eq!(rows.collect::<Vec<_>>(), reasons.collect::<Vec<_>>());
}

#[test]
fn paths_and_queries_are_parts_of_the_target() {
    let table = [
        ("/a?x=1?y", "/a", Some("x=1?y")),
        ("/a?", "/a", Some("")),
        ("/a", "/a", None),
        ("@chat", "@chat", None),
        ("", "", None),
    ];
    for (target, path, query) in table {
        let head = RequestHead { target: target.as_bytes(), ..REQUEST };
        assert_eq!((head.path(), head.query()), (path.as_bytes(), query.map(str::as_bytes)));
    }
}

#[test]
fn the_first_frame_is_a_hello_and_the_only_one() {
    let mut decoder = FrameDecoder::new(Side::FrontEnd, LIMITS);
    let refusal_of = |decoder: &mut FrameDecoder, bytes: &[u8]| {
        decoder.decode(&mut { bytes }).expect_err("a refusal").to_string()
    };
    assert_eq!(refusal_of(&mut decoder, b"GET / HTTP/1.1"), "a frame of version 71, expected 1");
    assert_eq!(
        refusal_of(&mut decoder, &[1, 3]),
        "byte 1 of a frame: found the byte 0x03, expected kind 1, hello, in the first frame"
    );
    let hello = bytes(&frame(0, Content::Hello(HELLO)));
    assert_eq!(
        refusal_of(&mut greeted(Side::FrontEnd), &hello),
        "byte 1 of a frame: found the byte 0x01, expected one hello only"
    );
    for (at, byte, reason) in [
        (16, b'b', "byte 16 of a frame: found 4 bytes, expected the four bytes Brim"),
        (20, 3, "the peer speaks the versions 3 to 2, expected 1 or 2 among them"),
        (21, 0, "the peer speaks the versions 1 to 0, expected 1 or 2 among them"),
        (23, 1, "byte 23 of a frame: found the byte 0x01, expected 0"),
        (37, 13, "byte 38 of a frame: found 12 bytes, expected a link's name"),
        (37, 11, "byte 49 of a frame: found 1 byte, expected the end of the frame"),
        (15, 1, "byte 8 of a frame: found 8 bytes, expected exchange 0"),
    ] {
        let mut wrong = hello.clone();
        wrong[at] = byte;
        let mut decoder = FrameDecoder::new(Side::Gateway, LIMITS);
        assert_eq!(refusal_of(&mut decoder, &wrong), reason);
    }
    let long = Hello { name: &[b'x'; 256], ..HELLO };
    assert!(frame(0, Content::Hello(long)).append(&mut Vec::new()).is_err());
    let longest = bytes(&frame(0, Content::Hello(Hello { name: &[b'x'; 255], ..HELLO })));
    assert_eq!(longest.len(), HEADER_BYTES + HELLO_BYTES);
    assert!(matches!(decoder.decode(&mut longest.as_slice()), Ok(Some(_))));
}

#[test]
fn sides_of_several_versions_agree_on_the_highest_that_both_speak() {
    let version = |lowest, highest| {
        let hello = bytes(&frame(0, Content::Hello(Hello { lowest, highest, ..HELLO })));
        let mut decoder = FrameDecoder::new(Side::Gateway, LIMITS);
        match decoder.decode(&mut hello.as_slice()) {
            Ok(Some(Frame { content: Content::Hello(hello), .. })) => Some(hello.version()),
            _ => None,
        }
    };
    assert_eq!([version(1, 1), version(1, 2), version(2, 9)], [Some(1), Some(2), Some(2)]);
    assert_eq!([version(3, 9), version(0, 0)], [None, None]);
    let table =
        [(9, 0, 2, 1), (12, 0, 1, 2), (9, 0, 0, 1), (9, 0, 3, 1), (3, 2, 1, 2), (3, 0, 2, 1)];
    for (kind, flags, version, expected) in table {
        let header = [version, kind, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let refused = LinkError::Version { found: version, expected };
        assert_eq!(refusal(Side::Gateway, &header), refused);
    }
}

#[test]
fn a_side_sends_only_its_own_kinds_and_flags() {
    use Side::{FrontEnd, Gateway};
    let header = |kind, flags, exchange| {
        let mut bytes =
            [encode::version(kind, flags), kind, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[15] = exchange;
        bytes
    };
    let sends = |from, kind: u8| {
        !matches!(refusal_or_none(from, &header(kind, 0, 1)), Some(LinkError::Direction { .. }))
    };
    for (kind, front_end, gateway) in
        [(2, true, false), (3, true, true), (4, true, false), (5, false, true), (6, false, true)]
    {
        assert_eq!((sends(FrontEnd, kind), sends(Gateway, kind)), (front_end, gateway), "{kind}");
    }
    assert!(!sends(FrontEnd, 9) && sends(Gateway, 9));
    assert!(!sends(FrontEnd, 12) && sends(Gateway, 12));
    let reason = refusal(Gateway, &header(2, 0, 1)).to_string();
    assert_eq!(reason, "a frame of kind 2 from the gateway, which does not send it");
    for kind in [0, 13, 255] {
        let reason = refusal(FrontEnd, &header(kind, 0, 1)).to_string();
        assert!(reason.ends_with("expected a kind, 1 to 12"), "{reason}");
    }
    for (from, kind, flags, is_good) in [
        (FrontEnd, 3, 1, true),
        (FrontEnd, 3, 5, false),
        (FrontEnd, 3, 2, false),
        (Gateway, 3, 5, true),
        (Gateway, 3, 4, false),
        (Gateway, 3, 2, true),
        (Gateway, 3, 3, false),
        (Gateway, 9, 1, false),
        (Gateway, 9, 0, true),
        (Gateway, 12, 1, false),
        (Gateway, 12, 0, true),
        (FrontEnd, 3, 128, false),
    ] {
        let refused = refusal_or_none(from, &header(kind, flags, 1)).is_some();
        assert_eq!(refused, !is_good, "{from} {kind} {flags}");
    }
    let mut reserved = header(3, 0, 1);
    reserved[3] = 1;
    assert_eq!(
        refusal(FrontEnd, &reserved).to_string(),
        "byte 3 of a frame: found the byte 0x01, expected 0"
    );
    let reason = refusal(FrontEnd, &header(3, 0, 0)).to_string();
    assert_eq!(reason, "byte 8 of a frame: found 8 bytes, expected an exchange above 0");
}

fn refusal_or_none(from: Side, bytes: &[u8]) -> Option<LinkError> {
    greeted(from).decode(&mut { bytes }).err()
}

#[test]
fn a_reason_is_one_of_its_side() {
    for reason in Reason::ALL {
        let cancel = Cancel { reason: *reason, retry_after: 1 };
        let bytes = bytes(&frame(1, Content::Cancel(cancel)));
        let by_front_end = refusal_or_none(Side::FrontEnd, &bytes).is_none();
        let by_gateway = refusal_or_none(Side::Gateway, &bytes).is_none();
        assert_eq!((by_front_end, by_gateway), (reason.code() < 32, reason.code() >= 32));
    }
    let mut unknown =
        bytes(&frame(1, Content::Cancel(Cancel { reason: Reason::Overload, retry_after: 0 })));
    unknown[16] = 99;
    assert_eq!(
        refusal(Side::Gateway, &unknown).to_string(),
        "byte 16 of a frame: found 'c', expected a reason of this side"
    );
}

#[test]
fn exchanges_are_counted_upwards() {
    let mut decoder = greeted(Side::FrontEnd);
    let request = |exchange| {
        let content = Content::Request { head: REQUEST, headers: Headers::default(), end: true };
        bytes(&frame(exchange, content))
    };
    for exchange in [1, 2, 7, u64::MAX] {
        assert!(matches!(decoder.decode(&mut request(exchange).as_slice()), Ok(Some(_))));
    }
    for exchange in [1, u64::MAX] {
        let refusal = decoder.decode(&mut request(exchange).as_slice()).expect_err("a refusal");
        assert_eq!(
            refusal.to_string(),
            "byte 8 of a frame: found 8 bytes, expected a higher exchange than the one before"
        );
    }
}

#[test]
fn a_byte_or_a_header_more_than_allowed_is_refused() {
    let data = |length: usize| {
        bytes(&frame(1, Content::Data { bytes: &vec![0; length], end: false, close: false }))
    };
    assert_eq!(refusal_or_none(Side::Gateway, &data(1000)), None);
    let too_long = LinkError::TooLong { kind: 3, announced: 1001, limit: 1000 };
    assert_eq!(refusal(Side::Gateway, &data(1001)[..HEADER_BYTES]), too_long);
    let mut huge = data(0);
    huge[4..8].fill(0xff);
    assert!(matches!(refusal(Side::Gateway, &huge), LinkError::TooLong { .. }));

    let request = |count| {
        let sent = sent(&vec![(&b"n"[..], &b"v"[..]); count]);
        let headers = headers(&sent);
        assert_eq!((headers.len(), headers.is_empty()), (count, count == 0));
        bytes(&frame(1, Content::Request { head: REQUEST, headers, end: false }))
    };
    assert_eq!(refusal_or_none(Side::FrontEnd, &request(5)), None);
    let too_many = LinkError::TooManyHeaders { count: 6, limit: 5 };
    assert_eq!(refusal(Side::FrontEnd, &request(6)), too_many);
}

#[test]
fn what_is_too_long_for_its_length_is_not_sent_at_all() {
    let long = vec![b'x'; 65_536];
    let mut out = b"before".to_vec();
    let head = RequestHead { method: &long, ..REQUEST };
    let error = append_request(&mut out, 1, &head, std::iter::empty(), true);
    let expected = LinkError::Unsendable { what: "a method", length: 65_536, limit: 65_535 };
    assert_eq!(error, Err(expected));
    let many = std::iter::repeat_n((&b"n"[..], &b"v"[..]), 65_536);
    let error = append_request(&mut out, 1, &REQUEST, many, true).expect_err("too many");
    assert_eq!(error.to_string(), "65536 bytes of headers, at most 65535 can be sent");
    assert_eq!(out, b"before");
    let method = &long[..65_535];
    let head = RequestHead { method, ..REQUEST };
    assert_eq!(append_request(&mut out, 1, &head, std::iter::empty(), true), Ok(()));
}

#[test]
fn the_header_for_gathered_writes_is_that_of_the_frame() {
    for (end, close) in [(false, false), (true, false), (true, true)] {
        let whole = bytes(&frame(9, Content::Data { bytes: b"abc", end, close }));
        assert_eq!(data_header(9, 3, end, close), whole[..HEADER_BYTES]);
    }
    assert_eq!(part_header(9, 3), bytes(&frame(9, Content::Part(b"abc")))[..HEADER_BYTES]);
}

#[test]
fn whole_frames_can_be_given_to_another_exchange() {
    let frames = |exchange| {
        let data = frame(exchange, Content::Data { bytes: b"abc", end: false, close: false });
        let end = frame(exchange, Content::Data { bytes: b"", end: true, close: true });
        [bytes(&data), bytes(&end)].concat()
    };
    let mut readdressed = frames(9);
    readdress(&mut readdressed, 1 << 40);
    assert_eq!(readdressed, frames(1 << 40));
}

#[test]
fn credit_is_spent_and_granted_again() {
    let mut sending = SendCredit::new(100);
    let mut receiving = ReceiveCredit::new(100);
    assert_eq!(sending.take(60), 60);
    assert_eq!(sending.take(60), 40);
    assert_eq!((sending.take(60), sending.left()), (0, 0));
    assert_eq!(receiving.received(60), Ok(()));
    assert_eq!(receiving.received(40), Ok(()));
    assert_eq!(receiving.received(0), Ok(()));
    let over = LinkError::OverCredit { bytes: 1, credit: 0 };
    assert_eq!(receiving.received(1), Err(over));
    // Not for every few bytes.
    assert_eq!(receiving.used(49), None);
    assert_eq!(receiving.used(1), Some(50));
    assert_eq!(receiving.used(10), None);
    assert_eq!(sending.grant(50), Ok(()));
    assert_eq!(sending.take(60), 50);
    assert_eq!(receiving.received(50), Ok(()));
    assert_eq!(receiving.window(), 100);

    let most = i32::MAX.unsigned_abs();
    let mut full = SendCredit::new(u32::MAX);
    assert_eq!(full.left(), most);
    let over = LinkError::TooMuchCredit { credit: most, granted: 1 };
    assert_eq!(full.grant(1), Err(over));
    let mut none = ReceiveCredit::new(0);
    assert_eq!((none.received(0), none.used(10)), (Ok(()), None));
    assert_eq!(Found::Bytes(1).to_string(), "1 byte");
}
