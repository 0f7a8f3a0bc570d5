//! SIGHUP: the new configuration, or the old one.

use std::io::Write;

use crate::support::{Home, eventually, example, get, post, serve, serve_trial};

#[test]
fn a_good_configuration_is_live_and_no_connection_is_dropped() {
    let daemon = serve("apps = echo stats");
    let mut busy = daemon.client();
    let mut parked = daemon.client();
    assert_eq!(busy.get("/echo").status, 200);
    assert_eq!(parked.get("/echo").status, 200);
    std::thread::sleep(std::time::Duration::from_millis(300));
    daemon.home.configure("apps = echo stats\n[echo]\ncall = echo\npath = /new");
    let notice = daemon.reload();
    assert!(notice.contains("STATUS=serving"), "{notice}");
    for client in [&mut busy, &mut parked] {
        assert_eq!(client.get("/echo").status, 404);
        assert_eq!(client.get("/new").status, 200);
    }
    assert_eq!(get(&daemon, "/new").status, 200);
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["echo.requests"], 5, "counters go on");
    assert_eq!(stats["wsgi"]["request_count"], 7);
}

#[test]
fn a_request_in_progress_ends_with_the_configuration_it_began_with() {
    let daemon = serve_trial("apps = slow echo stats");
    let mut slow = daemon.client();
    slow.send("GET /slow?seconds=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    daemon.stats();
    daemon.home.configure("apps = echo stats");
    daemon.reload();
    assert_eq!(slow.response().text(), "slow but whole\n");
    assert_eq!(slow.get("/slow").status, 404);
    let counted = daemon.stats()["wsgi"]["request_count"].as_u64();
    assert_eq!(counted, Some(3), "what outlived the reload is counted too");
}

#[test]
fn a_bad_configuration_changes_nothing_and_is_said_with_its_line() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    assert_eq!(client.get("/echo").status, 200);
    daemon.home.configure("apps = echo\nhead_limt = 3");
    let notice = daemon.reload();
    let place = format!("{}:4: [wsgi] head_limt: ", daemon.home.config().display());
    assert!(notice.contains("STATUS=reload refused, the old configuration goes on"), "{notice}");
    assert!(notice.contains(&place), "{notice}");
    daemon.logs(&format!("error: {place}"));
    assert_eq!(client.get("/echo").status, 200);
    daemon.home.configure("apps = echo\n[echo]\ncall = echo\npath = /mended");
    daemon.reload();
    assert_eq!(client.get("/mended").status, 200);
}

#[test]
fn a_configuration_that_is_gone_changes_nothing() {
    let daemon = serve("apps = echo");
    std::fs::remove_file(daemon.home.config()).unwrap();
    let notice = daemon.reload();
    assert!(notice.contains("reload refused"), "{notice}");
    assert_eq!(get(&daemon, "/echo").status, 200);
    daemon.home.write_config("[wsgi#other]\nport = 1\n");
    let notice = daemon.reload();
    assert!(notice.contains("no such section") && notice.contains("[wsgi#other]"), "{notice}");
    assert_eq!(get(&daemon, "/echo").status, 200);
}

#[test]
fn an_app_that_cannot_be_built_changes_nothing() {
    let daemon = serve_trial("apps = panic echo");
    daemon.home.configure("apps = panic echo\n[panic]\ncall = panic\nbuild = yes");
    let notice = daemon.reload();
    assert!(notice.contains("an app could not be built: in the constructor"), "{notice}");
    assert_eq!(get(&daemon, "/echo").status, 200);
    assert_eq!(get(&daemon, "/panic").status, 500);
}

#[test]
fn a_reload_does_not_look_like_a_restart() {
    let daemon = serve("apps = stats\nworkers = 1");
    let before = daemon.stats();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    daemon.reload();
    let after = daemon.stats();
    assert_eq!(before["start_time"], after["start_time"]);
    assert_eq!(before["wsgi"]["0"]["start_time"], after["wsgi"]["0"]["start_time"]);
}

