//! The generator: what it makes of good and bad configurations, at daemon-reload and at boot.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::client;
use crate::machine::{self, Machine};
use crate::trial;
use crate::wait::until;

const GOOD: &str = "/etc/brim/brim.conf.d/10-good.conf";
const BAD: &str = "/etc/brim/brim.conf.d/20-bad.conf";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("generate::a_bad_section_leaves_the_other_alone", bad_section),
        trial("generate::a_boot_with_a_bad_configuration_goes_on", bad_boot),
        trial("generate::files_that_others_may_write_are_refused", writable_by_others),
        trial("generate::systemctl_shows_template_and_drop_in", shown),
    ]
}

/// What the generator said in the journal.
fn said(machine: &Machine) -> String {
    machine.ok(&["journalctl", "--boot", "--quiet", "--identifier=brim-generator"])
}

fn await_said(machine: &Machine, part: &str) {
    until(&format!("{part:?} of the generator"), Duration::from_secs(10), || {
        said(machine).contains(part).then_some(())
    });
}

fn bad_section() {
    let machine = machine::shared();
    machine.write(GOOD, "[wsgi]\nport = 8901\napps = echo\n");
    machine.sh_ok("systemctl daemon-reload; systemctl start brim@wsgi");
    let units = || {
        machine.sh_ok(
            "cd /run/systemd/generator; cat brim@wsgi.service.d/* brim-listen@wsgi-8901.socket.d/*",
        )
    };
    let before = units();

    // One that has no address that could be read, and one whose address could.
    machine.write(BAD, "[wsgi#a]\nport = many\n[wsgi#b]\nport = 8903\napps = nix\nworkers = -1\n");
    let reload = machine.run(&["systemctl", "daemon-reload"]);
    assert_eq!((reload.code, reload.text().as_str()), (0, ""));
    await_said(&machine, "20-bad.conf:2: [wsgi#a] port: ");
    await_said(&machine, "20-bad.conf:6: [wsgi#b] workers: ");
    assert_eq!(units(), before, "the units of the good section");
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    machine.ok(&["systemctl", "restart", "brim@wsgi"]);
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    // A listener that could be read is kept, so that mending the rest is a reload.
    machine.run(&["systemctl", "start", "brim@wsgi:b"]);
    assert_eq!(client::get(8903, "/echo").expect("an answer").status, 503);
    assert!(!machine.run(&["systemctl", "start", "brim@wsgi:a"]).success());
    let status = machine.property("brim@wsgi:a", "StatusText");
    assert!(status.contains("20-bad.conf:2: [wsgi#a] port: "), "{status}");

    // A header that cannot be read may have meant any section: its units stay, and no server
    // takes the configuration over.
    machine.write(BAD, "[wsgi#c/d]\nport = 1\n");
    machine.ok(&["systemctl", "daemon-reload"]);
    await_said(&machine, "20-bad.conf:1: ");
    assert_eq!(units(), before, "the units of the good section");
    assert!(!machine.run(&["systemctl", "reload", "brim@wsgi"]).success());
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
}

fn bad_boot() {
    let mut machine = machine::shared();
    machine.write(GOOD, "[wsgi]\nport = 8901\napps = echo\n[wsgi#b]\nport = 8902\napps = echo\n");
    machine.ok(&["systemctl", "daemon-reload"]);
    machine.ok(&["systemctl", "enable", "--now", "brim@wsgi", "brim@wsgi:b"]);
    machine.write(BAD, "[wsgi#b]\nhead_timeout = soon\n[wsgi#c]\nport = 8901\nno entry\n");
    // It ends when the system is up, whether in order or not.
    machine.reboot();
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    assert_eq!(client::get(8902, "/echo").expect("an answer").status, 503);
    let status = machine.run(&["systemctl", "status", "brim@wsgi:b"]).text();
    assert!(status.contains("20-bad.conf:2: [wsgi#b] head_timeout: "), "{status}");
    machine.remove(BAD);
    machine.ok(&["systemctl", "reload", "brim@wsgi", "brim@wsgi:b"]);
    for port in [8901, 8902] {
        assert_eq!(client::get(port, "/echo").expect("an answer").status, 200);
    }
}

fn writable_by_others() {
    let machine = machine::shared();
    machine.write(GOOD, "[wsgi]\nport = 8901\napps = echo\n");
    machine.write(BAD, "[wsgi#b]\nport = 8903\napps = echo\n");
    let permissions = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(machine.path(BAD), permissions).expect("a mode");
    machine.ok(&["systemctl", "daemon-reload"]);
    await_said(&machine, "20-bad.conf: may be written by others than root (mode 0666)");
    assert!(!machine.exists("/run/systemd/generator/brim@wsgi:b.service.d"), "read all the same");
    assert!(machine.exists("/run/systemd/generator/brim@wsgi.service.d"));
    let check = machine.run(&["brimctl", "check"]);
    assert_eq!(check.code, 78);
    assert!(check.text().contains("mode 0666"), "{}", check.text());
    machine.sh_ok(&format!("chmod 644 {BAD}; chown nobody {BAD}; systemctl daemon-reload"));
    await_said(&machine, "expected root, so it is not read");
    assert!(!machine.exists("/run/systemd/generator/brim@wsgi:b.service.d"), "read all the same");
}

fn shown() {
    let machine = machine::shared();
    machine.write(GOOD, "[wsgi]\nport = 8901\napps = echo\n");
    machine.sh_ok("systemctl daemon-reload; systemctl start brim@wsgi");
    let cat = machine.ok(&["systemctl", "cat", "brim@wsgi"]);
    for part in [
        "# /lib/systemd/system/brim@.service",
        "ExecStart=/usr/libexec/brim/brim-launch %i",
        "# /run/systemd/generator/brim@wsgi.service.d/50-brim.conf",
        "SourcePath=/etc/brim/brim.conf.d/10-good.conf",
        "Wants=brim-listen@wsgi-8901.socket",
    ] {
        assert!(cat.contains(part), "{part:?} is not in:\n{cat}");
    }
    let socket = machine.ok(&["systemctl", "cat", "brim-listen@wsgi-8901.socket"]);
    assert!(socket.contains("ListenStream=0.0.0.0:8901"), "{socket}");
    assert_eq!(machine.property("brim@wsgi", "NeedDaemonReload"), "no");
    // systemd itself tells who forgot the daemon-reload.
    machine.write(GOOD, "[wsgi]\nport = 8904\napps = echo\n");
    for unit in ["brim@wsgi.service", "brim-listen@wsgi-8901.socket"] {
        assert_eq!(machine.property(unit, "NeedDaemonReload"), "yes", "{unit}");
    }
    let status = machine.run(&["systemctl", "status", "brim@wsgi"]).text();
    assert!(status.contains("Run 'systemctl daemon-reload'"), "{status}");
    machine.ok(&["systemctl", "daemon-reload"]);
    assert_eq!(machine.property("brim@wsgi", "NeedDaemonReload"), "no");
}
