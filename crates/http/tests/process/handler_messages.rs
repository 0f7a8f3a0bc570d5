//! Clients that speak no HTTP: JSON and XML socket messages.

use std::time::Duration;

use brim_wire::link::{Class, Content, Reason};

use crate::support::{Daemon, Gateway, Heard, Home, Link, finished, frame, get, serve};

const ROUTES: &str = "route = /chat @chat @room(/[a-z]+)$ <x";

fn linked(keys: &str) -> (Gateway, Daemon, Link) {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(&format!("{ROUTES}\n{keys}")));
    let link = gateway.link();
    (gateway, daemon, link)
}

fn count(daemon: &Daemon, name: &str) -> u64 {
    daemon.stats()["wsgi"][format!("chat.{name}")].as_u64().unwrap()
}

#[test]
fn messages_go_to_the_handler_and_its_data_come_back() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send(b"@chat/a {\"x\":\"1\xe4\"}\0@chat {\"y\":2}\0@room/b {}\0");
    let asked = link.request();
    assert_eq!((asked.id, asked.class, asked.version, asked.end), (1, Class::Json, 0, false));
    assert_eq!((&*asked.method, &*asked.target, &*asked.pattern), ("", "@chat/a", "@chat"));
    assert_eq!((&*asked.client, &*asked.handler), ("127.0.0.1", "chat"));
    assert_eq!(asked.headers, [("x-forwarded-for".to_owned(), b"127.0.0.1".to_vec())]);
    assert_eq!(asked.length, Some(10));
    assert_eq!(link.body(), b"{\"x\":\"1\xe4\"}");
    assert_eq!(link.message(), (0, "@chat".to_owned(), b"{\"y\":2}".into()));
    assert_eq!(link.message(), (0, "@room/b".to_owned(), b"{}".into()));
    // XML of the same client is an exchange of its own.
    client.send("<x attribute='1'>text</x>\0");
    let xml = link.request();
    assert_eq!((xml.id, xml.class, &*xml.target, &*xml.pattern), (2, Class::Xml, "<x", "<x"));
    assert_eq!(xml.connection, asked.connection);
    assert_eq!(link.body(), b"<x attribute='1'>text</x>");
    link.data(1, b"b25l\0", false);
    assert_eq!(client.take(5), b"b25l\0");
    link.data(2, b"dHdv\0", false);
    assert_eq!(client.take(5), b"dHdv\0");
    // A kill closes.
    link.data(1, b"bye\0", true);
    assert_eq!(client.rest(), b"bye\0");
    assert_eq!(link.cancelled().0, 2);
    assert_eq!((count(&daemon, "requests"), count(&daemon, "messages")), (2, 4));
    let lines = daemon.access_lines(1);
    let line = lines.iter().find(|line| line.contains("JSON")).unwrap();
    assert!(line.contains(" JSON /@chat/a ") && line.contains(" 200 "), "{line}");
}

#[test]
fn nothing_comes_between_the_pieces_of_a_message() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send(b"@chat {}\0<x>text</x>\0");
    let (one, _) = (link.request().id, link.body());
    let (two, _) = (link.request().id, link.body());
    for (first, second) in [(one, two), (two, one)] {
        link.send(first, Content::Part(b"b25"));
        assert_eq!(client.take(3), b"b25");
        link.data(second, b"dHdv\0", false);
        link.send(first, Content::Part(b"l"));
        link.data(first, b"\0", false);
        assert_eq!(client.take(7), b"l\0dHdv\0");
        // The same where all of it waits for the client.
        link.write(
            &[
                frame(first, Content::Part(b"b25")),
                frame(second, Content::Data { bytes: b"dHdv\0", end: false, close: false }),
                frame(first, Content::Data { bytes: b"l\0", end: false, close: false }),
            ]
            .concat(),
        );
        let both = client.take(10);
        assert!([b"b25l\0dHdv\0", b"dHdv\0b25l\0"].contains(&both[..].try_into().unwrap()));
    }
}

#[test]
fn http_goes_on_beside_messages_and_a_ping_goes_to_nobody() {
    let (_gateway, daemon, mut link) = linked("tunnel_timeout = 4s");
    let mut client = daemon.client();
    client.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
    link.request();
    link.answer(1, "http");
    assert_eq!(client.response().text(), "http");
    let mut client = daemon.client();
    // In all it takes longer than that.
    for _ in 0..7 {
        client.send("@chat {\"type\":\"ping\"}\0");
        std::thread::sleep(Duration::from_millis(700));
    }
    assert_eq!(link.in_a_moment(), []);
    assert!(client.is_open());
    client.is_closed();
}

