//! The proxy in front of upstreams that behave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Response, Upstream, eventually, get, post, serve};

/// A header of a request as the upstream saw it.
pub(super) fn seen<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

pub(super) fn text(response: &Response) -> &str {
    assert_eq!(response.status, 200, "{}", response.head);
    response.text()
}

#[test]
fn a_request_goes_on_and_its_answer_comes_back() {
    let upstream = Upstream::showing();
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client
        .send("GET /a/b?c=%20d HTTP/1.1\r\nHost: shop.example\r\nX-Own: 1\r\nCookie: a=b\r\n\r\n");
    let response = client.response();
    let head = text(&response);
    assert!(head.starts_with("GET /a/b?c=%20d HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("Host", "shop.example"),
        ("X-Own", "1"),
        ("Cookie", "a=b"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "shop.example"),
    ] {
        assert_eq!(seen(head, name), [value], "{head}");
    }
    assert_eq!(seen(head, "X-Txn")[0].len(), 32);
    for name in ["Content-Length", "Transfer-Encoding", "Connection", "Via", "Forwarded"] {
        assert!(seen(head, name).is_empty(), "{head}");
    }
    let line = &daemon.access_lines(1)[0];
    assert!(line.ends_with(&format!(" upstream:{}", upstream.address())), "{line}");
    assert!(line.contains(seen(head, "X-Txn")[0]), "{line}");
}

#[test]
fn a_connection_to_the_upstream_is_used_again() {
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    for _ in 0..50 {
        assert_eq!(client.get("/").text(), "ok");
    }
    for _ in 0..10 {
        assert_eq!(get(&daemon, "/").text(), "ok");
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(daemon.stats()["wsgi"]["proxy.requests"], 60);
}

#[test]
fn what_is_about_one_hop_stays_there() {
    let upstream = Upstream::new(|client, _| {
        while let Some(head) = client.request() {
            client.send(format!(
                "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 3\r\n\
                 Proxy-Thing: 1\r\nX-Kept: 1\r\nContent-Length: {}\r\n\r\n{head}",
                head.len()
            ));
        }
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Listed, X-Forwarded-For, Host\r\nX-Listed: 1\r\n\
         Keep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\nProxy-Connection: x\r\nProxy: evil\r\nUpgrade: h2c\r\n\
         Proxy-Authorization: x\r\nHTTP2-Settings: x\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n\
         Content_Length: 5\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nKept_name: 1\r\n\r\n",
    );
    let response = client.response();
    let head = text(&response);
    assert_eq!(seen(head, "Host"), ["x"]);
    assert_eq!(seen(head, "X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(seen(head, "Kept_name"), ["1"]);
    assert!(!head.contains("6.6.6.6") && !head.to_ascii_lowercase().contains("proxy"), "{head}");
    for name in [
        "Connection",
        "X-Listed",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "HTTP2-Settings",
        "Content_Length",
    ] {
        assert!(seen(head, name).is_empty(), "{head}");
    }
    for name in ["Connection", "X-Hop", "Keep-Alive", "Proxy-Thing"] {
        assert_eq!(response.header(name), None, "{}", response.head);
    }
    assert_eq!(response.header("X-Kept"), Some("1"));
}

#[test]
fn bodies_keep_their_framing() {
    let upstream = Upstream::new(|client, _| {
        while let Some(head) = client.request() {
            let body = match seen(&head, "content-length").first() {
                Some(length) => client.take(length.parse().unwrap()),
                None => client.chunked(),
            };
            let framing =
                [seen(&head, "content-length"), seen(&head, "transfer-encoding")].concat();
            let text = format!("{} {}", framing.join(" "), String::from_utf8(body).unwrap());
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    });
    let daemon = serve(&upstream.behind(""));
    assert_eq!(post(&daemon, "/", b"12345").text(), "5 12345");
    assert_eq!(post(&daemon, "/", b"").text(), "0 ");
    for method in ["POST", "GET", "PATCH"] {
        let mut client = daemon.client();
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
        ));
        assert_eq!(client.response().text(), "chunked abcde");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn answers_keep_their_framing() {
    let upstream = Upstream::new(|client, _| {
        while let Some(head) = client.request() {
            let answer = match head.split(' ').nth(1).unwrap() {
                "/chunked" => {
                    "200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
                }
                "/head" => "200 OK\r\nContent-Length: 12345\r\n\r\n",
                "/unsized-head" => "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "/204" => "204 No Content\r\nContent-Length: 0\r\n\r\n",
                "/304" => "304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n",
                "/103" => {
                    "103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                }
                "/twice" => "200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
                "/odd" => "299 Odd\r\nContent-Length: 2\r\n\r\nok",
                "/none" => "200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => "404 Not Found\r\nContent-Length: 0\r\n\r\n",
            };
            client.send(format!("HTTP/1.1 {answer}"));
        }
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    let chunked = client.get("/chunked");
    assert_eq!((chunked.text(), chunked.header("transfer-encoding")), ("abcde", Some("chunked")));
    assert_eq!(chunked.header("trailer"), None);
    for (path, length, coding) in [("/head", Some("12345"), None), ("/unsized-head", None, None)] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = client.response_to_head();
        let found = (response.header("content-length"), response.header("transfer-encoding"));
        assert!(found == (length, coding) || found == (None, Some("chunked")), "{}", response.head);
    }
    client.send("GET /204 HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response_to_head();
    assert_eq!((response.status, response.header("content-length")), (204, None));
    client.send("GET /304 HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response_to_head();
    assert_eq!((response.status, response.header("etag")), (304, Some("\"x\"")));
    assert_eq!(client.get("/103").text(), "ok");
    assert_eq!(client.get("/twice").text(), "ok");
    assert_eq!(client.get("/odd").status, 299);
    assert_eq!(client.get("/none").status, 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_absolute_target_is_told_as_path_and_host() {
    let upstream = Upstream::showing();
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    for (target, line) in [
        ("http://right.example:81/p?q", "GET /p?q HTTP/1.1\r\n"),
        ("http://right.example:81", "GET / HTTP/1.1\r\n"),
        ("http://right.example:81?q", "GET /?q HTTP/1.1\r\n"),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: wrong.example\r\n\r\n"));
        let response = client.response();
        let head = text(&response);
        assert!(head.starts_with(line), "{head}");
        assert_eq!(seen(head, "Host"), ["right.example:81"]);
    }
    client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(text(&client.response()).starts_with("OPTIONS * HTTP/1.1\r\n"));
    for bad in ["a b", "a/b", "u@a", "a\"b", "a?b"] {
        let mut client = daemon.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n"));
        assert_eq!(client.response().status, 400, "{bad}");
    }
}

#[test]
fn the_host_may_be_the_upstreams_or_any_other() {
    let upstream = Upstream::showing();
    let daemon = serve(&upstream.behind("forward_host = upstream"));
    let own = upstream.address().to_string();
    assert_eq!(seen(text(&get(&daemon, "/")), "Host"), [own]);
    let daemon = serve(&upstream.behind("forward_host = other.example:90"));
    assert_eq!(seen(text(&get(&daemon, "/")), "Host"), ["other.example:90"]);
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(seen(text(&response), "Host"), [upstream.address().to_string()]);
    assert!(text(&response).starts_with("GET / HTTP/1.1\r\n"));
}

#[test]
fn the_prefix_of_a_route_can_be_cut_off() {
    let upstream = Upstream::showing();
    let first_line = |daemon: &crate::support::Daemon, target: &str| {
        text(&get(daemon, target)).lines().next().unwrap().to_owned()
    };
    let daemon = serve(&upstream.behind("route = /shop/\nstrip_prefix = yes"));
    for (target, line) in [
        ("/shop/", "GET / HTTP/1.1"),
        ("/shop/a%2Fb?c=d", "GET /a%2Fb?c=d HTTP/1.1"),
        ("/sh%6Fp/a/../b", "GET /b HTTP/1.1"),
        ("/shop//evil.example/x", "GET /evil.example/x HTTP/1.1"),
        ("/shop/%2Fevil.example/x", "GET /evil.example/x HTTP/1.1"),
    ] {
        assert_eq!(first_line(&daemon, target), line, "{target}");
    }
    assert_eq!(get(&daemon, "/shopping").status, 404);
    let daemon = serve(&upstream.behind("route = /shop"));
    assert_eq!(first_line(&daemon, "/shop/a/./b"), "GET /shop/a/b HTTP/1.1");
}

#[test]
fn forwarded_in_every_way() {
    let upstream = Upstream::showing();
    let trusted = "trusted_proxies = 127.0.0.0/8\n";
    let ask = |keys: &str, before: &str| {
        let daemon = serve(&format!("{before}{}", upstream.behind(keys)));
        let mut client = daemon.client();
        client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n");
        text(&client.response()).to_owned()
    };
    let head = ask("forwarded = forwarded\nvia = yes", "");
    assert_eq!(seen(&head, "Forwarded"), ["for=127.0.0.1;host=x;proto=http"]);
    assert_eq!((seen(&head, "X-Forwarded-For").len(), seen(&head, "Via")), (0, vec!["1.1 brim"]));
    let head = ask("forwarded = both", trusted);
    assert_eq!(seen(&head, "Forwarded"), ["for=1.1.1.1, for=127.0.0.1;host=x;proto=http"]);
    assert_eq!(seen(&head, "X-Forwarded-For"), ["1.1.1.1, 127.0.0.1"]);
    assert_eq!(seen(&head, "X-Forwarded-Proto"), ["https"]);
    let head = ask("forwarded = none", "");
    assert!(!head.to_ascii_lowercase().contains("forwarded"), "{head}");
}

#[test]
fn large_bodies_go_both_ways_whole() {
    let back = serve("apps = echo\nbody_limit = 20M\n[echo]\ncall = echo\nmax_echo = 20M");
    let daemon = serve(&format!(
        "apps = proxy\nbody_limit = 20M\n[proxy]\ncall = proxy\nupstream = {}",
        back.address()
    ));
    let body: Vec<u8> = (0..10_000_000_u32).map(|number| (number % 251) as u8).collect();
    for _ in 0..2 {
        let response = post(&daemon, "/echo", &body);
        assert_eq!(response.status, 200);
        assert!(response.body == body);
    }
    assert_eq!(post(&daemon, "/echo", &vec![0; 20 * 1024 * 1024 + 1]).status, 413);
}

#[test]
fn a_client_that_takes_nothing_holds_up_the_upstream() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let upstream = Upstream::new(move |client, _| {
        client.request();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
        while client.try_send([b'x'; 65536]) {
            counted.fetch_add(65536, Ordering::SeqCst);
        }
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut last = usize::MAX;
    eventually("the upstream's standstill", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = sent.load(Ordering::SeqCst);
        let still = now > 0 && now == last;
        last = now;
        still.then_some(())
    });
    assert!(last < 30_000_000, "{last}");
    drop(client);
    let line = &daemon.access_lines(1)[0];
    assert!(line.contains(" disconnect "), "{line}");
}

#[test]
fn a_client_that_waits_for_a_100_gets_it() {
    let back = serve("apps = echo");
    let daemon =
        serve(&format!("apps = proxy\n[proxy]\ncall = proxy\nupstream = {}", back.address()));
    let mut client = daemon.client();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 100"));
    client.send("body");
    assert_eq!(client.response().text(), "body");
}

#[test]
fn an_early_answer_comes_while_the_client_still_sends() {
    let upstream = Upstream::new(|client, _| {
        client.request();
        client.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n");
        client.rest();
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.text(), response.closes()), (413, "no\n", true));
}

#[test]
fn both_sides_may_speak_at_once() {
    let upstream = Upstream::new(|client, _| {
        client.request();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..10 {
            let piece = client.take(4);
            client.send(format!("4\r\n{}\r\n", String::from_utf8(piece).unwrap()));
        }
        client.send("0\r\n\r\n");
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n");
    client.send("0000");
    client.head();
    for number in 1..10 {
        client.send(format!("{number}").repeat(4));
        let chunk = client.take(9);
        assert!(chunk.starts_with(b"4\r\n"), "{chunk:?}");
    }
    assert_eq!(client.take(9), b"4\r\n9999\r\n");
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let (left, is_left) = std::sync::mpsc::channel();
    let upstream = Upstream::new(move |client, _| {
        client.request();
        client.rest();
        left.send(()).unwrap();
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the request", || (upstream.connections() == 1).then_some(()));
    client.reset();
    is_left.recv_timeout(crate::support::PATIENCE).unwrap();
    assert!(daemon.access_lines(1)[0].contains(" 499 "));
}
