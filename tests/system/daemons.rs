//! Background daemons: what is built in, programs, schedules; their figures; their group.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::bus;
use crate::client;
use crate::machine::{self, Machine};
use crate::trial;
use crate::wait::until;

pub(crate) const FILE: &str = "/etc/brim/brim.conf.d/10-daemons.conf";
/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A worker as people write it; Debian's smallest Python runs it.
pub(crate) const WORKER: &str = "\
import os, socket, time
print('hello from', os.environ['STATE_DIRECTORY'], flush=True)
stats = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:
    try:
        stats.sendto(b'jobs+=1\\nlongest=%d\\nlongest=3\\n' % 7, os.environ['BRIM_STATS'])
    except OSError as error:
        print(error, flush=True)
    time.sleep(0.2)
";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("daemons::their_figures_are_on_the_bus_and_in_stats", figures),
        trial("daemons::a_daemon_of_ones_own_runs_in_the_same_units", own_daemon),
        trial("daemons::the_group_starts_stops_and_restarts_all_of_them", group),
        trial("daemons::the_end_of_one_is_nobody_elses", alone),
        trial("daemons::what_hangs_is_replaced", hang),
        trial("daemons::a_scheduled_one_runs_at_its_time_and_not_twice", scheduled),
        trial("daemons::a_missed_time_is_made_up_for_once", missed),
        trial("daemons::one_starts_after_another_that_listens", ready),
        trial("daemons::no_daemons_are_no_error", none),
    ]
}

pub(crate) fn configure(machine: &Machine, config: &str) {
    machine.write("/usr/local/bin/worker.py", WORKER);
    machine.write(FILE, config);
    machine.ok(&["systemctl", "daemon-reload"]);
}

/// Two daemons that run, one of either sort.
const TWO: &str = "[daemons]\ndaemons = sample worker\n[sample]\ncall = sample\ninterval = 1s\n\
                   [worker]\nexec = /usr/bin/python3 /usr/local/bin/worker.py\n\
                   stats = jobs longest:max\n";

fn start_two(machine: &Machine) {
    configure(machine, &format!("{TWO}[wsgi]\nport = 8901\napps = stats\n"));
    machine.ok(&["systemctl", "start", "brim@daemons", "brim@wsgi"]);
    machine.await_state("brim-daemon@sample", "active");
    machine.await_state("brim-daemon@worker", "active");
}

pub(crate) fn pid(machine: &Machine, daemon: &str) -> String {
    machine.property(&format!("brim-daemon@{daemon}"), "MainPID")
}

