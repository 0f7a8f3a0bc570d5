//! The Debian package: installing, upgrading, removing and purging it.

use libtest_mimic::Trial;

use crate::machine::Machine;

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("package::a_machine_boots_and_reboots", || {
        let mut machine = Machine::boot_bare();
        assert_eq!(machine.ok(&["systemctl", "is-system-running"]).trim(), "running");
        let first = machine.ok(&["cat", "/proc/sys/kernel/random/boot_id"]);
        println!("{first}");
        machine.write("/run/x/y", "z");
        assert_eq!(machine.read("/run/x/y"), "z");
        machine.reboot();
        assert!(!machine.exists("/run/x/y"));
        println!("{}", machine.journal("dbus.service"));
        Ok(())
    })]
}
