//! Clients that send too much or too slowly, and those that send a lot to somebody who refuses it.

use std::fs::File;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::client::{self, Client};
use crate::host;
use crate::machine::{self, Machine};
use crate::trial;

/// Times that are short enough for a test.
const CONFIG: &str = "[wsgi]\nport = 8901\napps = echo stats\nbody_limit = 1M\nhead_timeout = 2s\n\
                      idle_timeout = 2s\nbody_timeout = 2s\nbody_min_rate = 64K\n";
/// What a test allows beyond a configured time.
const SLACK: Duration = Duration::from_secs(3);
/// The size of an upload that is refused.
const UPLOAD: u64 = 20 * 1024 * 1024;

/// Python's client, as a program would use it.
const PYTHON: &str = "
import http.client, sys
connection = http.client.HTTPConnection('127.0.0.1', 8901, timeout=60)
with open(sys.argv[2], 'rb') as body:
    connection.request('POST', sys.argv[1], body=body.read())
response = connection.getresponse()
print(response.status, len(response.read()))
";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("limits::what_is_too_large_gets_its_status", too_large),
        trial("limits::what_is_too_slow_gets_408_in_time", too_slow),
        trial("limits::a_large_upload_sees_its_refusal", upload),
    ]
}

fn serve() -> machine::SharedMachine {
    let machine = machine::shared();
    machine.write("/etc/brim/brim.conf.d/10-limits.conf", CONFIG);
    machine.sh_ok("systemctl daemon-reload; systemctl start brim@wsgi");
    machine
}

/// Sends a request's head and reads the answer.
fn head(lines: &str) -> client::Response {
    let request = format!("{lines}\r\n");
    Client::connect(8901).expect("a connection").exchange(request.as_bytes()).expect("an answer")
}

fn too_large() {
    let machine = serve();
    let header = format!("X-Large: {}\r\n", "x".repeat(1024));
    let started = Instant::now();
    for (what, lines, status) in [
        (
            "40 headers of 1 KiB",
            format!("GET /echo HTTP/1.1\r\nHost: x\r\n{}", header.repeat(40)),
            431,
        ),
        ("101 headers", format!("GET /echo HTTP/1.1\r\n{}", "Host: x\r\n".repeat(101)), 431),
        ("a long target", format!("GET /{} HTTP/1.1\r\nHost: x\r\n", "x".repeat(9000)), 414),
        (
            "a body over the limit",
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n".into(),
            413,
        ),
        (
            "an impossible length",
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n".into(),
            400,
        ),
    ] {
        let answer = head(&lines);
        assert_eq!(answer.status, status, "{what}: {}", answer.head);
        assert!(!answer.body.is_empty(), "{what}: without a word");
    }
    assert!(started.elapsed() < SLACK, "it took {:?}", started.elapsed());
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    assert_eq!(machine.property("brim@wsgi", "NRestarts"), "0");
}

fn too_slow() {
    let _machine = serve();
    // A byte a second: of the head, and of the body.
    let begun = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    for (what, at_once, limit) in [("head", "", 2), ("body", begun, 2)] {
        let started = Instant::now();
        let mut client = Client::connect(8901).expect("a connection");
        client.send(at_once.as_bytes()).expect("sent");
        let answer = drip(&mut client, "GET /echo HTTP/1.1\r\n");
        let took = started.elapsed();
        println!("a {what} of a byte a second: {} after {took:?}", answer.status);
        assert_eq!(answer.status, 408, "{what}: {}", answer.head);
        let limit = Duration::from_secs(limit);
        assert!((limit..limit + SLACK).contains(&took), "{what}: after {took:?}");
        assert!(client.is_closed(), "{what}: the connection goes on");
    }
    // One who says nothing at all is let go without a word.
    let started = Instant::now();
    assert!(Client::connect(8901).expect("a connection").is_closed());
    assert!(started.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", started.elapsed());
}

/// Sends a byte a second until there is an answer.
fn drip(client: &mut Client, text: &str) -> client::Response {
    for byte in text.bytes() {
        if client.answers_within(Duration::from_secs(1)) {
            return client.response().expect("an answer");
        }
        client.send(&[byte]).expect("sent");
    }
    panic!("{text:?} was sent, and there is no answer");
}

fn upload() {
    let machine = serve();
    let file = machine.folder().join("upload");
    File::create(&file).and_then(|file| file.set_len(UPLOAD)).expect("a file");
    let file = file.to_string_lossy();
    let curl = |path: &str, more: &[&str]| {
        let url = format!("http://127.0.0.1:8901{path}");
        let form = "%{http_code} %{size_upload}";
        let data = format!("@{file}");
        let words =
            ["curl", "--silent", "--show-error", "--output", "/dev/null", "--max-time", "60"];
        let words = [&words[..], &["--write-out", form, "--data-binary", &data], more, &[&url]];
        host::command(&words.concat()).unwrap_or_else(|trouble| panic!("{trouble}"))
    };
    let python = |path: &str| {
        host::command(&["python3", "-c", PYTHON, path, &file])
            .unwrap_or_else(|trouble| panic!("{trouble}"))
    };
    for round in 1..=5 {
        let started = Instant::now();
        // Asks first, as curl does with large bodies: nothing need be sent.
        let asked = curl("/echo", &[]);
        assert!(asked.starts_with("413 "), "curl: {asked}");
        let sent = curl("/echo", &["--header", "Expect:"]);
        assert!(sent.starts_with("413 "), "curl without Expect: {sent}");
        let chunked = ["--header", "Expect:", "--header", "Transfer-Encoding: chunked"];
        let chunked = curl("/elsewhere", &chunked);
        assert!(chunked.starts_with("404 "), "curl, chunked: {chunked}");
        let said = python("/echo");
        assert!(said.starts_with("413 "), "Python: {said}");
        println!(
            "round {round} of a refused upload, {:?}: curl {asked}, {sent}, {chunked}; Python {}",
            started.elapsed(),
            said.trim()
        );
    }
    answers(&machine);
}

fn answers(machine: &Machine) {
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    assert_eq!(machine.property("brim@wsgi", "NRestarts"), "0");
}
