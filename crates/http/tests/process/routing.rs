//! Hosts, routes, and what belongs to an app alone.

use std::time::Duration;

use crate::support::{Daemon, get, serve_trial};

/// What the apps say that answer in turn; `-` is the end of the chain.
fn seen(daemon: &Daemon, targets: &[&str]) -> Vec<String> {
    let one = |target: &&str| {
        let response = get(daemon, target);
        match response.status {
            200 => response.text().split(' ').next().unwrap().to_owned(),
            404 => "-".to_owned(),
            status => status.to_string(),
        }
    };
    targets.iter().map(one).collect()
}

fn asked(daemon: &Daemon, head: &str) -> String {
    let mut client = daemon.client();
    client.send(format!("{head}\r\nConnection: close\r\n\r\n"));
    let response = client.response();
    format!("{} {}", response.status, response.text())
}

#[test]
fn an_app_with_routes_gets_their_requests_and_no_others() {
    let daemon = serve_trial(
        "apps = a b c\n[a]\ncall = where\nroute = /img /img/(\\d+\\.png)$ /img/deep\n\
         [b]\ncall = where\nroute = /img/(.*\\.gif)$\n  /exact()$\n[c]\ncall = where\nroute = /imgx/",
    );
    let targets = ["/img", "/img/x.gif", "/imgx", "/imgx/", "/exact", "/exact/", "/", "/exac"];
    assert_eq!(seen(&daemon, &targets), ["a", "a", "-", "c", "b", "-", "-", "-"]);
    // The longest literal prefix of one app; where its pattern fails, the next one.
    for (target, prefix) in [
        ("/img/1.png", "a /img/ /img/1.png 1.png"),
        ("/img/x.png", "a /img /img/x.png /x.png"),
        ("/img/deep/x", "a /img/deep /img/deep/x /x"),
    ] {
        assert!(get(&daemon, target).text().starts_with(prefix), "{}", get(&daemon, target).text());
    }
}

#[test]
fn several_patterns_behind_one_prefix_are_all_tried() {
    let daemon = serve_trial(
        "apps = a b\n[a]\ncall = where\nroute = /x/(\\d+)$ /x/(\\l+)$ /x/(\\l\\d)$\n\
         [b]\ncall = where\nroute = /x/(\\u+)$",
    );
    let targets = ["/x/12", "/x/ab", "/x/a1", "/x/AB", "/x/1a", "/x/", "/x"];
    assert_eq!(seen(&daemon, &targets), ["a", "a", "a", "b", "-", "-", "-"]);
}

#[test]
fn no_spelling_of_a_path_gets_past_a_route() {
    let daemon = serve_trial(
        "apps = secret rest\n[secret]\ncall = where\nroute = /secret\n[rest]\ncall = where",
    );
    for target in [
        "/secret",
        "/secret/x",
        "/%73ecret/x",
        "/%73%65%63%72%65%74",
        "//secret/x",
        "/./secret/x",
        "/a/../secret/x",
        "/a/%2e%2e/secret/x",
        "/secret%2fx",
        "/%2fsecret",
        "/%2e/secret",
        "/secret/a/../../secret/x",
        "http://x/secret",
        "http://x//%73ecret",
        "/secret?x",
        "/secret/../secret",
    ] {
        assert_eq!(seen(&daemon, &[target]), ["secret"], "{target}");
    }
    for target in
        ["/secret%2f..%2fx", "/x/..;/secret", "/x%5c..%5csecret", "/secret%00", "/%", "/%s"]
    {
        assert_eq!(seen(&daemon, &[target]), ["400"], "{target}");
    }
    assert_eq!(seen(&daemon, &["/secret/../x", "/secre", "/secrets", "/Secret"]), ["rest"; 4]);
}

#[test]
fn an_app_sees_the_normal_path_and_what_is_to_be_passed_on() {
    let daemon = serve_trial("apps = a\n[a]\ncall = where\nroute = /api");
    for (target, text) in [
        ("/api/x/../%79%2Fz//", "a /api /api/y/z/ /y/z/ /api/%79%2Fz// /%79%2Fz// 0"),
        ("//api?q=/../", "a /api /api  //api  0"),
    ] {
        assert_eq!(get(&daemon, target).text(), text, "{target}");
    }
}

