//! What a client can reach has a limit.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::support::{Client, serve};

#[test]
fn a_silent_client_is_closed_after_client_timeout_and_one_that_speaks_is_not() {
    let server = serve("call = echo\nclient_timeout = 4s");
    let start = Instant::now();
    let mut silent = Client::of(&server);
    let mut speaks = Client::of(&server);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(500));
        speaks.send("x");
        speaks.expect("x");
    }
    silent.is_closed();
    assert!(start.elapsed() >= Duration::from_millis(3990));
    server.saves("timeout_count", 1);
    speaks.is_closed();
    server.saves("timeout_count", 2);
}

#[test]
fn a_client_that_does_not_read_is_closed_too() {
    let server = serve("call = echo\nclient_timeout = 500ms");
    let client = Client::of(&server);
    client.0.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let piece = vec![7; 64 * 1024];
    // Until nobody takes anything any more.
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(200) {
        if let Ok(count) = std::io::Write::write(&mut &client.0, &piece) {
            (sent, since) = (sent + count, Instant::now());
        }
    }
    assert!(sent > 0);
    server.saves("timeout_count", 1);
}

#[test]
fn zero_is_for_ever() {
    let server = serve("call = echo\nclient_timeout = 0");
    let mut client = Client::of(&server);
    std::thread::sleep(Duration::from_millis(500));
    client.send("x");
    client.expect("x");
    assert_eq!(server.saved("timeout_count"), 0);
}

#[test]
fn one_more_than_connections_per_client_is_closed() {
    let server = serve("call = echo\nconnections_per_client = 3");
    let mut clients: Vec<_> = (0..3).map(|_| Client::of(&server)).collect();
    for client in &mut clients {
        client.send("x");
        client.expect("x");
    }
    assert!(matches!(Client::of(&server).0.read(&mut [0]), Ok(0) | Err(_)));
    clients.pop();
    crate::support::eventually("room", || {
        let mut client = Client::of(&server);
        let echo = std::io::Write::write_all(&mut client.0, b"y")
            .and_then(|()| client.0.read_exact(&mut [0]));
        echo.ok()
    });
}

#[test]
fn beyond_concurrent_per_worker_clients_wait_until_there_is_room() {
    let server = serve("call = echo\nconcurrent_per_worker = 2");
    let mut clients: Vec<Client> = (0..2).map(|_| Client::of(&server)).collect();
    for client in &mut clients {
        client.send("x");
        client.expect("x");
    }
    let mut third = Client::of(&server);
    third.send("y");
    third.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.0.read(&mut [0]).is_err(), "nobody has time for it");
    third.0.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    clients.pop();
    third.expect("y");
}
