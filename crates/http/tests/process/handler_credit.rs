//! Credit of the link: nobody sends more than the other side has room for.

use brim_wire::link::Content;

use super::handler::{asks, linked};
use crate::support::{Gateway, Heard, Link, serve};

#[test]
fn no_more_of_a_body_is_sent_than_there_is_credit_for() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link_with(10_000, 4096, 100);
    let mut client = daemon.client();
    let body: Vec<u8> = (0..50_000_u32).map(|number| (number % 251) as u8).collect();
    client
        .send(format!("POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(link.request().length, Some(50_000));
    let mut got = Vec::new();
    let mut collect = |link: &mut Link, expected: usize| {
        while got.len() < expected {
            let Heard::Data { bytes, end, .. } = link.next() else { panic!("no data") };
            assert!(bytes.len() <= 4096);
            got.extend(bytes);
            assert_eq!(end, got.len() == 50_000);
        }
        assert_eq!(got.len(), expected);
        got.clone()
    };
    collect(&mut link, 10_000);
    assert_eq!(link.in_a_moment(), []);
    link.credit(1, 1);
    collect(&mut link, 10_001);
    assert_eq!(link.in_a_moment(), []);
    link.credit(1, 1_000_000);
    assert!(collect(&mut link, 50_000) == body);
    link.answer(1, "all");
    assert_eq!(client.response().text(), "all");
    // A small one waits for credit, too.
    let small = vec![7; 12_000];
    client.send("POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 12000\r\n\r\n");
    client.send(&small);
    link.request();
    let mut count = 0;
    while count < 10_000 {
        let Heard::Data { bytes, end: false, .. } = link.next() else { panic!("no data") };
        count += bytes.len();
    }
    assert_eq!(link.in_a_moment(), []);
    link.credit(2, 2000);
    assert_eq!(link.body().len() + count, 12_000);
    link.answer(2, "both");
    assert_eq!(client.response().text(), "both");
}

#[test]
fn both_bodies_go_at_the_same_time() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send("POST /chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    link.request();
    link.respond(1, 200, None);
    assert!(client.head().starts_with("HTTP/1.1 200"));
    for text in ["a", "b", "c"] {
        client.send(format!("1\r\n{text}\r\n"));
        assert_eq!(link.next(), Heard::Data { id: 1, bytes: text.into(), end: false });
        link.data(1, text.as_bytes(), false);
        assert_eq!(client.take(6), format!("1\r\n{text}\r\n").as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(link.next(), Heard::Data { id: 1, bytes: Vec::new(), end: true });
    link.data(1, b"", true);
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

#[test]
fn a_slow_client_slows_its_handler_and_nobody_else() {
    let (_gateway, daemon, mut link) = linked("");
    let mut slow = asks(&daemon);
    let id = link.request().id;
    link.respond(id, 200, None);
    // As a handler that never stops, within its credit.
    let (mut credit, mut sent) = (u64::from(link.credit), 0);
    let piece = vec![b'x'; 32 * 1024];
    loop {
        while credit >= piece.len() as u64 {
            link.data(id, &piece, false);
            credit -= piece.len() as u64;
            sent += piece.len() as u64;
        }
        match link.soon() {
            None => break,
            Some(Heard::Credit { id: of, bytes }) => {
                assert_eq!(of, id);
                credit += u64::from(bytes);
            }
            other => panic!("{other:?}"),
        }
    }
    println!("{sent} bytes were sent before the front end granted no more");
    assert!(sent < 16 * 1024 * 1024, "{sent}");
    assert_eq!(daemon.client().get_answered(&mut link, "quick").text(), "quick");
    // It goes on where it stopped.
    slow.head();
    let mut got = 0;
    while got < sent {
        let line = slow.take(6);
        assert!(line.ends_with(b"\r\n"), "{line:?}");
        assert_eq!(slow.take(piece.len() + 2).len(), piece.len() + 2);
        got += piece.len() as u64;
    }
    assert!(matches!(link.next(), Heard::Credit { .. }));
    link.data(id, b"end", true);
    assert_eq!(slow.chunked(), b"end");
}

#[test]
fn one_byte_over_its_credit_costs_a_gateway_the_link() {
    let (gateway, daemon, mut link) = linked("");
    let mut client = asks(&daemon);
    let id = link.request().id;
    let whole = vec![b'x'; 65_536];
    link.respond(id, 200, None);
    link.data(id, &whole, false);
    client.head();
    // The client takes nothing, and what the front end has taken of it is not told before it is half.
    let mut slow = asks(&daemon);
    let other = link.request().id;
    let mut out =
        crate::support::frame(other, Content::Data { bytes: b"", end: false, close: false });
    out.clear();
    link.respond(other, 200, Some(1 << 30));
    slow.head();
    for _ in 0..1000 {
        out.extend(crate::support::frame(
            other,
            Content::Data { bytes: &whole, end: false, close: false },
        ));
    }
    // Far more than any credit: at some point it is one too much.
    let _ = std::io::Write::write_all(&mut link.stream, &out);
    let away = loop {
        match link.try_next() {
            Some(Heard::GoAway { reason, text }) => break (reason, text),
            Some(Heard::Credit { .. }) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(away.0, brim_wire::link::GoAwayReason::Broke);
    assert!(away.1.contains("credit"), "{}", away.1);
    assert_eq!(link.try_next(), None);
    daemon.logs("the gateway broke a rule of the link");
    let mut next = gateway.link();
    assert_eq!(daemon.client().get_answered(&mut next, "on").text(), "on");
}