#[test]
fn an_app_with_hosts_gets_their_requests() {
    let daemon = serve_trial(
        "apps = a b c\n[a]\ncall = where\nhost = example.com [::1]\n[b]\ncall = where\n\
         host = *.example.com\nroute = /b\n[c]\ncall = where\nroute = /b /c",
    );
    for (head, name) in [
        ("GET /b HTTP/1.1\r\nHost: example.com", "200 a"),
        ("GET /b HTTP/1.1\r\nHost: Example.COM.:8080", "200 a"),
        ("GET /b HTTP/1.1\r\nHost: [0::1]:80", "200 a"),
        ("GET /b HTTP/1.1\r\nHost: www.example.com", "200 b"),
        ("GET /c HTTP/1.1\r\nHost: www.example.com", "200 c"),
        ("GET /b HTTP/1.1\r\nHost: a.b.example.com", "200 b"),
        ("GET /b HTTP/1.1\r\nHost: other.com", "200 c"),
        ("GET /b HTTP/1.0\r\nX: y", "200 c"),
        ("GET / HTTP/1.1\r\nHost: notexample.com", "404 404"),
        // The target's own host counts.
        ("GET http://example.com/b HTTP/1.1\r\nHost: other.com", "200 a"),
        ("GET http://other.com/b HTTP/1.1\r\nHost: example.com", "200 c"),
        ("OPTIONS * HTTP/1.1\r\nHost: example.com", "200 a"),
        ("OPTIONS * HTTP/1.1\r\nHost: other.com", "404 404"),
        ("CONNECT example.com:80 HTTP/1.1\r\nHost: example.com", "501 501"),
    ] {
        let answer = asked(&daemon, head);
        assert!(answer.starts_with(name), "{head}: {answer}");
    }
}

#[test]
fn nobody_answers_for_hosts_that_no_app_is_for() {
    let daemon = serve_trial("apps = a\n[a]\ncall = where\nhost = example.com *.example.com");
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: www.example.com", "200 a"),
        ("GET / HTTP/1.1\r\nHost: other.com", "404 404"),
        ("GET / HTTP/1.1\r\nHost: [::1]", "404 404"),
        ("GET / HTTP/1.1\r\nHost:", "404 404"),
        ("GET / HTTP/1.0\r\nX: y", "404 404"),
    ] {
        let answer = asked(&daemon, head);
        assert!(answer.starts_with(status), "{head}: {answer}");
    }
}

#[test]
fn an_app_may_have_a_body_limit_of_its_own() {
    let daemon = serve_trial(
        "apps = large small plain\nbody_limit = 1000\n[large]\ncall = where\nroute = /large\nbody_limit = 2000\n\
         [small]\ncall = where\nroute = /small\nbody_limit = 100\n[plain]\ncall = where",
    );
    for (path, limit) in [("/large", 2000), ("/small", 100), ("/plain", 1000)] {
        for (length, status) in [(limit, 200), (limit + 1, 413)] {
            let mut client = daemon.client();
            let body = "x".repeat(length);
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            ));
            client.try_send(&body);
            let response = client.response();
            assert_eq!(response.status, status, "{path} {length}");
            if status == 413 {
                let text =
                    format!("413 Payload Too Large: the body is larger than {limit} bytes\n");
                let known = length > 2000 || response.text() == text;
                assert!(known && response.closes(), "{}", response.text());
            }
            let mut client = daemon.client();
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            ));
            assert_eq!(client.response().status, status, "{path} {length} in chunks");
        }
    }
    // Nobody is asked for what would be refused.
    for path in ["/small", "/plain"] {
        let mut client = daemon.client();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1500\r\nExpect: 100-continue\r\n\r\n"
        ));
        assert_eq!(client.response().status, 413, "{path}");
    }
}

#[test]
fn an_app_may_have_a_body_timeout_of_its_own() {
    let daemon = serve_trial(
        "apps = quick plain\nbody_timeout = 60s\n[quick]\ncall = where\nroute = /quick\n\
         body_timeout = 200ms\nbody_limit = 1K\n[plain]\ncall = where",
    );
    let mut plain = daemon.client();
    plain.send("POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    let mut quick = daemon.client();
    quick.send("POST /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    let begun = std::time::Instant::now();
    assert_eq!(quick.response().status, 408);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(plain.is_open());
    plain.send("hello");
    assert_eq!(plain.response().status, 200);
}
