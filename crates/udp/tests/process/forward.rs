//! `call = forward`, with upstreams that behave and such that do not.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::support::{Client, PATIENCE, Server, eventually, serve};

/// An upstream, and the server in front of it.
pub(crate) fn before_an_upstream(keys: &str) -> (UdpSocket, Server) {
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = upstream.local_addr().unwrap();
    (upstream, serve(&format!("call = forward\nupstream = {address}\n{keys}")))
}

/// The same with a client that has asked; where its session's answers go.
pub(crate) fn with_a_session(keys: &str) -> (UdpSocket, Server, Client, SocketAddr) {
    let (upstream, server) = before_an_upstream(keys);
    let client = Client::of(&server);
    client.send("question");
    let (_, session) = heard(&upstream);
    (upstream, server, client, session)
}

pub(crate) fn heard(upstream: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 1000];
    let (length, from) = upstream.recv_from(&mut buffer).unwrap();
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

#[test]
fn each_client_has_a_session_of_its_own_and_hears_its_own_answers() {
    let (upstream, server) = before_an_upstream("");
    let clients: Vec<_> = (0..5).map(|_| Client::of(&server)).collect();
    let mut sessions = Vec::new();
    for (index, client) in clients.iter().enumerate() {
        client.send(index.to_string());
        let (text, from) = heard(&upstream);
        assert_eq!(text, index.to_string());
        sessions.push(from);
    }
    // Answers in another order, and more than one.
    for (index, session) in sessions.iter().enumerate().rev() {
        upstream.send_to(format!("answer {index}").as_bytes(), session).unwrap();
        upstream.send_to(b"", session).unwrap();
    }
    for (index, client) in clients.iter().enumerate() {
        client.expect(format!("answer {index}"));
        client.expect("");
        client.send("again");
        assert_eq!(heard(&upstream), ("again".to_owned(), sessions[index]));
    }
    server.saves("session_count", 5);
    server.saves("byte_out_count", 40);
}

#[test]
fn a_session_ends_after_idle_timeout_and_makes_room() {
    let (upstream, server) = before_an_upstream("idle_timeout = 3s\nmax_sessions = 1");
    let (first, second) = (Client::of(&server), Client::of(&server));
    first.send("a");
    let (_, session) = heard(&upstream);
    second.send("no room");
    server.saves("session_refused_count", 1);
    server.logs("max_sessions are open");
    eventually("room", || {
        second.send("b");
        upstream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut buffer = [0; 10];
        upstream.recv_from(&mut buffer).ok().filter(|(_, from)| *from != session)
    });
}

#[test]
fn where_nobody_listens_is_counted_and_the_next_upstream_serves() {
    // Connected with itself it refuses all others, and nobody else can get its port.
    let refusing = UdpSocket::bind("127.0.0.1:0").unwrap();
    let down = refusing.local_addr().unwrap();
    refusing.connect(down).unwrap();
    let up = UdpSocket::bind("127.0.0.1:0").unwrap();
    up.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let address = up.local_addr().unwrap();
    let server =
        serve(&format!("call = forward\nupstream = {down} {address}\nfail_timeout = 1min"));
    let client = Client::of(&server);
    let from = eventually("a datagram at the one that is up", || {
        client.send("hello");
        up.recv_from(&mut [0; 10]).ok().map(|(_, from)| from)
    });
    up.send_to(b"answer", from).unwrap();
    client.expect("answer");
    // The other one rests from now on.
    eventually("its rest", || (server.saved("upstream_failed_count") <= 1).then_some(()));
    for _ in 0..3 {
        let client = Client::of(&server);
        client.send("x");
        eventually("a datagram", || up.recv_from(&mut [0; 10]).ok());
    }
}

#[test]
fn a_client_keeps_its_session_at_a_reload_unless_its_upstream_is_gone() {
    let (upstream, server, client, session) = with_a_session("");
    server.reload();
    client.send("b");
    assert_eq!(heard(&upstream), ("b".to_owned(), session));
    upstream.send_to(b"answer", session).unwrap();
    client.expect("answer");
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    server.home().configure(&format!("call = forward\nupstream = {}", other.local_addr().unwrap()));
    server.reload();
    client.send("c");
    let (text, session) = heard(&other);
    assert_eq!(text, "c");
    other.send_to(b"another", session).unwrap();
    client.expect("another");
}

#[test]
fn an_upstream_may_be_a_name() {
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    upstream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let port = upstream.local_addr().unwrap().port();
    // Where the name is ::1, too, nobody is there.
    let server = serve(&format!("call = forward\nupstream = localhost:{port}"));
    let client = Client::of(&server);
    eventually("a datagram", || {
        client.send("x");
        upstream.recv_from(&mut [0; 10]).ok()
    });
}

#[test]
fn an_answer_that_is_on_its_way_at_the_stop_still_arrives() {
    let (upstream, server, client, session) = with_a_session("");
    server.terminate();
    std::thread::sleep(Duration::from_millis(100));
    upstream.send_to(b"answer", session).unwrap();
    client.expect("answer");
    assert_eq!(server.ended(), Some(0));
}
