//! WebSockets and socket messages.

use brim_wire::link::{Class, Content, Reason};

use crate::support::{Ask, Front, Gateway, Got, Puppet, start};
use crate::trials;

trials! {
    a_web_socket_is_taken_and_its_messages_go_both_ways
    a_handshake_may_be_refused
    a_message_in_pieces_is_put_together_within_its_limit
    messages_of_a_socket_stay_with_their_worker_and_survive_it
    socket_messages_are_answered_in_base64_with_a_nul
    raw_payloads_go_out_as_they_are
    a_long_first_message_does_not_use_up_the_credit
    a_long_answer_to_a_message_says_which_pieces_belong_together
    ten_thousand_idle_web_sockets_cost_little
}

const HANDSHAKE: Ask<'_> = Ask {
    class: Class::WebSocket,
    version: 11,
    connection: 3,
    handler: "h",
    is_https: false,
    method: "GET",
    target: "/chat",
    // The key and its answer are those of RFC 6455, section 1.3.
    headers: &[("host", "x"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")],
    body: None,
};

const UPGRADE: &str = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A WebSocket that is open.
fn open(front: &mut Front, puppet: &mut Puppet) -> (u64, u32) {
    let exchange = front.ask(&HANDSHAKE);
    let seen = puppet.hear();
    assert_eq!(seen.get("METHOD"), "WEBSOCKET_HANDSHAKE");
    assert_eq!(seen.body, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    puppet.reply(&[seen.id], UPGRADE);
    let Got::Head { status: 101, headers, .. } = front.next(exchange) else { panic!("no upgrade") };
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["upgrade", "sec-websocket-accept"]);
    (exchange, seen.id)
}

fn a_web_socket_is_taken_and_its_messages_go_both_ways() {
    let (_gateway, mut front, mut puppet) = start("");
    let (exchange, id) = open(&mut front, &mut puppet);
    front.message(exchange, 0x81, "", b"hi");
    let seen = puppet.hear();
    assert_eq!((seen.id, seen.get("METHOD").as_str()), (id, "WEBSOCKET"));
    assert_eq!((seen.get("FLAGS").as_str(), seen.body.as_slice()), ("0x81", &b"hi"[..]));
    assert_eq!((seen.get("host").as_str(), seen.path.as_str()), ("x", "/chat"));
    puppet.reply(&[id], b"\x81\x02ho");
    let bytes = b"\x81\x02ho".to_vec();
    assert_eq!(front.next(exchange), Got::Data { bytes, end: false, close: false });
    front.message(exchange, 0x88, "", b"\x03\xe8");
    assert_eq!(puppet.hear().get("FLAGS"), "0x88");
    puppet.reply(&[id], b"\x88\x00");
    puppet.reply(&[id], b"");
    let answer = front.answer(exchange);
    assert_eq!((answer.body.as_slice(), answer.cancel), (&b"\x88\x00"[..], None));
    let (exchange, id) = open(&mut front, &mut puppet);
    front.leave(exchange);
    puppet.hear_leave(id);
}

fn a_handshake_may_be_refused() {
    let (_gateway, mut front, mut puppet) = start("");
    let exchange = front.ask(&HANDSHAKE);
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    puppet.reply(&[id], "");
    let answer = front.answer(exchange);
    assert_eq!((answer.status, answer.body.as_slice(), answer.cancel), (403, &b"no"[..], None));
}

fn a_message_in_pieces_is_put_together_within_its_limit() {
    let (_gateway, mut front, mut puppet) = start("max_message = 300K");
    let (exchange, id) = open(&mut front, &mut puppet);
    let piece = vec![b'x'; 30 * 1024];
    let mut credit = 65_536;
    let mut send = |front: &mut Front, bytes: &[u8], more| {
        while credit < bytes.len() + 3 {
            match front.next(exchange) {
                Got::Credit(granted) => credit += usize::try_from(granted).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        credit -= bytes.len() + 3;
        front.send(exchange, Content::Message { flags: 0x82, path: b"", bytes, more });
    };
    for number in 0..10 {
        send(&mut front, &piece, number < 9);
    }
    let seen = puppet.hear();
    assert_eq!((seen.body.len(), seen.get("FLAGS").as_str()), (300 * 1024, "0x82"));
    for _ in 0..10 {
        send(&mut front, &piece, true);
    }
    send(&mut front, b"x", false);
    assert_eq!(front.answer(exchange).cancel, Some((Reason::TooLarge, 0)));
    puppet.hear_leave(id);
}

fn messages_of_a_socket_stay_with_their_worker_and_survive_it() {
    let (gateway, mut front, mut first) = start("");
    let (exchange, id) = open(&mut front, &mut first);
    let second = gateway.puppet(&[]);
    for number in 0..50_u8 {
        front.message(exchange, 0x82, "", &[number]);
    }
    for number in 0..50 {
        assert_eq!(first.hear().body, [number]);
    }
    assert!(second.hears_nothing());
    drop(first);
    crate::support::eventually("a message for the second worker", || {
        front.message(exchange, 0x81, "", b"more");
        (!second.hears_nothing()).then_some(())
    });
    let _ = id;
}

fn socket_messages_are_answered_in_base64_with_a_nul() {
    let (_gateway, mut front, mut puppet) = start("");
    for (class, path, body, method) in [
        (Class::Json, "@chat", r#"{"a":1}"#, "JSON"),
        (Class::Xml, "<root", "<root>x</root>", "XML"),
    ] {
        let headers = [("x-forwarded-for", "192.0.2.7"), ("other", "x")];
        let exchange = front.ask(&Ask {
            class,
            version: 0,
            method: "",
            target: path,
            headers: &headers,
            body: Some(Some(body.len() as u64)),
            ..Ask::default()
        });
        front.data(exchange, body.as_bytes(), true);
        let seen = puppet.hear();
        assert_eq!((seen.path.as_str(), seen.body.as_slice()), (path, body.as_bytes()));
        assert_eq!(
            seen.names(),
            ["PATH", "x-forwarded-for", "METHOD", "PATTERN", "URL_SCHEME", "REMOTE_ADDR"]
        );
        assert_eq!(seen.get("METHOD"), method);
        puppet.reply(&[seen.id], "hello");
        let bytes = b"aGVsbG8=\0".to_vec();
        assert_eq!(front.next(exchange), Got::Data { bytes, end: false, close: false });
        front.message(exchange, 0, "@chat/more", b"{}");
        let more = puppet.hear();
        assert_eq!(
            (more.id, more.path.as_str(), more.body.as_slice()),
            (seen.id, "@chat/more", &b"{}"[..])
        );
        front.leave(exchange);
        puppet.hear_leave(seen.id);
    }
}

/// A socket message of so many bytes.
fn chat(length: u64) -> Ask<'static> {
    Ask {
        class: Class::Json,
        version: 0,
        method: "",
        target: "@chat",
        body: Some(Some(length)),
        ..Ask::default()
    }
}

fn raw_payloads_go_out_as_they_are() {
    let (_gateway, mut front, mut puppet) = start("raw_payload = yes");
    let exchange = front.ask(&chat(2));
    front.data(exchange, b"{}", true);
    let id = puppet.hear().id;
    puppet.reply(&[id], "hello\0");
    puppet.reply(&[id], "");
    assert_eq!(front.answer(exchange).body, b"hello\0");
}

fn a_long_first_message_does_not_use_up_the_credit() {
    let (_gateway, mut front, mut puppet) = start("");
    for pieces in [vec![40_000], vec![30_000, 10_000]] {
        let exchange = front.ask(&chat(40_000));
        for (index, length) in pieces.iter().enumerate() {
            front.data(exchange, &vec![b'x'; *length], index + 1 == pieces.len());
        }
        let id = puppet.hear().id;
        assert_eq!(front.next(exchange), Got::Credit(40_000));
        front.message(exchange, 0, "@chat", &[b'y'; 60_000]);
        assert_eq!(puppet.hear().body.len(), 60_000);
        puppet.reply(&[id], "");
        assert!(front.answer(exchange).cancel.is_none());
    }
}

fn a_long_answer_to_a_message_says_which_pieces_belong_together() {
    let gateway = Gateway::start("handler_wait = 10s\nraw_payload = yes");
    let mut puppet = gateway.puppet(&[]);
    let ask = chat(2);
    for is_old in [false, true] {
        let mut front = match is_old {
            true => Front::of_version_1(&gateway),
            false => Front::connect(&gateway),
        };
        let exchange = front.ask(&ask);
        front.data(exchange, b"{}", true);
        let id = puppet.hear().id;
        // Longer than credit and payloads are, and one that is short.
        let long = "x".repeat(65_536 + 100);
        puppet.reply(&[id], &long);
        puppet.reply(&[id], "short");
        let bytes = long.as_bytes()[..65_536].to_vec();
        let first = match is_old {
            true => Got::Data { bytes, end: false, close: false },
            false => Got::Part(bytes),
        };
        assert_eq!(front.next(exchange), first);
        front.send(exchange, Content::Credit(1000));
        for bytes in [long.as_bytes()[65_536..].to_vec(), b"short".to_vec()] {
            assert_eq!(front.next(exchange), Got::Data { bytes, end: false, close: false });
        }
        drop(front);
        puppet.hear_leave(id);
    }
}

fn ten_thousand_idle_web_sockets_cost_little() {
    const COUNT: usize = 10_000;
    let (gateway, mut front, mut puppet) = start("");
    let (first, _) = open(&mut front, &mut puppet);
    let before = gateway.memory();
    let headers = [
        ("host", "www.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept-language", "en-US,en;q=0.5"),
        ("sec-websocket-version", "13"),
        ("origin", "https://www.example.com"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ];
    let mut exchanges = Vec::new();
    while exchanges.len() < COUNT {
        let asked: Vec<_> =
            (0..100).map(|_| front.ask(&Ask { headers: &headers, ..HANDSHAKE })).collect();
        let ids: Vec<_> = asked.iter().map(|_| puppet.hear().id).collect();
        puppet.reply(&ids, UPGRADE);
        for exchange in &asked {
            assert!(matches!(front.next(*exchange), Got::Head { status: 101, .. }));
        }
        exchanges.extend(asked);
    }
    let each = (gateway.memory() - before) as f64 / COUNT as f64;
    println!("{COUNT} idle WebSockets: {each:.2} KiB each");
    assert!(each < 4.0);
    front.message(first, 0x81, "", b"still here");
    assert_eq!(puppet.hear().body, b"still here");
    let last = exchanges[COUNT - 1];
    front.message(last, 0x81, "", b"here, too");
    assert_eq!(puppet.hear().body, b"here, too");
}
