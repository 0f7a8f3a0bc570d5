//! What goes wrong, and how clients hear of it.

use std::time::{Duration, Instant};

use brim_wire::link::Reason;
use rustix::process::Signal;

use crate::support::{Ask, Front, Gateway, Got};
use crate::trials;

trials! {
    nobody_there_is_503_at_once
    nobody_there_for_handler_wait_is_503_and_who_comes_in_time_serves
    no_answer_is_504_and_the_handler_hears_of_it
    a_handler_that_leaves_costs_what_it_had_and_no_more
    an_answer_that_is_none_is_502
    too_much_is_503
    a_handler_that_stands_still_gets_no_more
    a_handler_of_another_name_is_502
    a_reply_counts_only_from_the_handler_that_was_asked
    what_waits_has_a_bound_for_all_together
    one_link_or_peer_more_than_allowed_is_let_go
}

fn nobody_there_is_503_at_once() {
    let gateway = Gateway::start("");
    let mut front = Front::connect(&gateway);
    let start = Instant::now();
    assert_eq!(front.fetch("/").cancel, Some((Reason::NoHandler, 5)));
    println!("503 after {:?}", start.elapsed());
    gateway.logs("no handler is connected: 503");
    // A body that is under way then is nobody's.
    let exchange = front.ask(&Ask { body: Some(Some(5)), ..Ask::default() });
    front.data(exchange, b"hello", true);
    assert_eq!(front.answer(exchange).cancel, Some((Reason::NoHandler, 5)));
    assert_eq!(front.fetch("/").cancel, Some((Reason::NoHandler, 5)));
}

fn nobody_there_for_handler_wait_is_503_and_who_comes_in_time_serves() {
    let gateway = Gateway::start("handler_wait = 300ms");
    let mut front = Front::connect(&gateway);
    let start = Instant::now();
    assert_eq!(front.fetch("/").cancel, Some((Reason::NoHandler, 5)));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    let gateway = Gateway::start("handler_wait = 60s");
    let mut front = Front::connect(&gateway);
    let exchanges: Vec<_> = (0..100).map(|number| front.get(&format!("/{number}"))).collect();
    let _puppet = gateway.puppet(&["echo", "me"]);
    for (number, exchange) in exchanges.into_iter().enumerate() {
        assert_eq!(front.answer(exchange).body, format!("/{number} me").as_bytes());
    }
}

fn no_answer_is_504_and_the_handler_hears_of_it() {
    let gateway = Gateway::start("handler_wait = 10s\nhandler_timeout = 2s");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let exchange = front.get("/");
    let id = puppet.hear().id;
    let start = Instant::now();
    assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerTimeout, 0)));
    println!("504 after {:?}", start.elapsed());
    puppet.hear_leave(id);
    // A head is an answer; what comes after it may take its time.
    let exchange = front.get("/");
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
    assert!(matches!(front.next(exchange), Got::Head { .. }));
    assert!(front.next_within(exchange, Duration::from_secs(3)).is_none());
    puppet.reply(&[id], "x");
    assert_eq!(front.answer(exchange).body, b"x");
    // Half a head is none.
    let exchange = front.get("/");
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 200 OK\r\n");
    assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerTimeout, 0)));
    puppet.hear_leave(id);
}

