//! Counters that survive the process.

use crate::support::{Home, get};

#[test]
fn counters_go_on_after_kill_9() {
    let home = Home::new("apps = echo stats\nworkers = 2").shared();
    let daemon = home.start();
    for _ in 0..10 {
        get(&daemon, "/echo");
    }
    daemon.saves("request_count", 10);
    let first = daemon.stats();
    daemon.saves("request_count", 11);
    daemon.kill();

    let daemon = home.start();
    let second = daemon.stats();
    assert_eq!(second["wsgi"]["request_count"], 11);
    assert_eq!(second["wsgi"]["echo.requests"], 10);
    assert_eq!(second["wsgi"]["status_2xx_count"], 11);
    assert!(second["start_time"].as_u64() >= first["start_time"].as_u64());
    assert!(second["wsgi"]["0"]["start_time"].as_u64() >= first["start_time"].as_u64());
}

#[test]
fn what_was_counted_last_is_saved_at_the_end() {
    let home = Home::new("apps = echo stats\ndrain_idle = 100ms").shared();
    let daemon = home.start();
    for _ in 0..10 {
        get(&daemon, "/echo");
    }
    daemon.terminate();
    assert_eq!(daemon.ended().code, Some(0));
    assert_eq!(home.start().stats()["wsgi"]["request_count"], 10);
}

#[test]
fn fewer_workers_keep_the_totals() {
    let home = Home::new("apps = echo stats\nworkers = 3").shared();
    let daemon = home.start();
    for _ in 0..9 {
        get(&daemon, "/echo");
    }
    daemon.saves("request_count", 9);
    daemon.kill();
    home.configure("apps = echo stats\nworkers = 1");
    let daemon = home.start();
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["request_count"], 9);
    assert_eq!(stats["wsgi"]["0"]["request_count"], 9);
}

#[test]
fn a_file_of_garbage_is_a_warning() {
    for garbage in [&b"garbage"[..], b"", b"{\"version\":99,\"stats\":{}}", b"\0\xff", b"[]"] {
        let home = Home::new("apps = echo stats").shared();
        std::fs::write(home.counters(), garbage).unwrap();
        let daemon = home.start();
        let log = daemon.logs("counters start from zero");
        assert!(log.contains("warning: "), "{log}");
        assert!(log.contains(home.counters().to_str().unwrap()), "{log}");
        get(&daemon, "/echo");
        assert_eq!(daemon.stats()["wsgi"]["request_count"], 1);
        daemon.saves("request_count", 2);
    }
}

#[test]
fn a_directory_that_cannot_be_written_costs_the_file_and_not_the_service() {
    let home = Home::new("apps = echo").environment("RUNTIME_DIRECTORY", "/nonexistent").shared();
    let daemon = home.start();
    assert_eq!(get(&daemon, "/echo").status, 200);
}
