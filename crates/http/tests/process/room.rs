//! How many connections there may be, and who gets them.

use std::time::Duration;

use crate::support::{Authority, Client, Home, curl_tls, eventually, get, serve, serve_tls};

#[test]
fn one_more_than_concurrent_per_worker_waits_and_is_served_when_another_leaves() {
    let daemon = serve("apps = echo\nworkers = 2\nconcurrent_per_worker = 3");
    let mut open: Vec<Client> = (0..6).map(|_| daemon.client()).collect();
    for client in &mut open {
        assert_eq!(client.get("/echo").status, 200);
    }
    let mut waiting = daemon.client();
    waiting.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    // All six are served while the seventh waits; it is neither refused nor reset.
    for client in &mut open {
        assert_eq!(client.get("/echo").status, 200);
    }
    assert!(waiting.is_open());
    drop(open.pop());
    assert_eq!(waiting.response().status, 200);
    assert_eq!(waiting.get("/echo").status, 200);
}

#[test]
fn many_that_wait_all_have_their_turn() {
    let daemon = serve("apps = echo\nworkers = 1\nconcurrent_per_worker = 2");
    let address = daemon.address();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                assert_eq!(client.get("/echo").status, 200);
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_hundred_connections_are_shared_evenly_by_the_workers() {
    let daemon = serve("apps = echo stats\nworkers = 3");
    let open: Vec<Client> = (0..99).map(|_| daemon.client()).collect();
    let counts = eventually("99 connections", || {
        let stats = daemon.stats();
        let count = |worker: &str| stats["wsgi"][worker]["connection_count"].as_u64().unwrap_or(0);
        let counts = ["0", "1", "2"].map(count);
        (counts.iter().sum::<u64>() >= 99).then_some(counts)
    });
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 1, "{counts:?}");
    drop(open);
    assert_eq!(get(&daemon, "/echo").status, 200);
}

#[test]
fn one_more_than_connections_per_client_is_told_and_takes_nobody_s_place() {
    let daemon = serve("apps = echo\nconnections_per_client = 3\nconcurrent_per_worker = 4");
    let mut open: Vec<Client> = (0..3).map(|_| daemon.client()).collect();
    for client in &mut open {
        assert_eq!(client.get("/echo").status, 200);
    }
    for _ in 0..20 {
        let refused = get(&daemon, "/echo");
        assert_eq!((refused.status, refused.closes()), (429, true));
        assert!(refused.text().contains("too many connections"), "{}", refused.text());
    }
    let line = daemon.access_lines(23).pop().unwrap();
    assert_eq!(line.split(' ').nth(8), Some("429"), "{line}");
    daemon.logs("a client is at its connections_per_client");
    for client in &mut open {
        assert_eq!(client.get("/echo").status, 200);
    }
    drop(open.pop());
    eventually("room for one", || (get(&daemon, "/echo").status == 200).then_some(()));
    // The limit goes with a reload, and what is open counts.
    let keys = "apps = echo\nconcurrent_per_worker = 4\nconnections_per_client = ";
    daemon.home.configure(&format!("{keys}2"));
    daemon.reload();
    assert_eq!(get(&daemon, "/echo").status, 429);
    daemon.home.configure(&format!("{keys}2\ntrusted_proxies = 127.0.0.1"));
    daemon.reload();
    assert_eq!(get(&daemon, "/echo").status, 200);
    daemon.home.configure(&format!("{keys}0"));
    daemon.reload();
    assert_eq!(get(&daemon, "/echo").status, 200);
}

#[test]
fn over_tls_one_more_is_closed_without_a_word() {
    let daemon = serve_tls("apps = echo\nconnections_per_client = 1", &Authority::new());
    let only = daemon.client();
    for _ in 0..3 {
        assert_eq!(daemon.client().rest(), b"");
    }
    let line = daemon.access_lines(3).pop().unwrap();
    assert_eq!(line.split(' ').nth(8), Some("429"), "{line}");
    drop(only);
    eventually("room for one", || curl_tls(&daemon, "/echo", &[]).0.then_some(()));
}

#[test]
fn a_refused_client_that_says_nothing_keeps_nobody_waiting() {
    let daemon = serve("apps = echo\nconnections_per_client = 1");
    let mut only = daemon.client();
    assert_eq!(only.get("/echo").status, 200);
    let mut silent: Vec<Client> = (0..300).map(|_| daemon.client()).collect();
    assert_eq!(only.get("/echo").status, 200);
    // Those who cannot be told at once are closed; the others hear it after a moment of silence.
    let told = silent.iter_mut().map(Client::rest).filter(|answer| !answer.is_empty()).count();
    assert!((1..=300).contains(&told), "{told}");
    assert_eq!(only.get("/echo").status, 200);
}

#[test]
fn keepalive_is_as_configured() {
    for (keys, expected) in [("apps = echo", true), ("apps = echo\nkeepalive = no", false)] {
        let daemon = serve(keys);
        let listener = &daemon.home.listener;
        let keepalive = rustix::net::sockopt::socket_keepalive(listener).unwrap();
        assert_eq!(keepalive, expected, "{keys}");
    }
}

#[test]
fn without_descriptors_it_waits_without_spinning_and_recovers() {
    let daemon = Home::new("apps = echo stats").descriptors(40).shared().start();
    let mut crowd: Vec<Client> = (0..100).map(|_| daemon.client()).collect();
    let mut served = 0;
    while crowd[served].is_served() {
        served += 1;
    }
    assert!((10..40).contains(&served), "{served}");
    daemon.logs("warning: cannot accept for now");
    let before = daemon.processor_time();
    std::thread::sleep(Duration::from_millis(500));
    let used = daemon.processor_time() - before;
    assert!(used < Duration::from_millis(200), "{used:?}");
    // The others' turn comes when there are descriptors again.
    let rest = crowd.split_off(served);
    drop(crowd);
    for client in rest.into_iter().rev().take(5) {
        drop(client);
    }
    assert_eq!(get(&daemon, "/echo").status, 200);
}
