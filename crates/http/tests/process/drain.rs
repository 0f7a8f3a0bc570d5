//! SIGTERM: everything that is open ends well, and in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Client, get, serve, serve_trial};

const SLOW: &str = "GET /slow?seconds=3 HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_slow_request_ends_whole_and_says_that_the_connection_closes() {
    let daemon = serve_trial("apps = slow stats\nworkers = 1");
    let mut slow = daemon.client();
    slow.send(SLOW);
    // A second request on the same worker, so that the first one has begun.
    daemon.stats();
    daemon.terminate();
    let response = slow.response();
    assert_eq!((response.status, response.text()), (200, "slow but whole\n"));
    assert!(response.closes());
    slow.is_closed();
    let ended = daemon.ended();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("drained"), "{}", ended.stderr);
}

#[test]
fn a_new_connection_during_the_drain_is_served_and_closed() {
    let daemon = serve_trial("apps = slow echo stats\nworkers = 1");
    let mut slow = daemon.client();
    slow.send("GET /slow?seconds=5 HTTP/1.1\r\nHost: x\r\n\r\n");
    daemon.stats();
    daemon.drains();
    for _ in 0..10 {
        let mut client = daemon.client();
        let response = client.get("/echo");
        assert_eq!((response.status, response.closes()), (200, true));
        client.is_closed();
    }
    assert!(slow.is_open());
    assert_eq!(slow.response().status, 200);
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn a_busy_keep_alive_client_loses_nothing() {
    let daemon = serve_trial("apps = slow echo stats\nworkers = 2");
    let address = daemon.address();
    let mut slow = daemon.client();
    slow.send(SLOW);
    daemon.stats();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    let response = client.get("/echo");
                    assert_eq!(response.status, 200);
                    if response.closes() {
                        client.is_closed();
                        client = Client::connect(address);
                    }
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    daemon.terminate();
    assert_eq!(slow.response().status, 200);
    stop.store(true, Ordering::Relaxed);
    // Whoever came after the acceptor's end waits for the successor, as under systemd.
    let home = daemon.home.clone();
    assert_eq!(daemon.ended().code, Some(0));
    let _successor = home.start();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn an_idle_connection_is_closed_after_drain_idle_and_not_before() {
    let daemon = serve("apps = echo\ndrain_idle = 3s");
    let mut never_spoke = daemon.client();
    let mut spoke = daemon.client();
    assert_eq!(spoke.get("/echo").status, 200);
    std::thread::sleep(Duration::from_millis(400));
    let start = Instant::now();
    daemon.terminate();
    std::thread::sleep(Duration::from_millis(700));
    assert!(never_spoke.is_open() && spoke.is_open());
    spoke.is_closed();
    never_spoke.is_closed();
    assert!((Duration::from_millis(2900)..Duration::from_secs(12)).contains(&start.elapsed()));
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn a_request_on_an_idle_connection_during_the_drain_is_served() {
    let daemon = serve("apps = echo\ndrain_idle = 15s");
    let mut parked = daemon.client();
    assert!(!parked.get("/echo").closes());
    let mut fresh = daemon.client();
    std::thread::sleep(Duration::from_millis(300));
    daemon.drains();
    for client in [&mut parked, &mut fresh] {
        let response = client.get("/echo");
        assert_eq!((response.status, response.closes()), (200, true));
        client.is_closed();
    }
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn drain_timeout_bounds_it_all() {
    let daemon = serve_trial("apps = slow stats\ndrain_timeout = 700ms");
    let mut slow = daemon.client();
    slow.send("GET /slow?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n");
    daemon.stats();
    let start = Instant::now();
    daemon.terminate();
    let ended = daemon.ended();
    assert!((Duration::from_millis(600)..Duration::from_secs(7)).contains(&start.elapsed()));
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("cutting what is open"), "{}", ended.stderr);
    slow.is_closed();
}

#[test]
fn half_a_head_is_waited_for() {
    let daemon = serve("apps = echo\ndrain_idle = 100ms");
    let mut client = daemon.client();
    client.send("GET /echo HT");
    get(&daemon, "/echo");
    daemon.terminate();
    std::thread::sleep(Duration::from_millis(400));
    client.send("TP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.closes()), (200, true));
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn an_upload_and_a_download_in_progress_end_whole() {
    let daemon = serve_trial("apps = upload stream stats\ndrain_idle = 100ms");
    let mut up = daemon.client();
    up.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    up.send(vec![b'x'; 50_000]);
    let mut down = daemon.client();
    down.send("GET /stream?pieces=20&size=10000&seconds=0.05 HTTP/1.1\r\nHost: x\r\n\r\n");
    daemon.stats();
    daemon.terminate();
    std::thread::sleep(Duration::from_millis(500));
    up.send(vec![b'x'; 50_000]);
    let response = up.response();
    assert_eq!((response.text(), response.closes()), ("100000 bytes\n", true));
    assert_eq!(down.response().body.len(), 200_000);
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn nothing_open_means_an_end_at_once() {
    let daemon = serve("apps = echo");
    get(&daemon, "/echo");
    let start = Instant::now();
    daemon.terminate();
    assert_eq!(daemon.ended().code, Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_interrupt_from_the_keyboard_drains_too() {
    let daemon = serve_trial("apps = slow stats\nworkers = 1");
    let mut slow = daemon.client();
    slow.send(SLOW);
    daemon.stats();
    daemon.signal(rustix::process::Signal::INT);
    assert_eq!(slow.response().text(), "slow but whole\n");
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn systemd_hears_that_the_drain_goes_on() {
    let daemon = serve_trial("apps = slow stats");
    let mut slow = daemon.client();
    slow.send("GET /slow?seconds=1.5 HTTP/1.1\r\nHost: x\r\n\r\n");
    daemon.stats();
    daemon.terminate();
    daemon.notice("EXTEND_TIMEOUT_USEC=");
    let status = daemon.notice("STATUS=");
    assert!(status.contains("draining, ") && status.contains(" open"), "{status}");
    daemon.notice("EXTEND_TIMEOUT_USEC=");
    assert_eq!(slow.response().status, 200);
}

#[test]
fn the_last_lines_of_the_access_log_are_written() {
    let daemon = serve_trial("apps = slow echo stats");
    let log = daemon.access_log();
    let home = daemon.home.clone();
    let mut slow = daemon.client();
    slow.send(SLOW);
    daemon.stats();
    daemon.terminate();
    assert_eq!(slow.response().status, 200);
    assert_eq!(daemon.ended().code, Some(0));
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.lines().last().unwrap().contains("/slow?seconds=3"), "{lines}");
    drop(home);
}