/// A figure of a daemon, 0 before its name is on the bus.
pub(crate) fn figure(machine: &Machine, daemon: &str, name: &str) -> u64 {
    let owner = format!("net.brim.Brim1.{daemon}");
    let output = machine.run(&[
        "busctl",
        "call",
        &owner,
        "/net/brim/Brim1",
        "net.brim.Brim1.Stats",
        "Get",
        "s",
        name,
    ]);
    output.stdout.strip_prefix("t ").and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

pub(crate) fn await_figure(machine: &Machine, daemon: &str, name: &str, least: u64) -> u64 {
    until(&format!("{name} of {daemon} is {least}"), PATIENCE, || {
        Some(figure(machine, daemon, name)).filter(|value| *value >= least)
    })
}

fn figures() {
    let machine = machine::shared();
    start_two(&machine);
    await_figure(&machine, "sample", "iterations", 3);
    await_figure(&machine, "worker", "jobs", 5);
    assert_eq!(figure(&machine, "worker", "longest"), 7);
    for daemon in ["sample", "worker"] {
        assert_eq!(await_figure(&machine, daemon, "starts", 1), 1, "{daemon}");
        let started: u64 = figure(&machine, daemon, "start_time");
        let now: u64 = machine.ok(&["date", "+%s"]).trim().parse().expect("a time");
        assert!((now - 120..=now).contains(&started), "{started}, now {now}");
    }
    let last_run = figure(&machine, "sample", "last_run");
    assert!(last_run >= figure(&machine, "sample", "start_time"), "{last_run}");

    // The group's own name has the group's own figures.
    assert_eq!(bus::total(&machine, "daemons", "unknown_stat_count"), 0);
    assert!(bus::total(&machine, "daemons", "report_count") > 5);
    let instance = |name| bus::property(&machine, "worker", "net.brim.Brim1.Instance", name);
    assert_eq!((instance("Kind"), instance("Section")), ("daemon".into(), "worker".into()));
    assert_eq!(instance("State"), "active");

    // Daemons stand in the section of their group, as workers do.
    let stats = client::get(8901, "/stats").expect("the stats").text();
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert!(stats["daemons"]["sample"]["iterations"].as_u64() >= Some(3), "{stats}");
    assert!(stats["daemons"]["worker"]["jobs"].as_u64() >= Some(5), "{stats}");
    assert_eq!(stats.get("sample"), None, "{stats}");

    let status = machine.ok(&["brimctl", "status"]);
    for part in ["2 of 2 daemons run", "\nsample   active (running)", "\nworker   active (running)"]
    {
        assert!(status.contains(part), "{part:?} is not in:\n{status}");
    }
    let stats = machine.ok(&["brimctl", "stats"]);
    assert!(stats.contains("\nworker   jobs "), "{stats}");
    let status = machine.property("brim@daemons", "StatusText");
    assert_eq!(status, "2 of 2 daemons run");

    // What a program prints has its name.
    let printed = machine.ok(&["journalctl", "--boot", "--quiet", "--output=cat", "-t", "worker"]);
    assert!(printed.contains("hello from /var/lib/brim/worker\n"), "{printed}");
    let printed = machine.journal("brim-daemon@sample");
    assert!(printed.contains("sample sample daemon log line 2"), "{printed}");
}

fn own_daemon() {
    const PROGRAM: &str = "/usr/local/libexec/hello-daemon";
    let machine = machine::shared();
    let program = machine.path(PROGRAM);
    fs::create_dir_all(program.parent().expect("a folder")).expect("a folder for the program");
    fs::copy(env!("CARGO_BIN_EXE_hello-daemon"), &program).expect("the program copied in");
    let config = |whom: &str| {
        format!("[daemons]\nprogram = {PROGRAM}\ndaemons = hello\n\n[hello]\ncall = hello\n{whom}")
    };
    // Without somebody to greet it refuses to start, and says where.
    configure(&machine, &config(""));
    let refusal = "/etc/brim/brim.conf.d/10-daemons.conf:5: [hello] whom: must be set\n";
    let check = machine.run(&["brimctl", "check"]);
    assert_eq!((check.code, check.text().as_str()), (78, refusal));
    assert!(!machine.run(&["systemctl", "start", "brim-daemon@hello"]).success());
    assert_eq!(machine.property("brim-daemon@hello", "ExecMainStatus"), "78");
    let status = machine.run(&["systemctl", "status", "brim-daemon@hello"]).text();
    assert!(status.contains(refusal.trim()), "{status}");

    configure(&machine, &config("whom = World\npause = 1\n"));
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    await_figure(&machine, "hello", "greetings", 2);
    let printed = machine.journal("brim-daemon@hello");
    assert!(printed.contains("Hello World!"), "{printed}");
    machine.remove(PROGRAM);
}

fn group() {
    let mut machine = machine::shared();
    configure(&machine, TWO);
    let enabled = machine.run(&["systemctl", "enable", "--now", "brim@daemons"]);
    assert!(enabled.success(), "{}", enabled.text());
    machine.await_state("brim-daemon@worker", "active");
    machine.await_state("brim-daemon@sample", "active");
    let pids = |machine: &Machine| [pid(machine, "sample"), pid(machine, "worker")];
    let first = pids(&machine);

    // One alone is restarted alone, and a stop of one sticks.
    machine.ok(&["systemctl", "restart", "brim-daemon@sample"]);
    let second = pids(&machine);
    assert_ne!(second[0], first[0]);
    assert_eq!(second[1], first[1]);
    machine.ok(&["systemctl", "stop", "brim-daemon@sample"]);
    until("the group says so", PATIENCE, || {
        let status = machine.property("brim@daemons", "StatusText");
        (status == "1 of 2 daemons run; sample: stopped").then_some(())
    });
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@sample", "active");
    assert_eq!(pid(&machine, "worker"), first[1], "start of the group starts what is down");

    // A group that has been restarted knows a start by its second.
    until("the second after the third start", PATIENCE, || {
        let started = figure(&machine, "sample", "start_time");
        let is_counted = figure(&machine, "sample", "starts") == 3;
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        (is_counted && now > started).then_some(())
    });
    let before = pids(&machine);
    machine.ok(&["systemctl", "restart", "brim@daemons"]);
    machine.await_state("brim-daemon@sample", "active");
    machine.await_state("brim-daemon@worker", "active");
    let after = pids(&machine);
    assert!(before[0] != after[0] && before[1] != after[1], "{before:?} {after:?}");
    // The second start, the third, the fourth: figures outlive them.
    assert_eq!(await_figure(&machine, "sample", "starts", 4), 4);

    machine.ok(&["systemctl", "stop", "brim@daemons"]);
    for unit in ["brim-daemon@sample", "brim-daemon@worker"] {
        assert_eq!(machine.property(unit, "ActiveState"), "inactive", "stop waits for {unit}");
    }
    machine.reboot();
    machine.await_state("brim-daemon@sample", "active");
    machine.await_state("brim-daemon@worker", "active");
}

fn alone() {
    let machine = machine::shared();
    start_two(&machine);
    await_figure(&machine, "worker", "jobs", 3);
    let (sample, worker) = (pid(&machine, "sample"), pid(&machine, "worker"));
    let group = machine.property("brim@daemons", "MainPID");
    machine.ok(&["systemctl", "kill", "--signal=KILL", "brim-daemon@sample"]);
    until("another sample", PATIENCE, || {
        let new = pid(&machine, "sample");
        (new != "0" && new != sample).then_some(())
    });
    assert_eq!(await_figure(&machine, "sample", "starts", 2), 2);
    assert_eq!(figure(&machine, "sample", "last_exit"), 137);
    assert_eq!(
        (pid(&machine, "worker"), machine.property("brim@daemons", "MainPID")),
        (worker.clone(), group.clone())
    );

    // The group's own process: nobody notices, and one that was stopped stays so.
    machine.ok(&["systemctl", "stop", "brim-daemon@sample"]);
    let jobs = figure(&machine, "worker", "jobs");
    machine.ok(&["systemctl", "kill", "--signal=KILL", "brim@daemons"]);
    until("another process of the group", PATIENCE, || {
        let new = machine.property("brim@daemons", "MainPID");
        let up = machine.property("brim@daemons", "ActiveState") == "active";
        (up && new != "0" && new != group).then_some(())
    });
    await_figure(&machine, "worker", "jobs", jobs + 3);
    assert_eq!(pid(&machine, "worker"), worker, "it was restarted");
    assert_eq!(machine.property("brim-daemon@sample", "ActiveState"), "inactive");
    assert_eq!(figure(&machine, "worker", "starts"), 1);
    assert_eq!(figure(&machine, "sample", "starts"), 2);
}

fn hang() {
    let machine = machine::shared();
    // Not as patient as the unit: the test need not be.
    machine.write(
        "/run/systemd/system/brim-daemon@sample.service.d/90-test.conf",
        "[Service]\nWatchdogSec=1s\nTimeoutStopSec=1s\n",
    );
    start_two(&machine);
    let (before, worker) = (pid(&machine, "sample"), pid(&machine, "worker"));
    machine.ok(&["systemctl", "kill", "--signal=STOP", "--kill-whom=main", "brim-daemon@sample"]);
    until("another sample", PATIENCE, || {
        let new = pid(&machine, "sample");
        (new != "0" && new != before).then_some(())
    });
    let journal = machine.journal("brim-daemon@sample");
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    assert_eq!(pid(&machine, "worker"), worker);
}

/// The times at which a job ran, in seconds.
fn runs(machine: &Machine) -> Vec<u64> {
    let text = machine.sh_ok("cat /var/lib/brim/job/runs 2>/dev/null || :");
    text.lines().map(|line| line.parse().expect("a time")).collect()
}

fn scheduled() {
    let machine = machine::shared();
    // Longer than the time between two of its times.
    configure(
        &machine,
        "[daemons]\ndaemons = job\n[job]\nschedule = *-*-* *:*:0/3\n\
         exec = /bin/sh -c 'date +%s >>$STATE_DIRECTORY/runs; sleep 4; echo done'\n",
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    assert_eq!(machine.property("brim-daemon@job", "Restart"), "no");
    let times =
        until("three runs", PATIENCE, || Some(runs(&machine)).filter(|runs| runs.len() >= 3));
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= 4, "two at a time: {times:?}");
    }
    println!("a job of 4 s at each third second ran at {times:?}");
    machine.ok(&["systemctl", "stop", "brim@daemons"]);
    assert_eq!(machine.property("brim-daemon@job.timer", "ActiveState"), "inactive");
    assert_ne!(machine.property("brim-daemon@job", "ActiveState"), "active");
}

