//! A wrong configuration: with sockets of systemd's the clients are turned away until a reload,
//! without them there is nothing to hold.

use crate::support::{Home, get};

#[test]
fn with_sockets_it_answers_503_until_a_reload_mends_it() {
    let home = Home::new("apps = echo stats\nhead_limt = 5").shared();
    let daemon = home.start();
    let place = format!("{}:4: [wsgi] head_limt: ", home.config().display());
    daemon.logs(&format!("error: {place}"));
    for _ in 0..3 {
        let response = get(&daemon, "/echo");
        assert_eq!(response.status, 503);
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert!(response.text().starts_with("503 Service Unavailable: "), "{}", response.text());
        assert!(!response.text().contains("head_limt"), "clients learn no details");
    }
    home.configure("apps = echo stats\nhead_limt = 6");
    let notice = daemon.reload();
    assert!(notice.contains("STATUS=configuration error"), "{notice}");
    assert!(notice.contains(&place), "{notice}");
    assert_eq!(get(&daemon, "/echo").status, 503);
    home.configure("apps = echo stats");
    let notice = daemon.reload();
    assert!(notice.contains("STATUS=serving 127.0.0.1:"), "{notice}");
    assert_eq!(get(&daemon, "/echo").status, 200);
    assert_eq!(daemon.stats()["wsgi"]["request_count"], 1);
}

#[test]
fn the_first_word_to_systemd_says_what_is_wrong() {
    let home = Home::new("apps = nonsense\nfoo = 1").shared();
    // `start` has heard READY=1, which a held instance says too: else systemd would kill it.
    let daemon = home.start();
    home.configure("apps = nonsense\nfoo = 1");
    let notice = daemon.reload();
    for text in [":3: [wsgi] apps: no section [nonsense]", ":4: [wsgi] foo: "] {
        assert!(notice.contains(text), "{notice}");
    }
}

#[test]
fn a_held_instance_ends_at_sigterm() {
    let daemon = Home::new("nonsense = 1").shared().start();
    assert_eq!(get(&daemon, "/").status, 503);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn many_clients_are_turned_away_at_the_same_time() {
    let daemon = Home::new("nonsense = 1").shared().start();
    let silent: Vec<_> = (0..100).map(|_| daemon.client()).collect();
    assert_eq!(get(&daemon, "/").status, 503);
    drop(silent);
}

#[test]
fn clients_that_wait_while_the_configuration_is_mended_are_served() {
    let home = Home::new("nonsense = 1").shared();
    let daemon = home.start();
    assert_eq!(get(&daemon, "/echo").status, 503);
    home.configure("apps = echo");
    daemon.reload();
    for _ in 0..20 {
        assert_eq!(get(&daemon, "/echo").status, 200);
    }
}

#[test]
fn a_section_that_is_not_there_is_held_too_and_the_others_are_named() {
    let home = Home::new("").shared();
    home.write_config("[wsgi#other]\nport = 1\n");
    let daemon = home.start();
    let log = daemon.logs("no such section");
    assert!(log.contains("there are [wsgi#other]"), "{log}");
    assert!(log.contains(&format!("looked in {}", home.config().display())), "{log}");
}

#[test]
fn without_sockets_it_exits_with_78_and_the_line() {
    let home = Home::new("apps = echo\nhead_limt = 5");
    let output = home.command().output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let place = format!("error: {}:4: [wsgi] head_limt: ", home.config().display());
    assert!(stderr.starts_with(&place), "{stderr}");
}

#[test]
fn an_address_that_is_taken_is_named_with_the_reason() {
    let home = Home::new("apps = echo");
    // The home's own listener has the port.
    let output = home.command().output().unwrap();
    assert_eq!(output.status.code(), Some(71));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let line = format!("error: cannot listen on {}", home.address());
    assert!(stderr.contains(&line) && stderr.contains("in use"), "{stderr}");
}
