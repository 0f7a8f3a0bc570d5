//! The documented app of one's own, `examples/hello.rs`, whole.

use crate::support::{Client, example};

#[test]
fn it_greets_by_name_and_counts() {
    let server = example("hello-udp", "call = hello\ngreeting = Hello").start();
    let client = Client::of(&server);
    client.send("World\n");
    client.expect("Hello World!\n");
    client.send("");
    client.expect("Hello !\n");
    server.saves("greetings", 2);
    assert!(server.saved("last_time") > 1_700_000_000);
}

#[test]
fn it_does_not_start_without_a_greeting_and_names_the_line() {
    let home = example("hello-udp", "call = hello");
    let line = format!("{}:1: [udp] greeting: must be set", home.config().display());
    let problems = home.check();
    assert!(problems.contains(&line), "{problems}");
}

#[test]
fn more_than_are_served_at_once_wait_and_none_is_lost() {
    let keys = "call = hello\ngreeting = Hello\nconcurrent_per_worker = 1";
    let server = example("hello-udp", keys).start();
    let client = Client::of(&server);
    for index in 0..100 {
        client.send(index.to_string());
    }
    for index in 0..100 {
        client.expect(format!("Hello {index}!\n"));
    }
}
