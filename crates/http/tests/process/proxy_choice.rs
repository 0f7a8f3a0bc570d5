//! Which of several upstreams gets a request, and which of those that failed gets another.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::support::{Upstream, eventually, get, nobody, post, serve};

/// A section `proxy` in front of these, with these keys.
fn before(upstreams: &[SocketAddr], keys: &str) -> String {
    let list: Vec<_> = upstreams.iter().map(SocketAddr::to_string).collect();
    format!("apps = stats proxy\n[proxy]\ncall = proxy\nupstream = {}\n{keys}", list.join(" "))
}

fn saying(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into()
}

/// An address where no connection is made and none refused: the queue is full, and stays so as long
/// as what comes with it is held.
fn full() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
    let (family, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
    let socket: OwnedFd =
        rustix::net::socket_with(family, SocketType::STREAM, flags, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let moment = Duration::from_millis(200);
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, moment) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue never fills");
    }
    (listener, queued, address)
}

#[test]
fn a_connection_that_is_not_made_in_time_is_504() {
    let (_listener, _queued, address) = full();
    let daemon = serve(&before(&[address], "connect_timeout = 300ms"));
    let start = Instant::now();
    assert_eq!(get(&daemon, "/").status, 504);
    assert!((Duration::from_millis(250)..Duration::from_secs(4)).contains(&start.elapsed()));
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["proxy.timeouts"], 1);
    assert!(stats["wsgi"]["proxy.retries"].is_null(), "{stats}");
    assert!(daemon.logs("request failed").contains(&address.to_string()));
}

#[test]
fn where_all_rest_one_request_at_a_time_tries_and_the_others_are_503() {
    let (_listener, _queued, address) = full();
    let keys = "connect_timeout = 1s\nmax_fails = 1\nfail_timeout = 1min";
    let daemon = serve(&before(&[address], keys));
    assert_eq!(get(&daemon, "/").status, 504);
    daemon.logs("upstream fails and rests");
    let mut clients = [(); 4].map(|()| daemon.client());
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let mut statuses = clients.map(|mut client| client.response().status);
    statuses.sort_unstable();
    assert_eq!(statuses, [503, 503, 503, 504]);
    assert_eq!(daemon.stats()["wsgi"]["proxy.unavailable"], 3);
}

#[test]
fn what_was_never_sent_goes_to_another_upstream_whatever_it_is() {
    let upstream = Upstream::new(|client, _| {
        while client.request().is_some() {
            let body = String::from_utf8(client.take(5)).unwrap();
            client.send(saying(&body));
        }
    });
    let (_held, down) = nobody();
    let daemon = serve(&before(&[down, upstream.address()], "max_fails = 0"));
    for _ in 0..6 {
        let response = post(&daemon, "/", b"12345");
        assert_eq!((response.status, response.text()), (200, "12345"));
    }
    assert!(daemon.stats()["wsgi"]["proxy.retries"].as_u64() >= Some(3));
    let (_listener, _queued, slow) = full();
    let keys = "max_fails = 0\nconnect_timeout = 200ms";
    let daemon = serve(&before(&[slow, upstream.address()], keys));
    for _ in 0..2 {
        assert_eq!(post(&daemon, "/", b"12345").text(), "12345");
    }
    assert!(daemon.stats()["wsgi"]["proxy.retries"].as_u64() >= Some(1));
}

/// One that takes its first request and says nothing, and later ones as the other; with what they have
/// heard.
fn one_of_two_loses_a_request() -> ([Upstream; 2], Arc<AtomicUsize>) {
    let (heard, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let upstreams = [(); 2].map(|()| {
        let (heard, lost) = (heard.clone(), lost.clone());
        Upstream::new(move |client, _| {
            while client.request().is_some() {
                heard.fetch_add(1, Ordering::SeqCst);
                // Whoever hears the first one loses it.
                if !lost.swap(true, Ordering::SeqCst) {
                    return;
                }
                client.send(saying("ok"));
            }
        })
    });
    (upstreams, heard)
}

#[test]
fn what_was_lost_goes_to_another_upstream_only_where_it_may_be_repeated() {
    for (head, status, times) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, 2),
        ("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200, 2),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 200, 2),
        // Its body is gone.
        ("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 502, 1),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 502, 1),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 502, 1),
        ("PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 502, 1),
    ] {
        let (upstreams, heard) = one_of_two_loses_a_request();
        let addresses = upstreams.each_ref().map(Upstream::address);
        let daemon = serve(&before(&addresses, "max_fails = 0"));
        let mut client = daemon.client();
        client.send(head);
        assert_eq!(client.response().status, status, "{head}");
        assert_eq!(heard.load(Ordering::SeqCst) as u64, times, "{head}");
        let reached = upstreams.each_ref().map(Upstream::connections);
        assert!(reached.iter().all(|count| *count <= 1), "{head} {reached:?}");
        let retries = daemon.stats()["wsgi"]["proxy.retries"].as_u64().unwrap_or(0);
        assert_eq!(retries, times - 1, "{head}");
    }
}

#[test]
fn one_that_fails_rests_for_its_time_and_comes_back() {
    const REST: Duration = Duration::from_secs(2);
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    let one = Upstream::new(move |client, _| {
        while client.request().is_some() && !failing.load(Ordering::SeqCst) {
            client.send(saying("one"));
        }
    });
    let two = Upstream::saying(saying("two"));
    let addresses = [one.address(), two.address()];
    let daemon = serve(&before(&addresses, "max_fails = 1\nfail_timeout = 2s"));
    let start = Instant::now();
    // The first ones find out.
    for _ in 0..2 {
        assert_eq!(get(&daemon, "/").text(), "two");
    }
    daemon.logs("upstream fails and rests");
    assert_eq!(one.connections(), 1);
    fails.store(false, Ordering::SeqCst);
    for _ in 0..20 {
        assert!(get(&daemon, "/").text() == "two" || start.elapsed() >= REST);
    }
    eventually("the one that rested", || (get(&daemon, "/").text() == "one").then_some(()));
    assert!(start.elapsed() >= REST, "{:?}", start.elapsed());
    let log = daemon.logs("upstream answers again");
    assert!(log.contains(&addresses[0].to_string()), "{log}");
    let mut client = daemon.client();
    let both = [(); 2].map(|()| client.get("/").text().to_owned());
    assert!(both.contains(&"one".to_owned()) && both.contains(&"two".to_owned()), "{both:?}");
}

#[test]
fn the_one_with_fewest_requests_gets_the_next() {
    let release = Arc::new(AtomicBool::new(false));
    let upstreams = ["one", "two"].map(|name| {
        let release = release.clone();
        Upstream::new(move |client, _| {
            while let Some(head) = client.request() {
                while head.starts_with("GET /held") && !release.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                client.send(saying(name));
            }
        })
    });
    let addresses = upstreams.each_ref().map(Upstream::address);
    let daemon = serve(&before(&addresses, "balance = least-connections"));
    let mut held = daemon.client();
    held.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the one that is held", || {
        (upstreams.iter().map(Upstream::connections).sum::<usize>() == 1).then_some(())
    });
    let mut client = daemon.client();
    let names: Vec<_> = (0..10).map(|_| client.get("/").text().to_owned()).collect();
    release.store(true, Ordering::SeqCst);
    let busy = held.response();
    let free = if busy.text() == "one" { "two" } else { "one" };
    assert_eq!(names, [free; 10]);
}
