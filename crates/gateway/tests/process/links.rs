//! The link itself: greetings, credit, pings, and front ends that break its rules.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use brim_wire::link::Content;

use crate::support::{Ask, Front, Gateway, Got};
use crate::trials;

trials! {
    both_sides_say_hello_and_pings_are_answered
    a_front_end_that_breaks_a_rule_is_told_and_let_go
    strangers_at_the_link_are_let_go
    frames_for_what_is_over_are_overlooked
    a_body_has_no_more_than_its_credit
    a_front_end_that_says_nothing_is_let_go
    a_thousand_exchanges_of_several_front_ends_find_their_way
}

fn both_sides_say_hello_and_pings_are_answered() {
    let gateway = Gateway::start("");
    let mut front = Front::connect(&gateway);
    assert_eq!(front.next(0), Got::Hello);
    front.send(0, Content::Ping { context: 7, is_answer: false });
    assert_eq!(front.next(0), Got::Pong(7));
    front.send(0, Content::Ping { context: 8, is_answer: true });
    front.send(0, Content::Ping { context: 9, is_answer: false });
    assert_eq!(front.next(0), Got::Pong(9));
}

/// What a front end does that it may not.
type Break = fn(&mut Front);

fn a_front_end_that_breaks_a_rule_is_told_and_let_go() {
    let gateway = Gateway::start("handler_wait = 10s");
    let puppet = gateway.puppet(&[]);
    let mut good = Front::connect(&gateway);
    let open = good.get("/");
    let _ = puppet.hear();
    let breaks: [(&str, Break); 7] = [
        ("exchange 5, which was never begun", |front| front.data(5, b"x", true)),
        ("more of a body of exchange 1", |front| {
            let exchange = front.get("/");
            front.data(exchange, b"x", true);
        }),
        ("a message in exchange 1", |front| {
            let exchange = front.get("/");
            front.message(exchange, 0x81, "", b"x");
        }),
        ("found 8 bytes, expected a higher exchange", |front| {
            let mut out = Vec::new();
            front.append(&Ask::default(), &mut out);
            front.send_bytes(&out);
            front.send_bytes(&out);
        }),
        ("one hello only", Front::hello),
        ("2147483648 on top of 65536", |front| {
            let exchange = front.get("/");
            front.send(exchange, Content::Credit(1 << 31));
        }),
        ("a frame of kind 3 with 4294967295 bytes", |front| {
            let exchange = front.ask(&Ask { body: Some(None), ..Ask::default() });
            let mut frame = vec![1, 3, 0, 0, 0xff, 0xff, 0xff, 0xff];
            frame.extend(exchange.to_be_bytes());
            front.send_bytes(&frame);
        }),
    ];
    for (text, act) in breaks {
        let mut front = Front::connect(&gateway);
        assert_eq!(front.next(0), Got::Hello);
        act(&mut front);
        let Got::GoAway(said, _) = front.next(0) else { panic!("no goaway for {text}") };
        assert!(said.contains(text), "{said}");
        assert_eq!(front.next(0), Got::Closed, "{text}");
    }
    assert!(good.next_within(open, Duration::from_millis(10)).is_none());
    good.send(0, Content::Ping { context: 1, is_answer: false });
    assert_eq!(good.next(0), Got::Hello);
    assert_eq!(good.next(0), Got::Pong(1));
}

fn strangers_at_the_link_are_let_go() {
    let gateway = Gateway::start("");
    let random: Vec<u8> = (0..10_000_u32).map(|at| u8::try_from(at * 31 % 256).unwrap()).collect();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[1, 9, 0, 0], &random] {
        let mut stream = UnixStream::connect(gateway.path("link")).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        let mut all = Vec::new();
        // Reset or closed: in any case it ends.
        let _ = stream.read_to_end(&mut all);
        assert!(all.starts_with(&[1, 1]), "{all:?}");
    }
    let mut front = Front::connect(&gateway);
    assert_eq!(front.next(0), Got::Hello);
}

fn frames_for_what_is_over_are_overlooked() {
    let gateway = Gateway::start("handler_wait = 10s");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let exchange = front.get("/");
    let id = puppet.hear().id;
    puppet.answer(id, "x");
    assert_eq!(front.answer(exchange).status, 200);
    front.data(exchange, b"late", true);
    front.leave(exchange);
    front.send(exchange, Content::Credit(5));
    front.message(exchange, 0x81, "", b"late");
    let next = front.get("/");
    let id = puppet.hear().id;
    puppet.answer(id, "y");
    assert_eq!(front.answer(next).body, b"y");
}

fn a_body_has_no_more_than_its_credit() {
    let gateway = Gateway::start("handler_wait = 10s\nupload_stream = yes");
    let puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let exchange = front.ask(&Ask { body: Some(None), ..Ask::default() });
    // What is collected is granted again, until it is an upload that nobody wants.
    front.data(exchange, &[0; 60_000], false);
    let id = puppet.hear().id;
    assert!(front.next_within(exchange, Duration::from_millis(100)).is_none());
    front.data(exchange, &[0; 5536], false);
    front.data(exchange, &[0; 1], false);
    let mut got = front.next(0);
    while got == Got::Hello {
        got = front.next(0);
    }
    let Got::GoAway(said, _) = got else { panic!("{got:?}") };
    assert!(said.contains("1 bytes where there was credit for 0"), "{said}");
    puppet.hear_leave(id);
}

fn a_front_end_that_says_nothing_is_let_go() {
    let gateway = Gateway::with("handshake_timeout = 300ms", "");
    let mut front = Front::silent(&gateway);
    assert_eq!(front.next(0), Got::Hello);
    assert_eq!(front.next(0), Got::Closed);
    gateway.logs("a connection is closed: it has not said who it is in handshake_timeout");
}

fn a_thousand_exchanges_of_several_front_ends_find_their_way() {
    let gateway = Gateway::start("handler_wait = 10s");
    let _puppets = [gateway.puppet(&["echo", ""]), gateway.puppet(&["echo", ""])];
    let mut fronts: Vec<_> = (0..4).map(|_| Front::connect(&gateway)).collect();
    for round in 0..5 {
        let mut asked = Vec::new();
        for (number, front) in fronts.iter_mut().enumerate() {
            let mut out = Vec::new();
            for count in 0..50 {
                let target = format!("/{round}/{number}/{count}");
                let ask = Ask { target: &target, ..Ask::default() };
                asked.push((number, front.append(&ask, &mut out), target.clone()));
            }
            front.send_bytes(&out);
        }
        for (number, exchange, target) in asked {
            let answer = fronts[number].answer(exchange);
            assert_eq!(answer.body, format!("{target} ").as_bytes());
        }
    }
}
