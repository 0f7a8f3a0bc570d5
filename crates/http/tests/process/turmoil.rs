//! Clients of all kinds at the same time, good and bad: nothing may get stuck or lost.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;

use crate::support::{Client, get, serve_trial};

const CLIENTS: u64 = 8;
const ROUNDS: usize = 60;

/// Whole requests, which get these statuses.
const REQUESTS: [(&str, u16); 8] = [
    ("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200),
    ("POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 404),
    (
        "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        200,
    ),
    ("GET /stream?pieces=20&size=5000 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ("GET /slow?seconds=0.01 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n", 500),
];

/// Requests that are refused, or cut off in the middle, or answered while they still come.
const BAD: [&str; 8] = [
    "garbage\r\n\r\n",
    "GET /echo HT",
    "GET /echo HTTP/1.1\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf",
    "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nsome of it",
    "GET /stream?pieces=5&end=error HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /slow?seconds=9 HTTP/1.1\r\nHost: x\r\n\r\n",
];

fn be_good(client: &mut Client, random: &mut Rng) -> bool {
    let (request, status) = REQUESTS[random.usize(..REQUESTS.len())];
    if random.bool() {
        let at = random.usize(..request.len());
        client.send(&request[..at]);
        std::thread::sleep(Duration::from_millis(random.u64(..30)));
        client.send(&request[at..]);
    } else {
        client.send(request);
    }
    let response = client.response();
    assert_eq!(response.status, status, "{request}");
    !response.closes()
}

fn be_bad(mut client: Client, random: &mut Rng) {
    client.try_send(BAD[random.usize(..BAD.len())]);
    match random.u8(..4) {
        0 => drop(client),
        1 => client.reset(),
        2 => {
            client.half_close();
            client.rest();
        }
        _ => std::thread::sleep(Duration::from_millis(random.u64(..50))),
    }
}

fn behave(address: SocketAddr, seed: u64) {
    let mut random = Rng::with_seed(seed);
    for _ in 0..ROUNDS {
        let mut client = Client::connect(address);
        while random.u8(..4) > 0 {
            // A 404 to a body that came in two pieces may end its connection.
            if !be_good(&mut client, &mut random) {
                client = Client::connect(address);
            }
        }
        if random.u8(..3) == 0 {
            be_bad(client, &mut random);
        }
    }
}

#[test]
fn all_ends_well_and_every_request_is_counted_and_logged_once() {
    let daemon = serve_trial(
        "apps = panic slow stream upload echo stats\nworkers = 2\nlinger_timeout = 100ms\n\
         body_timeout = 300ms\ndrain_timeout = 20s\nlog_level = error",
    );
    let address = daemon.address();
    let clients: Vec<_> =
        (0..CLIENTS).map(|seed| std::thread::spawn(move || behave(address, seed))).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(get(&daemon, "/echo").status, 200);
    let home = daemon.home.clone();
    let log = daemon.access_log();
    daemon.terminate();
    let ended = daemon.ended();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stderr.contains("cutting what is open"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("crates/http/src"), "{}", ended.stderr);

    let lines = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split(' ').collect()).collect();
    assert!(lines.iter().all(|fields| fields.len() == 18));
    let saved: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.counters()).unwrap()).unwrap();
    let total = |name: &str| {
        let values = saved["stats"][name]["values"].as_array().unwrap();
        values.iter().map(|value| value.as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(total("request_count"), lines.len() as u64);
    for class in 2..=5 {
        let logged = lines.iter().filter(|line| line[8].starts_with(&class.to_string())).count();
        assert_eq!(total(&format!("status_{class}xx_count")), logged as u64, "{class}xx");
    }
    let random_txns: std::collections::HashSet<_> = lines.iter().map(|fields| fields[13]).collect();
    assert_eq!(random_txns.len(), lines.len(), "each has an id of its own");
}

/// A few bytes of a request changed, doubled or left out.
fn mutilate(request: &str, random: &mut Rng) -> Vec<u8> {
    let mut bytes = request.as_bytes().to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..bytes.len());
        match random.u8(..4) {
            0 => bytes[at] = random.u8(..),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, random.choice(*b"\r\n :;,0\0\xff/%").unwrap_or(b' ')),
            _ => {
                let end = random.usize(at..=bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

#[test]
fn a_mutilated_request_gets_a_status_or_an_end() {
    let daemon = serve_trial(
        "apps = stream upload echo stats\nlinger_timeout = 50ms\nhead_timeout = 2s\nbody_timeout = 2s",
    );
    let mut random = Rng::with_seed(1);
    for _ in 0..1000 {
        let (request, _) = REQUESTS[random.usize(..6)];
        let bytes = mutilate(request, &mut random);
        let mut client = daemon.client();
        client.try_send(&bytes);
        client.half_close();
        let answer = client.rest();
        let shown = String::from_utf8_lossy(&bytes);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{shown}");
    }
    assert_eq!(get(&daemon, "/echo").status, 200);
    assert!(!daemon.log().contains("bug"), "{}", daemon.log());
    let lines = daemon.access_lines(1);
    assert!(lines.iter().all(|line| line.split(' ').count() == 18));
}
