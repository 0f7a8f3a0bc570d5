//! The documented app of one's own, `examples/hello.rs`, whole.

use crate::support::{Home, example, get, post};

fn hello(path: &str) -> Home {
    Home::new(&format!("apps = hello stats\n[hello]\ncall = hello\n{path}"))
        .program(example("hello"))
}

#[test]
fn it_greets_on_its_path_and_counts() {
    let daemon = hello("path = /hello").shared().start();
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(get(&daemon, "/hello").text(), "Hello World!\n");
    assert_eq!(post(&daemon, "/hello", b"x").text(), "Hello World!\n");
    assert_eq!(get(&daemon, "/other").status, 404);
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["hello.requests"], 2);
    assert!(stats["wsgi"]["hello.last_time"].as_u64().unwrap() >= before.as_secs());
}

#[test]
fn it_does_not_start_without_a_path_and_names_the_line() {
    for path in ["", "path ="] {
        let home = hello(path);
        let output = home.command().output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{path:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let line = format!("{}:4: [hello] path: must be set", home.config().display());
        let line_of_key = format!("{}:6: [hello] path: must be set", home.config().display());
        assert!(stderr.contains(&line) || stderr.contains(&line_of_key), "{stderr}");
    }
}

#[test]
fn a_reload_without_a_path_is_refused_and_the_old_one_greets_on() {
    let daemon = hello("path = /hello").shared().start();
    daemon.home.configure("apps = hello\n[hello]\ncall = hello");
    let notice = daemon.reload();
    assert!(notice.contains("reload refused") && notice.contains("[hello] path"), "{notice}");
    assert_eq!(get(&daemon, "/hello").text(), "Hello World!\n");
}

#[test]
fn a_key_that_it_never_asks_for_is_an_error() {
    let home = hello("path = /hello\ngreeting = Hi");
    let output = home.command().arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains(":7: [hello] greeting: "), "{stdout}");
}
