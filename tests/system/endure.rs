//! What an operator may pull: restarts, upgrades, kills, hangs, a silent journal, a full disk.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::load::{Answer, Habit, Head, Load, Seen, connect};
use crate::machine::{self, Machine};
use crate::package;
use crate::trial;
use crate::wait::until;

const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8901);
const BOTH: &[Habit] = &[Habit::Fresh, Habit::KeepAlive];
/// The longest time to the first byte that a restart may cost; the wish is a tenth of it.
const CEILING: Duration = Duration::from_secs(2);
/// Where the test program lies inside.
const PROGRAM: &str = "/usr/local/libexec/test-http";

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| trial(format!("endure::{name}"), test);
    vec![
        trial("twenty_restarts_under_load_lose_nothing", restarts_under_load),
        trial("a_package_upgrade_under_load_loses_nothing", upgrade_under_load),
        trial("a_worker_that_hangs_is_replaced_by_the_watchdog", watchdog),
        trial("a_killed_process_is_replaced", killed),
        trial("twenty_restarts_in_ten_seconds_leave_the_port_open", quick_restarts),
        trial("a_stopped_journald_costs_lines_and_no_request", journald_stopped),
        trial("a_full_log_disk_costs_lines_and_no_request", full_disk),
    ]
}

/// Configures `[wsgi]` on the port of these tests, with these further lines, and starts it.
fn start(machine: &Machine, lines: &str) {
    let program = machine.path(PROGRAM);
    fs::create_dir_all(program.parent().expect("a folder")).expect("a folder for the program");
    fs::copy(env!("CARGO_BIN_EXE_test-http"), &program).expect("the test program copied in");
    let config = format!(
        "[wsgi]\nport = 8901\nworkers = 2\nprogram = {PROGRAM}\napps = echo slow stuck\n{lines}\n\
         [slow]\ncall = slow\n[stuck]\ncall = stuck\n"
    );
    machine.write("/etc/brim/brim.conf.d/10-endure.conf", config);
    machine.sh_ok("systemctl daemon-reload; systemctl start brim@wsgi");
}

fn total(machine: &Machine, name: &str) -> u64 {
    let call = format!(
        "busctl call net.brim.Brim1.wsgi /net/brim/Brim1 net.brim.Brim1.Stats Get s {name}"
    );
    let text = machine.sh_ok(&call);
    text.trim().trim_start_matches("t ").parse().unwrap_or_else(|_| panic!("{name}: {text}"))
}

/// Every request is counted, and none twice. The last may be a moment after its answer has been read.
fn counted(machine: &Machine, expected: u64) {
    let what = format!("{expected} requests are counted");
    until(&what, Duration::from_secs(10), || {
        let count = total(machine, "request_count");
        assert!(count <= expected, "{count} are counted, expected {expected}");
        (count == expected).then_some(())
    });
}

fn main_pid(machine: &Machine) -> String {
    machine.property("brim@wsgi.service", "MainPID")
}

/// Nobody may have noticed.
fn unnoticed(seen: &Seen, what: &str) {
    println!(
        "{what}: {} answers, {} failures, slowest first byte {:?} (wish 200 ms, ceiling {CEILING:?})",
        seen.answers,
        seen.failures.len(),
        seen.slowest
    );
    let some: Vec<_> = seen.failures.iter().take(5).collect();
    assert!(seen.failures.is_empty(), "{what}: {} failures: {some:#?}", seen.failures.len());
    assert!(seen.answers > 1000, "{what}: only {} answers", seen.answers);
    assert!(seen.slowest < CEILING, "{what}: slowest first byte {:?}", seen.slowest);
}

/// A request whose answer takes five seconds, begun now.
fn slow_request() -> (TcpStream, Head) {
    let mut stream = connect(SERVER).expect("a connection");
    stream.write_all(b"GET /slow?seconds=5 HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request sent");
    let head = Head::read(&mut stream).expect("a head at once");
    (stream, head)
}

/// Its answer must come whole.
fn ends_whole((mut stream, head): (TcpStream, Head)) {
    let mut body = head.rest;
    let mut rest = vec![0; head.length - body.len()];
    stream.read_exact(&mut rest).expect("the slow answer whole");
    body.extend(rest);
    assert_eq!((head.status, &body[..]), (200, &b"the end\n"[..]));
}

fn restarts_under_load() {
    let machine = machine::shared();
    start(&machine, "");
    let load = Load::start(SERVER, 4, BOTH);
    for _ in 0..20 {
        let slow = slow_request();
        machine.ok(&["systemctl", "restart", "brim@wsgi"]);
        ends_whole(slow);
    }
    let seen = load.stop();
    unnoticed(&seen, "20 restarts, each with a 5 s request in flight");
    counted(&machine, seen.answers as u64 + 20);
}

fn upgrade_under_load() {
    // Two machines would meet on the one loopback.
    machine::end_shared();
    let machine = Machine::boot();
    start(&machine, "");
    let before = main_pid(&machine);
    let load = Load::start(SERVER, 4, BOTH);
    let slow = slow_request();
    let report = machine.install(&package::newer(&machine));
    ends_whole(slow);
    let seen = load.stop();
    assert_ne!(main_pid(&machine), before, "not restarted:\n{}", report.text());
    unnoticed(&seen, "a package upgrade");
}

