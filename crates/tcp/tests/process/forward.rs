//! `call = forward`, with upstreams that behave and such that do not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use brim_testing::Home;

use crate::support::{Client, PROGRAM, Server, home, serve};

/// An upstream, and the server in front of it.
fn before_an_upstream(keys: &str) -> (TcpListener, Server) {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    (upstream, serve(&format!("call = forward\nupstream = {address}\n{keys}")))
}

fn accepted(upstream: &TcpListener) -> Client {
    Client::new(upstream.accept().unwrap().0)
}

/// An address where nobody listens, and that nobody else gets meanwhile.
fn nobody() -> (socket2::Socket, std::net::SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[test]
fn bytes_go_both_ways_and_either_side_may_end_first() {
    let (upstream, server) = before_an_upstream("");
    for client_first in [true, false] {
        let mut client = Client::of(&server);
        let mut other = accepted(&upstream);
        client.send("question");
        other.expect("question");
        other.send("answer");
        client.expect("answer");
        let (first, second) =
            if client_first { (&mut client, &mut other) } else { (&mut other, &mut client) };
        first.finish();
        second.is_closed();
        second.send("more, long after");
        second.finish();
        assert_eq!(first.rest(), "more, long after");
    }
    server.saves("byte_in_count", 32);
    server.saves("byte_out_count", 28);
    assert_eq!(server.saved("failed_count"), 0);
}

#[test]
fn much_goes_through_whole_in_both_directions_at_once() {
    let (upstream, server) = before_an_upstream("");
    let client = Client::of(&server);
    let other = accepted(&upstream);
    let send = |client: &Client, seed: u32| {
        let mut stream = client.0.try_clone().unwrap();
        std::thread::spawn(move || {
            let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| ((n ^ seed) % 253) as u8).collect();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            bytes
        })
    };
    let receive = |client: &Client| {
        let mut stream = client.0.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes
        })
    };
    let (up, down) = (send(&client, 1), send(&other, 77));
    // Nobody reads at first: what cannot go on has to wait.
    std::thread::sleep(Duration::from_millis(200));
    let (at_other, at_client) = (receive(&other), receive(&client));
    assert!(up.join().unwrap() == at_other.join().unwrap());
    assert!(down.join().unwrap() == at_client.join().unwrap());
    server.saves("byte_in_count", 20_000_000);
    server.saves("byte_out_count", 20_000_000);
}

#[test]
fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let (upstream, server) = before_an_upstream("");
    let mut client = Client::of(&server);
    let mut other = accepted(&upstream);
    client.send("x");
    other.expect("x");
    other.reset();
    client.is_reset();
    let mut client = Client::of(&server);
    let mut other = accepted(&upstream);
    client.send("x");
    other.expect("x");
    client.reset();
    other.is_reset();
    server.saves("failed_count", 2);
}

#[test]
fn an_upstream_may_be_a_unix_socket_or_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("up.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let server = serve(&format!("call = forward\nupstream = unix:{}", path.display()));
    let mut client = Client::of(&server);
    let (mut other, _) = unix.accept().unwrap();
    client.send("to a path");
    client.finish();
    let mut text = String::new();
    other.read_to_string(&mut text).unwrap();
    assert_eq!(text, "to a path");

    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = upstream.local_addr().unwrap().port();
    let server = serve(&format!("call = forward\nupstream = localhost:{port}"));
    let mut client = Client::of(&server);
    let mut other = accepted(&upstream);
    client.send("by name");
    other.expect("by name");
}

#[test]
fn a_client_is_reset_and_counted_when_no_upstream_takes_connections() {
    let ((_one, down), (_two, too)) = (nobody(), nobody());
    let server = serve(&format!("call = forward\nupstream = {down} {too}\nmax_fails = 2"));
    for _ in 0..2 {
        Client::reset_by(&server);
    }
    server.saves("upstream_failed_count", 4);
    server.saves("unserved_count", 2);
    let log = server.logs("upstream fails and rests");
    assert!(
        log.contains(&down.to_string()) && log.contains("no upstream takes connections"),
        "{log}"
    );
}

