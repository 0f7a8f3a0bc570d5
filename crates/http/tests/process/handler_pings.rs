//! Pings of somebody who reads nothing, a WebSocket client or a gateway: the answers take no memory beyond a bound.

use brim_wire::link::Content;

use super::handler_websocket::{frame, linked, switched};
use crate::support::{Heard, frame as link_frame};

#[test]
fn pings_of_a_client_that_does_not_read_are_left_out_save_for_the_last() {
    let (_gateway, daemon, mut link) = linked("");
    let (mut client, _) = switched(&daemon, &mut link);
    let pings = frame(0x89, &[b'x'; 125]).repeat(8192);
    let before = daemon.peak();
    // The answers to all of them would be 64 MiB.
    for _ in 0..64 {
        client.send(&pings);
    }
    client.send(frame(0x89, b"last"));
    let mut answers = 1;
    while client.frame() != (0x8a, b"last".into()) {
        answers += 1;
    }
    assert!(answers < 64 * 8192, "{answers}");
    let grown = daemon.peak() - before;
    assert!(grown < 16 << 10, "{grown} KiB more");
}

#[test]
fn pings_of_a_gateway_that_does_not_read_are_left_out() {
    let (_gateway, daemon, mut link) = linked("");
    let ping = |context| link_frame(0, Content::Ping { context, is_answer: false });
    let pings = ping(1).repeat(8192);
    let before = daemon.peak();
    // The answers to all of them would be 24 MiB.
    for _ in 0..128 {
        link.write(&pings);
    }
    let grown = daemon.peak() - before;
    assert!(grown < 6 << 10, "{grown} KiB more");
    // As soon as there is room, they are answered again.
    link.write(&ping(2));
    loop {
        match link.soon() {
            Some(Heard::Pong(1)) => {}
            Some(heard) => break assert_eq!(heard, Heard::Pong(2)),
            None => link.write(&ping(2)),
        }
    }
}
