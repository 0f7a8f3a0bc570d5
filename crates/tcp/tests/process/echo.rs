//! `call = echo`, on every kind of socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::support::{Client, home, serve};

#[test]
fn what_comes_goes_back_and_is_counted_until_the_client_has_finished() {
    let server = serve("call = echo");
    let mut client = Client::of(&server);
    for text in ["one", "two\n", "\0\r\n"] {
        client.send(text);
        client.expect(text);
    }
    client.finish();
    client.is_closed();
    server.saves("byte_count", 10);
    server.saves("connection_count", 1);
    assert_eq!(server.saved("failed_count"), 0);
}

#[test]
fn the_older_name_is_known_and_the_chunk_may_be_small() {
    let server = serve("call = brim.tcp_echo.TCPEcho\nchunk_read = 1");
    let mut client = Client::of(&server);
    client.send("byte by byte");
    client.finish();
    assert_eq!(client.rest(), "byte by byte");
}

#[test]
fn more_than_all_buffers_hold_comes_back_whole_once_it_is_read() {
    let server = serve("call = echo");
    let client = Client::of(&server);
    let mut sender = client.0.try_clone().unwrap();
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let sending = std::thread::spawn(move || {
        sender.write_all(&sent).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    // It cannot all be on the way: the server waits for us.
    std::thread::sleep(Duration::from_millis(200));
    let mut received = Vec::new();
    (&client.0).read_to_end(&mut received).unwrap();
    sending.join().unwrap();
    assert!(received == expected);
}

#[test]
fn ipv4_ipv6_and_unix_sockets_are_served_by_one_section() {
    let four = TcpListener::bind("127.0.0.1:0").unwrap();
    let six = TcpListener::bind("[::1]:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let addresses = [&four, &six].map(|listener| listener.local_addr().unwrap());
    let listen = format!("{} {} unix:{}", addresses[0], addresses[1], path.display());
    let home = home(&format!("listen = {listen}\ncall = echo"));
    let server = home.start_with(vec![six.into(), unix.into(), four.into()]);
    for address in addresses {
        let mut client = Client::new(TcpStream::connect(address).unwrap());
        client.send("hello");
        client.expect("hello");
    }
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut echo = String::new();
    client.read_to_string(&mut echo).unwrap();
    assert_eq!(echo, "hello");
    server.saves("connection_count", 3);
}

#[test]
fn without_systemd_it_opens_its_listeners_itself() {
    // An address that no other test has anything to do with, so that its port stays free.
    let free = TcpListener::bind("127.7.7.7:0").unwrap().local_addr().unwrap();
    let home = home(&format!("listen = {free}\ncall = echo"));
    let _server = home.start_with(Vec::new());
    let mut client = Client::new(TcpStream::connect(free).unwrap());
    client.send("hello");
    client.expect("hello");
}