fn missed() {
    const STAMP: &str = "/var/lib/systemd/timers/stamp-brim-daemon@job.timer";
    let machine = machine::shared();
    configure(
        &machine,
        "[daemons]\ndaemons = job sample\n[sample]\ncall = sample\n[job]\nschedule = daily\n\
         exec = /bin/sh -c 'date +%s >>$STATE_DIRECTORY/runs'\n",
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@job.timer", "active");
    machine.await_state("brim-daemon@sample", "active");
    let timers = machine.ok(&["systemctl", "list-timers", "brim-daemon@*"]);
    assert!(timers.contains("brim-daemon@job.timer brim-daemon@job.service"), "{timers}");
    let status = machine.run(&["brimctl", "status"]);
    assert_eq!(status.code, 0, "{}", status.text());
    assert!(status.stdout.contains("next run in "), "{}", status.stdout);
    assert_eq!(runs(&machine).len(), 0, "the first time is still to come");

    // As if the machine had been down for some days.
    machine.ok(&["systemctl", "stop", "brim@daemons"]);
    machine.ok(&["touch", "--date=5 days ago", STAMP]);
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    until("the run that was missed", PATIENCE, || (!runs(&machine).is_empty()).then_some(()));
    machine.ok(&["systemctl", "restart", "brim@daemons"]);
    machine.await_state("brim-daemon@sample", "active");
    assert_eq!(runs(&machine).len(), 1, "once");
    assert_eq!(await_figure(&machine, "job", "starts", 1), 1);
}

fn ready() {
    let machine = machine::shared();
    machine.write(
        "/usr/local/bin/slow.py",
        "import os, socket, time\ntime.sleep(1)\ns = socket.socket()\ns.bind(('127.0.0.1', 8123))\n\
         s.listen()\nopen(os.environ['STATE_DIRECTORY'] + '/listens', 'w').close()\ntime.sleep(1000)\n",
    );
    configure(
        &machine,
        "[daemons]\ndaemons = second first third\n\
         [first]\nexec = /usr/bin/python3 /usr/local/bin/slow.py\nready = listening\nuser = root\n\
         [second]\nexec = /bin/sh -c 'ls /var/lib/brim/first/; exec sleep 1000'\nafter = first\nuser = root\n\
         [third]\nexec = /bin/sh -c 'sleep 1; systemd-notify --ready --status=steady; exec sleep 1000'\n\
         ready = notify\n",
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@second", "active");
    assert_eq!(machine.property("brim-daemon@first", "ActiveState"), "active");
    let second = machine.ok(&["journalctl", "--boot", "--quiet", "--output=cat", "-t", "second"]);
    assert_eq!(second.trim(), "listens", "it was started too early");
    machine.await_state("brim-daemon@third", "active");
    assert_eq!(machine.property("brim-daemon@third", "StatusText"), "steady");
}

fn none() {
    let machine = machine::shared();
    configure(&machine, "[daemons]\n");
    let check = machine.run(&["brimctl", "check"]);
    assert_eq!(check.text(), "configuration is fine: 1 section\n");
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    until("its status", PATIENCE, || {
        (machine.property("brim@daemons", "StatusText") == "no daemons").then_some(())
    });
    assert_eq!(machine.property("brim@daemons", "NRestarts"), "0");
    assert_eq!(machine.property("brim@daemons", "ActiveState"), "active");
}
