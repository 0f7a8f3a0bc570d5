//! Several requests on one connection, in all the ways in which clients send them.

use std::time::Duration;

use crate::support::{get, serve, serve_trial};

/// Longer than the 200 ms after which the shell parks a silent connection.
const PARKED: Duration = Duration::from_millis(350);

fn echo(number: usize) -> String {
    let body = format!("number {number}");
    format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let daemon = serve("apps = echo stats\nworkers = 1");
    let mut client = daemon.client();
    for number in 0..100 {
        client.send(echo(number));
        let response = client.response();
        assert_eq!(response.text(), format!("number {number}"));
        assert!(!response.closes());
    }
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["connection_count"], 2);
    assert_eq!(stats["wsgi"]["request_count"], 100);
}

#[test]
fn ten_requests_in_one_write_get_ten_answers_in_order() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send((0..10).map(echo).collect::<String>());
    for number in 0..10 {
        assert_eq!(client.response().text(), format!("number {number}"));
    }
    assert!(client.is_open());
    assert_eq!(daemon.access_lines(10).len(), 10);
}

#[test]
fn pipelined_requests_behind_a_slow_one_wait_for_it() {
    let daemon = serve_trial("apps = slow echo");
    let mut client = daemon.client();
    let slow = "GET /slow?seconds=0.5 HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send([slow.to_owned(), echo(1), slow.to_owned(), echo(2)].concat());
    for text in ["slow but whole\n", "number 1", "slow but whole\n", "number 2"] {
        assert_eq!(client.response().text(), text);
    }
}

#[test]
fn half_a_head_behind_a_request_is_completed_later() {
    let daemon = serve("apps = echo");
    for pause in [Duration::ZERO, Duration::from_millis(50), PARKED] {
        let mut client = daemon.client();
        let second = echo(2);
        let (front, back) = second.split_at(20);
        client.send(echo(1) + front);
        assert_eq!(client.response().text(), "number 1");
        std::thread::sleep(pause);
        client.send(back);
        assert_eq!(client.response().text(), "number 2", "after {pause:?}");
    }
}

#[test]
fn half_a_head_behind_a_request_has_the_time_of_a_head() {
    let daemon = serve("apps = echo\nhead_timeout = 500ms");
    let mut client = daemon.client();
    client.send(echo(1) + "GET /ec");
    assert_eq!(client.response().text(), "number 1");
    assert_eq!(client.response().status, 408);
    client.is_closed();
}

#[test]
fn a_request_finds_a_parked_connection() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    std::thread::sleep(PARKED);
    for number in 0..3 {
        client.send(echo(number));
        assert_eq!(client.response().text(), format!("number {number}"));
        std::thread::sleep(PARKED);
    }
}

