//! The system bus of the machine, by busctl as users have it: what servers tell, and who may do what.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::client;
use crate::machine::{self, Machine, Output};
use crate::trial;
use crate::wait::until;

const OBJECT: &str = "/net/brim/Brim1";
const INSTANCE: &str = "net.brim.Brim1.Instance";
const STATS: &str = "net.brim.Brim1.Stats";
const RULE: &str = "/etc/polkit-1/rules.d/50-brim-test.rules";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("bus::the_counts_are_true", counts),
        trial("bus::the_interfaces_are_those_that_are_installed", interfaces),
        trial("bus::users_may_look_and_root_may_act", authority),
    ]
}

/// One total of an instance, by `Get`.
pub(crate) fn total(machine: &Machine, label: &str, name: &str) -> u64 {
    let text = machine.ok(&[
        "busctl",
        "call",
        &format!("net.brim.Brim1.{label}"),
        OBJECT,
        STATS,
        "Get",
        "s",
        name,
    ]);
    let value = text.strip_prefix("t ").and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name}: {text}"))
}

/// What each worker of an instance counted.
pub(crate) fn workers(machine: &Machine, label: &str, name: &str) -> Vec<u64> {
    let workers = property(machine, label, STATS, "Workers");
    let workers = workers.as_object().expect("an object").values();
    workers.map(|worker| worker[name].as_u64().unwrap_or_else(|| panic!("{name}"))).collect()
}

/// A property of an instance.
pub(crate) fn property(machine: &Machine, label: &str, interface: &str, name: &str) -> Value {
    let service = format!("net.brim.Brim1.{label}");
    let json =
        machine.ok(&["busctl", "--json=short", "get-property", &service, OBJECT, interface, name]);
    let mut value: Value = serde_json::from_str(&json).expect("JSON of busctl");
    value["data"].take()
}

fn serve(machine: &Machine) {
    let config = "[wsgi]\nport = 8901\napps = echo\n[wsgi#a.b-c]\nport = 8902\napps = echo\n";
    machine.write("/etc/brim/brim.conf.d/10-bus.conf", config);
    machine.ok(&["systemctl", "daemon-reload"]);
    machine.ok(&["systemctl", "start", "brim@wsgi", "brim@wsgi:a.b-c"]);
}

fn counts() {
    let machine = machine::shared();
    serve(&machine);
    for _ in 0..7 {
        client::post(8901, "/echo", b"body").expect("an answer");
    }
    for _ in 0..3 {
        client::get(8901, "/nowhere").expect("an answer");
    }
    assert_eq!(total(&machine, "wsgi", "request_count"), 10);
    assert_eq!(total(&machine, "wsgi_3aa_2eb_2dc", "request_count"), 0);
    let totals = property(&machine, "wsgi", STATS, "Totals");
    for (name, value) in [
        ("request_count", 10),
        ("connection_count", 10),
        ("echo.requests", 7),
        ("status_2xx_count", 7),
        ("status_404_count", 3),
        ("status_4xx_count", 3),
        ("status_5xx_count", 0),
    ] {
        assert_eq!(totals[name], value, "{name} in {totals}");
    }
    assert_eq!(workers(&machine, "wsgi", "request_count").iter().sum::<u64>(), 10);
    let unknown = machine.run(&call("net.brim.Brim1.wsgi", STATS, &["Get", "s", "nonsense"]));
    assert!(!unknown.success() && unknown.text().contains("nonsense"), "{}", unknown.text());

    let instance = |name| property(&machine, "wsgi_3aa_2eb_2dc", INSTANCE, name);
    assert_eq!((instance("Kind"), instance("Section")), ("wsgi".into(), "wsgi#a.b-c".into()));
    assert_eq!(instance("State"), "running");
    assert_eq!(instance("Listeners"), serde_json::json!(["0.0.0.0:8902"]));
    assert_eq!(instance("Version"), env!("CARGO_PKG_VERSION"));
}

