//! What is asked of running servers, over a real bus. (With a real systemd: the system test.)

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::bench::{Place, Running, Said, bus, said, until};

const GOOD: &str =
    "[wsgi]\nlisten = unix:@/x.sock\napps = echo\nworkers = 2\n[echo]\ncall = echo\n";

/// A server on the bus.
fn server(place: &Place, instance: &str, socket: &str) -> Running {
    let server = Running::start(&mut place.program("brim-http", &[instance]));
    until("the server serves", || UnixStream::connect(place.file(socket)).is_ok());
    assert!(place.get(socket, "/echo").starts_with("HTTP/1.1"));
    server
}

/// brimctl with a bus; the server's name may come a moment after its socket.
fn brimctl(place: &Place, arguments: &[&str]) -> Said {
    said(&mut place.brimctl(arguments))
}

fn await_status(place: &Place, section: &str) {
    until("the server is on the bus", || {
        brimctl(place, &["status", section]).out.contains("running")
    });
}

#[test]
fn status_shows_what_runs_and_what_does_not() {
    let place = Place::new(&format!("{GOOD}[wsgi#other]\nport = 8901\n"));
    let _bus = bus(&place);
    let _server = server(&place, "wsgi", "x.sock");
    await_status(&place, "wsgi");
    place.get("x.sock", "/echo");
    let all = brimctl(&place, &["status"]);
    assert_eq!(all.code, 3, "{all:?}");
    let rows: Vec<Vec<_>> = all.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["SECTION", "UNIT", "STATE", "UP", "WORKERS", "REQUESTS", "LISTENERS"]);
    let listener = format!("unix:{}", place.file("x.sock").display());
    assert_eq!(rows[1][..3], ["wsgi", "-", "running"]);
    assert_eq!(rows[1][4..], ["2", "2", &listener]);
    assert_eq!(rows[2], ["wsgi#other", "-", "-", "-", "-", "-", "-"]);
    assert_eq!(brimctl(&place, &["status", "wsgi"]).code, 0);
    assert_eq!(brimctl(&place, &["status", "wsgi#other"]).code, 3);
}

#[test]
fn stats_are_text_or_brims_document() {
    let place = Place::new(&format!("{GOOD}[wsgi#b]\nlisten = unix:@/b.sock\n"));
    let _bus = bus(&place);
    let (_a, _b) = (server(&place, "wsgi", "x.sock"), server(&place, "wsgi:b", "b.sock"));
    await_status(&place, "wsgi");
    await_status(&place, "wsgi:b");
    let text = brimctl(&place, &["stats", "wsgi"]);
    assert_eq!(text.code, 0, "{text:?}");
    let find = |name: &str| {
        let mut lines = text.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.find(|line| line[1] == name).map(|line| line[2].to_owned())
    };
    assert_eq!(find("request_count").as_deref(), Some("1"), "{}", text.out);
    assert!(text.out.lines().all(|line| line.starts_with("wsgi  ")), "{}", text.out);
    let json = brimctl(&place, &["stats", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(document["wsgi"]["request_count"], 1, "{}", json.out);
    assert_eq!(document["wsgi#b"]["request_count"], 1, "{}", json.out);
    assert!(document["start_time"].as_u64().unwrap() > 1_700_000_000);
    let missing = brimctl(&place, &["stats", "wsgi:c"]);
    assert_eq!((missing.code, missing.err.as_str()), (3, "[wsgi#c] has no server on the bus\n"));
}

#[test]
fn a_reload_is_live_when_it_returns() {
    let place = Place::new(GOOD);
    let _bus = bus(&place);
    let _server = server(&place, "wsgi", "x.sock");
    await_status(&place, "wsgi");
    place.configure(&format!("{GOOD}path = /new\n"));
    let reload = brimctl(&place, &["reload"]);
    assert_eq!((reload.code, reload.out.as_str()), (0, "[wsgi]: reloaded\n"), "{}", reload.err);
    assert!(place.get("x.sock", "/new").starts_with("HTTP/1.1 200"));
    assert!(place.get("x.sock", "/echo").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_bad_configuration_is_printed_and_touches_nothing() {
    let place = Place::new(GOOD);
    let _bus = bus(&place);
    let _server = server(&place, "wsgi", "x.sock");
    await_status(&place, "wsgi");
    place.configure(&format!("{GOOD}path = /new\n[wsgi]\nportt = 1\n"));
    let reload = brimctl(&place, &["reload"]);
    assert_eq!((reload.code, reload.out.as_str()), (78, ""));
    assert!(reload.err.starts_with("/etc/brim/brim.conf:9: [wsgi] portt: "), "{}", reload.err);
    assert!(place.get("x.sock", "/echo").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_section_that_vanished_is_shown_and_is_not_reloaded() {
    let place = Place::new(GOOD);
    let _bus = bus(&place);
    let _server = server(&place, "wsgi", "x.sock");
    await_status(&place, "wsgi");
    place.configure("");
    let status = brimctl(&place, &["status"]);
    assert!(status.out.contains("this section is not in the configuration"), "{}", status.out);
    let reload = brimctl(&place, &["reload"]);
    assert_eq!(reload.code, 1);
    assert!(reload.err.contains("to end it: brimctl stop wsgi\n"), "{}", reload.err);
}

#[test]
fn a_server_that_does_not_run_is_not_reloaded() {
    let place = Place::new(GOOD);
    let _bus = bus(&place);
    let none = brimctl(&place, &["reload"]);
    assert_eq!(
        (none.code, none.err.as_str()),
        (0, "no server runs, so there is nothing to reload\n")
    );
    let named = brimctl(&place, &["reload", "wsgi"]);
    assert_eq!(named.code, 3);
    assert!(named.err.starts_with("[wsgi]: is not on the bus"), "{}", named.err);
}

#[test]
fn brim_launch_reloads_as_systemd_has_it_do() {
    let place = Place::new(GOOD);
    let _bus = bus(&place);
    let _server = server(&place, "wsgi", "x.sock");
    await_status(&place, "wsgi");
    let launch = || said(&mut place.program("brim-launch", &["--reload", "wsgi"]));
    place.configure(&format!("{GOOD}path = /new\n"));
    let good = launch();
    assert_eq!((good.code, good.err.as_str()), (0, ""));
    assert!(place.get("x.sock", "/new").starts_with("HTTP/1.1 200"));
    place.configure(&format!("{GOOD}path = /newer\n[wsgi]\nportt = 1\n"));
    let bad = launch();
    assert_eq!(bad.code, 78);
    let lines: Vec<_> = bad.err.lines().collect();
    assert!(lines[0].starts_with("/etc/brim/brim.conf:9: [wsgi] portt: "), "{lines:#?}");
    assert_eq!(lines[1..], ["reload refused, the old configuration goes on"], "{lines:#?}");
    assert!(place.get("x.sock", "/new").starts_with("HTTP/1.1 200"));
}

#[test]
fn with_a_bus_but_without_a_name_a_reload_is_a_signal() {
    let place = Place::new(GOOD);
    let _bus = bus(&place);
    let mut main = Command::new("sh")
        .args(["-c", "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    main.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    let mut launch = place.program("brim-launch", &["--reload", "wsgi"]);
    let said = said(launch.env("MAINPID", main.id().to_string()));
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("nobody has the name net.brim.Brim1.wsgi"), "{}", said.err);
    assert!(said.err.contains("SIGHUP sent to process"), "{}", said.err);
    assert_eq!(main.wait().unwrap().code(), Some(9));
}
