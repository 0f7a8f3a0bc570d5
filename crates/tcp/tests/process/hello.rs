//! The documented app of one's own, `examples/hello.rs`, whole.

use crate::support::{Client, example};

#[test]
fn it_greets_by_name_and_counts() {
    let home = example("hello-tcp", "call = hello\ngreeting = Hello");
    let server = home.start();
    let mut client = Client::of(&server);
    client.expect("Who are you?\n");
    client.send("World\n");
    assert_eq!(client.rest(), "Hello World!\n");
    server.saves("greetings", 1);
    assert!(server.saved("last_time") > 1_700_000_000);
}

#[test]
fn its_last_words_arrive_though_the_client_goes_on_sending() {
    let home = example("hello-tcp", "call = hello\ngreeting = Hello");
    let server = home.start();
    let mut client = Client::of(&server);
    client.expect("Who are you?\n");
    client.send(format!("{}{}", "x".repeat(100), "unread ".repeat(1000)));
    assert_eq!(client.rest(), format!("Hello {}!\n", "x".repeat(100)));
}

#[test]
fn it_does_not_start_without_a_greeting_and_names_the_line() {
    let home = example("hello-tcp", "call = hello");
    let problems = home.check();
    let line = format!("{}:1: [tcp] greeting: must be set", home.config().display());
    assert!(problems.contains(&line), "{problems}");
}

#[test]
fn a_reload_without_a_greeting_is_refused_and_the_old_one_greets_on() {
    let home = example("hello-tcp", "call = hello\ngreeting = Hello");
    let server = home.start();
    home.configure("call = hello");
    let notice = server.reload();
    assert!(notice.contains("reload refused") && notice.contains("[tcp] greeting"), "{notice}");
    home.configure("call = hello\ngreeting = Good day,");
    server.reload();
    let mut client = Client::of(&server);
    client.expect("Who are you?\n");
    client.send("World\n");
    assert_eq!(client.rest(), "Good day, World!\n");
}
