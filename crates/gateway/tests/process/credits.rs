//! `download_credits`: what a handler is told of what has gone on to clients.

use std::time::Duration;

use brim_wire::link::Content;
use rustix::process::Signal;

use crate::support::{Ask, Front, Got, Seen, start};
use crate::trials;

trials! {
    a_notice_tells_what_has_gone
    all_is_told_however_much_waits_for_the_handler
}

fn a_notice_tells_what_has_gone() {
    let (_gateway, mut front, mut puppet) = start("download_credits = 100K");
    let exchange = front.get("/");
    let seen = puppet.hear();
    assert_eq!(seen.get("DOWNLOAD_CREDITS"), "102400");
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    puppet.reply(&[seen.id], head);
    let notice = puppet.hear();
    let expected = format!(
        "u-1 {} @* 41:{{\"METHOD\":\"JSON\",\"DOWNLOAD_CREDITS\":\"38\"}},18:{{\"type\":\"credits\"}},",
        seen.id
    );
    assert_eq!((notice.text(), head.len()), (expected, 38));
    puppet.reply(&[seen.id], "hello");
    assert_eq!(front.answer(exchange).body, b"hello");
}

fn all_is_told_however_much_waits_for_the_handler() {
    const PIECES: usize = 20;
    let (_gateway, mut front, mut puppet) =
        start("download_credits = 2M\nmax_queue = 64K\nhandler_timeout = 0");
    let stream = front.get("/");
    let id = puppet.hear().id;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
    puppet.reply(&[id], head);
    assert!(matches!(front.next(stream), Got::Head { .. }));
    // One takes all the credit that there is, the others wait.
    for _ in 0..=PIECES {
        puppet.reply(&[id], [b'x'; 65_536]);
    }
    let mut told = vec![puppet.hear(), puppet.hear()];
    puppet.signal(Signal::STOP);
    fill(&mut front);
    for _ in 0..PIECES {
        front.send(stream, Content::Credit(65_536));
    }
    let mut count = 0;
    while count < PIECES * 65_536 {
        let Got::Data { bytes, .. } = front.next(stream) else { panic!("no data") };
        count += bytes.len();
    }
    puppet.signal(Signal::CONT);
    let sum = |told: &[Seen]| {
        let told = told.iter().filter(|seen| seen.id == id);
        told.map(|seen| seen.get("DOWNLOAD_CREDITS").parse::<usize>().unwrap()).sum::<usize>()
    };
    while sum(&told) < head.len() + (PIECES + 1) * 65_536 {
        told.push(puppet.hear());
    }
    assert_eq!(sum(&told), head.len() + (PIECES + 1) * 65_536);
}

/// Asks until too much waits for the handler.
fn fill(front: &mut Front) {
    let long = "x".repeat(8000);
    let headers = [("host", "example.com"), ("x-long", &long)];
    let refused = (0..2000).find(|_| {
        let exchange = front.ask(&Ask { headers: &headers, ..Ask::default() });
        front.send(0, Content::Ping { context: exchange, is_answer: false });
        // The gateway is through with it when it has answered the ping.
        while front.next(0) != Got::Pong(exchange) {}
        front.next_within(exchange, Duration::from_millis(1)).is_some()
    });
    assert!(refused.is_some(), "all of it fits");
}
