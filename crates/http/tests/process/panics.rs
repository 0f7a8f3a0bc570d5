//! An app that panics or fails costs its own request, no more.

use crate::support::{Home, example, get, serve_trial};

#[test]
fn a_panic_is_500_and_counted_and_the_worker_lives_on() {
    let daemon = serve_trial("apps = panic echo stats\nworkers = 1");
    let mut client = daemon.client();
    let response = client.get("/panic");
    assert_eq!((response.status, response.text()), (500, "500 Internal Server Error\n"));
    assert_eq!(client.get("/echo").status, 200, "even the connection goes on");
    assert_eq!(get(&daemon, "/panic").status, 500);
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["status_5xx_count"], 2);
    assert_eq!(stats["wsgi"]["request_count"], 3);
    let log = daemon.logs("an app panicked");
    assert!(log.contains("on purpose") && log.contains("trial.rs"), "{log}");
    assert_eq!(daemon.access_lines(4)[0].split(' ').nth(8), Some("500"));
}

#[test]
fn a_body_that_breaks_off_cuts_the_connection_and_is_logged_as_such() {
    for end in ["error", "panic"] {
        let daemon = serve_trial("apps = stream stats\nworkers = 1");
        let mut client = daemon.client();
        client.send(format!("GET /stream?pieces=2&end={end} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let rest = client.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{end}: the client must see that it is not whole");
        let line = &daemon.access_lines(1)[0];
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!(
            (fields[8], fields[9], fields[15]),
            ("200", "12", "disconnect"),
            "{end}: {line}"
        );
        daemon.logs("request failed");
        assert_eq!(daemon.stats()["wsgi"]["status_2xx_count"], 1, "{end}");
    }
}

#[test]
fn an_app_that_cannot_be_built_is_a_bug_with_its_reason() {
    let home = Home::new("apps = panic\n[panic]\ncall = panic\nbuild = yes");
    // No socket of systemd's here: port 0 and a listener of its own.
    home.write_config(
        "[wsgi]\nip = 127.0.0.1\nport = 0\napps = panic\n[panic]\ncall = panic\nbuild = yes\n",
    );
    let output = home.program(example("trial")).command().output().unwrap();
    assert_eq!(output.status.code(), Some(70));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("an app could not be built: in the constructor"), "{stderr}");
}
