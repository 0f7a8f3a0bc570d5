//! The proxy's kept connections, and what holds an upload up.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Daemon, Upstream, eventually, serve};

/// An upstream, and how many of its connections are open.
fn counting() -> (Upstream, Arc<AtomicUsize>) {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = open.clone();
    let upstream = Upstream::new(move |client, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        while let Some(head) = client.request() {
            if head.starts_with("GET /slow") {
                std::thread::sleep(Duration::from_millis(500));
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        counted.fetch_sub(1, Ordering::SeqCst);
    });
    (upstream, open)
}

/// So many requests at once, each on a connection of its own.
fn at_once(daemon: &Daemon, count: usize) {
    let mut clients: Vec<_> = (0..count).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "ok");
    }
}

#[test]
fn no_more_connections_are_kept_than_there_may_be() {
    for keepalive in 0..3 {
        let (upstream, open) = counting();
        let keys = format!("keepalive = {keepalive}\nkeepalive_timeout = 1min");
        let daemon = serve(&upstream.behind(&keys));
        at_once(&daemon, 4);
        assert_eq!(upstream.connections(), 4);
        eventually("the others' end", || (open.load(Ordering::SeqCst) == keepalive).then_some(()));
        // Those that were kept are used.
        at_once(&daemon, 4);
        assert_eq!(upstream.connections(), 8 - keepalive);
    }
}

#[test]
fn a_connection_is_kept_for_its_time_and_no_longer() {
    let (upstream, open) = counting();
    let daemon = serve(&upstream.behind("keepalive_timeout = 1s"));
    let mut client = daemon.client();
    let start = Instant::now();
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(open.load(Ordering::SeqCst), 1);
    eventually("its end", || (open.load(Ordering::SeqCst) == 0).then_some(()));
    // It is looked for once per second; the default would be 4.
    let kept = start.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&kept), "{kept:?}");
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn an_upstream_that_reads_nothing_holds_up_the_client() {
    let upstream = Upstream::new(|client, _| {
        client.request();
        std::thread::park();
    });
    let keys = format!("body_limit = 1G\n{}", upstream.behind(""));
    let daemon = serve(&keys);
    let before = daemon.memory();
    let mut client = daemon.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    client.stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut sent = 0;
    let held = loop {
        match client.stream.write(&[b'x'; 65536]) {
            Ok(more) => sent += more,
            Err(error) => break error.kind(),
        }
        assert!(sent < 60_000_000, "it is never held up");
    };
    assert_eq!(held, ErrorKind::WouldBlock, "after {sent} bytes");
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB for {sent} bytes");
}