fn a_handler_that_leaves_costs_what_it_had_and_no_more() {
    let gateway = Gateway::start("handler_wait = 60s");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let (fresh, begun) = (front.get("/fresh"), front.get("/begun"));
    let ids = [puppet.hear().id, puppet.hear().id];
    puppet.reply(&ids[1..], "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    assert!(matches!(front.next(begun), Got::Head { .. }));
    puppet.signal(Signal::KILL);
    assert_eq!(front.answer(fresh).cancel, Some((Reason::HandlerLeft, 0)));
    assert_eq!(front.answer(begun).cancel, Some((Reason::HandlerLeft, 0)));
    // What comes now waits for the next one.
    let next = front.get("/next");
    let _other = gateway.puppet(&["echo", "other"]);
    assert_eq!(front.answer(next).body, b"/next other");
}

fn an_answer_that_is_none_is_502() {
    let gateway = Gateway::start("handler_wait = 10s");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(65_536));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    for answer in [
        "hello\r\n\r\n",
        "HTTP/1.1 99 OK\r\n\r\n",
        "HTTP/1.1 101 Switch\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Header: 1\r\n\r\n",
        &long,
        &many,
    ] {
        let exchange = front.get("/");
        let id = puppet.hear().id;
        puppet.reply(&[id], answer);
        assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerBroke, 0)), "{answer:.80}");
        puppet.hear_leave(id);
    }
    gateway.logs("an answer cannot be understood");
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, rest) in [
        (chunks, "5\r\nHelloX\r\n"),
        (chunks, "\r\n"),
        (chunks, "fffffffffffffffff\r\n"),
        (chunks, "g\r\n"),
    ] {
        let exchange = front.get("/");
        let id = puppet.hear().id;
        puppet.reply(&[id], head);
        puppet.reply(&[id], rest);
        assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerBroke, 0)), "{rest}");
        puppet.hear_leave(id);
    }
    // Killed before its end.
    for head in [chunks, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200"] {
        let exchange = front.get("/");
        let id = puppet.hear().id;
        puppet.reply(&[id], head);
        puppet.reply(&[id], "");
        assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerBroke, 0)), "{head}");
    }
    puppet.say(b"u-1 1:x, no reply");
    gateway.logs("a message is no reply: byte 6: found 'x', expected an id below 4294967296");
}

fn too_much_is_503() {
    let gateway = Gateway::start("handler_wait = 60s\nmax_outstanding = 3");
    let mut front = Front::connect(&gateway);
    let waiting: Vec<_> = (0..3).map(|_| front.get("/")).collect();
    assert_eq!(front.fetch("/").cancel, Some((Reason::Overload, 5)));
    let _puppet = gateway.puppet(&["echo", "me"]);
    waiting.into_iter().for_each(|exchange| assert_eq!(front.answer(exchange).body, b"/ me"));
    assert_eq!(front.fetch("/").body, b"/ me");
    let gateway = Gateway::with("max_exchanges = 2", "handler_wait = 60s");
    let mut front = Front::connect(&gateway);
    let mut other = Front::connect(&gateway);
    let waiting = [front.get("/"), front.get("/")];
    assert_eq!(front.fetch("/").cancel, Some((Reason::Overload, 5)));
    let _puppet = gateway.puppet(&["echo", "me"]);
    assert_eq!(other.fetch("/").body, b"/ me");
    waiting.into_iter().for_each(|exchange| assert_eq!(front.answer(exchange).body, b"/ me"));
}

fn a_handler_that_stands_still_gets_no_more() {
    const ASKED: usize = 2000;
    let gateway =
        Gateway::with("heartbeat = 0", "handler_wait = 10s\nhandler_timeout = 2s\nmax_queue = 1M");
    let mut front = Front::connect(&gateway);
    let still = gateway.puppet(&["echo", "still"]);
    front.wait_for_handler();
    still.signal(Signal::STOP);
    // Alone: what waits has a bound in bytes.
    let filler = "x".repeat(30_000);
    let headers = [("x-filler", filler.as_str())];
    let ask = Ask { target: "/still", headers: &headers, ..Ask::default() };
    let before = gateway.peak();
    let exchanges: Vec<_> = (0..ASKED).map(|_| front.ask(&ask)).collect();
    let ends: Vec<_> = exchanges.iter().map(|exchange| front.answer(*exchange).cancel).collect();
    let of = |reason| ends.iter().filter(|end| **end == Some(reason)).count();
    let (late, full) = (of((Reason::HandlerTimeout, 0)), of((Reason::Overload, 5)));
    let grown = gateway.peak() - before;
    println!("{late} times 504, {full} times 503, {grown} KiB more memory at the peak");
    assert_eq!(late + full, ASKED);
    assert!(full > ASKED / 2, "{full}");
    // 60 MB were asked for; 1 MiB waits, and some of it was copied.
    assert!(grown < 8 * 1024, "{grown} KiB");
    // Another one serves while the first stands still, and nobody waits for that.
    let _other = gateway.puppet(&["echo", "other"]);
    front.wait_for_handler();
    let start = Instant::now();
    for _ in 0..500 {
        assert_eq!(front.fetch("/a").body, b"/a other");
    }
    println!("500 by the other in {:?}", start.elapsed());
    still.signal(Signal::CONT);
}

