//! `call = echo`, on every kind of socket.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use crate::support::{Client, PATIENCE, home, serve};

#[test]
fn what_comes_goes_back_empty_datagrams_too_and_is_counted() {
    let server = serve("call = brim.udp_echo.UDPEcho");
    let client = Client::of(&server);
    for text in ["one", "", "two\n"] {
        client.send(text);
        client.expect(text);
    }
    server.saves("datagram_count", 3);
    server.saves("byte_count", 7);
}

#[test]
fn many_at_once_come_back_each_to_its_own_and_in_order() {
    let server = serve("call = echo");
    let clients: Vec<_> = (0..8).map(|_| Client::of(&server)).collect();
    for round in 0..20 {
        for (index, client) in clients.iter().enumerate() {
            // Some of one size, some not.
            client.send(format!("{index} {round} {}", "x".repeat((round % 3) * index)));
        }
    }
    for (index, client) in clients.iter().enumerate() {
        for round in 0..20 {
            client.expect(format!("{index} {round} {}", "x".repeat((round % 3) * index)));
        }
    }
    server.saves("datagram_count", 160);
    assert_eq!(server.saved("send_failed_count"), 0);
}

#[test]
fn large_ones_come_back_though_no_packet_holds_them() {
    let server = serve("call = echo");
    let client = Client::of(&server);
    for length in [1400, 1401, 1500, 9000, 65_507] {
        let bytes = vec![b'x'; length];
        client.send(&bytes);
        client.send(&bytes);
        client.expect(&bytes);
        client.expect(&bytes);
    }
}

#[test]
fn one_byte_more_than_max_datagram_size_is_dropped_and_counted() {
    let server = serve("call = echo\nmax_datagram_size = 100");
    let client = Client::of(&server);
    client.send("x".repeat(101));
    client.send("x".repeat(100));
    client.expect("x".repeat(100));
    client.send("x".repeat(60_000));
    client.send("after");
    client.expect("after");
    server.saves("truncated_count", 2);
    server.saves("datagram_count", 4);
    server.saves("byte_count", 105);
}

#[test]
fn the_reply_comes_from_the_address_that_was_asked() {
    let four = UdpSocket::bind("0.0.0.0:0").unwrap();
    let six = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
    six.set_only_v6(true).unwrap();
    six.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let six = UdpSocket::from(six);
    let ports = [&four, &six].map(|socket| socket.local_addr().unwrap().port());
    let home = home(&format!("listen = *:{} [::]:{}\ncall = echo", ports[0], ports[1]));
    let _server = home.start_with(vec![six.into(), four.into()]);
    // A connected socket hears of nobody else.
    for asked in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        let client = Client::new(format!("{asked}:{}", ports[0]).parse().unwrap());
        client.send(asked);
        client.expect(asked);
    }
    let client = Client::new(format!("[::1]:{}", ports[1]).parse().unwrap());
    client.send("six");
    client.expect("six");
}

#[test]
fn unix_sockets_are_served_and_peers_without_a_path_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server");
    let socket = UnixDatagram::bind(&path).unwrap();
    let home = home(&format!("listen = unix:{}\ncall = echo", path.display()));
    let server = home.start_with(vec![socket.into()]);
    let unnamed = UnixDatagram::unbound().unwrap();
    unnamed.send_to(b"nobody", &path).unwrap();
    let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for text in ["hello", "", "again"] {
        client.send_to(text.as_bytes(), &path).unwrap();
        let mut buffer = [0; 100];
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], text.as_bytes());
    }
    server.saves("datagram_count", 4);
    server.saves("send_failed_count", 1);
}

#[test]
fn without_systemd_it_opens_its_sockets_itself() {
    // An address that no other test has anything to do with, so that its port stays free.
    let free = UdpSocket::bind("127.7.7.7:0").unwrap().local_addr().unwrap();
    let home = home(&format!("listen = {free}\ncall = echo"));
    let _server = home.start_with(Vec::new());
    let client = Client::new(free);
    client.send("hello");
    client.expect("hello");
}

#[test]
fn a_reload_changes_the_limit_of_a_socket_that_is_served() {
    let server = serve("call = echo\nmax_datagram_size = 10");
    let client = Client::of(&server);
    client.send("a");
    client.expect("a");
    server.home().configure("call = echo\nmax_datagram_size = 20");
    server.reload();
    // What waits for the first of them was made before the reload.
    client.send("b");
    client.expect("b");
    client.send("fifteen letters");
    client.expect("fifteen letters");
}

#[test]
fn receive_buffer_holds_also_without_systemd() {
    let home = home("call = echo\nreceive_buffer = 64K");
    let size = || socket2::SockRef::from(home.socket()).recv_buffer_size().unwrap();
    socket2::SockRef::from(home.socket()).set_recv_buffer_size(4096).unwrap();
    assert!(size() < 64 << 10);
    let server = home.start();
    let client = Client::of(&server);
    client.send("x");
    client.expect("x");
    assert!(size() >= 128 << 10, "{}", size());
}
