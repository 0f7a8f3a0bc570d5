//! Bodies that do not come within their request.

use std::fs;

use serde_json::Value;

use crate::server::{BOTH, Kind, Server};
use crate::setup::{Setup, eventually, heard};

/// The longest body that comes within its request.
const INLINE: usize = 20_480;

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// In chunks of this size.
fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        out.extend(piece);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

fn sum(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files(server: &Server) -> usize {
    fs::read_dir(&server.uploads).expect("the folder").count()
}

pub(crate) fn a_small_body_comes_within(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        for length in [0, 1, 4096, INLINE] {
            let body = body(length);
            let got = client.post(&format!("/{section}/upload"), &body).json();
            assert_eq!((&got["bytes"], &got["start"]), (&Value::from(length), &Value::Null));
            assert_eq!(got["sha256"], sum(&body));
        }
        if server.kind == Kind::Brim {
            // A wish of Mongrel2's users.
            client.ask(&format!("POST /{section}/upload"), "Transfer-Encoding: chunked\r\n", b"");
            client.send(&chunks(&body(100), 10));
            let got = client.answer().json();
            assert_eq!((&got["bytes"], &got["start"]), (&Value::from(100), &Value::Null));
        }
        assert_eq!(files(server), 0);
    });
}

pub(crate) fn a_large_body_comes_as_a_file(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        let check = |got: Value, body: &[u8]| {
            assert_eq!(got["bytes"], body.len());
            assert_eq!(got["sha256"], sum(body));
            assert_eq!(got["start"], got["done"]);
            let folder = server.uploads.to_str().expect("a path");
            assert!(got["start"].as_str().is_some_and(|path| path.starts_with(folder)), "{got}");
            // Brim's is for the group, too.
            let mode = if server.kind == Kind::Brim { "640" } else { "600" };
            assert_eq!(got["mode"], mode);
        };
        for length in [INLINE + 1, 3_000_000] {
            let body = body(length);
            check(client.post(&format!("/{section}/upload"), &body).json(), &body);
        }
        let body = body(200_000);
        client.ask(&format!("POST /{section}/upload"), "Transfer-Encoding: chunked\r\n", b"");
        client.send(&chunks(&body, 50_000));
        check(client.answer().json(), &body);
        assert_eq!(files(server), 0);
    });
}

pub(crate) fn a_refused_one_leaves_no_file(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        client.ask(&format!("POST /{section}/refuse"), "Content-Length: 1000000\r\n", b"");
        client.send(&body(100_000));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
        eventually("the file is deleted", || files(server) == 0);
        // The handler lives.
        assert_eq!(server.client().get(&format!("/{section}/echo")).status, 200);
    });
}

pub(crate) fn a_broken_one_leaves_no_file(setup: &Setup) {
    setup.each(|server, section| {
        let mut asker = server.client();
        let mut client = server.client();
        client.ask(&format!("POST /{section}/upload"), "Content-Length: 1000000\r\n", b"");
        client.send(&body(100_000));
        let mut started = Vec::new();
        eventually("the handler hears of the start", || {
            let ids = asker.get(&format!("/{section}/started")).json();
            started = ids.as_array().expect("ids").iter().filter_map(Value::as_u64).collect();
            started.len() == 1
        });
        assert_eq!(files(server), 1);
        drop(client);
        eventually("the file is deleted", || files(server) == 0);
        eventually("the handler hears of the end", || {
            heard(&mut asker, section).0.contains(&started[0])
        });
    });
}

pub(crate) fn pieces_as_asked_for(setup: &Setup) {
    setup.with(&BOTH, true, |server, section| {
        let mut client = server.client();
        let path = format!("/{section}/upload");
        for length in [INLINE + 1, 50_000, 300_000] {
            let body = body(length);
            let got = client.post(&path, &body).json();
            assert_eq!((&got["bytes"], &got["sha256"]), (&length.into(), &sum(&body).into()));
            assert!(got["pieces"].as_u64() > Some(1), "{got}");
        }
        let body = body(200_000);
        client.ask(&format!("POST {path}"), "Transfer-Encoding: chunked\r\n", b"");
        client.send(&chunks(&body, 10_000));
        let got = client.answer().json();
        assert_eq!((&got["bytes"], &got["sha256"]), (&body.len().into(), &sum(&body).into()));
        // One that is refused is closed, and nothing else suffers.
        let mut refused = server.client();
        refused.ask(&format!("POST /{section}/refuse"), "Content-Length: 1000000\r\n", b"");
        refused.send(&body[..30_000]);
        let closed = refused.try_answer(true);
        assert!(closed.as_ref().map_or(true, |answer| answer.status >= 400), "{closed:?}");
        assert_eq!(client.post(&format!("/{section}/same"), b"x").text(), "x");
    });
}
