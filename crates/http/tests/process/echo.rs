//! The echo app.

use crate::support::{get, post, serve};

#[test]
fn a_body_comes_back_with_a_length_and_no_type() {
    let daemon = serve("apps = echo");
    let response = post(&daemon, "/echo", b"Just a test.");
    assert_eq!((response.status, response.text()), (200, "Just a test."));
    assert_eq!(response.header("content-length"), Some("12"));
    assert_eq!(response.header("content-type"), None);
    assert!(response.header("date").is_some());
}

#[test]
fn the_path_is_exact_and_decoded() {
    let daemon = serve("apps = echo");
    for (target, status) in [
        ("/echo", 200),
        ("/%65cho", 200),
        ("/echo?query", 200),
        ("http://x/echo", 200),
        ("/echo/", 404),
        ("/echos", 404),
        ("/ech", 404),
        ("//echo", 200),
        ("/x/../echo", 200),
        ("/ECHO", 404),
        ("/%2565cho", 404),
    ] {
        assert_eq!(post(&daemon, target, b"x").status, status, "{target}");
    }
}

#[test]
fn a_path_of_its_own_may_have_spaces_and_letters_of_all_kinds() {
    let daemon = serve("apps = here\n[here]\ncall = echo\npath = /my echo/ä");
    assert_eq!(post(&daemon, "/my%20echo/%c3%A4", b"x").status, 200);
    assert_eq!(post(&daemon, "/echo", b"x").status, 404);
}

#[test]
fn max_echo_cuts_what_is_beyond_it() {
    let daemon = serve("apps = echo\n[echo]\ncall = echo\nmax_echo = 10");
    assert_eq!(post(&daemon, "/echo", b"0123456789").text(), "0123456789");
    assert_eq!(post(&daemon, "/echo", b"0123456789a").text(), "0123456789");
    let large = vec![b'x'; 200_000];
    assert_eq!(post(&daemon, "/echo", &large).text(), "xxxxxxxxxx");
}

#[test]
fn max_echo_is_65536_by_default() {
    let daemon = serve("apps = echo");
    for (sent, echoed) in [(65535, 65535), (65536, 65536), (65537, 65536), (300_000, 65536)] {
        assert_eq!(post(&daemon, "/echo", &vec![b'x'; sent]).body.len(), echoed, "of {sent}");
    }
}

#[test]
fn a_max_echo_of_zero_echoes_nothing() {
    let daemon = serve("apps = echo\n[echo]\ncall = echo\nmax_echo = 0");
    let response = post(&daemon, "/echo", b"something");
    assert_eq!((response.status, response.text()), (200, ""));
    assert_eq!(response.header("content-length"), Some("0"));
}

#[test]
fn a_chunked_body_comes_back_whole() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("4\r\nJust\r\n7;extension=1\r\n a test\r\n");
    client.send("1\r\n.\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "Just a test.");
    assert_eq!(client.get("/echo").text(), "");
}

#[test]
fn any_method_is_answered() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "brew!"] {
        client.send(format!("{method} /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"));
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "body"), "{method}");
    }
}

#[test]
fn head_has_the_length_and_not_the_body() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("HEAD /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    let response = client.response_to_head();
    assert_eq!((response.status, response.header("content-length")), (200, Some("4")));
    assert_eq!(client.get("/echo").status, 200);
}

#[test]
fn each_echo_counts_under_its_own_name_and_others_requests_not_at_all() {
    let apps = "apps = one two echo stats\nworkers = 1\n\
        [one]\ncall = echo\npath = /one\n[two]\ncall = brim.wsgi_echo.WSGIEcho\npath = /two";
    let daemon = serve(apps);
    for target in ["/one", "/two", "/two", "/echo", "/none"] {
        get(&daemon, target);
    }
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["one.requests"], 1);
    assert_eq!(stats["wsgi"]["two.requests"], 2);
    assert_eq!(stats["wsgi"]["echo.requests"], 1);
    assert_eq!(stats["wsgi"]["request_count"], 5);
    assert_eq!(stats["wsgi"]["0"]["two.requests"], 2);
}

#[test]
fn an_app_may_stand_in_the_chain_twice() {
    let daemon = serve("apps = echo echo stats");
    assert_eq!(post(&daemon, "/echo", b"x").text(), "x");
    assert_eq!(daemon.stats()["wsgi"]["echo.requests"], 1);
}

#[test]
fn a_client_that_ends_early_gets_what_it_sent() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    client.half_close();
    let response = client.response();
    assert_eq!((response.status, response.text()), (200, "half"));
    client.is_closed();
}

#[test]
fn a_body_in_broken_chunks_is_400_and_not_an_echo() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("4\r\nJust\r\nnonsense\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 400);
    assert!(response.closes());
    client.is_closed();
}
