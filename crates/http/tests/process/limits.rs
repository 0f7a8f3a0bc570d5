//! What a client may choose, with exactly the limit and with one more.

use crate::support::{Client, Daemon, Response, Upstream, post, serve, serve_trial};

/// Sends a whole head on a connection of its own.
fn ask(daemon: &Daemon, head: &str) -> (Response, Client) {
    let mut client = daemon.client();
    client.try_send(head);
    (client.response(), client)
}

fn status(daemon: &Daemon, head: &str) -> u16 {
    ask(daemon, head).0.status
}

/// A refusal says that the connection ends, and ends it.
fn refused(daemon: &Daemon, head: &str) -> (u16, String) {
    let (response, mut client) = ask(daemon, head);
    assert!(response.closes(), "{}", response.head);
    assert_eq!(response.header("content-type"), Some("text/plain"));
    client.half_close();
    client.is_closed();
    (response.status, response.text().to_owned())
}

/// A head of exactly `length` bytes in lines of at most 1 KiB.
fn head_of(length: usize) -> String {
    let mut head = "GET /echo HTTP/1.1\r\nHost: x\r\n".to_owned();
    let mut left = length - head.len() - 2;
    while left > 0 {
        // What is left after this line must be enough for another one, or nothing.
        let line = if left > 1100 { 1024 } else { left };
        head.push_str(&format!("X: {}\r\n", "x".repeat(line - 5)));
        left -= line;
        if left > 0 && left < 16 {
            panic!("no such head");
        }
    }
    head.push_str("\r\n");
    assert_eq!(head.len(), length);
    head
}

