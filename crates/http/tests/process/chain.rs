//! The order of apps, and the end of the chain.

use crate::support::{finished, get, post, serve};

#[test]
fn nobody_answers_and_brim_says_404() {
    let daemon = serve("apps = echo");
    let response = get(&daemon, "/invalid");
    assert_eq!((response.status, response.text()), (404, "404 Not Found\n"));
    assert_eq!(response.header("content-length"), Some("14"));
    assert_eq!(response.header("content-type"), Some("text/plain"));
}

#[test]
fn an_empty_chain_is_all_404() {
    let daemon = serve("");
    assert_eq!(get(&daemon, "/").status, 404);
    let mut client = daemon.client();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response_to_head();
    assert_eq!((response.status, response.header("content-length")), (404, Some("14")));
    assert_eq!(client.get("/").text(), "404 Not Found\n");
}

#[test]
fn the_earlier_app_answers() {
    let sections = "[first]\ncall = echo\npath = /same\nmax_echo = 1\n\
                    [second]\ncall = echo\npath = /same\nmax_echo = 2";
    let daemon = serve(&format!("apps = first second\n{sections}"));
    assert_eq!(post(&daemon, "/same", b"abc").text(), "a");
    let daemon = serve(&format!("apps = second first\n{sections}"));
    assert_eq!(post(&daemon, "/same", b"abc").text(), "ab");
}

#[test]
fn an_app_that_nobody_knows_is_named_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[wsgi]\nport = 1\napps = echo nonsense\n").unwrap();
    let ended = finished(&["--check", "--config", file.path().to_str().unwrap(), "wsgi"]);
    assert_eq!(ended.code, Some(78));
    let place = format!("{}:3: [wsgi] apps: ", file.path().display());
    assert!(ended.stdout.starts_with(&place), "{}", ended.stdout);
    assert!(ended.stdout.contains("nonsense") && ended.stdout.contains("echo, "));
}

#[test]
fn an_unknown_call_and_an_unknown_key_are_named_with_their_lines() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "[wsgi]\nport = 1\napps = one two three\n[one]\ncall = ecko\n\
                [two]\ncall = echo\nmax_ecko = 5\n[three]\npath = /x\n";
    std::fs::write(file.path(), text).unwrap();
    let ended = finished(&["--check", "--config", file.path().to_str().unwrap(), "wsgi"]);
    assert_eq!(ended.code, Some(78));
    let lines: Vec<_> = ended.stdout.lines().collect();
    let find = |line: u32| {
        let place = format!("{}:{line}: ", file.path().display());
        let found = lines.iter().find(|line| line.starts_with(&place));
        *found.unwrap_or_else(|| panic!("nothing about line {line} in {lines:?}"))
    };
    assert!(find(5).contains("[one] call: no app \"ecko\""));
    assert!(find(8).contains("max_ecko") && find(8).contains("max_echo"));
    assert!(find(9).contains("[three] call: must be set"));
    assert_eq!(lines.len(), 3, "{lines:?}");
}