fn watchdog() {
    let machine = machine::shared();
    start(&machine, "");
    for _ in 0..10 {
        ping().expect("an answer");
    }
    let (before, pid) = (total(&machine, "request_count"), main_pid(&machine));
    assert_eq!(before, 10);
    let started = Instant::now();
    let mut stuck = connect(SERVER).expect("a connection");
    stuck.write_all(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request sent");
    replaced(&machine, &pid);
    println!("a hanging worker was replaced after {:?}", started.elapsed());
    let journal = machine.journal("brim@wsgi.service");
    assert!(journal.to_lowercase().contains("watchdog"), "{journal}");
    assert!(journal.contains("loop does not turn"), "{journal}");
    ping().expect("an answer of the successor");
    let after = total(&machine, "request_count");
    assert!((before + 1..=before + 2).contains(&after), "{before}, then {after}");
}

fn killed() {
    let machine = machine::shared();
    start(&machine, "");
    for _ in 0..10 {
        ping().expect("an answer");
    }
    // The counters go to their file once a second; this many are certain to be there.
    let file = "/run/brim-state/wsgi/counters";
    until("the counters are saved", Duration::from_secs(10), || {
        let saved = machine.read(file);
        let saved: serde_json::Value = serde_json::from_str(&saved).ok()?;
        let values = saved["stats"]["request_count"]["values"].as_array()?.clone();
        (values.iter().filter_map(serde_json::Value::as_u64).sum::<u64>() == 10).then_some(())
    });
    let pid = main_pid(&machine);
    let sockets =
        || machine.property("brim-listen@wsgi-8901.socket", "ActiveEnterTimestampMonotonic");
    let socket = sockets();
    machine.ok(&["kill", "-9", &pid]);
    // The kernel holds this one until the successor is there: the socket stays.
    ping().expect("an answer of the successor");
    replaced(&machine, &pid);
    assert_eq!(sockets(), socket, "the socket was opened anew");
    assert_eq!(total(&machine, "request_count"), 11);
}

/// Another process serves.
fn replaced(machine: &Machine, pid: &str) {
    until("the process is replaced", Duration::from_secs(60), || {
        let now = main_pid(machine);
        let active = machine.property("brim@wsgi.service", "ActiveState") == "active";
        (now != *pid && now != "0" && active).then_some(())
    });
}

fn ping() -> std::io::Result<()> {
    let mut stream = connect(SERVER)?;
    stream.write_all(
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nping",
    )?;
    let answer = Answer::read(&mut stream)?;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ping"[..]));
    Ok(())
}

fn quick_restarts() {
    let machine = machine::shared();
    start(&machine, "");
    let load = Load::start(SERVER, 2, BOTH);
    let started = Instant::now();
    machine.sh_ok("for i in $(seq 20); do systemctl restart brim@wsgi; done");
    println!("20 restarts in a row took {:?}", started.elapsed());
    unnoticed(&load.stop(), "20 restarts in a row");
    assert_eq!(machine.property("brim@wsgi.service", "ActiveState"), "active");
    assert_eq!(machine.property("brim-listen@wsgi-8901.socket", "ActiveState"), "active");
}

fn journald_stopped() {
    let machine = machine::shared();
    start(&machine, "access_log = journal");
    let journald = machine.property("systemd-journald.service", "MainPID");
    let load = Load::start(SERVER, 4, BOTH);
    machine.ok(&["kill", "-STOP", &journald]);
    std::thread::sleep(Duration::from_secs(20));
    let during = load.answers();
    machine.ok(&["kill", "-CONT", &journald]);
    let seen = load.stop();
    assert!(during > 1000, "only {during} answers while journald stood still");
    unnoticed(&seen, "journald stopped for 20 s");
    let dropped = until("lost lines are counted", Duration::from_secs(20), || {
        Some(total(&machine, "access_log_dropped_count")).filter(|dropped| *dropped > 0)
    });
    println!("{dropped} access lines lost of {}", seen.answers);
    counted(&machine, seen.answers as u64);
}

fn full_disk() {
    let machine = machine::shared();
    machine
        .sh_ok("mkdir -p /var/log/brim; mount -t tmpfs -o size=64k,mode=0755 tmpfs /var/log/brim");
    start(&machine, "");
    let load = Load::start(SERVER, 4, BOTH);
    until("the log disk is full", Duration::from_secs(60), || {
        let free = machine.sh_ok("df --output=avail /var/log/brim | tail -n 1");
        (free.trim() == "0").then_some(())
    });
    until("lines are lost", Duration::from_secs(60), || {
        (total(&machine, "access_log_dropped_count") > 0).then_some(())
    });
    let seen = load.stop();
    unnoticed(&seen, "a full log disk");
    println!("{} access lines lost", total(&machine, "access_log_dropped_count"));
    // Room again: what comes now is written.
    machine.sh_ok("mount -o remount,size=16m /var/log/brim");
    until("lines are written again", Duration::from_secs(10), || {
        let mut stream = connect(SERVER).expect("a connection");
        stream
            .write_all(b"GET /room-again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("a request sent");
        assert_eq!(Answer::read(&mut stream).expect("an answer").status, 404);
        machine.read("/var/log/brim/wsgi-access.log").contains("GET /room-again").then_some(())
    });
    let log = machine.read("/var/log/brim/wsgi-access.log");
    let whole = |line: &str| line.split(' ').count() == 18;
    assert!(log.lines().all(whole), "a line that is not whole");
    machine.sh_ok("systemctl stop brim@wsgi; umount /var/log/brim");
}
