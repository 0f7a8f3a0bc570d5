//! Edits of the configuration while servers run: good ones, bad ones, changed listeners, wrong names.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::bus;
use crate::client::{self, Client};
use crate::load::{Habit, Load};
use crate::machine::{self, Machine};
use crate::trial;
use crate::wait::until;

const CONFIG: &str = "/etc/brim/brim.conf.d/10-configure.conf";
const EDIT: &str = "/etc/brim/brim.conf.d/20-edit.conf";
/// Two mistakes, and where they are.
const BAD: &str = "# an edit\n[wsgi]\nprot = 8901\nhead_timeout = soon\n";
const REASONS: [&str; 2] = [
    "/etc/brim/brim.conf.d/20-edit.conf:3: [wsgi] prot: unknown key, did you mean `port`?",
    "/etc/brim/brim.conf.d/20-edit.conf:4: [wsgi] head_timeout: \"soon\" is not a time",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("configure::a_bad_reload_says_why_and_changes_nothing", bad_reload),
        trial("configure::a_good_reload_is_live_and_drops_no_connection", good_reload),
        trial("configure::a_bad_start_turns_clients_away_until_a_reload_heals_it", bad_start),
        trial("configure::a_changed_port_without_daemon_reload_is_named", port_without_reload),
        trial("configure::changed_listeners_cost_the_others_nothing", listeners_under_load),
        trial("configure::a_port_that_somebody_else_has_is_named_and_waited_for", port_taken),
        trial("configure::a_section_that_is_gone_is_served_until_a_restart", section_gone),
        trial("configure::a_unit_without_a_section_says_which_there_are", nonsense),
    ]
}

fn start(machine: &Machine, config: &str) {
    machine.write(CONFIG, config);
    machine.sh_ok("systemctl daemon-reload; systemctl start brim@wsgi");
}

