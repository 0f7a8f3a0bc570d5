//! Several upstreams of a proxy, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::proxy::{seen, text};
use crate::support::{Client, Home, Upstream, eventually, get, nobody, serve};

#[test]
fn requests_are_spread() {
    let upstreams = [(); 3].map(|()| Upstream::showing());
    let list = upstreams.each_ref().map(|upstream| upstream.address().to_string()).join(" ");
    for balance in ["round-robin", "least-connections"] {
        let daemon = serve(&format!(
            "apps = proxy\n[proxy]\ncall = proxy\nupstream = {list}\nforward_host = upstream\nbalance = {balance}"
        ));
        let mut hosts = BTreeMap::new();
        let mut client = daemon.client();
        for _ in 0..30 {
            let response = client.get("/");
            *hosts.entry(seen(text(&response), "Host")[0].to_owned()).or_insert(0) += 1;
        }
        assert_eq!(hosts.len(), 3, "{hosts:?}");
        assert!(hosts.values().all(|count| *count == 10), "{balance} {hosts:?}");
    }
}

#[test]
fn one_that_is_down_is_left_out() {
    let (one, (_held, down)) = (Upstream::showing(), nobody());
    let daemon = serve(&format!(
        "apps = stats proxy\n[proxy]\ncall = proxy\nupstream = {down} {}\nfail_timeout = 1min",
        one.address()
    ));
    for _ in 0..40 {
        assert_eq!(get(&daemon, "/").status, 200);
    }
    daemon.logs("upstream fails and rests");
    assert_eq!(daemon.stats()["wsgi"]["proxy.retries"], 3);
    assert_eq!(daemon.log().matches("upstream fails and rests").count(), 1);
}

#[test]
fn connections_that_the_upstream_closes_at_random_cost_nothing() {
    let upstream = Upstream::new(|client, number| {
        for served in 0.. {
            if client.request().is_none() {
                return;
            }
            // The request that comes after some are answered finds nobody.
            if served == 1 + number % 7 {
                return;
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            if number % 5 == 4 {
                return;
            }
        }
    });
    let daemon = serve(&upstream.behind(""));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = daemon.client();
            std::thread::spawn(move || {
                for _ in 0..200 {
                    let response = client.get("/");
                    assert_eq!((response.status, response.text()), (200, "ok"));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(upstream.connections() > 100);
    assert!(!daemon.log().contains("rests"), "{}", daemon.log());
}

#[test]
fn an_upstream_that_is_killed_and_comes_back_is_soon_served_again() {
    let back = Home::new("apps = echo").shared();
    let upstream = back.start();
    let daemon =
        serve(&format!("apps = stats proxy\n[proxy]\ncall = proxy\nupstream = {}", back.address()));
    let stop = Arc::new(AtomicBool::new(false));
    let served: Arc<[AtomicUsize; 4]> = Arc::default();
    let clients: Vec<_> = (0..served.len())
        .map(|index| {
            let (stop, served, address) = (stop.clone(), served.clone(), daemon.address());
            std::thread::spawn(move || {
                let mut statuses = BTreeSet::new();
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    let status = client.get("/echo").status;
                    statuses.insert(status);
                    served[index].fetch_add(usize::from(status == 200), Ordering::Relaxed);
                }
                statuses
            })
        })
        .collect();
    let all_are_served = || {
        let before: Vec<_> = served.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let more = |(count, before): (&AtomicUsize, _)| count.load(Ordering::Relaxed) > before + 10;
        eventually("answers", || served.iter().zip(before.iter().copied()).all(more).then_some(()));
    };
    all_are_served();
    // The socket is systemd's: what waits there while nobody serves is served by the next one.
    upstream.kill();
    std::thread::sleep(Duration::from_millis(500));
    let _upstream = back.start();
    let start = std::time::Instant::now();
    eventually("an answer", || (get(&daemon, "/echo").status == 200).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(8));
    all_are_served();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let statuses = client.join().unwrap();
        assert!(statuses.iter().all(|status| [200, 502, 503].contains(status)), "{statuses:?}");
    }
}

#[test]
fn a_name_and_a_unix_socket_are_upstreams_too() {
    let upstream = Upstream::showing();
    let port = upstream.address().port();
    let daemon = serve(&format!(
        "apps = proxy\n[proxy]\ncall = proxy\nupstream = http://localhost:{port}\nforward_host = upstream"
    ));
    assert_eq!(seen(text(&get(&daemon, "/")), "Host"), [format!("localhost:{port}")]);
    let home = Home::new("apps = proxy");
    let path = home.path("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix");
        }
    });
    home.configure(&format!(
        "apps = proxy\n[proxy]\ncall = proxy\nupstream = unix:{}",
        path.display()
    ));
    let daemon = home.shared().start();
    assert_eq!(get(&daemon, "/").text(), "unix");
    assert_eq!(get(&daemon, "/").text(), "unix");
}