fn a_handler_of_another_name_is_502() {
    let gateway = Gateway::start("");
    let mut front = Front::connect(&gateway);
    let exchange = front.ask(&Ask { handler: "nobody", ..Ask::default() });
    assert_eq!(front.answer(exchange).cancel, Some((Reason::UnknownHandler, 0)));
    gateway.logs("a front end asks for the handler \"nobody\"");
}

fn a_reply_counts_only_from_the_handler_that_was_asked() {
    let gateway = Gateway::start(
        "handler_wait = 10s\n[other]\ncall = handler\nsend_ident = u-1\nhandler_wait = 10s\n\
         send_spec = ipc://FOLDER/send2\nrecv_spec = ipc://FOLDER/recv2",
    );
    let mut puppet = gateway.puppet(&[]);
    let at = |name| format!("ipc://{}", gateway.path(name).display());
    let mut other = crate::support::Puppet::start(&at("send2"), &at("recv2"), &[]);
    let mut front = Front::connect(&gateway);
    let exchange = front.get("/");
    let id = puppet.hear().id;
    let second = front.ask(&Ask { handler: "other", ..Ask::default() });
    let other_id = other.hear().id;
    other.answer(id, "wrong");
    gateway.logs("a reply is for another handler's client");
    puppet.say(format!("u-2 {}:{id}, wrong", id.to_string().len()).as_bytes());
    gateway.logs("a reply has the sender u-2, expected u-1 and the prefix \"\"");
    other.answer(other_id, "other");
    assert_eq!(front.answer(second).body, b"other");
    puppet.answer(id, "right");
    assert_eq!(front.answer(exchange).body, b"right");
}

fn what_waits_has_a_bound_for_all_together() {
    let gateway = Gateway::with("max_memory = 1M", "handler_wait = 10s\nmax_waiting = 1M");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    front.grants = false;
    let exchanges = [front.get("/1"), front.get("/2"), front.get("/3")];
    let ids: Vec<_> = exchanges.iter().map(|_| puppet.hear().id).collect();
    let answer = |bytes: usize| format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(bytes));
    puppet.reply(&ids[..1], answer(300_000));
    puppet.reply(&ids[1..2], answer(700_000));
    // With this one it is too much: the one for whom most waits goes, the others stay.
    puppet.reply(&ids[2..], answer(400_000));
    assert_eq!(front.answer(exchanges[1]).cancel, Some((Reason::Overload, 5)));
    puppet.hear_leave(ids[1]);
    gateway.logs("max_memory is reached");
    front.grants = true;
    for (exchange, id, bytes) in [(exchanges[0], ids[0], 300_000), (exchanges[2], ids[2], 400_000)]
    {
        front.send(exchange, brim_wire::link::Content::Credit(65_536));
        puppet.reply(&[id], "");
        assert_eq!(front.answer(exchange).body.len(), bytes);
    }
    // Requests, too, when nobody takes them: the bound is that of all, not only of the queue.
    drop(puppet);
    let gateway = Gateway::with("max_memory = 1M", "handler_wait = 60s\nmax_queue = 4G");
    let mut front = Front::connect(&gateway);
    let filler = "x".repeat(30_000);
    let headers = [("x-filler", filler.as_str())];
    let asked: Vec<_> =
        (0..60).map(|_| front.ask(&Ask { headers: &headers, ..Ask::default() })).collect();
    let last = *asked.last().unwrap();
    assert_eq!(front.answer(last).cancel, Some((Reason::Overload, 5)));
}

fn one_link_or_peer_more_than_allowed_is_let_go() {
    let gateway = Gateway::with("max_links = 1\nmax_peers = 1", "handler_wait = 10s");
    let _first = gateway.puppet(&["echo", "first"]);
    let mut front = Front::connect(&gateway);
    front.wait_for_handler();
    let mut second = Front::silent(&gateway);
    assert_eq!(second.next(0), Got::Closed);
    gateway.logs("a front end is turned away: there are max_links of them");
    let other = gateway.puppet(&["echo", "second"]);
    for _ in 0..100 {
        assert_eq!(front.fetch("/").body, b"/ first");
    }
    gateway.logs("a handler is turned away: there are max_peers of them");
    drop(other);
    // Room is made when somebody leaves.
    drop(front);
    let mut front = crate::support::eventually("room for a link", || {
        let mut front = Front::silent(&gateway);
        (front.next(0) == Got::Hello).then_some(front)
    });
    front.hello();
    assert_eq!(front.fetch("/").body, b"/ first");
}
