//! The proxy in front of upstreams that do not behave, and what becomes of it for the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{BRIM_HTTP, Home, Upstream, eventually, get, nobody, post, serve};

#[test]
fn nobody_there_is_502_and_counted() {
    let (_held, address) = nobody();
    let daemon = serve(&format!("apps = stats proxy\n[proxy]\ncall = proxy\nupstream = {address}"));
    let response = get(&daemon, "/");
    assert_eq!((response.status, response.text()), (502, "502 Bad Gateway\n"));
    assert_eq!(daemon.stats()["wsgi"]["proxy.bad_gateway"], 1);
    let log = daemon.logs("request failed");
    assert!(log.contains(&address.to_string()) && log.contains("takes no connection"), "{log}");
}

#[test]
fn where_nobody_is_there_a_connection_with_itself_is_none() {
    const PORT: u16 = 40_000;
    let folder = tempfile::tempdir().unwrap();
    let program = brim_testing::alone(folder.path(), BRIM_HTTP, PORT);
    let keys = format!("apps = proxy\n[proxy]\ncall = proxy\nupstream = 127.0.0.1:{PORT}");
    let daemon = Home::new(&keys).program(program).shared().start();
    assert_eq!(get(&daemon, "/").status, 502);
    daemon.logs("takes no connection");
}

#[test]
fn what_is_not_http_is_502() {
    for answer in [
        &b""[..],
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
    ] {
        let upstream = Upstream::saying_once(answer);
        let daemon = serve(&upstream.behind("retries = 0"));
        let status = get(&daemon, "/").status;
        assert_eq!(status, 502, "{:?}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn a_head_larger_than_its_limit_is_502() {
    for (size, status) in [(7000, 200), (9000, 502)] {
        let filler = "x".repeat(size);
        let upstream = Upstream::saying_once(format!(
            "HTTP/1.1 200 OK\r\nX: {filler}\r\nContent-Length: 0\r\n\r\n"
        ));
        let daemon = serve(&upstream.behind("response_head_limit = 8K\nretries = 0"));
        assert_eq!(get(&daemon, "/").status, status);
    }
    let endless = Upstream::new(|client, _| {
        client.request();
        client.try_send("HTTP/1.1 200 OK\r\n");
        while client.try_send("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n") {}
    });
    let daemon = serve(&endless.behind("retries = 0"));
    assert_eq!(get(&daemon, "/").status, 502);
}

#[test]
fn a_body_that_breaks_off_never_ends_well() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nabc",
    ] {
        let upstream = Upstream::saying_once(answer);
        let daemon = serve(&upstream.behind(""));
        let mut client = daemon.client();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        // The head may be cut off with the body.
        let all = client.rest();
        assert!(!all.ends_with(b"0\r\n\r\n") && all.len() < 1000, "{all:?}");
        let line = &daemon.access_lines(1)[0];
        assert!(line.contains(" disconnect "), "{line}");
        assert_eq!(daemon.stats()["wsgi"]["proxy.cut_off"], 1, "{answer}");
    }
}

#[test]
fn what_comes_behind_an_answer_is_nobodys_answer() {
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let upstream = Upstream::saying(twice);
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(upstream.connections(), 10);
    let said = Arc::new(AtomicUsize::new(0));
    let counted = said.clone();
    let late = Upstream::new(move |client, _| {
        client.request();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        std::thread::sleep(Duration::from_millis(50));
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        counted.fetch_add(1, Ordering::SeqCst);
        client.rest();
    });
    let daemon = serve(&late.behind(""));
    let mut client = daemon.client();
    for number in 1..=3 {
        assert_eq!(client.get("/").text(), "ok");
        eventually("what is nobody's", || (said.load(Ordering::SeqCst) == number).then_some(()));
    }
}

