//! Background daemons that fail, report nonsense, or want more than they may.

use libtest_mimic::Trial;

use crate::bus;
use crate::daemons::{FILE, PATIENCE, await_figure, configure, figure, pid};
use crate::machine::{self, Machine};
use crate::trial;
use crate::wait::until;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("daemons::a_crash_loop_backs_off_and_shows", crash_loop),
        trial("daemons::a_program_that_is_not_there_is_told", no_program),
        trial("daemons::bad_reports_are_counted_and_told", bad_reports),
        trial("daemons::each_sandbox_is_what_it_says", sandboxes),
        trial("daemons::one_that_was_taken_off_the_list_is_told", left_over),
        trial("daemons::a_bad_schedule_is_found_by_the_check", bad_schedule),
        trial("daemons::their_units_are_sound", units),
        trial("daemons::an_upgrade_restarts_what_is_brims_and_nothing_else", upgrade),
    ]
}

fn crash_loop() {
    let machine = machine::shared();
    configure(
        &machine,
        "[daemons]\ndaemons = crash sample\n[sample]\ncall = sample\n\
         [crash]\nexec = /bin/sh -c 'echo no luck; exit 3'\nrestart_sec = 200ms\nrestart_max = 20s\n",
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@sample", "active");
    let sample = pid(&machine, "sample");
    // After 0.2, 0.4, 0.8 and 1.6 s; without back-off it would be over thirty.
    await_figure(&machine, "crash", "starts", 5);
    let status = until("it says what it waits for", PATIENCE, || {
        let status = machine.run(&["systemctl", "status", "brim-daemon@crash"]).text();
        status.contains("times in a row, starts in").then_some(status)
    });
    assert!(status.contains("activating"), "{status}");
    until("the group's status names it", PATIENCE, || {
        let status = machine.property("brim@daemons", "StatusText");
        (status.contains("; crash: restarts, ") && status.contains("last exit 3")).then_some(())
    });
    let brimctl = machine.run(&["brimctl", "status"]);
    assert_eq!(brimctl.code, 3, "{}", brimctl.text());
    assert!(brimctl.stdout.contains("\ncrash    activating ("), "{}", brimctl.stdout);
    assert!(brimctl.stdout.contains("times in a row"), "{}", brimctl.stdout);
    let journal = machine.journal("brim-daemon@crash");
    assert!(journal.contains("no luck"), "{journal}");
    assert!(journal.contains("ended 3 times in a row, starts 800ms after the end"), "{journal}");
    assert_eq!(figure(&machine, "crash", "last_exit"), 3);

    let restarts: u32 =
        machine.property("brim-daemon@crash", "NRestarts").parse().expect("a number");
    println!("{restarts} restarts so far");
    assert_eq!(pid(&machine, "sample"), sample, "another one was restarted, too");
    assert_eq!(machine.property("brim-daemon@sample", "NRestarts"), "0");
    // A start by hand does not wait.
    machine.ok(&["systemctl", "restart", "--no-block", "brim-daemon@crash"]);
    until("it begins anew", PATIENCE, || {
        let journal = machine.journal("brim-daemon@crash");
        let again = journal.rfind("ended 2 times in a row");
        (again > journal.find("ended 4 times in a row")).then_some(())
    });
    // And a stop ends it, whatever it waits for.
    machine.ok(&["systemctl", "stop", "brim@daemons"]);
    assert_ne!(machine.property("brim-daemon@crash", "ActiveState"), "activating");
}

fn no_program() {
    let machine = machine::shared();
    machine.ok(&["install", "--mode=0644", "/dev/null", "/srv/plain"]);
    configure(
        &machine,
        "[daemons]\ndaemons = gone plain sample\n[sample]\ncall = sample\n[gone]\nexec = /usr/bin/gone\n\
         [plain]\nexec = /srv/plain\n",
    );
    let check = machine.run(&["brimctl", "check"]);
    assert_eq!(check.code, 78);
    assert_eq!(
        check.text(),
        format!(
            "{FILE}:6: [gone] exec: /usr/bin/gone does not exist\n\
             {FILE}:8: [plain] exec: /srv/plain is not executable\n"
        )
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@sample", "active");
    for (daemon, why) in [("gone", "No such file or directory"), ("plain", "Permission denied")] {
        assert_eq!(await_figure(&machine, daemon, "last_exit", 203), 203);
        let journal = machine.journal(&format!("brim-daemon@{daemon}"));
        assert!(journal.contains(why), "{journal}");
    }
}

/// Sends reports, and prints what is answered to a sender that has an address.
const REPORTER: &str = "\
import os, socket, sys, time
stats = os.environ['BRIM_STATS']
def say(report):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind('')
    try:
        s.sendto(report, stats)
        s.settimeout(20)
        print(repr(s.recv(4096).decode()), flush=True)
    except OSError as error:
        print('refused:', error.strerror, flush=True)
say(b'jobs=5\\njobs+=2\\n')
say(b'nonsense=1\\nmore=2')
say(b'jobs')
say(b'jobs=-1')
say(b'longest+=1')
say(b'x' * 1000000)
say(b'x' * 150000)
say(b'jobs+=1\\n' * 1100)
say(b'jobs+=1')
time.sleep(1000)
";

fn bad_reports() {
    let machine = machine::shared();
    machine.write("/usr/local/bin/reporter.py", REPORTER);
    configure(
        &machine,
        "[daemons]\ndaemons = reporter\n[reporter]\nexec = /usr/bin/python3 /usr/local/bin/reporter.py\n\
         stats = jobs longest:max\nuser = root\nsandbox = off\n",
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    await_figure(&machine, "reporter", "jobs", 8);
    let said = machine.ok(&["journalctl", "--boot", "--quiet", "--output=cat", "-t", "reporter"]);
    let said: Vec<_> = said.lines().collect();
    let too_long = "'a report has more than 8192 bytes\\n'";
    assert_eq!(
        said,
        [
            "'ok\\n'",
            "'nonsense is not declared by stats =\\nmore is not declared by stats =\\n'",
            "'a line is neither NAME=VALUE nor NAME+=N\\n'",
            "'a line is neither NAME=VALUE nor NAME+=N\\n'",
            "'longest is no sum, so nothing is added to it\\n'",
            // A megabyte is too much for the kernel already.
            "refused: Message too long",
            too_long,
            too_long,
            "'ok\\n'",
        ]
    );
    let count = |name| bus::total(&machine, "daemons", name);
    assert_eq!(count("report_count"), 3);
    assert_eq!(count("unknown_stat_count"), 2);
    assert_eq!(count("bad_report_count"), 5);
    assert_eq!(count("stray_report_count"), 0);
    let journal = machine.journal("brim@daemons");
    assert!(journal.contains("nonsense is not declared by stats = daemon=reporter"), "{journal}");

    // Whoever is no daemon's process is not heard.
    let stray = "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(''); \
                 s.sendto(b'jobs=99', '/run/brim/stats/daemons'); print(s.recv(99).decode())";
    let said = machine.ok(&["python3", "-c", stray]);
    assert_eq!(said.trim(), "the sender is no process of a daemon");
    assert_eq!((count("stray_report_count"), figure(&machine, "reporter", "jobs")), (1, 8));
}

/// What `systemd-analyze security` thinks of a daemon, in tenths.
fn exposure(machine: &Machine, daemon: &str) -> u32 {
    let unit = format!("brim-daemon@{daemon}.service");
    let report = machine.run(&["systemd-analyze", "security", "--no-pager", &unit]).stdout;
    let line = report.lines().last().unwrap_or_default();
    let words: Vec<_> = line.split_whitespace().collect();
    let value = words.iter().find_map(|word| word.parse::<f64>().ok());
    let value = value.unwrap_or_else(|| panic!("{report}"));
    println!("{daemon}: exposure {value}");
    (value * 10.0).round() as u32
}

fn sandboxes() {
    let machine = machine::shared();
    machine.ok(&["install", "--directory", "--mode=0777", "/srv/all"]);
    let probe = "touch $STATE_DIRECTORY/x && echo state; touch /srv/all/$0 && echo srv; \
                 touch /etc/$0 && echo etc; exec sleep 1000";
    let section = |name: &str, user: &str| {
        format!("[{name}]\nexec = /bin/sh -c '{probe}' {name}\nsandbox = {name}\nuser = {user}\n")
    };
    let sections =
        section("strict", "brim") + &section("normal", "daemon:daemon") + &section("off", "root");
    configure(
        &machine,
        &format!(
            "[daemons]\ndaemons = strict normal off called\n[called]\ncall = sample\n{sections}"
        ),
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    for (daemon, may) in
        [("strict", "state\n"), ("normal", "state\nsrv\n"), ("off", "state\nsrv\netc\n")]
    {
        machine.await_state(&format!("brim-daemon@{daemon}"), "active");
        let said = until("what it may do", PATIENCE, || {
            let said = machine
                .ok(&["journalctl", "--boot", "--quiet", "--output=cat", "-t", daemon])
                .lines()
                .filter(|line| !line.contains("touch:"))
                .map(|line| format!("{line}\n"))
                .collect::<String>();
            (said.lines().count() >= may.lines().count()).then_some(said)
        });
        assert_eq!(said, may, "{daemon}");
    }
    machine.sh_ok("rm -rf /srv/all /etc/off");
    assert!(exposure(&machine, "strict") <= 13);
    assert!(exposure(&machine, "called") <= 13);
    assert!(exposure(&machine, "normal") <= 40);
    exposure(&machine, "off");
}

fn left_over() {
    let machine = machine::shared();
    configure(&machine, "[daemons]\ndaemons = a b\n[a]\ncall = sample\n[b]\ncall = sample\n");
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@b", "active");
    machine.write(FILE, "[daemons]\ndaemons = a\n[a]\ncall = sample\n");
    machine.ok(&["systemctl", "daemon-reload"]);
    machine.ok(&["systemctl", "reload", "brim@daemons"]);
    let mending = "to end it: systemctl stop brim-daemon@b";
    until("the status tells of it", PATIENCE, || {
        let status = machine.property("brim@daemons", "StatusText");
        status.contains(mending).then_some(())
    });
    let status = machine.run(&["brimctl", "status"]).stdout;
    assert!(status.contains(mending), "{status}");
    let gone = machine.run(&["busctl", "status", "net.brim.Brim1.b"]);
    assert!(!gone.success(), "the name is still there");
    machine.ok(&["systemctl", "stop", "brim-daemon@b"]);
    let again = machine.run(&["systemctl", "start", "brim-daemon@b"]);
    assert!(!again.success());
    let status = machine.property("brim-daemon@b", "StatusText");
    assert_eq!(status, "no group lists a daemon b; [daemons] lists a");
}

fn bad_schedule() {
    let machine = machine::shared();
    configure(
        &machine,
        "[daemons]\ndaemons = job sample\n[sample]\ncall = sample\n[job]\nexec = /bin/true\n\
         schedule = hourly\n  at noon\n",
    );
    let check = machine.run(&["brimctl", "check"]);
    assert_eq!(check.code, 78);
    let expected =
        format!("{FILE}:7: [job] schedule: \"at noon\" is no calendar expression of systemd");
    assert!(check.text().starts_with(&expected), "{}", check.text());
    // One of two times is good, and the others are not concerned.
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@sample", "active");
    machine.await_state("brim-daemon@job.timer", "active");
}

/// One of each sort.
const ALL_SORTS: &str = "[daemons]\ndaemons = sample program notify listen quoted open\n\
    [sample]\ncall = sample\n\
    [program]\nexec = /bin/sleep 1000\nrestart_max = 1min\n\
    [notify]\nexec = /bin/sleep 1000\nready = notify\nsandbox = strict\nrestart = on-failure\n\
    [listen]\nexec = /bin/sleep 1000\nready = listening\nafter = program\n\
    [quoted]\nexec = /bin/sh -c 'x=own; echo \"$x\" 100%'\nschedule = hourly\n\
    [open]\nexec = /bin/sleep 1000\nsandbox = off\nuser = daemon:daemon\ndirectory = /srv\n";

fn units() {
    let machine = machine::shared();
    configure(&machine, ALL_SORTS);
    let services = ["sample", "program", "notify", "listen", "quoted", "open"];
    let services = services.map(|daemon| format!("brim-daemon@{daemon}.service"));
    let others = ["brim-daemon@quoted.timer", "brim@daemons.service", "brim-again@daemons.service"];
    for unit in services.iter().map(String::as_str).chain(others) {
        let report = machine.run(&["systemd-analyze", "verify", "--generators=yes", unit]);
        assert_eq!((report.code, report.text().as_str()), (0, ""), "systemd-analyze verify {unit}");
    }
    // Neither variables nor specifiers are systemd's to put in.
    machine.ok(&["systemctl", "start", "brim-daemon@quoted"]);
    let said = machine.ok(&["journalctl", "--boot", "--quiet", "--output=cat", "-t", "quoted"]);
    assert_eq!(said, "own 100%\n");
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    let report =
        machine.run(&["systemd-analyze", "security", "--threshold=12", "brim@daemons.service"]);
    assert!(report.success(), "over 1.2: {}", report.text());
}

fn upgrade() {
    let machine = Machine::boot();
    configure(
        &machine,
        "[daemons]\ndaemons = sample program\n[sample]\ncall = sample\n\
         [program]\nexec = /bin/sleep 1000\n",
    );
    machine.ok(&["systemctl", "start", "brim@daemons"]);
    machine.await_state("brim-daemon@sample", "active");
    machine.await_state("brim-daemon@program", "active");
    let (sample, program) = (pid(&machine, "sample"), pid(&machine, "program"));
    let group = machine.property("brim@daemons", "MainPID");
    machine.install(&crate::package::newer(&machine));
    assert_eq!(pid(&machine, "program"), program, "somebody's program was restarted");
    assert_ne!(pid(&machine, "sample"), sample, "the old program runs on");
    assert_ne!(machine.property("brim@daemons", "MainPID"), group, "the old program runs on");
    machine.ok(&["apt-get", "purge", "--yes", "--quiet", "brim"]);
    assert_eq!(machine.sh_ok("pgrep -u brim || :"), "");
    for path in ["/var/lib/brim", "/run/brim", "/run/brim-daemon", "/run/brim-state"] {
        assert!(!machine.exists(path), "{path} is left");
    }
}
