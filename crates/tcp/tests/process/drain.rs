//! SIGTERM: what is open may end, and what was not accepted is the successor's.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Client, serve};

#[test]
fn an_open_connection_ends_when_its_client_wants_though_it_is_silent() {
    let server = serve("call = echo");
    let mut client = Client::of(&server);
    client.send("x");
    client.expect("x");
    server.terminate();
    std::thread::sleep(Duration::from_millis(1500));
    client.send("y");
    client.expect("y");
    client.finish();
    client.is_closed();
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn after_drain_timeout_it_is_cut() {
    let server = serve("call = echo\ndrain_timeout = 500ms");
    let mut client = Client::of(&server);
    client.send("x");
    client.expect("x");
    let start = Instant::now();
    server.terminate();
    assert!(client.0.set_read_timeout(Some(crate::support::PATIENCE)).is_ok());
    let _ = std::io::Read::read(&mut client.0, &mut [0]);
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn after_drain_idle_of_silence_it_is_closed_where_the_section_says_so() {
    let server = serve("call = echo\ndrain_idle = 300ms");
    let mut client = Client::of(&server);
    client.send("x");
    client.expect("x");
    server.terminate();
    client.is_closed();
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn a_restart_under_load_loses_no_connection() {
    let mut server = serve("call = echo");
    let address = server.address();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let mut client = Client::new(TcpStream::connect(address).unwrap());
                    client.send("ping");
                    client.expect("ping");
                    client.finish();
                    client.is_closed();
                    count += 1;
                }
                count
            })
        })
        .collect();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        server = server.restarted();
    }
    std::thread::sleep(Duration::from_millis(100));
    stop.store(true, Ordering::Relaxed);
    let count: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    println!("{count} connections over five restarts");
    assert!(count > 100, "{count}");
}
