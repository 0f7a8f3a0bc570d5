//! WebSockets through the `handler` app, byte by byte, after the cases of the Autobahn test suite.

use std::time::{Duration, Instant};

use brim_wire::link::{Class, Content, Reason};
use brim_wire::websocket::{Flags, append_frame};

use crate::support::{Client, Daemon, Gateway, Heard, Home, Link, PATIENCE, eventually, serve};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const MASK: [u8; 4] = [1, 2, 3, 4];

/// A client's frame.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(&mut frame, Flags(first), payload);
    frame.truncate(frame.len() - payload.len());
    frame[1] |= 0x80;
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A server's frame.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(&mut frame, Flags(first), payload);
    frame
}

impl Client {
    /// Reads a frame.
    pub(super) fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.take(2);
        let length = match head[1] {
            126 => usize::from(u16::from_be_bytes(self.take(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8).try_into().unwrap()) as usize,
            short => usize::from(short),
        };
        (head[0], self.take(length))
    }

    /// The connection ends by a close frame with this code, or without one.
    fn ends_with(&mut self, code: Option<u16>) {
        if let Some(code) = code {
            let (first, payload) = self.frame();
            assert_eq!(first, 0x88);
            assert_eq!(payload.get(..2), Some(&code.to_be_bytes()[..]), "{payload:?}");
        }
        self.is_closed();
    }
}

