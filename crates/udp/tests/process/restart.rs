//! What waits in the kernel is the successor's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Client, serve};

#[test]
fn what_comes_while_nobody_serves_is_served_by_the_next_one() {
    let server = serve("call = echo");
    let home = server.home().clone();
    let client = Client::of(&server);
    client.send("before");
    client.expect("before");
    server.terminate();
    assert_eq!(server.ended(), Some(0));
    for index in 0..50 {
        client.send(index.to_string());
    }
    let server = home.start();
    for index in 0..50 {
        client.expect(index.to_string());
    }
    server.saves("datagram_count", 51);
}

#[test]
fn a_restart_under_load_loses_no_datagram() {
    let mut server = serve("call = echo");
    let address = server.address();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let client = Client::new(address);
                let mut count = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    // A window of ten, so that something is always on its way.
                    (0..10).for_each(|index| client.send(format!("{count} {index}")));
                    (0..10).for_each(|index| client.expect(format!("{count} {index}")));
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
    println!("{} datagrams over five restarts", count * 10);
    assert!(count > 50, "{count}");
}

#[test]
fn with_a_wrong_configuration_datagrams_wait_until_a_reload_mends_it() {
    let server = serve("call = echo");
    let home = server.home().clone();
    let client = Client::of(&server);
    server.terminate();
    server.ended();
    home.configure("call = nothing");
    let server = home.start();
    client.send("patience");
    server.logs("no app \"nothing\"");
    home.configure("call = echo");
    server.reload();
    client.expect("patience");
}
