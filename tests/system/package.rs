//! The Debian package: installing, upgrading, removing and purging it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::host;
use crate::machine::{self, Machine};
use crate::trial;

/// What the package brings, beside documentation.
const FILES: &[&str] = &[
    "/etc/brim/brim.conf",
    "/etc/brim/brim.conf.d",
    "/usr/bin/brimctl",
    "/usr/lib/systemd/system-generators/brim-generator",
    "/usr/lib/systemd/system/brim-again@.service",
    "/usr/lib/systemd/system/brim-daemon@.service",
    "/usr/lib/systemd/system/brim-daemon@.timer",
    "/usr/lib/systemd/system/brim-listen@.socket",
    "/usr/lib/systemd/system/brim@.service",
    "/usr/lib/sysusers.d/brim.conf",
    "/usr/lib/tmpfiles.d/brim.conf",
    "/usr/libexec/brim/brim-daemon",
    "/usr/libexec/brim/brim-http",
    "/usr/libexec/brim/brim-launch",
    "/usr/share/bash-completion/completions/brimctl",
    "/usr/share/dbus-1/interfaces/net.brim.Brim1.xml",
    "/usr/share/dbus-1/system.d/net.brim.Brim1.conf",
    "/usr/share/man/man1/brimctl.1.gz",
    "/usr/share/man/man5/brim.conf.5.gz",
    "/usr/share/man/man7/brim.7.gz",
    "/usr/share/fish/vendor_completions.d/brimctl.fish",
    "/usr/share/polkit-1/actions/net.brim.brim1.policy",
    "/usr/share/zsh/vendor-completions/_brimctl",
];

/// Two servers, and listeners of each sort.
const CONFIG: &str = "\
[wsgi]
port = 8901
apps = echo stats

[wsgi#alternate]
listen = 127.0.0.1:8902 [::1]:8902 unix:/run/brim/alternate.sock
apps = echo
";

/// Lists everything that a package may leave behind, by name.
const INVENTORY: &str = "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /dev -prune \
                         -o -path /tmp -prune -o -path /root -prune -o -path /var/log/journal -prune \
                         -o -path /var/lib/dpkg -prune -o -path /var/lib/apt -prune \
                         -o -path /var/cache -prune -o -path /var/log/apt -prune \
                         -o -path /var/log/dpkg.log -o -print
                         find /run -path /run/systemd -prune -o -path /run/log -prune -o -print
                         find /run/systemd/system /run/systemd/generator* /run/systemd/transient";

/// What stays after a purge: the user (its number is not to go to anybody else), which systemd-sysusers
/// enters with backups, and what apt keeps for itself.
const STAYS: &[&str] =
    &["/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock"];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| trial(format!("package::{name}"), test);
    vec![
        trial("lintian_shows_no_error", lintian),
        trial("the_man_pages_are_sound", man_pages),
        trial("installing_starts_nothing", install),
        trial("installing_without_a_running_systemd_works", install_in_chroot),
        trial("the_units_are_sound", units),
        trial("upgrading_restarts_what_runs", upgrade),
        trial("upgrading_with_a_wrong_config_says_so_and_restarts_nothing", upgrade_refused),
        trial("removing_stops_servers_and_listeners", remove),
        trial("purging_leaves_nothing", purge),
    ]
}

/// The package under test once more, with a higher version: what an upgrade installs.
pub(crate) fn newer(machine: &Machine) -> PathBuf {
    let folder = machine.folder().join("newer");
    let deb = machine.folder().join("brim_99.0.0_amd64.deb");
    let (package, tree) = (host::package(), folder.to_string_lossy());
    if !deb.exists() {
        host::command(&["dpkg-deb", "-R", &package.to_string_lossy(), &tree]).expect("dpkg-deb -R");
        let control = folder.join("DEBIAN/control");
        let text = fs::read_to_string(&control).expect("its control file");
        let old = format!("Version: {}", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&old), "{old} in:\n{text}");
        fs::write(&control, text.replace(&old, "Version: 99.0.0")).expect("a control file");
        host::command(&["dpkg-deb", "-b", &tree, &deb.to_string_lossy()]).expect("dpkg-deb -b");
    }
    deb
}

fn lintian() {
    let package = host::package();
    let report =
        host::command(&["lintian", "--fail-on", "error", "--", &package.to_string_lossy()])
            .unwrap_or_else(|trouble| panic!("{trouble}"));
    print!("{report}");
}