/// Whatever `systemctl status` prints, whatever it returns.
fn status(machine: &Machine, unit: &str) -> String {
    machine.run(&["systemctl", "status", "--full", "--", unit]).text()
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Waits until the journal of `brim@wsgi` has all of these: it is written beside the serving.
fn journal_has(machine: &Machine, parts: &[&str]) -> String {
    until(&format!("{parts:#?} in the journal"), Duration::from_secs(10), || {
        let journal = machine.journal("brim@wsgi");
        parts.iter().all(|part| journal.contains(part)).then_some(journal)
    })
}

fn bad_reload() {
    let machine = machine::shared();
    start(&machine, "[wsgi]\nport = 8901\napps = echo\n");
    let mut open = Client::connect(8901).expect("a connection");
    assert_eq!(open.get("/echo").expect("an answer").status, 200);
    let pid = machine.property("brim@wsgi", "MainPID");

    machine.write(EDIT, BAD);
    let reload = machine.run(&["systemctl", "reload", "brim@wsgi"]);
    assert!(!reload.success(), "a bad reload succeeds");
    let refused = "reload refused, the old configuration goes on";
    let shown = status(&machine, "brim@wsgi");
    contains(&shown, &[&REASONS[..], &[refused, "active (running)"]].concat());
    let journal = journal_has(&machine, &[&REASONS[..], &[refused]].concat());
    let times = journal.matches(REASONS[0]).count();
    assert_eq!(times, 1, "told more than once:\n{journal}");

    let brimctl = machine.run(&["brimctl", "reload"]);
    assert_eq!(brimctl.code, 78, "{}", brimctl.text());
    contains(&brimctl.text(), &REASONS);

    assert_eq!(machine.property("brim@wsgi", "MainPID"), pid);
    assert_eq!(open.get("/echo").expect("the old connection").status, 200);
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    // Mended, the status is plain again.
    machine.remove(EDIT);
    machine.ok(&["systemctl", "reload", "brim@wsgi"]);
    assert_eq!(machine.property("brim@wsgi", "StatusText"), serving(8901));
}

fn serving(port: u16) -> String {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = if workers == 1 { "1 worker".into() } else { format!("{workers} workers") };
    format!("serving 0.0.0.0:{port}, {workers}")
}

fn good_reload() {
    let machine = machine::shared();
    start(&machine, "[wsgi]\nport = 8901\napps = old\n[old]\ncall = echo\npath = /old\n");
    let mut open = Client::connect(8901).expect("a connection");
    let mut status = |path| {
        let answer = open.get(path).expect("the connection is kept");
        assert_eq!(answer.header("connection"), None, "{}", answer.head);
        answer.status
    };
    assert_eq!([status("/old"), status("/new")], [200, 404]);
    let pid = machine.property("brim@wsgi", "MainPID");
    let edit = "[wsgi]\napps = new\n[new]\ncall = echo\npath = /new\n[old]\npath = /old\n";
    machine.write(EDIT, edit);
    machine.ok(&["systemctl", "reload", "brim@wsgi"]);
    assert_eq!([status("/old"), status("/new")], [404, 200], "on the old connection");
    assert_eq!(client::get(8901, "/new").expect("an answer").status, 200);
    // The same by brimctl, back again.
    machine.remove(EDIT);
    let brimctl = machine.run(&["brimctl", "reload", "wsgi"]);
    assert_eq!((brimctl.code, brimctl.text().as_str()), (0, "[wsgi]: reloaded\n"));
    assert_eq!([status("/old"), status("/new")], [200, 404], "back, on the old connection");
    assert_eq!(machine.property("brim@wsgi", "MainPID"), pid);
    assert_eq!(bus::total(&machine, "wsgi", "request_count"), 7);
}

fn bad_start() {
    let machine = machine::shared();
    start(&machine, "[wsgi]\nport = 8901\napps = echo\n");
    // Clients that knock all the time: the port is never closed, and each gets an answer.
    let knocking = Knocking::start();
    machine.write(EDIT, BAD);
    machine.run(&["systemctl", "restart", "brim@wsgi"]);
    let refused = client::get(8901, "/echo").expect("an answer");
    assert_eq!(refused.status, 503);
    assert!(refused.text().starts_with("503 Service Unavailable"), "{}", refused.text());
    assert_eq!(refused.header("connection"), Some("close"));
    let text = machine.property("brim@wsgi", "StatusText");
    contains(&text, &REASONS);
    contains(&status(&machine, "brim@wsgi"), &REASONS);
    journal_has(&machine, &REASONS);
    let table = machine.run(&["brimctl", "status"]);
    assert_eq!(table.code, 3, "{}", table.text());
    contains(&table.text(), &["holding", REASONS[0]]);

    let (spent, restarts) = idles(&machine);
    println!("3 s of a server that is held, {KNOCKS} clients: {spent:?} of the processor");
    assert!(spent < Duration::from_millis(300), "the processor does not idle: {spent:?}");
    assert_eq!(restarts, "0");

    // A bad reload keeps it as it is, and says so.
    machine.write(EDIT, "[wsgi]\nport = 8901\nhead_timeout = later\n");
    let still = machine.run(&["systemctl", "reload", "brim@wsgi"]);
    assert!(!still.success());
    contains(&machine.property("brim@wsgi", "StatusText"), &["20-edit.conf:3", "\"later\""]);
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 503);

    let pid = machine.property("brim@wsgi", "MainPID");
    machine.remove(EDIT);
    machine.ok(&["systemctl", "reload", "brim@wsgi"]);
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    assert_eq!(machine.property("brim@wsgi", "MainPID"), pid);
    assert_eq!(machine.property("brim@wsgi", "StatusText"), serving(8901));
    let answers = knocking.stop();
    println!("a bad start and its mending, as clients saw it: {answers:?}");
    assert!(answers.keys().eq(&[200, 503]), "{answers:?}");
    assert_eq!(bus::property(&machine, "wsgi", "net.brim.Brim1.Instance", "State"), "running");
}

/// A client that comes again and again, a hundred times a second, and wants an answer each time.
struct Knocking(Arc<AtomicBool>, JoinHandle<BTreeMap<u16, usize>>);

impl Knocking {
    fn start() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let thread = std::thread::spawn(move || {
            let mut answers = BTreeMap::new();
            while !ended.load(Ordering::Relaxed) {
                let answer = client::get(8901, "/echo").expect("an answer, of whatever kind");
                *answers.entry(answer.status).or_default() += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            answers
        });
        Self(end, thread)
    }

