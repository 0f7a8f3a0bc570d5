//! WebSockets; `websockets_rules.py` goes through the rules one by one.

use std::process::Command;

use crate::server::{Kind, Section, Server};
use crate::setup::{Setup, eventually, heard};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

pub(crate) fn messages_both_ways(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        client.upgrade(&format!("/{section}/socket"));
        client.send_frame(TEXT, "häuser".as_bytes());
        assert_eq!(client.frame(), (TEXT, "häuser".as_bytes().to_vec()));
        for length in [0, 125, 126, 65_535, 65_536, 300_000] {
            let message = vec![length as u8; length];
            client.send_frame(BINARY, &message);
            assert!(client.frame() == (BINARY, message), "{length} bytes");
        }
        // Two halves, and a ping between them.
        client.send_frame(0x01, b"half ");
        client.send_frame(PING, b"there?");
        client.send_frame(0x80, b"and half");
        assert_eq!(client.frame(), (PONG, b"there?".to_vec()));
        assert_eq!(client.frame(), (TEXT, b"half and half".to_vec()));
        client.send_frame(CLOSE, b"\x03\xe8bye");
        let (first, payload) = client.frame();
        assert_eq!((first, payload.get(..2)), (CLOSE, Some(&b"\x03\xe8"[..])));
        assert!(client.is_closed());
    });
}

pub(crate) fn an_end_is_told_of(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        let mut ends = |how: &[&[u8]]| {
            let mut socket = server.client();
            socket.upgrade(&format!("/{section}/socket"));
            socket.send_frame(TEXT, b"id");
            let (_, id) = socket.frame();
            let id: u64 = String::from_utf8_lossy(&id).parse().expect("an id");
            how.iter().for_each(|bytes| socket.send(bytes));
            drop(socket);
            eventually("the handler hears of it", || heard(&mut client, section).0.contains(&id));
        };
        ends(&[]);
        // A frame without a mask, and one that continues nothing.
        ends(&[b"\x81\x01x"]);
        ends(&[b"\x80\x81\0\0\0\0x"]);
        if server.kind == Kind::Brim {
            // Text that is no UTF-8, and reserved bits.
            ends(&[b"\x81\x81\0\0\0\0\xff"]);
            ends(&[b"\xc1\x81\0\0\0\0x"]);
        }
    });
}

/// An independent client, which keeps the rules in some cases and breaks them in others.
pub(crate) fn rules_are_kept(setup: &Setup) {
    // Those who want pings themselves get one that came inside a message behind it.
    let held: [&str; 2] =
        ["pings_between_fragments_are_answered_at_once", "a_frame_may_come_byte_by_byte"];
    for (ping, without) in [("answer", &[][..]), ("pass", &held[..])] {
        let keys = format!("max_message = 256K\nwebsocket_ping = {ping}\n");
        let section = Section { keys: keys.leak(), ..crate::server::BOTH[1] };
        setup.with(&[section], false, |server: &Server, section| {
            let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
            let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/websockets_rules.py");
            let path = format!("/{section}/socket");
            let mut command = Command::new(brim_testing::python_with("websockets"));
            command.args([rules, &host, &port, &path, "262144"]).args(without);
            let output = command.output().expect("python3");
            let said = String::from_utf8_lossy(&output.stdout);
            let error = String::from_utf8_lossy(&output.stderr);
            println!("websocket_ping = {ping}: {said}");
            assert!(output.status.success(), "websocket_ping = {ping}:\n{said}{error}");
        });
    }
}