/// Every interface in the installed files is there, to the letter.
fn interfaces() {
    let machine = machine::shared();
    serve(&machine);
    let files = machine.sh_ok("ls /usr/share/dbus-1/interfaces/net.brim.Brim1*.xml");
    let found =
        machine.ok(&["busctl", "introspect", "--xml-interface", "net.brim.Brim1.wsgi", OBJECT]);
    let plain = |xml: &str| xml.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = plain(&found);
    let mut seen = Vec::new();
    for file in files.lines() {
        let installed = plain(&machine.read(file));
        for interface in installed.split("<interface ").skip(1) {
            let interface = interface.split("</interface>").next().unwrap_or_default();
            assert!(found.contains(interface), "{interface}\nof {file} is not in:\n{found}");
            seen.push(interface.split('"').nth(1).unwrap_or_default().to_owned());
        }
    }
    seen.sort();
    assert_eq!(seen, [INSTANCE, STATS]);
    // And as people read it.
    let table = machine.ok(&["busctl", "introspect", "net.brim.Brim1.wsgi", OBJECT]);
    for member in [".Reload", ".Drain", ".Get ", ".Json", ".Totals", ".Workers", ".Listeners"] {
        assert!(table.contains(member), "{member} is not in:\n{table}");
    }
}

fn authority() {
    let machine = machine::shared();
    serve(&machine);
    machine.remove(RULE);
    client::get(8901, "/echo").expect("an answer");
    let user = |method: &[&str], interface| -> Output {
        let call = call("net.brim.Brim1.wsgi", interface, method);
        machine.run(&[&["runuser", "-u", "nobody", "--"], &call[..]].concat())
    };
    let looked = user(&["Get", "s", "request_count"], STATS);
    assert_eq!((looked.code, looked.stdout.as_str()), (0, "t 1\n"), "{}", looked.text());
    let pid = machine.property("brim@wsgi", "MainPID");
    for method in ["Reload", "Drain"] {
        let denied = user(&[method], INSTANCE);
        assert!(!denied.success(), "an ordinary user may {method}");
        assert!(denied.text().contains("only root may do that"), "{}", denied.text());
    }
    let brimctl = machine.run(&["runuser", "-u", "nobody", "--", "brimctl", "reload", "wsgi"]);
    assert_eq!(brimctl.code, 77, "{}", brimctl.text());
    assert!(brimctl.text().contains("root"), "{}", brimctl.text());

    // A rule of polkit lets a user in; polkitd sees the new file by itself.
    machine.write(
        RULE,
        "polkit.addRule(function(action, subject) {\n  \
           if (action.id == \"net.brim.brim1.manage\" && subject.user == \"nobody\")\n    \
             return polkit.Result.YES;\n});\n",
    );
    let allowed = until("polkit has read its rule", Duration::from_secs(20), || {
        Some(user(&["Reload"], INSTANCE)).filter(Output::success)
    });
    machine.remove(RULE);
    assert_eq!(allowed.code, 0);
    until("the reload in the journal", Duration::from_secs(10), || {
        machine.journal("brim@wsgi").contains("reloaded").then_some(())
    });

    // Root may, and a drained server is replaced.
    machine.ok(&call("net.brim.Brim1.wsgi", INSTANCE, &["Reload"]));
    assert_eq!(machine.property("brim@wsgi", "MainPID"), pid);
    machine.ok(&call("net.brim.Brim1.wsgi", INSTANCE, &["Drain"]));
    assert_eq!(client::get(8901, "/echo").expect("an answer").status, 200);
    until("another process", Duration::from_secs(20), || {
        let new = machine.property("brim@wsgi", "MainPID");
        (new != pid && new != "0").then_some(())
    });
}

/// The words of a call on the bus.
fn call<'a>(service: &'a str, interface: &'a str, method: &[&'a str]) -> Vec<&'a str> {
    [&["busctl", "call", service, OBJECT, interface], method].concat()
}
