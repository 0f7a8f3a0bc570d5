//! brimctl as people use it beside systemctl.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::client;
use crate::machine::{self, Machine};
use crate::trial;

const CONFIG: &str = "/etc/brim/brim.conf.d/10-control.conf";
const TWO: &str = "[brim]\nhead_timeout = 10s\n\n[wsgi]\nport = 8901\napps = echo stats\n\n\
                   [wsgi#alternate]\nport = 8902\napps = echo\n";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("control::check_and_config_name_files_and_lines", check_and_config),
        trial("control::status_is_a_table_of_what_is_served", status),
        trial("control::stats_are_those_of_the_servers", stats),
        trial("control::stop_ends_servers_and_their_sockets", stop),
    ]
}

fn serve(machine: &Machine) {
    machine.write(CONFIG, TWO);
    machine.ok(&["systemctl", "daemon-reload"]);
    machine.ok(&["systemctl", "start", "brim@wsgi", "brim@wsgi:alternate"]);
}

/// The exit code of brimctl, and all that it prints.
fn brimctl(machine: &Machine, words: &[&str]) -> (i32, String) {
    let output = machine.run(&[&["brimctl"], words].concat());
    (output.code, output.text())
}

fn check_and_config() {
    let machine = machine::shared();
    machine.write(CONFIG, TWO);
    assert_eq!(brimctl(&machine, &["check"]), (0, "configuration is fine: 2 sections\n".into()));
    let config = "[wsgi]\nport = 8901  # /etc/brim/brim.conf.d/10-control.conf:5\n\
                  apps = echo stats  # /etc/brim/brim.conf.d/10-control.conf:6\n";
    assert_eq!(brimctl(&machine, &["config", "wsgi"]), (0, config.into()));
    machine.write("/run/brim/brim.conf.d/20-run.conf", "[wsgi]\nport = 8909\n");
    let (code, text) = brimctl(&machine, &["config"]);
    assert!(
        code == 0 && text.contains("port = 8909  # /run/brim/brim.conf.d/20-run.conf:2"),
        "{text}"
    );
    for part in ["[brim]\nhead_timeout = 10s", "[wsgi#alternate]"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    // Several mistakes, all in one run, in order.
    machine.write(CONFIG, "[wsgi]\nport = 0\napps = echo nix\n\n[wsgi#b]\nprot = 1\n[other]\n");
    let (code, text) = brimctl(&machine, &["check"]);
    let places: Vec<_> = text.lines().filter_map(|line| line.split(": ").next()).collect();
    let places: Vec<_> = places.iter().filter_map(|place| place.rsplit('/').next()).collect();
    assert_eq!(code, 78, "{text}");
    assert_eq!(places, ["10-control.conf:3", "10-control.conf:6", "10-control.conf:7"], "{text}");
    machine.remove("/run/brim/brim.conf.d");
}

fn status() {
    let machine = machine::shared();
    serve(&machine);
    for _ in 0..5 {
        client::get(8901, "/echo").expect("an answer");
    }
    let (code, text) = brimctl(&machine, &["status"]);
    println!("{text}");
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(code, 0, "{text}");
    let row = |section: &str| {
        lines.iter().find(|line| line.first() == Some(&section)).unwrap_or_else(|| panic!("{text}"))
    };
    assert_eq!(row("SECTION")[1..3], ["UNIT", "STATE"], "{text}");
    let wsgi = row("wsgi");
    assert_eq!(wsgi[1..4], ["active", "(running)", "running"], "{text}");
    assert_eq!(wsgi[wsgi.len() - 2..], ["5", "0.0.0.0:8901"], "{text}");
    assert_eq!(row("wsgi#alternate").last(), Some(&"0.0.0.0:8902"), "{text}");

    machine.ok(&["systemctl", "stop", "brim@wsgi:alternate"]);
    let (code, text) = brimctl(&machine, &["status"]);
    assert_eq!(code, 3, "{text}");
    let line = text.lines().find(|line| line.starts_with("wsgi#alternate"));
    assert!(line.is_some_and(|line| line.contains("inactive")), "{text}");
    assert!(!text.contains("draining"), "a status of the past:\n{text}");
    assert_eq!(brimctl(&machine, &["status", "wsgi"]).0, 0);
}

fn stats() {
    let machine = machine::shared();
    serve(&machine);
    for _ in 0..5 {
        client::get(8901, "/echo").expect("an answer");
    }
    let (code, text) = brimctl(&machine, &["stats", "wsgi"]);
    let counts = |text: &str, name: &str| {
        text.lines().any(|line| line.split_whitespace().eq(["wsgi", name, "5"]))
    };
    assert!(
        code == 0 && counts(&text, "request_count") && counts(&text, "echo.requests"),
        "{text}"
    );
    assert!(!text.contains("alternate"), "{text}");
    let (code, text) = brimctl(&machine, &["stats", "--json"]);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &json["wsgi"]["request_count"]), (0, &Value::from(5)), "{text}");
    // The same document as the app's, but for the request that asks for it.
    let app: Value =
        serde_json::from_str(&client::get(8901, "/stats").expect("stats").text()).expect("JSON");
    assert_eq!(app["wsgi"]["echo.requests"], json["wsgi"]["echo.requests"]);
    assert_eq!(app["wsgi#alternate"], json["wsgi#alternate"]);
    machine.ok(&["systemctl", "stop", "brim@wsgi", "brim@wsgi:alternate"]);
    let (code, text) = brimctl(&machine, &["stats"]);
    assert_eq!((code, text.is_empty()), (3, false), "{text}");
}

fn stop() {
    let machine = machine::shared();
    machine.write(CONFIG, TWO.replace("apps = echo\n", "apps = echo\nstart = on-demand\n"));
    machine.sh_ok("systemctl daemon-reload; systemctl start sockets.target brim@wsgi");
    assert_eq!(client::get(8902, "/echo").expect("an answer").status, 200);
    let (code, text) = brimctl(&machine, &["stop", "wsgi:alternate"]);
    assert_eq!(code, 0, "{text}");
    assert!(client::get(8902, "/echo").is_err(), "a stopped server answers");
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    let (code, text) = brimctl(&machine, &["stop", "wsgi#missing"]);
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("there is [wsgi] (brim@wsgi), [wsgi#alternate]"), "{text}");
    let (code, text) = brimctl(&machine, &["stop"]);
    assert_eq!(code, 0, "{text}");
    let units =
        machine.sh_ok("systemctl list-units --plain --no-legend 'brim*' | grep -v slice || :");
    assert_eq!(units, "");
    assert_eq!(machine.ok(&["systemctl", "--failed", "--plain", "--no-legend"]), "");
}