#[test]
fn forty_headers_of_a_kilobyte_are_431() {
    let daemon = serve("apps = echo stats");
    let lines = format!("X: {}\r\n", "x".repeat(1019)).repeat(40);
    let (code, text) = refused(&daemon, &format!("GET /echo HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
    assert_eq!(code, 431);
    assert!(text.contains("head_limit"), "{text}");
    assert_eq!(daemon.stats()["wsgi"]["status_4xx_count"], 1);
}

#[test]
fn head_limit_is_exact() {
    let daemon = serve("apps = echo");
    assert_eq!(status(&daemon, &head_of(32 * 1024)), 200);
    assert_eq!(refused(&daemon, &head_of(32 * 1024 + 1)).0, 431);
    let daemon = serve("apps = echo\nhead_limit = 10K");
    assert_eq!(status(&daemon, &head_of(10 * 1024)), 200);
    assert_eq!(refused(&daemon, &head_of(10 * 1024 + 1)).0, 431);
}

#[test]
fn a_head_without_end_is_431_as_soon_as_it_is_too_large() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("GET /echo HTTP/1.1\r\nHost: x\r\nX: ");
    client.try_send("x".repeat(40 * 1024));
    assert_eq!(client.response().status, 431);
}

#[test]
fn a_target_without_end_is_414_as_soon_as_the_head_is_too_large() {
    let daemon = serve("apps = echo");
    for (lines, target, code) in [("", 40, 414), ("\r\n", 70, 414), ("", 7, 431)] {
        let target = "x".repeat(target * 1024);
        let fields = format!("X: {}\r\n", "y".repeat(1024)).repeat(40);
        let (got, text) =
            refused(&daemon, &format!("{lines}GET /{target} HTTP/1.1\r\nHost: x\r\n{fields}"));
        assert_eq!(got, code, "{text}");
    }
    let mut client = daemon.client();
    client.try_send(format!("GET /{}", "x".repeat(33 * 1024)));
    assert_eq!(client.response().status, 414);
}

#[test]
fn header_limit_is_exact() {
    let headers = |count: usize| {
        let lines: String = (1..count).map(|n| format!("X-{n}: 1\r\n")).collect();
        format!("GET /echo HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
    };
    for (keys, limit) in [("", 100), ("header_limit = 3", 3), ("header_limit = 250", 250)] {
        let daemon = serve(&format!("apps = echo\n{keys}"));
        assert_eq!(status(&daemon, &headers(limit)), 200, "{limit}");
        let (code, text) = refused(&daemon, &headers(limit + 1));
        assert_eq!(code, 431, "{limit}");
        assert!(text.contains("header_limit"), "{text}");
    }
}

#[test]
fn uri_limit_is_exact_in_bytes_of_the_target() {
    let get = |length: usize| {
        let target = format!("/echo?{}", "x".repeat(length - 6));
        format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
    };
    for (keys, limit) in [("", 8192), ("uri_limit = 16", 16)] {
        let daemon = serve(&format!("apps = echo\n{keys}"));
        assert_eq!(status(&daemon, &get(limit)), 200, "{limit}");
        let (code, text) = refused(&daemon, &get(limit + 1));
        assert_eq!(code, 414, "{limit}");
        assert!(text.contains("uri_limit"), "{text}");
    }
    let daemon = serve("apps = echo\nuri_limit = 16");
    assert_eq!(status(&daemon, "GET http://exampl/ab HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    assert_eq!(status(&daemon, "GET http://exampl/abc HTTP/1.1\r\nHost: x\r\n\r\n"), 414);
}

#[test]
fn nothing_goes_on_to_an_upstream_of_what_is_too_long() {
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let daemon = serve(&format!("uri_limit = 100\n{}", upstream.behind("")));
    let line = |length: usize| {
        let rest = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nX: \r\n".len();
        let value = "x".repeat(length - rest);
        format!("GET /echo HTTP/1.1\r\nHost: x\r\nX: {value}\r\n\r\n")
    };
    let target =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(length - 1));
    let count = |count: usize| {
        let lines = "X: y\r\n".repeat(count - 1);
        format!("GET /echo HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
    };
    let ends = |head: &dyn Fn(usize) -> String, limit| [head(limit), head(limit + 1)];
    let heads = [
        (431, ends(&head_of, 32 * 1024)),
        (431, ends(&line, 32 * 1024)),
        (431, ends(&count, 100)),
        (414, ends(&target, 100)),
    ];
    for (code, [_, longer]) in &heads {
        // Of what stands behind it, nothing goes on either.
        let behind = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
        let (response, mut client) = ask(&daemon, &format!("{longer}{behind}"));
        assert_eq!((response.status, response.closes()), (*code, true));
        client.half_close();
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(upstream.connections(), 0);
    for (_, [longest, _]) in heads {
        assert_eq!(status(&daemon, &longest), 200);
    }
}

#[test]
fn body_limit_is_exact_for_a_content_length() {
    let daemon = serve_trial("apps = upload echo\nbody_limit = 100K");
    assert_eq!(post(&daemon, "/upload", &vec![0; 102_400]).text(), "102400 bytes\n");
    for target in ["/upload", "/echo", "/none"] {
        let response = post(&daemon, target, &vec![0; 102_401]);
        assert_eq!(response.status, 413, "{target}");
        assert!(response.text().contains("larger than 102400 bytes"), "{}", response.text());
        assert!(response.closes());
    }
}

#[test]
fn body_limit_is_exact_for_chunks() {
    let daemon = serve_trial("apps = upload\nbody_limit = 1000");
    for (last, status) in [(100, 200), (101, 413)] {
        let mut client = daemon.client();
        client.send("POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..9 {
            client.send(format!("64\r\n{}\r\n", "x".repeat(100)));
        }
        client.send(format!("{last:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(last)));
        let response = client.response();
        assert_eq!((response.status, response.closes()), (status, status == 413));
    }
}

#[test]
fn a_body_limit_of_zero_forbids_bodies() {
    let daemon = serve("apps = echo stats\nbody_limit = 0");
    assert_eq!(post(&daemon, "/echo", b"").status, 200);
    assert_eq!(post(&daemon, "/echo", b"x").status, 413);
    assert_eq!(daemon.stats()["wsgi"]["status_413_count"], 1);
}

#[test]
fn a_length_that_no_number_holds_is_refused() {
    let daemon = serve("apps = echo");
    for length in ["18446744073709551615", "99999999999999999999999", "-1", "0x10", "1,2", "+5"] {
        let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let code = refused(&daemon, &head).0;
        assert!([400, 413, 431].contains(&code), "{length}: {code}");
    }
}

#[test]
fn exactly_one_host_is_wanted_of_http_1_1() {
    let daemon = serve("apps = echo");
    let (code, text) = refused(&daemon, "GET /echo HTTP/1.1\r\n\r\n");
    assert_eq!(code, 400);
    assert!(text.contains("Host header is missing"), "{text}");
    let (code, text) = refused(&daemon, "GET /echo HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n");
    assert_eq!(code, 400);
    assert!(text.contains("more than one Host"), "{text}");
    assert_eq!(status(&daemon, "GET /echo HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(status(&daemon, "GET /echo HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"), 400);
}

#[test]
fn a_transfer_encoding_other_than_chunked_is_refused() {
    let daemon = serve("apps = echo");
    let post = |coding: &str| {
        let body = "4\r\nbody\r\n0\r\n\r\n";
        format!("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {coding}\r\n\r\n{body}")
    };
    for coding in ["gzip, chunked", "chunked, chunked", "identity, chunked"] {
        assert_eq!(refused(&daemon, &post(coding)).0, 501, "{coding}");
    }
    assert_eq!(refused(&daemon, &post("chunked\r\nTransfer-Encoding: chunked")).0, 501);
    // RFC 9112 section 6.3: where chunked is not the last, nobody knows where the body ends.
    for coding in ["gzip", "identity", "chunked, gzip", "xchunked", ""] {
        assert_eq!(refused(&daemon, &post(coding)).0, 400, "{coding}");
    }
    assert_eq!(ask(&daemon, &post("ChunKed")).0.text(), "body");
    let old = post("chunked").replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(refused(&daemon, &old).0, 400);
}

#[test]
fn a_length_beside_chunks_smuggles_no_second_request() {
    let daemon = serve("apps = echo");
    let smuggled = "GET /echo HTTP/1.1\r\nHost: smuggled\r\n\r\n";
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        let (response, mut client) = ask(&daemon, &(head + "0\r\n\r\n" + smuggled));
        assert!(response.closes(), "{framing}: {}", response.head);
        assert_eq!(response.text(), "", "{framing}");
        client.half_close();
        client.is_closed();
    }
}

#[test]
fn lengths_that_contradict_each_other_are_400() {
    let daemon = serve("apps = echo");
    let post = |lengths: &str| format!("POST /echo HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\nbody");
    assert_eq!(refused(&daemon, &post("Content-Length: 4\r\nContent-Length: 5")).0, 400);
    assert_eq!(status(&daemon, &post("Content-Length: 4\r\nContent-Length: 4")), 200);
}

#[test]
fn an_expectation_other_than_100_continue_is_417() {
    let daemon = serve("apps = echo stats");
    let post = |expectation: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: {expectation}\r\nContent-Length: 4\r\n\r\n"
        )
    };
    for expectation in ["200-maybe", "100-continue, more", ""] {
        assert_eq!(refused(&daemon, &post(expectation)).0, 417, "{expectation}");
    }
    assert_eq!(daemon.stats()["wsgi"]["status_417_count"], 3);
    for expectation in ["100-continue", "100-CONTINUE"] {
        let (response, mut client) = ask(&daemon, &post(expectation));
        assert_eq!(response.status, 100, "{expectation}");
        client.send("body");
        assert_eq!(client.response().text(), "body");
    }
}

#[test]
fn trace_and_connect_are_501() {
    let daemon = serve("apps = echo");
    for head in [
        "TRACE /echo HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    ] {
        assert_eq!(refused(&daemon, head).0, 501, "{head}");
    }
}

#[test]
fn what_is_no_http_is_400() {
    let daemon = serve("apps = echo");
    for garbage in [
        "garbage\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
        "GET /echo\r\n\r\n",
        "GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /echo HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHo st: x\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nHost: x\r\n\r\n",
        "G<T /echo HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n",
    ] {
        let (code, text) = refused(&daemon, garbage);
        assert_eq!(code, 400, "{garbage:?}");
        assert!(text.starts_with("400 Bad Request: "), "{text}");
    }
}

#[test]
fn a_refused_request_does_not_spoil_the_one_before_it() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodygarbage\r\n\r\n");
    assert_eq!(client.response().text(), "body");
    let response = client.response();
    assert_eq!((response.status, response.closes()), (400, true));
    client.half_close();
    client.is_closed();
}
