//! WebSockets through the `handler` app, with a client that is not ours.

use std::net::TcpStream;

use brim_wire::link::{Class, Reason};
use brim_wire::websocket::{Flags, append_close, append_frame};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket, client};

use crate::support::{Authority, Daemon, Gateway, Link, PATIENCE, serve, serve_tls, tls_client};

/// `Sec-WebSocket-Accept` for a key (RFC 6455 section 4.2.2).
fn accept(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// A client, connected and accepted.
fn connected(daemon: &Daemon, link: &mut Link) -> (WebSocket<TcpStream>, u64) {
    let stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = format!("ws://{}/chat", daemon.address());
    let opens = std::thread::spawn(move || client(url.as_str(), stream).unwrap());
    let asked = link.request();
    assert_eq!(asked.class, Class::WebSocket);
    let accept = accept(&asked.header("sec-websocket-key")[0]);
    link.upgrade(asked.id, &[("sec-websocket-accept", &accept), ("x-own", "1")]);
    let (socket, response) = opens.join().unwrap();
    assert_eq!(response.headers().get("x-own").unwrap(), "1");
    (socket, asked.id)
}

fn frame(flags: Flags, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(&mut frame, flags, payload);
    frame
}

#[test]
fn another_client_speaks_and_hears() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    let (mut socket, id) = connected(&daemon, &mut link);
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
        let text = "\u{e4}".repeat(length / 2) + &"x".repeat(length % 2);
        socket.send(Message::text(text.clone())).unwrap();
        socket.send(Message::binary(vec![0xff; length])).unwrap();
        link.credit(id, 1 << 20);
        assert_eq!(link.message(), (0x81, String::new(), text.clone().into_bytes()));
        assert_eq!(link.message(), (0x82, String::new(), vec![0xff; length]));
    }
    let reply =
        [frame(Flags::TEXT, b"hello"), frame(Flags(0x01), b"in "), frame(Flags(0x80), b"parts")];
    link.data(id, &reply.concat(), false);
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
    assert_eq!(socket.read().unwrap(), Message::text("in parts"));
    socket.send(Message::Ping(b"are you there".as_slice().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"are you there".as_slice().into()));
    // A ping of the handler is answered by the client, and the handler hears of it.
    link.data(id, &frame(Flags::PING, b"you?"), false);
    assert_eq!(socket.read().unwrap(), Message::Ping(b"you?".as_slice().into()));
    socket.flush().unwrap();
    assert_eq!(link.message(), (0x8a, String::new(), b"you?".into()));
    // The client closes, the handler answers.
    let close = CloseFrame { code: 4001.into(), reason: "done".into() };
    socket.close(Some(close)).unwrap();
    assert_eq!(link.message(), (0x88, String::new(), b"\x0f\xa1done".into()));
    let mut answer = Vec::new();
    append_close(&mut answer, 4001, "done");
    link.data(id, &answer, true);
    assert!(
        matches!(socket.read().unwrap(), Message::Close(Some(frame)) if u16::from(frame.code) == 4001)
    );
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
}

#[test]
fn another_client_is_told_why_it_is_closed() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind("max_message = 1000"));
    let mut link = gateway.link();
    let (mut socket, id) = connected(&daemon, &mut link);
    socket.send(Message::binary(vec![1; 1001])).unwrap();
    assert!(
        matches!(socket.read().unwrap(), Message::Close(Some(frame)) if u16::from(frame.code) == 1009)
    );
    assert_eq!(link.cancelled(), (id, Reason::ClientBroke));
}

#[test]
fn another_client_speaks_through_tls() {
    let (gateway, authority) = (Gateway::new(), Authority::new());
    let daemon = serve_tls(&gateway.behind(""), &authority);
    let mut link = gateway.link();
    let stream = tls_client(&daemon, &authority, None);
    let opens = std::thread::spawn(move || client("wss://example.test/chat", stream).unwrap().0);
    let asked = link.request();
    assert!(asked.is_https && asked.class == Class::WebSocket);
    let accept = accept(&asked.header("sec-websocket-key")[0]);
    link.upgrade(asked.id, &[("sec-websocket-accept", &accept)]);
    let mut socket = opens.join().unwrap();
    for length in [0, 5, 30_000] {
        socket.send(Message::binary(vec![7; length])).unwrap();
        link.credit(asked.id, 1 << 20);
        assert_eq!(link.message(), (0x82, String::new(), vec![7; length]));
        for piece in frame(Flags::BINARY, &vec![9; length]).chunks(10_000) {
            link.data(asked.id, piece, false);
        }
        assert!(socket.read().unwrap() == Message::binary(vec![9; length]));
    }
    socket.send(Message::Ping(b"through".as_slice().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"through".as_slice().into()));
    let mut close = Vec::new();
    append_close(&mut close, 1000, "");
    link.data(asked.id, &close, true);
    assert!(matches!(socket.read().unwrap(), Message::Close(Some(_))));
}
