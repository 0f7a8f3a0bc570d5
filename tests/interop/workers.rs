//! Several handlers of one section: that share, that hang, that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::Client;
use crate::server::{BOTH, Section, Server};
use crate::setup::{Setup, eventually, until_answered};

fn worker(client: &mut Client, section: &str) -> String {
    let answer = client.get(&format!("/{section}/echo"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["worker"].as_str().expect("a name").to_owned()
}

pub(crate) fn share(setup: &Setup) {
    setup.each(|server, section| {
        let others = ["two", "three"].map(|name| setup.handler(server, section, name, &[]));
        let mut clients: Vec<_> = (0..6).map(|_| server.client()).collect();
        let mut seen = BTreeSet::new();
        eventually("all three answer", || {
            // At once, so that none is always the first that is free.
            for client in &mut clients {
                client.ask(&format!("GET /{section}/echo"), "", b"");
            }
            for client in &mut clients {
                let worker = client.answer().json()["worker"].clone();
                seen.insert(worker.as_str().expect("a name").to_owned());
            }
            seen.len() == 3
        });
        drop(others);
    });
}

pub(crate) fn heartbeats(setup: &Setup) {
    let server = Server::start(setup.kind, &BOTH, false);
    for section in BOTH {
        let handler = setup.handler(&server, section.name, "beating", &["50"]);
        until_answered(&server, section.name);
        let mut client = server.client();
        // Many of them between two requests, and the connections stay.
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(400));
            assert_eq!(worker(&mut client, section.name), "beating");
        }
        drop(handler);
    }
}

pub(crate) fn none(setup: &Setup) {
    let server = Server::start(setup.kind, &BOTH, false);
    for section in BOTH {
        let mut client = server.client();
        let start = Instant::now();
        let answer = client.get(&format!("/{}/echo", section.name));
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "not at once");
    }
}

/// What became of requests, by status; and the longest wait.
#[derive(Debug, Default)]
struct Load {
    answers: BTreeMap<u16, usize>,
    longest: Duration,
}

/// Eight clients, one request after the other, while `meanwhile` goes on; bodies are compared.
fn load(server: &Server, section: &str, meanwhile: impl FnOnce()) -> Load {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = |number: usize| {
            let is_over = &is_over;
            move || {
                let mut load = Load::default();
                let mut client = server.client();
                let path = format!("/{section}/same");
                for count in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let (nonce, start) = (format!("{number} {count}"), Instant::now());
                    let answer = client.post(&path, nonce.as_bytes());
                    load.longest = load.longest.max(start.elapsed());
                    *load.answers.entry(answer.status).or_default() += 1;
                    if answer.status == 200 {
                        assert_eq!(answer.text(), nonce, "somebody else's answer");
                    }
                    if answer.header("connection").is_some_and(|value| value.contains("close")) {
                        client = server.client();
                    }
                }
                load
            }
        };
        let clients: Vec<_> = (0..8).map(|number| scope.spawn(client(number))).collect();
        meanwhile();
        is_over.store(true, Ordering::Relaxed);
        let mut whole = Load::default();
        for client in clients {
            let load = client.join().expect("a client without trouble");
            whole.longest = whole.longest.max(load.longest);
            for (status, count) in load.answers {
                *whole.answers.entry(status).or_default() += count;
            }
        }
        whole
    })
}

pub(crate) fn one_hangs(setup: &Setup) {
    let keys = "handler_timeout = 1s\n";
    let section = Section { name: "json", protocol: "json", is_ipc: false, keys };
    let server = Server::start(setup.kind, &[section], false);
    let hangs = setup.handler(&server, "json", "hangs", &[]);
    until_answered(&server, "json");
    let serves = setup.handler(&server, "json", "serves", &[]);
    let mut client = server.client();
    eventually("both answer", || worker(&mut client, "json") == "serves");
    let seen = load(&server, "json", || {
        std::thread::sleep(Duration::from_millis(500));
        hangs.signal(Signal::STOP);
        std::thread::sleep(Duration::from_secs(4));
    });
    println!("{seen:?}");
    let count = |status| seen.answers.get(&status).copied().unwrap_or_default();
    assert_eq!(count(200) + count(504), seen.answers.values().sum::<usize>(), "{seen:?}");
    // Each client may have met it; then it has more outstanding than the other one, and gets nothing.
    assert!((1..=16).contains(&count(504)), "{seen:?}");
    assert!(seen.longest < Duration::from_secs(10), "{seen:?}");
    let mut client = server.client();
    assert_eq!(worker(&mut client, "json"), "serves");
    hangs.signal(Signal::CONT);
    drop(serves);
}

pub(crate) fn come_and_go(setup: &Setup) {
    let server = Server::start(setup.kind, &BOTH, false);
    for section in BOTH {
        let stays = setup.handler(&server, section.name, "stays", &[]);
        until_answered(&server, section.name);
        let seen = load(&server, section.name, || {
            for _ in 0..4 {
                let guest = setup.handler(&server, section.name, "guest", &[]);
                let mut client = server.client();
                eventually("the guest answers", || {
                    let answer = client.get(&format!("/{}/echo", section.name));
                    answer.status == 200 && answer.json()["worker"] == "guest"
                });
                drop(guest);
            }
        });
        println!("{seen:?}");
        // What the guest had when it was killed is 502, at most one for each client.
        let lost = seen.answers.get(&502).copied().unwrap_or_default();
        let fine = seen.answers.get(&200).copied().unwrap_or_default();
        assert_eq!(fine + lost, seen.answers.values().sum::<usize>(), "{seen:?}");
        assert!(lost <= 4 * 8 && fine > 100, "{seen:?}");
        drop(stays);
    }
}

pub(crate) fn gateway_is_killed(setup: &Setup) {
    const TIMES: usize = 5;
    let server = Server::start(setup.kind, &BOTH, false);
    for section in BOTH {
        let handler = setup.handler(&server, section.name, "one", &[]);
        until_answered(&server, section.name);
        let mut again = Vec::new();
        let seen = load(&server, section.name, || {
            for _ in 0..TIMES {
                std::thread::sleep(Duration::from_millis(300));
                let killed = Instant::now();
                server.replace_gateway(Signal::KILL);
                until_answered(&server, section.name);
                again.push(killed.elapsed());
            }
        });
        println!("served again after {again:?}; {seen:?}");
        let count = |status| seen.answers.get(&status).copied().unwrap_or_default();
        // 502 what it had, at most one for each client; 503 until the handlers are back.
        assert_eq!(
            count(200) + count(502) + count(503),
            seen.answers.values().sum::<usize>(),
            "{seen:?}"
        );
        assert!(count(502) <= TIMES * 8 && count(200) > 100, "{seen:?}");
        assert!(seen.longest < Duration::from_secs(10), "{seen:?}");
        drop(handler);
    }
}

pub(crate) fn gateway_is_restarted(setup: &Setup) {
    // Until the handlers are back, requests wait.
    let keys = "handler_wait = 10s\ngateway_wait = 10s\n";
    let section = Section { name: "json", protocol: "json", is_ipc: false, keys };
    let server = Server::start(setup.kind, &[section], false);
    let handler = setup.handler(&server, "json", "one", &[]);
    until_answered(&server, "json");
    let mut took = Vec::new();
    let seen = load(&server, "json", || {
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(300));
            let start = Instant::now();
            server.replace_gateway(Signal::TERM);
            until_answered(&server, "json");
            took.push(start.elapsed());
        }
    });
    println!("restarted in {took:?}; {seen:?}");
    assert_eq!(seen.answers.keys().collect::<Vec<_>>(), [&200], "{seen:?}");
    drop(handler);
}