    /// How many answers of each status there were.
    fn stop(self) -> BTreeMap<u16, usize> {
        self.0.store(true, Ordering::Relaxed);
        self.1.join().expect("every client was answered")
    }
}

/// Clients in the three seconds of [`idles`].
const KNOCKS: u32 = 30;

/// The processor time of `brim@wsgi` while clients come for three seconds, and one just waits.
fn idles(machine: &Machine) -> (Duration, String) {
    let spent = || -> Duration {
        let spent = machine.property("brim@wsgi", "CPUUsageNSec");
        Duration::from_nanos(spent.parse().unwrap_or_else(|_| panic!("CPUUsageNSec is {spent}")))
    };
    let before = spent();
    let _waits = Client::connect(8901).expect("a connection");
    let started = Instant::now();
    for knock in 1..=KNOCKS {
        assert_eq!(client::get(8901, "/echo").expect("an answer").status, 503);
        let next = Duration::from_millis(100) * knock;
        std::thread::sleep(next.saturating_sub(started.elapsed()));
    }
    (spent() - before, machine.property("brim@wsgi", "NRestarts"))
}

fn port_without_reload() {
    let machine = machine::shared();
    start(&machine, "[wsgi]\nport = 8901\napps = echo\n");
    machine.write(CONFIG, "[wsgi]\nport = 8903\napps = echo\n");
    assert_eq!(machine.property("brim@wsgi", "NeedDaemonReload"), "yes");
    let names =
        ["0.0.0.0:8901", "0.0.0.0:8903", "systemctl daemon-reload && systemctl restart brim@wsgi"];
    for way in ["reload", "restart"] {
        machine.ok(&["systemctl", way, "brim@wsgi"]);
        contains(&machine.property("brim@wsgi", "StatusText"), &names);
        assert_eq!(client::get(8901, "/echo").expect("the old port").status, 200, "{way}");
        assert!(client::get(8903, "/echo").is_err(), "the new port is open after {way}");
    }
    journal_has(&machine, &names);
    machine.sh_ok("systemctl daemon-reload && systemctl restart brim@wsgi");
    assert_eq!(client::get(8903, "/echo").expect("the new port").status, 200);
    assert!(client::get(8901, "/echo").is_err(), "the old port is open");
    assert_eq!(machine.property("brim@wsgi", "StatusText"), serving(8903));
}

fn listeners_under_load() {
    let machine = machine::shared();
    let config = |others: &str| format!("[wsgi]\nlisten = 127.0.0.1:8901 {others}\napps = echo\n");
    start(&machine, &config("127.0.0.1:8910"));
    let load =
        Load::start(SocketAddr::from(([127, 0, 0, 1], 8901)), 2, &[Habit::Fresh, Habit::KeepAlive]);
    // What is listened on beside the unchanged one, a port that is then closed, one that is open.
    let changes = [
        ("127.0.0.1:8911", Some(8910), Some(8911)),
        ("127.0.0.1:8911 127.0.0.1:8912", None, Some(8912)),
        ("127.0.0.1:8913 127.0.0.1:8914", Some(8911), Some(8914)),
        ("", Some(8914), None),
        ("unix:/run/brim/x.sock [::1]:8910 127.0.0.1:8910", None, Some(8910)),
    ];
    for (others, closed, open) in changes {
        machine.write(CONFIG, config(others));
        machine.sh_ok("systemctl daemon-reload; systemctl restart brim@wsgi");
        if let Some(port) = closed {
            assert!(Client::connect(port).is_err(), "{port} is open with {others:?}");
        }
        if let Some(port) = open {
            assert_eq!(client::get(port, "/echo").expect("the new port").status, 200);
        }
    }
    let curl = ["curl", "--silent", "--show-error", "--data", "hi"];
    for way in
        [&["--unix-socket", "/run/brim/x.sock", "http://x/echo"][..], &["http://[::1]:8910/echo"]]
    {
        assert_eq!(machine.ok(&[&curl[..], way].concat()), "hi", "{way:?}");
    }
    let seen = load.stop();
    println!(
        "{} changes of listeners: {} answers on the unchanged one, {} failures, slowest first byte {:?}",
        changes.len(),
        seen.answers,
        seen.failures.len(),
        seen.slowest
    );
    assert!(seen.failures.is_empty(), "{:#?}", seen.failures);
    assert!(seen.answers > 1000, "only {} answers", seen.answers);
}

