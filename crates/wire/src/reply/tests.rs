use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn sender(text: &str) -> Sender<'_> {
    Sender::new(text.as_bytes()).expect("a sender")
}

fn read(message: &[u8]) -> (Vec<u32>, Body<'_>) {
    let reply = parse(message, TARGETS).expect("a reply");
    assert_eq!(reply.sender, sender("u-1"));
    let ids: Vec<u32> = reply.targets.iter().collect();
    assert_eq!(ids.len(), reply.targets.count());
    (ids, reply.body)
}

#[test]
fn replies_that_mongrel2_accepts_are_read() {
    let control = |control| Body::Extended(Extended::Control(control));
    let nothing = Control::default();
    let table: [(&[u8], &[u32], Body<'_>); 13] = [
        (b"u-1 2:85, HTTP/1.1 200 OK\r\n", &[85], Body::Data(b"HTTP/1.1 200 OK\r\n")),
        (b"u-1 1:7,  x", &[7], Body::Data(b" x")),
        (b"u-1 5:1 2 3, a", &[1, 2, 3], Body::Data(b"a")),
        (b"u-1 4:1 2 , a", &[1, 2], Body::Data(b"a")),
        (b"u-1 3:4 4, a", &[4, 4], Body::Data(b"a")),
        (b"u-1 1:0, ", &[0], Body::Close),
        (b"u-1 10:4294967295, ", &[u32::MAX], Body::Close),
        (
            b"u-1 4:X 12, 31:3:ctl,21:10:keep-alive,4:true!}]",
            &[12],
            control(Control { keep_alive: true, ..nothing }),
        ),
        (
            b"u-1 5:X 1 2, 26:3:ctl,16:7:credits,3:500#}]",
            &[1, 2],
            control(Control { credits: Some(500), ..nothing }),
        ),
        (
            b"u-1 3:X 1, 22:3:ctl,12:6:cancel,0:~}]",
            &[1],
            control(Control { cancel: true, ..nothing }),
        ),
        (b"u-1 3:X 1, 9:3:ctl,0:}]", &[1], control(nothing)),
        (b"u-1 3:X 1, 18:8:sendfile,4:/a/b,]", &[1], Body::Extended(Extended::SendFile(b"/a/b"))),
        (
            b"u-1 3:X 1, 11:4:what,1:1#]",
            &[1],
            Body::Extended(Extended::Unknown { key: b"what", value: Value::Integer(1) }),
        ),
    ];
    for (message, ids, body) in table {
        assert_eq!(read(message), (ids.to_vec(), body), "{}", String::from_utf8_lossy(message));
    }
}

#[test]
fn replies_that_mongrel2_rejects_are_refused_with_a_reason() {
    let refusals: [(&[u8], &str); 24] = [
        (b"", "byte 0: found the end, expected a sender's id of letters, digits and '-'"),
        (b" 1:1, a", "byte 0: found ' ', expected a sender's id of letters, digits and '-'"),
        (
            b"u_1 1:1, a",
            "byte 1: found '_', expected a letter, a digit or '-', or ' ' after a sender's id",
        ),
        (
            b"u-1",
            "byte 3: found the end, expected a letter, a digit or '-', or ' ' after a sender's id",
        ),
        (b"u-1 ", "byte 4: found the end, expected a length without superfluous zeros"),
        (b"u-1 1:1,a", "byte 8: found 'a', expected ' ' between the ids and the body"),
        (b"u-1 1:1,", "byte 8: found the end, expected ' ' between the ids and the body"),
        (b"u-1 2:1, a", "byte 8: found ' ', expected ',' after the ids"),
        (b"u-1 1:12, a", "byte 7: found '2', expected ',' after the ids"),
        (b"u-1 99:1, a", "byte 7: 99 bytes announced, 4 left"),
        (b"u-1 0:, a", "byte 6: found the end, expected an id below 4294967296"),
        (b"u-1 1: , a", "byte 6: found ' ', expected an id below 4294967296"),
        (b"u-1 4:1  2, a", "byte 8: found ' ', expected an id below 4294967296"),
        (b"u-1 3:1,2, a", "byte 7: found ',', expected a digit, or ' ' between ids"),
        (b"u-1 2:-1, a", "byte 6: found '-', expected an id below 4294967296"),
        (b"u-1 10:4294967296, a", "byte 7: found 10 bytes, expected an id below 4294967296"),
        (b"u-1 2:X , a", "byte 8: found the end, expected an id below 4294967296"),
        (b"u-1 3:X 1, ", "byte 11: found the end, expected a length without superfluous zeros"),
        (
            b"u-1 3:X 1, 2:ab,",
            "byte 11: found 5 bytes, expected a tnetstring list of a key and a value",
        ),
        (
            b"u-1 3:X 1, 12:1:a,1:b,1:c,]",
            "byte 11: found 16 bytes, expected a tnetstring list of a key and a value",
        ),
        (b"u-1 3:X 1, 12:3:ctl,9:abc,]", "byte 22: 9 bytes announced, 4 left"),
        (b"u-1 3:X 1, 10:3:ctl,1:1#]", "byte 11: found 14 bytes, expected a dictionary for ctl"),
        (
            b"u-1 3:X 1, 25:3:ctl,15:7:credits,2:-1#}]",
            "byte 11: found 29 bytes, expected credits of 0 or more",
        ),
        (b"u-1 3:X 1, 9:3:ctl,0:}] ", "byte 23: found ' ', expected nothing after the list"),
    ];
    for (message, reason) in refusals {
        let refusal = parse(message, TARGETS).expect_err("a refusal").to_string();
        assert_eq!(refusal, reason, "{}", String::from_utf8_lossy(message));
    }
}

#[test]
fn a_hundred_and_twenty_eight_ids_are_taken_and_one_more_is_refused() {
    let ids: Vec<u32> = (0..128).map(|id| u32::MAX - id).collect();
    let mut message = Vec::new();
    append(&mut message, sender("u-1"), &ids, b"x").expect("128 ids");
    assert_eq!(read(&message), (ids.clone(), Body::Data(b"x")));

    let more = [ids, vec![1]].concat();
    let refusal = MessageError::TooMany { at: 0, what: "ids", limit: 128 };
    assert_eq!(append(&mut Vec::new(), sender("u-1"), &more, b"x"), Err(refusal));
    assert!(append(&mut Vec::new(), sender("u-1"), &[], b"x").is_err());
    let short = format!("u-1 257:{}1, x", "1 ".repeat(128));
    let refusal = MessageError::TooMany { at: 264, what: "ids", limit: 128 };
    assert_eq!(parse(short.as_bytes(), TARGETS), Err(refusal));
    // So long that not even its bytes are looked at.
    let refusal = MessageError::TooMany { at: 4, what: "ids", limit: 128 };
    assert_eq!(parse(b"u-1 1411:", TARGETS), Err(refusal));
}

#[test]
fn a_list_nested_a_hundred_thousand_deep_is_refused() {
    let nested = tnetstring_nested(100_000);
    let message = [b"u-1 3:X 1, ".as_slice(), &nested].concat();
    assert!(matches!(parse(&message, TARGETS), Err(MessageError::TooLong { .. })));
    let message = [b"u-1 3:X 1, ".as_slice(), &tnetstring_nested(9)].concat();
    assert!(matches!(parse(&message, TARGETS), Err(MessageError::TooDeep { limit: 8, .. })));
}

fn tnetstring_nested(depth: usize) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut inner = 0;
    for _ in 0..depth {
        let head = format!("{inner}:");
        inner += head.len() + 1;
        heads.push(head);
    }
    heads.reverse();
    [heads.concat().into_bytes(), vec![b']'; depth]].concat()
}