fn man_pages() {
    for page in ["brim.7", "brim.conf.5", "brimctl.1"] {
        let path = host::repository().join("packaging/man").join(page);
        let report =
            host::command(&["mandoc", "-T", "lint", "-W", "warning", &path.to_string_lossy()]);
        assert_eq!(report.as_deref(), Ok(""), "{page}");
    }
}

fn install() {
    let machine = Machine::boot();
    for file in FILES {
        assert!(machine.exists(file), "{file} is missing");
    }
    let units =
        machine.ok(&["systemctl", "list-units", "--all", "--plain", "--no-legend", "brim*"]);
    assert_eq!(units, "", "units after the installation");
    let enabled = machine.sh_ok("find /etc/systemd /run/systemd -name 'brim*' -type l");
    assert_eq!(enabled, "", "enabled by the installation");
    assert_eq!(machine.ok(&["systemctl", "--failed", "--plain", "--no-legend"]), "");
    assert_eq!(machine.ok(&["stat", "-c", "%U:%G %a", "/run/brim"]).trim(), "root:root 755");
    assert_eq!(
        machine.ok(&["stat", "-c", "%U:%G %a", "/etc/brim/brim.conf.d"]).trim(),
        "root:root 755"
    );
    assert!(machine.ok(&["id", "brim"]).contains("(brim)"));
    // The example is comments only: it is no problem, and no server.
    let check = machine.run(&["brimctl", "check"]);
    assert!(check.success(), "brimctl check: {}\n{}", check.code, check.text());
    assert_eq!(machine.sh("ls /run/systemd/generator* | grep brim").stdout, "");
}

fn install_in_chroot() {
    // A machine's files, entered without its systemd: /run/systemd/system is not there.
    let machine = Machine::boot_bare();
    let deb = format!("/root/{}", host::package().file_name().expect("a name").to_string_lossy());
    fs::copy(host::package(), machine.path(&deb)).expect("the package copied in");
    let root = machine.folder().join("root");
    let root = root.to_string_lossy();
    for step in [
        ["dpkg", "--install", &deb],
        ["dpkg", "--remove", "brim"],
        ["dpkg", "--install", &deb],
        ["dpkg", "--purge", "brim"],
    ] {
        let words: Vec<&str> = ["chroot", &root].into_iter().chain(step).collect();
        host::command(&words).unwrap_or_else(|trouble| panic!("{trouble}"));
    }
}

fn units() {
    let machine = machine::shared();
    machine.write("/etc/brim/brim.conf.d/10-units.conf", CONFIG);
    machine.ok(&["systemctl", "daemon-reload"]);
    let sockets = machine.sh_ok("cd /run/systemd/generator && ls -d brim-listen@*.socket.d");
    let sockets: Vec<&str> =
        sockets.split_whitespace().filter_map(|name| name.strip_suffix(".d")).collect();
    assert_eq!(sockets.len(), 4, "the drop-ins of four listeners: {sockets:?}");

    let units = ["brim@wsgi.service", "brim@wsgi:alternate.service"];
    for unit in units.iter().chain(&sockets) {
        // systemd-analyze takes FILE:NAME, so a name with a colon needs the file in front of it.
        let (template, kind) = (unit.split('@').next(), unit.rsplit('.').next());
        let (template, kind) = (template.unwrap_or_default(), kind.unwrap_or_default());
        let file = format!("/usr/lib/systemd/system/{template}@.{kind}:{unit}");
        let report = machine.run(&["systemd-analyze", "verify", "--generators=yes", &file]);
        assert_eq!((report.code, report.text().as_str()), (0, ""), "systemd-analyze verify {unit}");
    }
    for unit in units {
        let report = machine.run(&["systemd-analyze", "security", "--threshold=12", unit]);
        let score = report.stdout.lines().last().unwrap_or_default().to_owned();
        assert!(report.success(), "over 1.2: {}", report.text());
        println!("{score}");
    }
    // Nothing in the units is unknown to this systemd, or to a kind of socket.
    machine.ok(&[&["systemctl", "start"], sockets.as_slice()].concat());
    let warnings = machine
        .sh_ok("journalctl --boot --quiet --priority=warning | grep 'systemd\\[1\\].*brim' || :");
    assert_eq!(warnings, "", "warnings of systemd about Brim's units");
}