fn port_taken() {
    let machine = machine::shared();
    machine.write(CONFIG, "[wsgi]\nport = 8901\napps = echo\n");
    machine.ok(&["systemctl", "daemon-reload"]);
    let other = TcpListener::bind(("0.0.0.0", 8901)).expect("the port");
    machine.ok(&["systemctl", "start", "--no-block", "brim@wsgi"]);
    let why = "cannot listen on 0.0.0.0:8901: Address already in use";
    until("the reason in the status", Duration::from_secs(20), || {
        machine.property("brim@wsgi", "StatusText").contains(why).then_some(())
    });
    journal_has(&machine, &[why]);
    assert_eq!(machine.property("brim-listen@wsgi-8901.socket", "Result"), "resources");
    drop(other);
    // It comes back by itself, and the socket is systemd's.
    machine.await_state("brim@wsgi", "active");
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    assert_eq!(machine.property("brim-listen@wsgi-8901.socket", "ActiveState"), "active");
    let restarts: u32 = machine.property("brim@wsgi", "NRestarts").parse().expect("a number");
    assert!((1..20).contains(&restarts), "{restarts} restarts");
}

fn section_gone() {
    let machine = machine::shared();
    start(&machine, "[wsgi]\nport = 8901\napps = echo\n");
    machine.remove(CONFIG);
    assert!(!machine.run(&["systemctl", "reload", "brim@wsgi"]).success());
    contains(&machine.property("brim@wsgi", "StatusText"), &["[wsgi]: no such section"]);
    let journal = journal_has(&machine, &["reload refused", "no such section"]);
    assert_eq!(journal.matches("no such section").count(), 1, "{journal}");
    let (brimctl, table) =
        (machine.run(&["brimctl", "reload"]), machine.run(&["brimctl", "status"]));
    contains(&brimctl.text(), &["not in the configuration", "brimctl stop wsgi"]);
    contains(&table.text(), &["not in the configuration"]);
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    machine.ok(&["systemctl", "daemon-reload"]);
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    assert!(!machine.run(&["systemctl", "restart", "brim@wsgi"]).success());
    contains(&machine.property("brim@wsgi", "StatusText"), &["there is no section [wsgi]"]);
    assert!(client::get(8901, "/echo").is_err(), "the port is open");
}

fn nonsense() {
    let machine = machine::shared();
    let config = "[wsgi]\nport = 8901\napps = echo\n[wsgi#alternate]\nport = 8902\napps = echo\n";
    machine.write(CONFIG, config);
    machine.ok(&["systemctl", "daemon-reload"]);
    let there = "there is [wsgi] (brim@wsgi), [wsgi#alternate] (brim@wsgi:alternate)";
    let looked = "/etc/brim/brim.conf.d /run/brim/brim.conf.d /usr/lib/brim/brim.conf.d";
    for (unit, own, code) in [
        ("brim@nonsense", &["no section [nonsense]", there, looked][..], "78"),
        ("brim@wsgi:missing", &["no section [wsgi#missing]", there, looked], "78"),
        (r"brim@wsgi\x23alternate", &["the unit of [wsgi#alternate] is brim@wsgi:alternate"], "64"),
        ("brim@tcp", &["no section [tcp]", there], "78"),
    ] {
        let typed = unit.replace(r"\x23", "#");
        let started = machine.run(&["systemctl", "start", &typed]);
        assert!(!started.success(), "{typed} starts");
        contains(&machine.property(unit, "StatusText"), own);
        contains(&status(&machine, unit), own);
        assert_eq!(machine.property(unit, "ExecMainStatus"), code, "{unit}");
        assert_eq!(machine.property(unit, "ActiveState"), "failed", "{unit}");
        assert_eq!(machine.property(unit, "NRestarts"), "0", "{unit}");
    }
    // The mistakes of others do no harm.
    machine.ok(&["systemctl", "start", "brim@wsgi"]);
}
