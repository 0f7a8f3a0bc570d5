//! The clocks. Times are short, ceilings generous.

use std::time::{Duration, Instant};

use crate::support::{Client, Response, eventually, serve, serve_trial};

/// Sends a byte at a time until the daemon has enough of it.
fn trickle(client: &mut Client, bytes: &[u8], pause: Duration) -> Response {
    for byte in bytes.iter().cycle() {
        if !client.is_open() || !client.try_send([*byte]) {
            break;
        }
        std::thread::sleep(pause);
    }
    client.response()
}

#[test]
fn a_head_that_comes_byte_by_byte_is_408_and_the_end() {
    let daemon = serve("apps = echo stats\nhead_timeout = 500ms\nlinger_timeout = 100ms");
    let mut client = daemon.client();
    let start = Instant::now();
    client.send("GET /echo HTTP/1.1\r\nHost: x\r\nX: ");
    let response = trickle(&mut client, b"x", Duration::from_millis(20));
    assert!(start.elapsed() >= Duration::from_millis(500));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((response.status, response.closes()), (408, true));
    assert!(response.text().contains("head came too slowly"));
    client.rest();
    assert_eq!(daemon.stats()["wsgi"]["status_408_count"], 1);
}

#[test]
fn a_head_that_stops_in_the_middle_is_408() {
    let daemon = serve("apps = echo\nhead_timeout = 300ms");
    let mut client = daemon.client();
    client.send("G");
    assert_eq!(client.response().status, 408);
    client.is_closed();
}

#[test]
fn the_second_head_has_the_same_time_as_the_first() {
    let daemon = serve("apps = echo\nhead_timeout = 4s");
    let mut client = daemon.client();
    // In all it takes longer than that.
    for _ in 0..9 {
        client.send("GET /echo HTTP/1.1\r\nHo");
        std::thread::sleep(Duration::from_millis(500));
        client.send("st: x\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    client.send("GET /echo HTTP/1.1\r\nHo");
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_body_that_comes_byte_by_byte_is_408_and_the_end() {
    let daemon = serve("apps = echo stats\nbody_timeout = 500ms\nlinger_timeout = 100ms");
    let mut client = daemon.client();
    let start = Instant::now();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    let response = trickle(&mut client, b"x", Duration::from_millis(20));
    assert!(start.elapsed() >= Duration::from_millis(500));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((response.status, response.closes()), (408, true));
    assert!(response.text().contains("body came too slowly"));
    client.rest();
    assert_eq!(daemon.stats()["wsgi"]["status_408_count"], 1);
}

#[test]
fn a_body_that_comes_at_the_minimal_rate_may_take_its_time() {
    let daemon = serve_trial("apps = upload\nbody_timeout = 2s\nbody_min_rate = 1");
    let mut client = daemon.client();
    client.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n");
    for _ in 0..300 {
        client.send("x");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client.response().text(), "300 bytes\n");
}

#[test]
fn the_body_clock_stands_still_while_the_app_is_busy() {
    let daemon = serve_trial("apps = slow\nbody_timeout = 200ms");
    let mut client = daemon.client();
    client.send("POST /slow?seconds=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_connection_that_never_speaks_is_closed_after_idle_timeout() {
    let daemon = serve("apps = echo\nidle_timeout = 500ms");
    let start = Instant::now();
    let mut client = daemon.client();
    client.is_closed();
    assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&start.elapsed()));
}

#[test]
fn a_connection_between_requests_is_closed_after_idle_timeout_and_not_before() {
    let daemon = serve("apps = echo\nidle_timeout = 4s");
    let mut client = daemon.client();
    for _ in 0..6 {
        assert_eq!(client.get("/echo").status, 200);
        // Longer than hyper holds the socket, shorter than the limit; longer in all.
        std::thread::sleep(Duration::from_millis(800));
    }
    let start = Instant::now();
    assert_eq!(client.get("/echo").status, 200);
    client.is_closed();
    assert!((Duration::from_millis(3900)..Duration::from_secs(10)).contains(&start.elapsed()));
}

#[test]
fn a_connection_that_was_as_busy_as_can_be_is_closed_after_idle_timeout_too() {
    // More at once than a task may do in one turn.
    const REQUESTS: usize = 500;
    let daemon = serve("apps = echo\nidle_timeout = 500ms");
    for _ in 0..5 {
        let mut client = daemon.client();
        client.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS));
        for _ in 0..REQUESTS {
            assert_eq!(client.response().status, 200);
        }
        let start = Instant::now();
        client.is_closed();
        assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&start.elapsed()));
    }
}

#[test]
fn an_idle_timeout_shorter_than_hypers_hold_counts_too() {
    let daemon = serve("apps = echo\nidle_timeout = 150ms");
    let mut client = daemon.client();
    assert_eq!(client.get("/echo").status, 200);
    client.is_closed();
}

#[test]
fn a_slow_answer_is_not_an_idle_connection() {
    let daemon = serve_trial("apps = slow\nclient_timeout = 1s\nhead_timeout = 1s");
    let mut client = daemon.client();
    assert_eq!(client.get("/slow?seconds=3").text(), "slow but whole\n");
}

#[test]
fn a_client_that_does_not_read_is_dropped_after_write_timeout() {
    let daemon = serve_trial("apps = stream stats\nwrite_timeout = 500ms");
    let mut client = daemon.client();
    client.send("GET /stream?pieces=2000&size=65536 HTTP/1.1\r\nHost: x\r\n\r\n");
    let lines = daemon.access_lines(1);
    let fields: Vec<_> = lines[0].split(' ').collect();
    assert_eq!((fields[8], fields[15]), ("200", "disconnect"), "{}", lines[0]);
    assert!(fields[14].parse::<f64>().unwrap() < 10.0, "{}", lines[0]);
    // What is left in the buffers is far less than the whole.
    assert!(client.rest().len() < 2000 * 65536 / 2);
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    // In all it takes longer than that; a busy machine may hold up a single read for seconds.
    let daemon = serve_trial("apps = stream\nwrite_timeout = 4s");
    let mut client = daemon.client();
    client
        .send("GET /stream?pieces=400&size=65536 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.head();
    let mut total = 0;
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(400));
        total += client.take(1024 * 1024).len();
    }
    total += client.rest().len();
    assert!(total > 400 * 65536, "{total}");
}

#[test]
fn a_connection_that_has_timed_out_is_no_longer_counted_as_open() {
    let daemon = serve("apps = echo\nidle_timeout = 1s\nconcurrent_per_worker = 1\nworkers = 1");
    let silent = daemon.client();
    let mut other = daemon.client();
    assert_eq!(other.get("/echo").status, 200);
    drop(silent);
    eventually("the last one's end", || (!other.is_open()).then_some(()));
}
