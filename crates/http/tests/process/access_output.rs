//! Where access lines go, and what they look like there.

use std::path::Path;
use std::process::Command;

use crate::support::{Home, eventually, get, serve, serve_trial};

#[test]
fn the_combined_format_is_that_of_other_servers() {
    let daemon = serve_trial("apps = echo tell\naccess_log_format = combined");
    let mut client = daemon.client();
    client.send(
        "POST /echo?a=%20+b HTTP/1.1\r\nHost: x\r\nReferer: http://e/\"x\"\r\nUser-Agent: My agent\r\n\
         Content-Length: 4\r\n\r\nbody",
    );
    client.response();
    client.get("/tell");
    let lines = daemon.access_lines(2);
    let (front, rest) = lines[0].split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(front, "127.0.0.1 - -");
    assert_eq!(time.len(), "21/Nov/2025:08:10:11 +0000".len());
    assert!(time.ends_with(" +0000"), "{time}");
    let request = r#""POST /echo?a=%20+b HTTP/1.1" 200 4 "http://e/\x22x\x22" "My agent""#;
    assert_eq!(rest, request);
    assert!(lines[1].starts_with("127.0.0.1 - proven ["), "{}", lines[1]);
    assert!(lines[1].ends_with(r#"HTTP/1.1" 200 43 "-" "-""#), "{}", lines[1]);
}

#[test]
fn each_json_line_parses_and_has_what_the_others_have() {
    let daemon =
        serve_trial("apps = tell echo\naccess_log_format = json\nlog_headers = yes\nworkers = 1");
    let mut client = daemon.client();
    client.send(
        "GET /tell?a=%20+b HTTP/1.1\r\nHost: x\r\nX-Txn: txn\r\nReferer: \"quoted\\\"\r\n\
         User-Agent: ä agent\r\nCookie: secret\r\n\r\n",
    );
    client.response();
    client.send("POST /echo HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody");
    client.response();
    let mut client = daemon.client();
    client.send("garbage\r\n\r\n");
    client.response();
    let lines: Vec<serde_json::Value> =
        daemon.access_lines(3).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (first, second, third) = (&lines[0], &lines[1], &lines[2]);
    for (key, value) in [
        ("client", "127.0.0.1"),
        ("peer", "127.0.0.1"),
        ("remote_user", "claimed user"),
        ("authenticated_user", "proven"),
        ("source", "source"),
        ("method", "GET"),
        ("target", "/tell?a=%20+b"),
        ("protocol", "HTTP/1.1"),
        ("referer", "\"quoted\\\""),
        ("user_agent", "ä agent"),
        ("txn", "txn"),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!((&first["status"], &first["bytes_out"]), (&200.into(), &14.into()));
    assert_eq!(first["log_info"], serde_json::json!(["test:", "one two"]));
    assert!(first["seconds"].as_f64().unwrap() < 5.0);
    assert!(first["headers"].as_array().unwrap().contains(&"Cookie:(redacted)".into()));
    let time = first["time"].as_str().unwrap();
    assert_eq!((time.len(), &time[10..11], &time[19..]), (20, "T", "Z"));
    assert_eq!((&second["bytes_in"], &second["protocol"]), (&4.into(), &"HTTP/1.0".into()));
    assert_eq!(second.get("disconnect"), None);
    assert_eq!((&third["status"], third.get("method")), (&400.into(), None));
}

#[test]
fn off_writes_nothing_and_counts_all_the_same() {
    let daemon = serve("apps = echo stats\naccess_log = off");
    get(&daemon, "/echo");
    assert_eq!(daemon.stats()["wsgi"]["request_count"], 1);
    daemon.home.configure("apps = echo stats");
    daemon.reload();
    get(&daemon, "/echo");
    assert_eq!(daemon.access_lines(1).len(), 1);
    daemon.home.configure("apps = echo stats\naccess_log = off");
    daemon.reload();
    get(&daemon, "/echo");
    assert_eq!(daemon.stats()["wsgi"]["request_count"], 4);
    assert_eq!(daemon.access_lines(1).len(), 1);
}

#[test]
fn a_section_with_a_name_has_a_file_of_its_own() {
    let daemon = Home::of("wsgi#alternate", "apps = echo").shared().start();
    get(&daemon, "/echo");
    assert!(daemon.access_log().ends_with("wsgi:alternate-access.log"));
    assert_eq!(daemon.access_lines(1).len(), 1);
}

#[test]
fn without_a_directory_the_lines_go_to_standard_output() {
    let home = Home::new("apps = echo").environment("LOGS_DIRECTORY", "");
    let daemon = home.shared().start();
    get(&daemon, "/echo");
    eventually("a line", || daemon.stdout().contains(" GET /echo HTTP/1.1 200 ").then_some(()));
}

#[test]
fn a_log_that_cannot_be_written_costs_lines_and_no_request() {
    let home = Home::new("apps = echo stats\nworkers = 1");
    let home = home.environment("LOGS_DIRECTORY", "/nonexistent");
    let daemon = home.shared().start();
    daemon.logs("cannot open the access log /nonexistent/wsgi-access.log");
    let mut client = daemon.client();
    // More than a ring and what waits for the file can hold.
    let requests = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    for _ in 0..80 {
        client.send(&requests);
        for _ in 0..100 {
            assert_eq!(client.response().status, 200);
        }
    }
    let dropped = eventually("lines that were dropped", || {
        daemon.stats()["wsgi"]["access_log_dropped_count"].as_u64()
    });
    assert!((1..8000).contains(&dropped), "{dropped}");
    daemon.logs("access lines were dropped");
}

#[test]
fn a_log_that_was_moved_is_opened_anew_without_a_word_and_no_line_is_lost() {
    let daemon = serve("apps = echo");
    get(&daemon, "/echo");
    daemon.access_lines(1);
    let (log, old) = (daemon.access_log(), daemon.access_log().with_extension("log.1"));
    std::fs::rename(&log, &old).unwrap();
    let mut sent = 1;
    eventually("a new file", || {
        get(&daemon, "/echo");
        sent += 1;
        std::fs::metadata(&log).is_ok_and(|file| file.len() > 0).then_some(())
    });
    eventually("all lines", || {
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        (lines(&old) + lines(&log) == sent).then_some(())
    });
}

/// The package's own file, save for where the logs are and whose.
#[test]
fn logrotate_moves_and_compresses_and_no_line_is_lost() {
    let logrotate = Path::new("/usr/sbin/logrotate");
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    assert!(logrotate.exists(), "there is no logrotate (Debian: apt install logrotate)");
    let daemon = serve("apps = echo");
    let log = daemon.access_log();
    let logs = log.parent().unwrap();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/logrotate/brim");
    let rules = std::fs::read_to_string(rules).unwrap();
    assert!(rules.contains("/var/log/brim/") && rules.contains("su brim brim"), "{rules}");
    let rules = rules.replace("/var/log/brim", logs.to_str().unwrap());
    let rules = daemon.home.write("logrotate", &rules.replace("su brim brim", "su root root"));
    let mut sent = 0;
    for _ in 0..3 {
        eventually("a line in a new file", || {
            get(&daemon, "/echo");
            sent += 1;
            std::fs::metadata(&log).is_ok_and(|file| file.len() > 0).then_some(())
        });
        let mut rotate = Command::new(logrotate);
        rotate.arg("--force").arg("--state").arg(daemon.home.path("state")).arg(&rules);
        let output = rotate.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(!log.exists());
    }
    let old = |suffix: &str| format!("{}.{suffix}", log.display());
    let unpacked = |suffix| {
        let output = Command::new("zcat").arg("--force").arg(old(suffix)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    eventually("all lines", || {
        (["1", "2.gz", "3.gz"].map(unpacked).iter().sum::<usize>() == sent).then_some(())
    });
}
