//! Gateways that want to know when a client's connection is gone.

use brim_wire::link::Reason;

use crate::support::{Client, Daemon, Gateway, Heard, Link, serve};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: x\r\n\r\n";

fn linked(keys: &str) -> (Gateway, Daemon, Link) {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(keys));
    let link = gateway.link();
    (gateway, daemon, link)
}

/// A request that is answered, and whose client is watched.
fn watched(daemon: &Daemon, link: &mut Link) -> (Client, u64) {
    let mut client = daemon.client();
    client.send(ASK);
    let id = link.request().id;
    link.watch(id);
    answered(&mut client, link, id);
    (client, id)
}

fn answered(client: &mut Client, link: &mut Link, id: u64) {
    link.answer(id, "well");
    assert_eq!(client.response().text(), "well");
}

/// Another client is served, and nothing else comes before its request.
fn next_is_a_request(daemon: &Daemon, link: &mut Link) {
    let mut other = daemon.client();
    other.send(ASK);
    let Heard::Request(asked) = link.next() else { panic!("no request") };
    answered(&mut other, link, asked.id);
}

#[test]
fn a_watched_connection_is_told_of_when_it_is_gone() {
    let (_gateway, daemon, mut link) = linked("");
    let (mut client, id) = watched(&daemon, &mut link);
    client.send(ASK);
    let second = link.request().id;
    answered(&mut client, &mut link, second);
    next_is_a_request(&daemon, &mut link);
    drop(client);
    assert_eq!(link.next(), Heard::Cancel { id, reason: Reason::ClientLeft });
    next_is_a_request(&daemon, &mut link);
}

#[test]
fn the_last_watch_of_a_connection_counts() {
    let (_gateway, daemon, mut link) = linked("");
    let (mut client, _) = watched(&daemon, &mut link);
    client.send(ASK);
    let second = link.request().id;
    link.watch(second);
    answered(&mut client, &mut link, second);
    drop(client);
    assert_eq!(link.next(), Heard::Cancel { id: second, reason: Reason::ClientLeft });
    next_is_a_request(&daemon, &mut link);
}

#[test]
fn a_watch_that_comes_too_late_is_answered_at_once() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send(ASK);
    let id = link.request().id;
    drop(client);
    let left = Heard::Cancel { id, reason: Reason::ClientLeft };
    assert_eq!(link.next(), left);
    link.watch(id);
    assert_eq!(link.next(), left);
}

#[test]
fn a_client_that_leaves_in_an_exchange_ends_that_and_the_watch() {
    let (_gateway, daemon, mut link) = linked("");
    let (mut client, id) = watched(&daemon, &mut link);
    client.send(ASK);
    let second = link.request().id;
    drop(client);
    let mut ended = [link.cancelled().0, link.cancelled().0];
    ended.sort_unstable();
    assert_eq!(ended, [id, second]);
    next_is_a_request(&daemon, &mut link);
}

#[test]
fn a_connection_outlives_a_link() {
    let (gateway, daemon, mut link) = linked("");
    let (client, _) = watched(&daemon, &mut link);
    drop(link);
    let mut link = gateway.link();
    drop(client);
    next_is_a_request(&daemon, &mut link);
}
