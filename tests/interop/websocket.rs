//! WebSockets; `websockets.py` goes through the rules one by one.

use crate::server::Kind;
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