fn upgrade() {
    let machine = Machine::boot();
    serve(&machine);
    let (pid, other) = (machine.property("brim@wsgi", "MainPID"), "brim@wsgi:alternate");
    machine.install(&newer(&machine));
    assert!(machine.ok(&["dpkg-query", "--show", "brim"]).contains("99.0.0"));
    assert_eq!(machine.property("brim@wsgi", "ActiveState"), "active");
    assert_ne!(machine.property("brim@wsgi", "MainPID"), pid, "the old process runs on");
    assert_eq!(machine.property("brim@wsgi", "NeedDaemonReload"), "no");
    assert_eq!(machine.property(other, "ActiveState"), "inactive", "what did not run was started");
    assert!(machine.exists("/etc/brim/brim.conf.d/10-package.conf"));
}

fn upgrade_refused() {
    let machine = Machine::boot();
    serve(&machine);
    let pid = machine.property("brim@wsgi", "MainPID");
    machine.write("/etc/brim/brim.conf.d/20-bad.conf", "[wsgi]\nport = many\n");
    let output = machine.install(&newer(&machine)).text();
    for part in ["20-bad.conf:2", "port", "NOT restarted", "brimctl check"] {
        assert!(output.contains(part), "{part:?} is not in:\n{output}");
    }
    assert_eq!(machine.property("brim@wsgi", "MainPID"), pid, "restarted all the same");
    assert_eq!(machine.property("brim@wsgi", "ActiveState"), "active");
}

fn remove() {
    let machine = Machine::boot();
    serve(&machine);
    machine.ok(&["systemctl", "enable", "brim@wsgi"]);
    machine.ok(&["apt-get", "remove", "--yes", "--quiet", "brim"]);
    let units =
        machine.sh_ok("systemctl list-units --plain --no-legend 'brim*' | grep -v slice || :");
    assert_eq!(units, "", "units after the removal");
    assert_eq!(machine.sh_ok("pgrep -u brim || :"), "", "processes after the removal");
    assert_eq!(machine.sh_ok("ss -Hltn 'sport = 8901'"), "", "the port after the removal");
    let journal = machine.journal("brim@wsgi");
    assert!(!journal.contains("Failed"), "the stop came too late:\n{journal}");
    // Kept for the next installation: settings, logs, and what was enabled.
    assert!(machine.exists("/etc/brim/brim.conf.d/10-package.conf"));
    assert!(machine.exists("/var/log/brim"));
    assert!(machine.exists("/etc/systemd/system/multi-user.target.wants/brim@wsgi.service"));

    machine.install(&host::package());
    assert_eq!(machine.property("brim@wsgi", "ActiveState"), "inactive", "installing started it");
    assert_eq!(machine.ok(&["systemctl", "is-enabled", "brim@wsgi"]).trim(), "enabled");
}

fn purge() {
    let machine = Machine::boot_bare();
    let inventory = || -> BTreeSet<String> {
        machine.sh(INVENTORY).stdout.lines().map(str::to_owned).collect()
    };
    let before = inventory();
    machine.install(&host::package());
    serve(&machine);
    machine.ok(&["systemctl", "enable", "brim@wsgi", "brim@wsgi:alternate"]);
    machine.ok(&["systemctl", "mask", "brim@wsgi:other"]);
    machine.write("/etc/systemd/system/brim@wsgi.service.d/override.conf", "[Service]\nNice=1\n");
    machine.ok(&["apt-get", "purge", "--yes", "--quiet", "brim"]);
    let after = inventory();
    let left: Vec<&String> =
        after.difference(&before).filter(|path| !STAYS.contains(&path.as_str())).collect();
    assert!(left.is_empty(), "left after the purge: {left:#?}");
    assert_eq!(machine.ok(&["systemctl", "--failed", "--plain", "--no-legend"]), "");
    assert_eq!(machine.sh_ok("pgrep -u brim || :"), "");
}

/// Configures two servers and starts the first.
fn serve(machine: &Machine) {
    machine.write("/etc/brim/brim.conf.d/10-package.conf", CONFIG);
    machine.ok(&["systemctl", "daemon-reload"]);
    machine.ok(&["systemctl", "start", "brim@wsgi"]);
    assert_eq!(machine.property("brim@wsgi", "ActiveState"), "active");
}
