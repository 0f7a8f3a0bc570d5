//! JSON and XML socket messages.

use crate::server::{BOTH, Kind};
use crate::setup::{Setup, until_answered};

pub(crate) fn are_answered(setup: &Setup) {
    setup.each(|server, section| {
        let mut client = server.client();
        // Two in one write, a ping that is not handed on, and another one.
        let two =
            format!("@{section} {{\"a\":1}}\0@{section} {{\"type\":\"ping\"}}\0@{section} {{}}\0");
        client.send(two.as_bytes());
        for expected in [format!("@{section} got {{\"a\":1}}"), format!("@{section} got {{}}")] {
            assert_eq!(answer(&mut client, &expected, server.kind), base64(expected.as_bytes()));
        }
        let mut client = server.client();
        client.send(format!("<{section} a='b'>x</{section}>\0").as_bytes());
        let expected = format!("<{section} got <{section} a='b'>x</{section}>");
        assert_eq!(answer(&mut client, &expected, server.kind), base64(expected.as_bytes()));
    });
}

/// Long answers of two handlers to one client, each of which comes whole.
pub(crate) fn of_two_handlers_come_whole(setup: &Setup) {
    let server = crate::server::Server::start(setup.kind, &BOTH, false);
    let _handlers = BOTH.map(|section| setup.handler(&server, section.name, "one", &[]));
    BOTH.iter().for_each(|section| until_answered(&server, section.name));
    let mut client = server.client();
    let filler = "x".repeat(60_000);
    let messages = (0..20).flat_map(|round| BOTH.map(|section| (round, section.name)));
    let messages: Vec<_> = messages.collect();
    for (round, section) in &messages {
        client.send(format!("@{section} {{\"{round}\":\"{filler}\"}}\0").as_bytes());
    }
    let answer = |(round, section): &(i32, &str)| {
        base64(format!("@{section} got {{\"{round}\":\"{filler}\"}}").as_bytes())
    };
    let mut expected: Vec<_> = messages.iter().map(answer).collect();
    while !expected.is_empty() {
        let answer = client.until(b"\0").expect("an answer");
        let answer = answer.strip_suffix(b"\0").unwrap_or(&answer);
        let found = expected.iter().position(|expected| expected.as_bytes() == answer);
        expected.remove(found.expect("a whole answer"));
    }
}

/// An answer without the NUL that ends it; Mongrel2 has forgotten that since its 1.8.
fn answer(client: &mut crate::client::Client, expected: &str, kind: Kind) -> String {
    let length = expected.len().div_ceil(3) * 4;
    let bytes = client.bytes(length).expect("an answer");
    if kind == Kind::Brim {
        assert_eq!(client.bytes(1).expect("its end"), [0]);
    }
    String::from_utf8(bytes).expect("base64")
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}
