//! What streams and long polls see of a gateway that is killed.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::Client;
use crate::server::{BOTH, Server};
use crate::setup::{Setup, eventually, heard, until_answered};

/// Bytes of a stream that the handler sends at its begin and with each `more`.
const FIRST: usize = 1;
const MORE: usize = 1000;

/// Clients that wait, and those whose answers go on, each of a letter of its own.
struct Clients {
    polls: Vec<Client>,
    streams: Vec<(u8, Client)>,
}

/// Letters that are no hexadecimal digits, which stand between chunks.
fn begin(server: &Server, section: &str, letters: &[u8]) -> Clients {
    let ask = |line: &str, body: &[u8]| {
        let mut client = server.client();
        client.ask(line, "", body);
        client
    };
    let stream = |letter: &u8| {
        let mut client = ask(&format!("POST /{section}/drip"), &[*letter]);
        assert_eq!(client.answer_without_body().status, 200);
        (*letter, client)
    };
    let streams: Vec<_> = letters.iter().map(stream).collect();
    let mut asker = server.client();
    let before = heard(&mut asker, section).1.len();
    let polls: Vec<_> = letters.iter().map(|_| ask(&format!("GET /{section}/wait"), b"")).collect();
    eventually("all wait", || heard(&mut asker, section).1.len() == before + polls.len());
    Clients { polls, streams }
}

/// How often the letter is there, and nothing of anybody else.
fn own(bytes: &[u8], letter: u8) -> usize {
    let foreign = bytes
        .iter()
        .find(|byte| **byte != letter && !byte.is_ascii_hexdigit() && !byte.is_ascii_whitespace());
    assert_eq!(foreign.map(|byte| char::from(*byte)), None, "beside {}", char::from(letter));
    bytes.iter().filter(|byte| **byte == letter).count()
}

/// Reads so many letters of a stream.
fn read((letter, client): &mut (u8, Client), count: usize) {
    let mut found = 0;
    while found < count {
        found += own(&client.until(b"\r\n").expect("more of the stream"), *letter);
    }
}

pub(crate) fn what_is_under_way_ends(setup: &Setup) {
    let server = Server::start(setup.kind, &BOTH, false);
    for section in BOTH {
        let name = section.name;
        let handler = setup.handler(&server, name, "one", &[]);
        until_answered(&server, name);
        let mut old = begin(&server, name, b"ghijklmn");
        let more = format!("/{name}/more");
        let killed = std::thread::scope(|scope| {
            scope.spawn(|| while server.client().post(&more, b"").status == 200 {});
            read(&mut old.streams[0], 50 * MORE);
            server.replace_gateway(Signal::KILL);
            Instant::now()
        });
        for poll in &mut old.polls {
            assert_eq!(poll.answer().status, 502);
        }
        let mut unread = 0;
        for (letter, client) in &mut old.streams {
            let rest = client.rest();
            unread += own(&rest, *letter);
            assert!(!rest.ends_with(b"0\r\n\r\n"), "it ends well");
        }
        println!("{unread} bytes more, all have ended {:?} after the kill", killed.elapsed());
        assert!(unread > 0, "nothing was under way");
        assert!(killed.elapsed() < Duration::from_secs(10), "they hang");

        // The handler goes on for clients that are gone, too.
        until_answered(&server, name);
        let mut new = begin(&server, name, b"opqrstuv");
        let mut client = server.client();
        let told = client.post(&format!("/{name}/tell"), b"News.").json();
        assert_eq!(told["told"], old.polls.len() + new.polls.len());
        for poll in &mut new.polls {
            assert_eq!(poll.answer().text(), "News.");
        }
        for _ in 0..5 {
            assert_eq!(client.post(&more, b"").status, 200);
        }
        new.streams.iter_mut().for_each(|stream| read(stream, FIRST + 5 * MORE));
        drop(handler);
    }
}