#[test]
fn what_is_written_is_what_mongrel2_reads() {
    let mut out = Vec::new();
    let all = Control { keep_alive: true, credits: Some(7), cancel: true };
    append_control(&mut out, sender("u-1"), &[1, 2], all).expect("two ids");
    assert_eq!(
        out,
        b"u-1 5:X 1 2, 61:3:ctl,51:10:keep-alive,4:true!7:credits,1:7#6:cancel,4:true!}]"
    );
    assert_eq!(read(&out), (vec![1, 2], Body::Extended(Extended::Control(all))));
    out.clear();
    append_send_file(&mut out, sender("u-1"), &[1], b"/a/b").expect("an id");
    assert_eq!(out, b"u-1 3:X 1, 18:8:sendfile,4:/a/b,]");
    out.clear();
    append(&mut out, sender("u-1"), &[1], b"").expect("an id");
    assert_eq!(out, b"u-1 1:1, ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn replies_go_round(ids in vec(any::<u32>(), 1..=128), body in vec(any::<u8>(), 0..300)) {
        let mut message = Vec::new();
        append(&mut message, sender("u-1"), &ids, &body).expect("ids");
        let expected = if body.is_empty() { Body::Close } else { Body::Data(&body) };
        prop_assert_eq!(read(&message), (ids, expected));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        start in prop::sample::select(vec!["", "u ", "u 1:1, ", "u 3:X 1, ", "u 3:X 1, 9:3:ctl,"]),
        bytes in vec(any::<u8>(), 0..60),
        cut in 0_usize..60,
    ) {
        let message = [start.as_bytes(), &bytes].concat();
        let _ = parse(&message, TARGETS);
        let whole = b"u-1 5:X 1 2, 61:3:ctl,51:10:keep-alive,4:true!7:credits,1:7#6:cancel,4:true!}]";
        let mut broken = whole.to_vec();
        for (index, byte) in bytes.iter().enumerate().take(3) {
            let place = (cut + index * 7) % broken.len();
            broken[place] = *byte;
        }
        let _ = parse(&broken, TARGETS);
    }
}