#[test]
fn a_client_that_leaves_cancels_and_a_silent_one_is_closed() {
    let (_gateway, daemon, mut link) = linked("tunnel_timeout = 3s");
    let mut client = daemon.client();
    client.send("@chat {}\0");
    link.request();
    link.body();
    client.reset();
    assert_eq!(link.cancelled(), (1, Reason::ClientLeft));
    let mut client = daemon.client();
    client.send("@chat {}\0");
    link.request();
    link.body();
    client.is_closed();
    assert_eq!(link.cancelled(), (2, Reason::ClientIdle));
}

#[test]
fn what_is_malformed_too_long_or_for_nobody_is_told_so() {
    let (_gateway, daemon, mut link) = linked("socket_max_message = 600");
    for (bytes, status) in [
        (b"@chat?x=1 {}\0".to_vec(), "400"),
        (b"@chat {}\0\n".to_vec(), "400"),
        (b"@other {}\0".to_vec(), "404"),
        (b"@chatter {}\0".to_vec(), "404"),
        (b"<y/>\0".to_vec(), "404"),
        ([b"@chat/", &[b'x'; 507][..], b" {}\0"].concat(), "414"),
        ([b"@chat {", &[b'x'; 592][..], b"}\0"].concat(), "413"),
    ] {
        let mut client = daemon.client();
        client.send(&bytes);
        let answer = client.rest();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer}");
        for heard in link.in_a_moment() {
            match heard {
                Heard::Cancel { reason, .. } => assert_eq!(reason, Reason::ClientBroke),
                Heard::Request(_) | Heard::Data { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let mut client = daemon.client();
    client.send([b"@chat {", &[b'x'; 591][..], b"}\0"].concat());
    link.request();
    assert_eq!(link.body().len(), 593);
    client.send([b"@chat/", &[b'x'; 506][..], b" {}\0"].concat());
    assert_eq!(link.message().1.len(), 512);
}

#[test]
fn a_message_waits_for_credit() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(ROUTES));
    let mut link = gateway.link_with(1000, 1024, 10);
    let mut client = daemon.client();
    let message = [b"@chat {", &[b'x'; 1500][..], b"}\0"].concat();
    client.send([&message[..], &message].concat());
    let asked = link.request();
    let mut got = 0;
    while got < 1000 {
        let Heard::Data { bytes, end: false, .. } = link.next() else { panic!("no data") };
        got += bytes.len();
    }
    assert_eq!((got, link.in_a_moment().len()), (1000, 0));
    link.credit(asked.id, 502);
    assert_eq!(link.body().len(), 502);
    link.credit(asked.id, 10_000);
    let (flags, path, bytes) = link.message();
    assert_eq!((flags, &*path, bytes.len()), (0, "@chat", 1502));
}

#[test]
fn half_a_message_is_not_waited_for_for_ever() {
    let gateway = Gateway::new();
    let keys = gateway.behind(ROUTES).replace("stats", "stats\nhead_timeout = 1s");
    let daemon = serve(&keys);
    let mut link = gateway.link();
    let mut client = daemon.client();
    client.send("@chat {\"x\":");
    client.is_closed();
    // Nor is it kept alive byte by byte.
    let mut client = daemon.client();
    client.send("@chat {}\0@chat {");
    link.request();
    for _ in 0..20 {
        if !client.try_send("x") {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!client.try_send("x"));
}

#[test]
fn without_a_link_the_connection_is_closed() {
    let gateway = Gateway::new();
    let keys = gateway.behind(&format!("{ROUTES}\ngateway_wait = 200ms"));
    drop(gateway);
    let daemon = serve(&keys);
    let mut client = daemon.client();
    client.send("@chat {}\0");
    client.is_closed();
    assert_eq!(count(&daemon, "no_gateway"), 1);
    assert_eq!(get(&daemon, "/chat").status, 503);
}

#[test]
fn only_handlers_have_routes_for_messages() {
    let gateway = Gateway::new();
    let home = Home::new("apps = a\n[a]\ncall = echo\nroute = /a @a");
    let config = home.config();
    let ended = finished(&["--config", config.to_str().unwrap(), "--check", "wsgi"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("@a is for socket messages, which only handlers get"), "{said}");
    home.configure(&gateway.behind(ROUTES));
    let ended = finished(&["--config", config.to_str().unwrap(), "--check", "wsgi"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
