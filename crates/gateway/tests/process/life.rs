//! Start, reload, drain and restart.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use brim_wire::link::Reason;

use crate::support::{Ask, Front, Gateway, Got, eventually};
use crate::trials;

trials! {
    a_reload_keeps_links_handlers_and_exchanges
    a_stop_lets_finish_what_is_open
    a_stop_without_anything_open_is_quick
    a_stop_ends_what_never_ends
    handlers_come_back_after_a_restart_and_no_answer_goes_astray
    handlers_join_and_leave_under_load
    heartbeats_of_both_sides_find_who_is_gone
}

fn a_reload_keeps_links_handlers_and_exchanges() {
    let gateway = Gateway::start("handler_wait = 10s");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let exchange = front.get("/open");
    let id = puppet.hear().id;
    gateway.reload("", "protocol = tnetstring\nhandler_wait = 10s");
    puppet.answer(id, "kept");
    assert_eq!(front.answer(exchange).body, b"kept");
    let exchange = front.get("/new");
    let seen = puppet.hear();
    assert_eq!(seen.names()[0], "REMOTE_ADDR");
    puppet.answer(seen.id, "new");
    assert_eq!(front.answer(exchange).body, b"new");
    // A configuration that is wrong changes nothing.
    std::fs::write(gateway.path("brim.conf"), "[gateway]\nlink = 5\n").unwrap();
    gateway.signal(Signal::HUP);
    gateway.notice("reload refused");
    let exchange = front.get("/still");
    let seen = puppet.hear();
    assert_eq!(seen.names()[0], "REMOTE_ADDR");
    puppet.answer(seen.id, "");
    assert_eq!(front.answer(exchange).status, 200);
}

fn a_stop_lets_finish_what_is_open() {
    let mut gateway = Gateway::start("handler_wait = 10s");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    assert_eq!(front.next(0), Got::Hello);
    let open = front.get("/open");
    let id = puppet.hear().id;
    gateway.signal(Signal::TERM);
    gateway.notice("STOPPING=1");
    // As long as that lasts, everybody else is served.
    let other = front.get("/other");
    let seen = puppet.hear();
    puppet.answer(seen.id, "served");
    assert_eq!(front.answer(other).body, b"served");
    puppet.answer(id, "finished");
    assert_eq!(front.answer(open).body, b"finished");
    assert!(matches!(front.next(0), Got::GoAway(_, 2)));
    let _ = front.next(0);
    assert!(gateway.ends());
}

fn a_stop_without_anything_open_is_quick() {
    let mut gateway = Gateway::start("handler_wait = 10s");
    let _puppet = gateway.puppet(&["echo", ""]);
    let mut front = Front::connect(&gateway);
    front.wait_for_handler();
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    assert!(gateway.ends());
    println!("stopped in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(5));
}

fn a_stop_ends_what_never_ends() {
    let mut gateway = Gateway::with("drain_timeout = 2s", "handler_wait = 10s");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let stream = front.get("/stream");
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 200 OK\r\n\r\nx");
    assert!(matches!(front.next(stream), Got::Head { .. }));
    let poll = front.get("/poll");
    let poll_id = puppet.hear().id;
    gateway.signal(Signal::TERM);
    assert_eq!(front.answer(stream).cancel, Some((Reason::HandlerLeft, 0)));
    assert_eq!(front.answer(poll).cancel, Some((Reason::HandlerLeft, 0)));
    let left = [puppet.hear(), puppet.hear()];
    assert!(left.iter().all(|seen| seen.path == "@*" && [id, poll_id].contains(&seen.id)));
    assert!(gateway.ends());
}

fn handlers_come_back_after_a_restart_and_no_answer_goes_astray() {
    let keys = "handler_wait = 60s";
    let mut gateway = Gateway::start(keys);
    let _echo = gateway.puppet(&["echo", "a"]);
    let mut puppet = gateway.puppet(&[]);
    for round in 0..5 {
        let mut front = Front::connect(&gateway);
        // The second handler keeps what it gets for the next round.
        let kept = eventually("a request for the second handler", || {
            front.get(&format!("/{round}/kept"));
            puppet.try_hear()
        });
        gateway = gateway.replaced("", keys);
        puppet.answer(kept.id, "astray");
        let mut front = Front::connect(&gateway);
        let start = Instant::now();
        let mut served = 0;
        for number in 0..200 {
            let target = format!("/{round}/{number}");
            let exchange = front.get(&target);
            puppet.answer(kept.id, "astray");
            // What the second handler gets stays without an answer.
            if let Some(got) = front.next_within(exchange, Duration::from_millis(500)) {
                if served == 0 {
                    println!("round {round}: served again after {:?}", start.elapsed());
                }
                served += 1;
                assert!(matches!(got, Got::Head { .. }), "{got:?}");
                assert_eq!(front.answer(exchange).body, format!("{target} a").as_bytes());
            }
            if served == 20 {
                break;
            }
        }
        assert_eq!(served, 20);
        while puppet.try_hear().is_some() {}
    }
}

fn handlers_join_and_leave_under_load() {
    let gateway = Gateway::start("handler_wait = 60s\nhandler_timeout = 60s");
    let _stays = gateway.puppet(&["echo", "stays"]);
    let mut front = Front::connect(&gateway);
    front.wait_for_handler();
    let (mut served, mut lost) = (0, 0);
    for round in 0..10 {
        let guest = gateway.puppet(&["echo", "guest"]);
        for _ in 0..20 {
            let mut out = Vec::new();
            let ask = Ask { target: "/x", ..Ask::default() };
            let asked: Vec<_> = (0..20).map(|_| front.append(&ask, &mut out)).collect();
            front.send_bytes(&out);
            for exchange in asked {
                match front.answer(exchange) {
                    answer if answer.status == 200 => served += 1,
                    answer => {
                        assert_eq!(answer.cancel, Some((Reason::HandlerLeft, 0)), "{round}");
                        lost += 1;
                    }
                }
            }
        }
        drop(guest);
    }
    println!("{served} served, {lost} times 502");
    assert_eq!((served, lost), (4000, 0), "a guest that has answered all leaves nothing behind");
}

fn heartbeats_of_both_sides_find_who_is_gone() {
    let gateway = Gateway::with("heartbeat = 50ms", "handler_wait = 60s");
    let mut front = Front::connect(&gateway);
    let puppet = gateway.puppet(&["puppet beats"]);
    let exchange = front.get("/");
    let _ = puppet.hear();
    // Both sides ask each other all the time, and nobody minds.
    assert!(front.next_within(exchange, Duration::from_secs(1)).is_none());
    puppet.signal(Signal::STOP);
    let start = Instant::now();
    assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerLeft, 0)));
    println!("a handler that stands still is found after {:?}", start.elapsed());
    gateway.logs("it does not answer a PING");
    puppet.signal(Signal::CONT);
    let exchange = front.get("/again");
    while puppet.hear().path != "/again" {}
    front.leave(exchange);
}
