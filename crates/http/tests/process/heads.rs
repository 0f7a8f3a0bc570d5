//! Heads that nobody wrote: made of what heads are made of, and then damaged.

use std::net::Shutdown;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::smuggling::answers;
use crate::support::serve_trial;

/// Each takes a few milliseconds.
const CASES: u32 = 1500;

fn method() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&str] = &["GET", "POST", "PUT", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", ""];
    prop_oneof![
        4 => select(KNOWN).prop_map(|method| method.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ]
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&str] = &[
        "/echo",
        "/none",
        "/upload",
        "/stream?pieces=2",
        "*",
        "http://x/echo",
        "https://[::1]:1/",
        "x:80",
        "//",
        "/%00%ff%2e%2e/",
        "/echo#fragment",
        "http://",
        "/?;&==",
        "",
    ];
    prop_oneof![
        4 => select(KNOWN).prop_map(|target| target.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
        1 => (0..9000_usize).prop_map(|length| [b"/".as_slice(), &vec![b'x'; length]].concat()),
    ]
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: &[&str] = &[
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Expect",
        "Upgrade",
        "TE",
        "X",
        "",
        "X-Txn",
        "Cookie",
        "Content_Length",
        "X-Forwarded-For",
        "HTTP2-Settings",
    ];
    const VALUES: &[&str] = &[
        "x",
        "5",
        "0",
        "chunked",
        "gzip, chunked",
        "close",
        "keep-alive, close",
        "100-continue",
        "h2c",
        "websocket",
        "+5",
        "5, 5",
        "18446744073709551616",
        "[::1]:80",
        "a b",
        "",
        "upgrade",
    ];
    const SEPARATORS: &[&str] = &[": ", ":", " : ", ":\t", ":\r\n ", "", "="];
    let value = prop_oneof![
        6 => select(VALUES).prop_map(|value| value.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..30),
        1 => (0..40_000_usize).prop_map(|length| vec![b'v'; length]),
    ];
    let separator = prop_oneof![20 => Just(": "), 1 => select(SEPARATORS)];
    (select(NAMES), separator, value).prop_map(|(name, separator, value)| {
        [name.as_bytes(), separator.as_bytes(), &value].concat()
    })
}

fn line_end() -> impl Strategy<Value = &'static [u8]> {
    const ODD: &[&[u8]] = &[b"\n", b"\r", b"\r\r\n", b"\0\n", b""];
    prop_oneof![30 => Just(&b"\r\n"[..]), 1 => select(ODD)]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&str] = &[
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;x\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "zz\r\n",
        "0\r\n\n",
    ];
    prop_oneof![
        4 => select(KNOWN).prop_map(|body| body.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..100),
    ]
}

/// A byte is changed, left out, put in, or a part is doubled.
fn damage() -> impl Strategy<Value = (u8, Index, Index, u8)> {
    (0..4_u8, any::<Index>(), any::<Index>(), any::<u8>())
}

fn damaged(mut bytes: Vec<u8>, damages: Vec<(u8, Index, Index, u8)>) -> Vec<u8> {
    for (kind, at, end, byte) in damages {
        if bytes.is_empty() {
            return bytes;
        }
        let (at, end) = (at.index(bytes.len()), end.index(bytes.len()));
        match kind {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            _ => drop(bytes.splice(at..at, bytes[at.min(end)..end].to_vec())),
        }
    }
    bytes
}

/// One to three requests on a connection.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    const ODD: &[&str] = &["HTTP/2.0", "HTTP/1.2", "http/1.1", ""];
    let version = prop_oneof![
        12 => Just("HTTP/1.1"),
        3 => Just("HTTP/1.0"),
        1 => select(ODD),
    ];
    let fields = vec((field(), line_end()), 0..6);
    let has_host = prop::bool::weighted(0.8);
    let request = (method(), target(), version, line_end(), has_host, fields, line_end(), body())
        .prop_map(|(method, target, version, end, has_host, fields, last, body)| {
            let line = [&method, &b" "[..], &target, b" ", version.as_bytes(), end].concat();
            let host = if has_host { &b"Host: x\r\n"[..] } else { b"" };
            let fields =
                fields.into_iter().flat_map(|(field, end)| [field.as_slice(), end].concat());
            let fields: Vec<u8> = fields.collect();
            [line.as_slice(), host, &fields, last, &body].concat()
        });
    let requests = vec(request, 1..4).prop_map(|requests| requests.concat());
    (requests, vec(damage(), 0..3)).prop_map(|(bytes, damages)| damaged(bytes, damages))
}

#[test]
fn every_head_is_answered_in_http_or_ended_and_is_counted_as_often_as_logged() {
    let daemon = serve_trial(
        "apps = upload stream echo\nlinger_timeout = 50ms\nhead_timeout = 2s\nbody_timeout = 2s",
    );
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let outcome = runner.run(&conversation(), |bytes| {
        let mut client = daemon.client();
        client.try_send(&bytes);
        let _ = client.stream.shutdown(Shutdown::Write);
        let answer = client.rest();
        let shown = String::from_utf8_lossy(&answer);
        let answers = answers::read(&answer);
        let answers = answers.ok_or_else(|| TestCaseError::fail(shown.into_owned()))?;
        // Nothing here is our fault.
        let fair = |status| status < 500 || status == 501;
        prop_assert!(answers.iter().all(|answer| fair(answer.status)), "{answers:?}");
        Ok(())
    });
    outcome.unwrap();
    let home = daemon.home.clone();
    let log = daemon.access_log();
    daemon.terminate();
    let ended = daemon.ended();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stderr.contains("bug"), "{}", ended.stderr);
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.lines().all(|line| line.split(' ').count() == 18));
    let saved: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.counters()).unwrap()).unwrap();
    let values = saved["stats"]["request_count"]["values"].as_array().unwrap();
    let counted: u64 = values.iter().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(counted, lines.lines().count() as u64);
    assert!(counted > u64::from(CASES) / 2, "{counted} requests were heard");
}