#[test]
fn another_number_of_workers_is_a_warning() {
    let daemon = serve("apps = echo\nworkers = 1");
    daemon.home.configure("apps = echo\nworkers = 2");
    let notice = daemon.reload();
    assert!(notice.contains("1 worker"), "{notice}");
    let log = daemon.logs("takes effect at the next restart");
    assert!(log.contains("warning: another number of workers"), "{log}");
    assert!(log.contains("configured=2") && log.contains("running=1"), "{log}");
}

#[test]
fn a_changed_port_is_served_on_and_both_addresses_and_the_command_are_named() {
    let daemon = serve("apps = echo");
    let old = daemon.address();
    daemon.home.write_config("[wsgi]\nlisten = 127.0.0.1:1\napps = echo\n");
    let notice = daemon.reload();
    let sentence = format!(
        "configured but not open: 127.0.0.1:1, open but not configured: {old}; \
         run: systemctl daemon-reload && systemctl restart brim@wsgi"
    );
    assert!(notice.contains(&sentence), "{notice}");
    daemon.logs(&format!("error: {sentence}"));
    assert_eq!(get(&daemon, "/echo").status, 200);
}

#[test]
fn limits_and_times_change_too() {
    let daemon = serve("apps = echo\nbody_limit = 10");
    assert_eq!(post(&daemon, "/echo", b"more than ten").status, 413);
    let mut client = daemon.client();
    assert_eq!(client.get("/echo").status, 200);
    daemon.home.configure("apps = echo\nbody_limit = 100\nidle_timeout = 2s");
    daemon.reload();
    assert_eq!(post(&daemon, "/echo", b"more than ten").status, 200);
    assert_eq!(client.get("/echo").status, 200);
    client.is_closed();
}

#[test]
fn the_access_log_is_opened_anew() {
    let daemon = serve("apps = echo");
    get(&daemon, "/echo");
    daemon.access_lines(1);
    let log = daemon.access_log();
    std::fs::rename(&log, log.with_extension("log.1")).unwrap();
    get(&daemon, "/echo");
    daemon.reload();
    get(&daemon, "/echo");
    // The second line may have waited for the writer while the files changed; none is lost.
    eventually("three lines in both", || {
        let old = std::fs::read_to_string(log.with_extension("log.1")).unwrap();
        let new = std::fs::read_to_string(&log).unwrap_or_default();
        (old.lines().count() + new.lines().count() == 3 && !new.is_empty()).then_some(())
    });
}

#[test]
fn a_hundred_reloads_under_load_lose_nothing() {
    let daemon = serve("apps = echo stats\nworkers = 2");
    let address = daemon.address();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut client = crate::support::Client::connect(address);
                let mut count = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(client.get("/echo").status, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for round in 0..100 {
        daemon
            .home
            .configure(&format!("apps = echo stats\nworkers = 2\nbody_limit = {}", 1000 + round));
        daemon.reload();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(daemon.stats()["wsgi"]["request_count"], sent);
    assert_eq!(daemon.stats()["wsgi"]["echo.requests"], sent);
}

#[test]
fn an_app_that_appears_brings_its_counters_along() {
    let daemon = serve("apps = stats");
    daemon.home.configure("apps = stats echo");
    daemon.reload();
    get(&daemon, "/echo");
    assert_eq!(daemon.stats()["wsgi"]["echo.requests"], 1);
    daemon.home.configure("apps = stats");
    daemon.reload();
    assert!(daemon.stats()["wsgi"]["echo.requests"].is_null());
}

#[test]
fn a_drop_in_is_part_of_the_configuration() {
    let home = Home::new("apps = echo").program(example("trial")).shared();
    let directory = home.path("brim.conf.d");
    std::fs::create_dir(&directory).unwrap();
    let daemon = home.start();
    let mut drop_in = std::fs::File::create(directory.join("10-slow.conf")).unwrap();
    drop_in.write_all(b"[wsgi]\napps = echo slow\n").unwrap();
    daemon.reload();
    assert_eq!(get(&daemon, "/slow?seconds=0").status, 200);
    drop_in.write_all(b"nonsense = 1\n").unwrap();
    let notice = daemon.reload();
    assert!(notice.contains("10-slow.conf:3: [wsgi] nonsense"), "{notice}");
    assert_eq!(get(&daemon, "/slow?seconds=0").status, 200);
}