#[test]
fn requests_around_the_moment_of_parking_are_all_answered() {
    let daemon = serve("apps = echo");
    let clients: Vec<_> = (0..40)
        .map(|step| {
            let mut client = daemon.client();
            std::thread::spawn(move || {
                for number in 0..4 {
                    client.send(echo(number));
                    assert_eq!(client.response().text(), format!("number {number}"));
                    std::thread::sleep(Duration::from_millis(5 + 6 * step));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_head_may_come_in_pieces_of_any_size() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    for size in [1, 2, 3, 7, 50] {
        for piece in echo(size).as_bytes().chunks(size) {
            client.send(piece);
        }
        assert_eq!(client.response().text(), format!("number {size}"));
    }
}

#[test]
fn connection_close_ends_it_after_the_answer() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(client.response().closes());
    client.is_closed();
}

#[test]
fn http_1_0_ends_after_the_answer_unless_it_asks_for_more() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("GET /echo HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("content-length")), (200, Some("0")));
    client.is_closed();

    let mut client = daemon.client();
    for _ in 0..3 {
        client.send("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!(response.status, 200);
        let kept = response.header("connection").map(str::to_ascii_lowercase);
        assert_eq!(kept.as_deref(), Some("keep-alive"));
        std::thread::sleep(PARKED);
    }
    client.send("GET /echo HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.is_closed();
}

#[test]
fn a_body_of_unknown_length_goes_in_chunks_or_to_the_end_of_the_connection() {
    let daemon = serve_trial("apps = stream");
    let mut client = daemon.client();
    let response = client.get("/stream?pieces=3");
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.text(), "x".repeat(18));
    client.send("GET /stream?pieces=3 HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.text(), "x".repeat(18));
}

#[test]
fn head_of_a_body_of_unknown_length_has_none_and_keeps_the_connection() {
    let daemon = serve_trial("apps = stream");
    let mut client = daemon.client();
    client.send("HEAD /stream?pieces=3 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(client.get("/stream?pieces=1").text(), "xxxxxx");
}

#[test]
fn empty_lines_before_a_request_are_overlooked() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("\r\n\r\n".to_owned() + &echo(1));
    assert_eq!(client.response().text(), "number 1");
    client.send("\r\n".to_owned() + &echo(2));
    assert_eq!(client.response().text(), "number 2");
}

#[test]
fn a_client_that_has_closed_its_half_gets_the_answer() {
    let daemon = serve("apps = echo");
    for requests in [1, 3] {
        let mut client = daemon.client();
        client.send((0..requests).map(echo).collect::<String>());
        client.half_close();
        for number in 0..requests {
            assert_eq!(client.response().text(), format!("number {number}"));
        }
        client.is_closed();
    }
    let mut client = daemon.client();
    client.half_close();
    client.is_closed();
}

#[test]
fn a_slow_connection_holds_up_no_other() {
    let daemon = serve_trial("apps = slow echo\nworkers = 1");
    let mut slow = daemon.client();
    slow.send("GET /slow?seconds=2 HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..20 {
        assert_eq!(get(&daemon, "/echo").status, 200);
    }
    assert!(slow.is_open());
}

#[test]
fn an_unread_body_that_is_there_already_does_not_cost_the_connection() {
    let daemon = serve("apps = stats echo");
    let mut client = daemon.client();
    let large = "x".repeat(30_000);
    for target in ["/none", "/stats"] {
        for body in ["body", &large] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\n");
            client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
            assert!(!client.response().closes(), "{target}");
            let chunks = "3\r\nabc\r\n".repeat(100);
            client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"));
            assert!(!client.response().closes(), "{target}");
        }
    }
    client.send(echo(1));
    assert_eq!(client.response().text(), "number 1");
}

#[test]
fn an_unread_body_that_is_not_there_costs_the_connection_and_the_answer_says_so() {
    let daemon = serve("apps = echo");
    for head in [
        "Content-Length: 4\r\n\r\n",
        "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        "Content-Length: 4\r\n\r\nbod",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
        "Content-Length: 9999999\r\n\r\nbody",
    ] {
        let mut client = daemon.client();
        client.send(format!("POST /none HTTP/1.1\r\nHost: x\r\n{head}"));
        let response = client.response();
        assert_eq!((response.status, response.closes()), (404, true), "{head}");
        client.half_close();
        client.is_closed();
    }
}

#[test]
fn a_client_that_has_closed_its_half_gets_the_whole_of_a_long_answer() {
    let daemon = serve_trial("apps = stream slow");
    // The end follows at once, without the time after which a silent connection is looked at. A busy machine
    // may hold up one of them.
    let quick = (0..10).any(|_| {
        let mut client = daemon.client();
        client.send("GET /stream?pieces=30&seconds=0.05&size=10 HTTP/1.1\r\nHost: x\r\n\r\n");
        client.half_close();
        assert_eq!(client.response().body.len(), 300);
        let start = std::time::Instant::now();
        client.is_closed();
        start.elapsed() < Duration::from_millis(150)
    });
    assert!(quick);
    let mut client = daemon.client();
    client.send("GET /slow?seconds=0.2 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.half_close();
    assert_eq!(client.response().text(), "slow but whole\n");
    client.is_closed();
}