#[test]
fn where_an_upstream_is_down_a_connection_with_itself_is_none() {
    const PORT: u16 = 40_000;
    let folder = tempfile::tempdir().unwrap();
    let program = brim_testing::alone(folder.path(), PROGRAM, PORT);
    let keys = format!("call = forward\nupstream = 127.0.0.1:{PORT}");
    let server = Home::tcp(program, &keys).start();
    Client::reset_by(&server);
    server.saves("unserved_count", 1);
}

#[test]
fn the_next_upstream_serves_while_one_is_down_and_the_first_again_when_it_is_back() {
    let (down, address) = nobody();
    let up = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = serve(&format!(
        "call = forward\nbalance = round-robin\nupstream = {address} {}\nmax_fails = 1\nfail_timeout = 100ms",
        up.local_addr().unwrap()
    ));
    for _ in 0..4 {
        let mut client = Client::of(&server);
        accepted(&up).send("up");
        client.expect("up");
    }
    assert!(server.saved("upstream_failed_count") <= 4);
    down.listen(16).unwrap();
    down.set_nonblocking(true).unwrap();
    crate::support::eventually("a connection to the one that is back", || {
        let _client = Client::of(&server);
        std::thread::sleep(Duration::from_millis(20));
        down.accept().ok()
    });
    server.logs("upstream takes connections again");
}

#[test]
fn the_upstream_with_the_fewest_connections_is_next() {
    let upstreams: Vec<_> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let list: Vec<_> = upstreams.iter().map(|up| up.local_addr().unwrap().to_string()).collect();
    let server = serve(&format!("call = forward\nupstream = {}", list.join(" ")));
    let clients: Vec<_> = (0..6).map(|_| Client::of(&server)).collect();
    for upstream in &upstreams {
        for _ in 0..3 {
            drop(accepted(upstream));
        }
    }
    drop(clients);
}

#[test]
fn connect_timeout_bounds_an_upstream_that_does_not_answer() {
    // Its queue is full, so that further handshakes get no answer.
    let (full, address) = nobody();
    full.listen(0).unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let server = serve(&format!("call = forward\nupstream = {address}\nconnect_timeout = 300ms"));
    let start = std::time::Instant::now();
    Client::reset_by(&server);
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    server.saves("unserved_count", 1);
}

#[test]
fn a_connection_that_is_silent_in_both_directions_is_closed() {
    let (upstream, server) = before_an_upstream("idle_timeout = 4s\nclient_timeout = 50ms");
    let mut client = Client::of(&server);
    let mut other = accepted(&upstream);
    // In all it takes longer than that.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(500));
        other.send("x");
        client.expect("x");
    }
    client.is_closed();
    other.is_closed();
    server.saves("timeout_count", 1);
}

#[test]
fn an_upstream_hears_by_a_header_who_the_client_is() {
    for version in ["v1", "v2"] {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = upstream.local_addr().unwrap();
        // The second server believes the first one, and tells what it has heard.
        let behind = serve(&format!(
            "call = forward\nupstream = {address}\nproxy_protocol = yes\nsend_proxy_protocol = v1"
        ));
        let front = home(&format!(
            "call = forward\nupstream = {}\nsend_proxy_protocol = {version}",
            behind.address()
        ));
        let front = front.start();
        let mut client = Client::of(&front);
        client.send("hello");
        let mut other = accepted(&upstream);
        let of_client = client.0.local_addr().unwrap();
        other.expect(format!(
            "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello",
            of_client.port(),
            behind.address().port()
        ));
        other.send("back");
        client.expect("back");
    }
}

#[test]
fn a_connection_without_the_header_that_is_wanted_is_closed_and_counted() {
    let (_upstream, server) = before_an_upstream("proxy_protocol = yes\nhandshake_timeout = 500ms");
    let mut client = Client::of(&server);
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(client.0.read(&mut [0]), Ok(0) | Err(_)));
    let mut silent = Client::of(&server);
    silent.is_closed();
    server.saves("proxy_protocol_refused_count", 2);
}