/// A WebSocket, as far as the handshake.
pub(super) fn switched(daemon: &Daemon, link: &mut Link) -> (Client, u64) {
    let mut client = daemon.client();
    client.send(ASK);
    let asked = link.request();
    assert_eq!((asked.class, asked.end), (Class::WebSocket, true));
    link.upgrade(asked.id, &[("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    (client, asked.id)
}

pub(super) fn linked(keys: &str) -> (Gateway, Daemon, Link) {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(keys));
    let link = gateway.link();
    (gateway, daemon, link)
}

fn count(daemon: &Daemon, name: &str) -> u64 {
    daemon.stats()["wsgi"][format!("chat.{name}")].as_u64().unwrap()
}

#[test]
fn a_handshake_goes_to_the_handler_and_frames_go_both_ways() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send(ASK.replace("/chat", "/chat/room?x=1"));
    let asked = link.request();
    assert_eq!((asked.class, &*asked.target), (Class::WebSocket, "/chat/room?x=1"));
    assert_eq!(asked.header("upgrade"), ["websocket"]);
    assert_eq!(asked.header("connection"), ["keep-alive, Upgrade"]);
    assert_eq!(asked.header("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    link.upgrade(1, &[("sec-websocket-accept", "a"), ("sec-websocket-protocol", "chat")]);
    let head = client.head().to_ascii_lowercase();
    for line in [
        "101 switching",
        "\r\nupgrade: websocket\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nsec-websocket-accept: a\r\n",
        "\r\nsec-websocket-protocol: chat\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("content-length"), "{head}");
    client.send(frame(0x81, "gr\u{fc}\u{df} dich".as_bytes()));
    assert_eq!(link.message(), (0x81, String::new(), "gr\u{fc}\u{df} dich".into()));
    client.send(frame(0x82, b"\x00\xff"));
    assert_eq!(link.message(), (0x82, String::new(), b"\x00\xff".into()));
    link.data(1, &[plain(0x81, b"one"), plain(0x82, b"two")].concat(), false);
    assert_eq!(client.frame(), (0x81, b"one".into()));
    assert_eq!(client.frame(), (0x82, b"two".into()));
    // The handler closes, and ends.
    link.data(1, &plain(0x88, b"\x03\xe8"), true);
    client.ends_with(Some(1000));
    assert_eq!((count(&daemon, "upgrades"), count(&daemon, "messages")), (1, 2));
    let lines = daemon.access_lines(3);
    let line = lines.iter().find(|line| line.contains("/chat/room")).unwrap();
    assert!(line.contains(" 101 "), "{line}");
}

#[test]
fn what_comes_with_the_handshake_and_a_later_handshake_work_too() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
    link.request();
    link.answer(1, "first");
    assert_eq!(client.response().text(), "first");
    client.send([ASK.as_bytes(), &frame(0x81, b"early")].concat());
    assert_eq!(link.request().class, Class::WebSocket);
    assert_eq!(link.in_a_moment(), []);
    link.upgrade(2, &[]);
    link.data(2, &plain(0x81, b"welcome"), false);
    client.head();
    assert_eq!(client.frame(), (0x81, b"welcome".into()));
    assert_eq!(link.message().2, b"early");
    client.reset();
    assert_eq!(link.cancelled(), (2, Reason::ClientLeft));
}

#[test]
fn a_handler_may_refuse_a_handshake() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send(ASK);
    link.request();
    link.respond(1, 403, Some(0));
    assert_eq!(client.response().status, 403);
    client.send(ASK);
    assert_eq!(link.request().id, 2);
    link.cancel(2, Reason::NoHandler, 5);
    assert_eq!(client.response().status, 503);
}

#[test]
fn what_is_no_handshake_of_version_13_is_none() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send(ASK.replace("Version: 13", "Version: 8"));
    let response = client.response();
    assert_eq!((response.status, response.header("sec-websocket-version")), (426, Some("13")));
    for ask in [
        ASK.replace("HTTP/1.1", "HTTP/1.0"),
        ASK.replace("GET", "POST"),
        ASK.replace("websocket\r\n", "h2c\r\n"),
        ASK.replace("keep-alive, Upgrade", "keep-alive"),
        ASK.replace("Sec-WebSocket-Key", "X-Key"),
        ASK.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        ASK.replace("Sec-WebSocket-Version: 13\r\n", ""),
    ] {
        let mut client = daemon.client();
        client.send(&ask);
        let asked = link.request();
        assert_eq!(asked.class, Class::Http, "{ask}");
        assert!(asked.header("upgrade").is_empty());
        link.answer(asked.id, "plain");
        assert_eq!(client.response().text(), "plain");
    }
}

#[test]
fn fragments_are_one_message_and_control_frames_come_between() {
    let (_gateway, daemon, mut link) = linked("websocket_ping = pass");
    let (mut client, id) = switched(&daemon, &mut link);
    let parts = [
        frame(0x01, b"\xce"),
        frame(0x8a, b"pong"),
        frame(0x00, b""),
        frame(0x00, b"\xba"),
        frame(0x80, b"!"),
        frame(0x89, b"ping"),
    ];
    for part in parts.concat() {
        client.send([part]);
    }
    let piece = |flags, bytes: &[u8], more| Heard::Message {
        id,
        flags,
        path: String::new(),
        bytes: bytes.into(),
        more,
    };
    assert_eq!(link.next(), piece(0x81, b"\xce", true));
    assert_eq!(link.next(), piece(0x8a, b"pong", false));
    assert_eq!(link.message(), (0x81, String::new(), b"\xba!".into()));
    assert_eq!(link.message(), (0x89, String::new(), b"ping".into()));
    assert_eq!(link.in_a_moment(), []);
    link.data(id, &plain(0x8a, b"ping"), false);
    assert_eq!(client.frame(), (0x8a, b"ping".into()));
}

#[test]
fn a_ping_is_answered_between_frames_of_the_handler() {
    let (_gateway, daemon, mut link) = linked("");
    let (mut client, id) = switched(&daemon, &mut link);
    for payload in [&b""[..], b"x", &[7; 125]] {
        client.send(frame(0x89, payload));
        assert_eq!(client.frame(), (0x8a, payload.to_vec()));
    }
    // Not inside of one.
    let whole = plain(0x82, &[9; 1000]);
    link.data(id, &whole[..300], false);
    let head = client.take(300);
    client.send(frame(0x89, b"now"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(client.is_open());
    link.data(id, &[&whole[300..], &plain(0x81, b"next")].concat(), false);
    assert_eq!([head, client.take(704)].concat(), whole);
    assert_eq!(client.frame(), (0x8a, b"now".into()));
    assert_eq!(client.frame(), (0x81, b"next".into()));
    assert_eq!(link.in_a_moment(), []);
}

#[test]
fn what_breaks_a_rule_is_closed_with_its_code_and_cancelled() {
    let (_gateway, daemon, mut link) = linked("max_message = 1000");
    let mut unmasked = plain(0x81, b"hi");
    unmasked[1] &= 0x7f;
    let cases = [
        ("rsv1", frame(0xc1, b"x"), 1002),
        ("rsv2", frame(0xa1, b"x"), 1002),
        ("opcode 3", frame(0x83, b"x"), 1002),
        ("opcode 11", frame(0x8b, b"x"), 1002),
        ("unmasked", unmasked, 1002),
        ("fragmented ping", frame(0x09, b"x"), 1002),
        ("long ping", frame(0x89, &[0; 126]), 1002),
        ("continuation", frame(0x80, b"x"), 1002),
        ("interleaved", [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
        ("close of one byte", frame(0x88, b"x"), 1002),
        ("close 1005", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close 999", frame(0x88, &999_u16.to_be_bytes()), 1002),
        ("close reason", frame(0x88, b"\x03\xe8\xff"), 1007),
        ("utf-8", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("utf-8 in fragments", [frame(0x01, b"\xf4"), frame(0x80, b"\x90\x80\x80")].concat(), 1007),
        ("utf-8 unfinished", frame(0x81, b"ab\xe2\x82"), 1007),
        ("one byte too many", frame(0x82, &[0; 1001]), 1009),
        ("one in fragments", [frame(0x02, &[0; 999]), frame(0x80, &[0; 2])].concat(), 1009),
        ("2^62 bytes", [&[0x82, 0xff][..], &(1_u64 << 62).to_be_bytes()].concat(), 1009),
    ];
    let many = cases.len() as u64;
    for (what, bytes, code) in cases {
        let (mut client, id) = switched(&daemon, &mut link);
        client.send(bytes);
        println!("{what}");
        client.ends_with(Some(code));
        let cancelled = loop {
            match link.next() {
                Heard::Cancel { id, reason } => break (id, reason),
                Heard::Message { more: true, .. } => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        assert_eq!(cancelled, (id, Reason::ClientBroke), "{what}");
    }
    assert_eq!(count(&daemon, "violations"), many);
    // What is allowed to the byte is taken.
    let (mut client, _) = switched(&daemon, &mut link);
    client.send(frame(0x82, &[5; 1000]));
    assert_eq!(link.message().2, [5; 1000]);
}

#[test]
fn a_close_is_the_handlers_to_answer_or_ours_if_it_does_not() {
    let (_gateway, daemon, mut link) = linked("");
    let (mut client, id) = switched(&daemon, &mut link);
    client.send(frame(0x88, b"\x0f\xa0bye"));
    assert_eq!(link.message(), (0x88, String::new(), b"\x0f\xa0bye".into()));
    link.data(id, &plain(0x88, b"\x0f\xa0"), true);
    client.ends_with(Some(4000));
    let (mut client, id) = switched(&daemon, &mut link);
    client.send(frame(0x88, b"\x03\xe8"));
    link.message();
    // Nothing that follows counts.
    client.send(frame(0x81, b"more"));
    client.ends_with(Some(1000));
    assert_eq!(link.cancelled(), (id, Reason::ClientLeft));
}

#[test]
fn large_messages_come_within_credit() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind("max_message = 20M"));
    let mut link = gateway.link_with(30_000, 8192, 100);
    let (client, id) = switched(&daemon, &mut link);
    let payload: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 253) as u8).collect();
    let (mut writer, sent) = (client.stream.try_clone().unwrap(), frame(0x82, &payload));
    let writes = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &sent));
    let (mut got, mut spent) = (Vec::new(), 0);
    for heard in link.in_a_moment() {
        let Heard::Message { flags: 0x82, bytes, .. } = heard else { panic!("{heard:?}") };
        spent += bytes.len() + 3;
        assert!(bytes.len() + 3 <= 8192);
        got.extend(bytes);
    }
    // It stops where there is not enough for a control frame.
    assert!((30_000 - 128..=30_000).contains(&spent), "{spent}");
    link.credit(id, 3_100_000);
    while got.len() < payload.len() {
        let Heard::Message { bytes, .. } = link.next() else { panic!("no message") };
        got.extend(bytes);
    }
    assert!(got == payload);
    writes.join().unwrap().unwrap();
    // A client whose handler takes nothing can write no more than what the kernel holds.
    let (client, _) = switched(&daemon, &mut link);
    let mut writer = client.stream.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut written = 0;
    let small = frame(0x82, &[1; 1000]).repeat(100);
    while std::io::Write::write_all(&mut writer, &small).is_ok() {
        written += small.len();
        assert!(written < 64 << 20);
    }
    println!("{written} bytes were written until nothing more was taken");
}

#[test]
fn a_slow_client_is_granted_no_more() {
    let (_gateway, daemon, mut link) = linked("");
    let (mut slow, id) = switched(&daemon, &mut link);
    let piece = plain(0x82, &[3; 16_000]);
    let (mut credit, mut sent) = (link.credit as usize, 0);
    loop {
        while credit >= piece.len() {
            link.data(id, &piece, false);
            credit -= piece.len();
            sent += 1;
        }
        match link.soon() {
            None => break,
            Some(Heard::Credit { id: of, bytes }) => {
                assert_eq!(of, id);
                credit += bytes as usize;
            }
            other => panic!("{other:?}"),
        }
    }
    println!("{sent} messages of 16000 bytes were taken");
    let (mut quick, other) = switched(&daemon, &mut link);
    link.data(other, &plain(0x81, b"quick"), false);
    assert_eq!(quick.frame().1, b"quick");
    for _ in 0..sent {
        assert_eq!(slow.frame().1.len(), 16_000);
    }
    assert!(matches!(link.next(), Heard::Credit { .. }));
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind("").replace("stats", "stats\nwrite_timeout = 1s"));
    let mut link = gateway.link();
    let (client, id) = switched(&daemon, &mut link);
    let piece = plain(0x82, &[3; 32_000]);
    let mut credit = link.credit;
    loop {
        while credit >= 32_004 {
            link.data(id, &piece, false);
            credit -= 32_004;
        }
        match link.next() {
            Heard::Credit { bytes, .. } => credit += bytes,
            Heard::Cancel { reason, .. } => break assert_eq!(reason, Reason::ClientLeft),
            other => panic!("{other:?}"),
        }
    }
    drop(client);
}

#[test]
fn what_the_gateway_cancels_is_closed() {
    let (_gateway, daemon, mut link) = linked("");
    for (reason, code) in [
        (Reason::HandlerCancelled, None),
        (Reason::TooLarge, Some(1009)),
        (Reason::GatewayStops, Some(1012)),
        (Reason::Overload, Some(1013)),
        (Reason::HandlerLeft, Some(1011)),
    ] {
        let (mut client, id) = switched(&daemon, &mut link);
        link.cancel(id, reason, 0);
        client.ends_with(code);
    }
    let (mut client, _) = switched(&daemon, &mut link);
    drop(link);
    client.ends_with(Some(1011));
}

#[test]
fn a_silent_client_is_closed_unless_it_is_touched() {
    let (_gateway, daemon, mut link) = linked("tunnel_timeout = 4s");
    let begun = Instant::now();
    let (mut client, id) = switched(&daemon, &mut link);
    // In all it takes longer than that.
    for _ in 0..7 {
        std::thread::sleep(Duration::from_millis(700));
        link.send(id, Content::Touch);
    }
    assert!(client.is_open());
    client.ends_with(Some(1001));
    assert!(begun.elapsed() >= Duration::from_millis(8500));
    assert_eq!(link.cancelled(), (id, Reason::ClientIdle));
}

#[test]
fn a_drain_says_goodbye_and_a_reload_says_nothing() {
    let gateway = Gateway::new();
    let home = Home::new(&gateway.behind("").replace("stats", "stats\ndrain_tunnel = 4s")).shared();
    let daemon = home.start();
    let mut link = gateway.link();
    let (mut client, id) = switched(&daemon, &mut link);
    daemon.reload();
    client.send(frame(0x81, b"still"));
    assert_eq!(link.message().2, b"still");
    link.data(id, &plain(0x81, b"there"), false);
    assert_eq!(client.frame().1, b"there");
    daemon.terminate();
    client.send(frame(0x81, b"still"));
    assert_eq!(link.message().2, b"still");
    let begun = Instant::now();
    client.ends_with(Some(1001));
    drop(client);
    assert_eq!(link.cancelled(), (id, Reason::FrontEndStops));
    assert_eq!(daemon.ended().code, Some(0));
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn silent_connections_hold_little() {
    let gateway = Gateway::new();
    let home = Home::new(&gateway.behind("")).descriptors(8192).shared();
    let daemon = home.start();
    let mut link = gateway.link_with(65_536, 65_536, 10_000);
    let warm: Vec<_> = (0..100).map(|_| switched(&daemon, &mut link)).collect();
    let before = daemon.memory();
    let clients: Vec<_> = (0..1000).map(|_| switched(&daemon, &mut link)).collect();
    let after = daemon.memory();
    println!("{} KiB for 1000 silent WebSockets", after - before);
    assert!(after - before < 16_000);
    drop((warm, clients));
    eventually("all to leave", || (count(&daemon, "upgrades") == 1100).then_some(()));
}