#[test]
fn only_what_may_be_repeated_is_repeated() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let upstream = Upstream::new(move |client, _| {
        if client.request().is_some() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let daemon = serve(&upstream.behind("retries = 2\nmax_fails = 0"));
    assert_eq!(get(&daemon, "/").status, 502);
    // Another attempt is another upstream's; there is only this one.
    let once = requests.swap(0, Ordering::SeqCst);
    assert!((1..=3).contains(&once), "{once}");
    assert_eq!(post(&daemon, "/", b"").status, 502);
    assert_eq!(post(&daemon, "/", b"body").status, 502);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[test]
fn a_post_on_a_dead_connection_is_not_repeated_and_a_get_is() {
    let upstream = Upstream::new(|client, number| {
        client.request();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        // What comes next is read, and not answered.
        if number == 0 {
            client.request();
            return;
        }
        while client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let daemon = serve(&upstream.behind(""));
    assert_eq!(get(&daemon, "/").text(), "ok");
    assert_eq!(post(&daemon, "/", b"").status, 502);
    assert_eq!(get(&daemon, "/").text(), "ok");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn slow_heads_are_504_and_slow_bodies_break_off() {
    let silent = Upstream::new(|client, _| {
        client.rest();
    });
    let daemon = serve(&silent.behind("response_timeout = 300ms"));
    let start = Instant::now();
    assert_eq!(get(&daemon, "/").status, 504);
    assert!((Duration::from_millis(250)..Duration::from_secs(5)).contains(&start.elapsed()));
    assert_eq!(daemon.stats()["wsgi"]["proxy.timeouts"], 1);
    let slow = Upstream::new(|client, _| {
        client.request();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        client.rest();
    });
    let daemon = serve(&slow.behind("idle_timeout = 300ms"));
    let mut client = daemon.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.head();
    assert_eq!(client.rest(), b"abc");
    assert_eq!(daemon.stats()["wsgi"]["proxy.cut_off"], 1);
}

#[test]
fn a_slow_client_is_not_the_upstreams_fault() {
    let back = serve("apps = echo");
    let daemon = serve(&format!(
        "apps = proxy\nbody_timeout = 300ms\n[proxy]\ncall = proxy\nresponse_timeout = 200ms\nupstream = {}",
        back.address()
    ));
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().status, 408);
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert_eq!(client.response().status, 400);
    assert!(!daemon.log().contains("upstream"), "{}", daemon.log());
}

#[test]
fn more_connections_than_there_may_be_wait_or_are_503() {
    let upstream = Upstream::new(|client, _| {
        while let Some(head) = client.request() {
            if head.starts_with("GET /slow") {
                std::thread::sleep(Duration::from_secs(3));
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let daemon = serve(&upstream.behind("max_connections = 1\nqueue = 1"));
    let mut slow = daemon.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the slow one", || (upstream.connections() == 1).then_some(()));
    let mut waits = daemon.client();
    waits.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let refused =
        eventually("a refusal", || Some(get(&daemon, "/")).filter(|answer| answer.status != 200));
    assert_eq!(refused.status, 503);
    assert_eq!((slow.response().text(), waits.response().text()), ("ok", "ok"));
    assert!(daemon.stats()["wsgi"]["proxy.unavailable"].as_u64() >= Some(1));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_old_upstream_ends_its_body_with_the_connection() {
    let upstream = Upstream::saying_once("HTTP/1.0 200 OK\r\n\r\nall of it");
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    let response = client.get("/");
    assert_eq!(
        (response.text(), response.header("transfer-encoding")),
        ("all of it", Some("chunked"))
    );
    assert!(response.head.starts_with("HTTP/1.1 200"), "{}", response.head);
    assert_eq!(client.get("/").text(), "all of it");
}

#[test]
fn a_bad_section_is_refused_with_its_lines() {
    for (keys, reason) in [
        ("", "upstream: "),
        ("upstream = localhost", "upstream: "),
        ("upstream = http://a/b", "upstream: "),
        ("upstream = a:1\nbalance = best", "balance: "),
        ("upstream = a:1\nforward_host = a b", "forward_host: "),
        ("upstream = a:1\nupgrade = h2c", "upgrade: "),
        ("upstream = a:1\nresponse_head_limit = 1K", "response_head_limit: "),
        ("upstream = a:1\nretries = 11", "retries: "),
        ("upstream = a:1\nretry = 1", "retry: "),
    ] {
        let home =
            crate::support::Home::new(&format!("apps = proxy\n[proxy]\ncall = proxy\n{keys}"));
        let output = home.command().arg("--check").output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{keys}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains(&format!("[proxy] {reason}")), "{stdout}");
    }
}
