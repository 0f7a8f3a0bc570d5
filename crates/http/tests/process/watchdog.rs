//! The watchdog's pings: only while every worker's loop turns.

use std::time::{Duration, Instant};

use crate::support::{Home, example, get};

fn home(keys: &str) -> Home {
    Home::new(keys).program(example("trial")).environment("WATCHDOG_USEC", "400000")
}

#[test]
fn pings_come_in_time_while_it_serves() {
    let daemon = home("apps = slow echo").shared().start();
    let mut slow = daemon.client();
    slow.send("GET /slow?seconds=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let start = Instant::now();
    for _ in 0..6 {
        daemon.notice("WATCHDOG=1");
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(slow.response().status, 200);
}

#[test]
fn a_worker_that_hangs_costs_the_ping_and_says_so() {
    let daemon = home("apps = block echo\nworkers = 2").shared().start();
    daemon.notice("WATCHDOG=1");
    let mut stuck = daemon.client();
    stuck.send("GET /block?seconds=4 HTTP/1.1\r\nHost: x\r\n\r\n");
    daemon.logs("a worker's loop does not turn; no watchdog ping");
    let start = Instant::now();
    // What was on its way is not counted: then there is silence until the loop turns again.
    while daemon.try_notice("WATCHDOG=1", Duration::ZERO) {}
    daemon.notice("WATCHDOG=1");
    assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(stuck.response().status, 200);
}

#[test]
fn a_held_instance_pings_too() {
    let daemon = home("nonsense = 1").shared().start();
    assert_eq!(get(&daemon, "/").status, 503);
    for _ in 0..3 {
        daemon.notice("WATCHDOG=1");
    }
}

#[test]
fn pings_go_on_during_the_drain() {
    let daemon = home("apps = slow stats").shared().start();
    let mut slow = daemon.client();
    slow.send("GET /slow?seconds=3 HTTP/1.1\r\nHost: x\r\n\r\n");
    daemon.stats();
    daemon.terminate();
    for _ in 0..3 {
        daemon.notice("WATCHDOG=1");
    }
    assert_eq!(slow.response().status, 200);
}
