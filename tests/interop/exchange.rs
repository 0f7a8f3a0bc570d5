//! Requests and answers.

use serde_json::{Value, json};

use crate::server::{BOTH, Kind, Section, Server};
use crate::setup::{Setup, eventually, heard};

pub(crate) fn a_request_arrives(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        let body: Vec<u8> = (0..=255).collect();
        let mut headers = b"X-Dup: 1\r\nCookie: a=\"1\"\r\nx-dup: 2\r\nX-Empty:\r\n".to_vec();
        // Mongrel2 makes JSON of it that is none.
        let is_exact = server.kind == Kind::Brim || section == "tnet";
        if is_exact {
            headers.extend(b"X-Bytes: caf\xe9\r\n");
        }
        client.send(
            format!("POST /{section}/echo?a=b%20c&d HTTP/1.1\r\nHost: localhost:1\r\n").as_bytes(),
        );
        client.send(&[&headers[..], b"Content-Length: 256\r\n\r\n", &body].concat());
        let got = client.answer().json();
        assert_eq!(got["path"], format!("/{section}/echo"));
        assert_eq!(got["body"], body.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        for (name, value) in [
            ("METHOD", "POST"),
            ("PATH", &format!("/{section}/echo")),
            ("URI", &format!("/{section}/echo?a=b%20c&d")),
            ("QUERY", "a=b%20c&d"),
            ("VERSION", "HTTP/1.1"),
            ("PATTERN", &format!("/{section}/")),
            ("URL_SCHEME", "http"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("host", "localhost:1"),
            ("cookie", "a=\"1\""),
            ("content-length", "256"),
            ("x-empty", ""),
        ] {
            assert_eq!(got["headers"][name], json!([value]), "{name}: {got}");
        }
        assert_eq!(got["headers"]["x-dup"], json!(["1", "2"]));
        if is_exact {
            assert_eq!(got["headers"]["x-bytes"], json!(["café"]));
        }
        let first = &got["id"];
        let second = &client.get(&format!("/{section}/echo")).json();
        assert_eq!(second["headers"].get("QUERY"), None);
        // Brim's ids are a request's, so that a late answer never meets the next one.
        assert_eq!(first == &second["id"], server.kind == Kind::Mongrel2);
    });
}

pub(crate) fn an_answer_may_come_in_any_pieces(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        assert_eq!(client.get(&format!("/{section}/pieces")).text(), "0123456789");
        assert_eq!(client.get(&format!("/{section}/chunked")).text(), "onethree");
        assert_eq!(client.get(&format!("/{section}/pieces")).text(), "0123456789");
        let answer = client.get(&format!("/{section}/big"));
        assert_eq!(answer.body.len(), 5_000_000);
        assert!(answer.body.iter().all(|byte| *byte == b'y'));
    });
}

pub(crate) fn a_connection_stays(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        let path = format!("/{section}/same");
        for body in ["one", "two", "three"] {
            assert_eq!(client.post(&path, body.as_bytes()).text(), body);
        }
        client.ask(&format!("HEAD {path}"), "", b"");
        assert_eq!(client.answer_without_body().status, 200);
        client.ask(&format!("POST {path}"), "Connection: close\r\n", b"last");
        assert_eq!(client.answer().text(), "last");
        assert!(client.is_closed());

        let mut old = server.client();
        old.send(format!("POST {path} HTTP/1.0\r\nContent-Length: 3\r\n\r\nold").as_bytes());
        assert_eq!(old.answer().text(), "old");
        assert!(old.is_closed());
    });
}

pub(crate) fn a_stream_goes_on(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        let answer = client.get(&format!("/{section}/stream"));
        assert_eq!(answer.body, [b'x'; 5000]);
        assert!(client.is_closed());
    });
}

/// More than one message has ids for.
const WAITING: usize = 130;

pub(crate) fn one_message_answers_many(setup: &Setup) {
    setup.each(|server, section| {
        let mut teller = server.client();
        let mut clients: Vec<_> = (0..WAITING).map(|_| server.client()).collect();
        for client in &mut clients {
            client.ask(&format!("GET /{section}/wait"), "", b"");
        }
        wait_for(server, section, WAITING);
        let told = teller.post(&format!("/{section}/tell"), b"news").json();
        assert_eq!(told["told"], WAITING);
        for client in &mut clients {
            assert_eq!(client.answer().text(), "news");
        }
        // The next one goes the same way.
        assert_eq!(clients[0].post(&format!("/{section}/same"), b"again").text(), "again");
    });
}

pub(crate) fn a_client_that_leaves_is_told_of(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        let mut leaver = server.client();
        leaver.ask(&format!("GET /{section}/wait"), "", b"");
        let waiting = wait_for(server, section, 1);
        assert!(!heard(&mut client, section).0.contains(&waiting[0]));
        drop(leaver);
        eventually("the handler hears of it", || {
            heard(&mut client, section).0.contains(&waiting[0])
        });
    });
}

/// One id for all requests of a connection, as Mongrel2 has it, and one notice when it is gone.
pub(crate) fn a_session_ends(setup: &Setup) {
    let sections = BOTH.map(|section| Section { keys: "conn_id = connection\n", ..section });
    setup.with(&sections, false, |server, section| {
        let mut witness = server.client();
        let mut ends = |is_asking: bool| {
            let mut leaver = server.client();
            let mut id = || {
                let echo = leaver.get(&format!("/{section}/echo")).json();
                echo["id"].as_u64().expect("an id")
            };
            let first = id();
            assert_eq!(id(), first);
            if is_asking {
                leaver.ask(&format!("GET /{section}/wait"), "", b"");
                eventually("it waits", || heard(&mut witness, section).1.contains(&first));
            }
            assert!(!heard(&mut witness, section).0.contains(&first));
            drop(leaver);
            eventually("the handler hears of it", || {
                heard(&mut witness, section).0.contains(&first)
            });
            first
        };
        let ended = [false, true, false, true].map(&mut ends);
        let (mut gone, _) = heard(&mut witness, section);
        gone.retain(|id| ended.contains(id));
        // In this order, and each once.
        assert_eq!(gone, ended);
    });
}

pub(crate) fn a_reply_to_nobody_is_told_of(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        assert_eq!(client.get(&format!("/{section}/nobody")).json(), json!({}));
        eventually("the handler hears of it", || {
            heard(&mut client, section).0.contains(&2_000_000_000)
        });
    });
}

pub(crate) fn a_bad_reply_costs_itself(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        let mut other = server.client();
        other.ask(&format!("GET /{section}/wait"), "", b"");
        wait_for(server, section, 1);
        assert_eq!(client.get(&format!("/{section}/bad")).json(), json!({}));
        assert_eq!(client.post(&format!("/{section}/same"), b"still here").text(), "still here");
        assert_eq!(
            client.post(&format!("/{section}/tell"), b"news").json()["told"],
            Value::from(1)
        );
        assert_eq!(other.answer().text(), "news");
    });
}

/// The ids of those who wait, once there are as many.
fn wait_for(server: &Server, section: &str, count: usize) -> Vec<u64> {
    let mut client = server.client();
    let mut waiting = Vec::new();
    eventually("the handler has all requests", || {
        waiting = heard(&mut client, section).1;
        waiting.len() == count
    });
    waiting
}
