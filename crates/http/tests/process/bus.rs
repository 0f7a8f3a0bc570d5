//! On a real bus, a private one.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::zvariant::{DynamicType, OwnedValue};

use crate::support::{Home, PATIENCE, eventually, get};

const PATH: &str = "/net/brim/Brim1";
const INSTANCE: &str = "net.brim.Brim1.Instance";
const STATS: &str = "net.brim.Brim1.Stats";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const WSGI: &str = "net.brim.Brim1.wsgi";

/// A `dbus-daemon` that lets everybody do everything.
struct Bus {
    directory: TempDir,
    process: Child,
}

impl Bus {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = run(&directory);
        let bus = Self { directory, process };
        bus.is_up();
        bus
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.directory.path().join("bus").display())
    }

    fn is_up(&self) {
        let path = self.directory.path().join("bus");
        eventually("the bus", || std::os::unix::net::UnixStream::connect(&path).ok());
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let _ = std::fs::remove_file(self.directory.path().join("bus"));
    }

    fn start(&mut self) {
        self.process = run(&self.directory);
        self.is_up();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn connect(&self) -> Connection {
        let builder = Builder::address(self.address().as_str()).unwrap();
        builder.method_timeout(PATIENCE).build().unwrap()
    }

    fn home(&self, section: &str, keys: &str) -> Home {
        Home::of(section, keys).environment("DBUS_SYSTEM_BUS_ADDRESS", self.address())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(directory: &TempDir) -> Child {
    let path = |name: &str| directory.path().join(name);
    let config = format!(
        "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context='default'><allow user='*'/><allow own='*'/>\
         <allow send_destination='*'/><allow receive_sender='*'/></policy></busconfig>",
        path("bus").display()
    );
    std::fs::write(path("config"), config).unwrap();
    Command::new("dbus-daemon")
        .arg(format!("--config-file={}", path("config").display()))
        .args(["--nofork", "--nopidfile"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

type Answer = Result<zbus::Message, zbus::Error>;

fn call(
    bus: &Connection,
    name: &str,
    interface: &str,
    method: &str,
    body: &(impl serde::Serialize + DynamicType),
) -> Answer {
    bus.call_method(Some(name), PATH, Some(interface), method, body)
}

fn total(bus: &Connection, name: &str, stat: &str) -> u64 {
    call(bus, name, STATS, "Get", &(stat,)).unwrap().body().deserialize().unwrap()
}

fn property<T>(bus: &Connection, interface: &str, name: &str) -> T
where
    T: TryFrom<OwnedValue>,
    T::Error: std::fmt::Debug,
{
    let answer = call(bus, WSGI, PROPERTIES, "Get", &(interface, name)).unwrap();
    let value: OwnedValue = answer.body().deserialize().unwrap();
    value.try_into().unwrap()
}

/// An error's name and text.
fn error(answer: Answer) -> (String, String) {
    match answer.unwrap_err() {
        zbus::Error::MethodError(name, text, _) => (name.to_string(), text.unwrap_or_default()),
        error => panic!("no answer: {error}"),
    }
}

#[test]
fn the_figures_are_the_true_ones() {
    let bus = Bus::new();
    let daemon = bus.home("wsgi", "apps = echo\nworkers = 2").shared().start();
    for target in ["/echo", "/echo", "/none"] {
        get(&daemon, target);
    }
    let client = bus.connect();
    eventually("three requests", || (total(&client, WSGI, "request_count") == 3).then_some(()));
    assert_eq!(total(&client, WSGI, "echo.requests"), 2);
    assert_eq!(total(&client, WSGI, "status_5xx_count"), 0);
    let totals: HashMap<String, u64> = property(&client, STATS, "Totals");
    assert_eq!((totals["request_count"], totals["status_404_count"]), (3, 1));
    assert_eq!(totals["status_5xx_count"], 0, "zeros too");
    assert!(!totals.contains_key("start_time"));
    let workers: HashMap<String, HashMap<String, u64>> = property(&client, STATS, "Workers");
    assert_eq!(workers.values().map(|worker| worker["request_count"]).sum::<u64>(), 3);
    assert!(workers["0"].contains_key("start_time") && workers["1"].contains_key("start_time"));
    let json: String =
        call(&client, WSGI, STATS, "Json", &()).unwrap().body().deserialize().unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["wsgi"]["request_count"], 3);
    assert!(json["start_time"].is_u64());
}

#[test]
fn an_unknown_stat_is_an_error_with_a_name() {
    let bus = Bus::new();
    let _daemon = bus.home("wsgi", "apps = echo").shared().start();
    for stat in ["nonsense", "", "start_time"] {
        let (name, text) = error(call(&bus.connect(), WSGI, STATS, "Get", &(stat,)));
        assert_eq!(name, "net.brim.Brim1.Error.UnknownStat");
        assert_eq!(text, format!("wsgi has no total named \"{stat}\""));
    }
}

#[test]
fn an_instance_says_what_it_is() {
    let bus = Bus::new();
    let daemon = bus.home("wsgi", "apps = echo\nworkers = 3").shared().start();
    let client = bus.connect();
    assert_eq!(property::<String>(&client, INSTANCE, "Kind"), "wsgi");
    assert_eq!(property::<String>(&client, INSTANCE, "Section"), "wsgi");
    assert_eq!(property::<String>(&client, INSTANCE, "Version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(property::<String>(&client, INSTANCE, "State"), "running");
    assert_eq!(property::<u32>(&client, INSTANCE, "Workers"), 3);
    let listeners: Vec<String> = property(&client, INSTANCE, "Listeners");
    assert_eq!(listeners, [daemon.address().to_string()]);
    let start: u64 = property(&client, INSTANCE, "StartTime");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((now.as_secs() - 60..=now.as_secs()).contains(&start));
}

#[test]
fn a_section_with_a_name_has_it_in_its_bus_name() {
    let bus = Bus::new();
    let _daemon = bus.home("wsgi#al-ter.1", "apps = echo").shared().start();
    let name = "net.brim.Brim1.wsgi_3aal_2dter_2e1";
    assert_eq!(total(&bus.connect(), name, "request_count"), 0);
}

#[test]
fn the_object_shows_the_documented_interfaces() {
    let bus = Bus::new();
    let _daemon = bus.home("wsgi", "apps = echo").shared().start();
    let introspectable = "org.freedesktop.DBus.Introspectable";
    let answer = call(&bus.connect(), WSGI, introspectable, "Introspect", &()).unwrap();
    let xml: String = answer.body().deserialize().unwrap();
    let installed = include_str!("../../../../packaging/dbus/interfaces/net.brim.Brim1.xml");
    let members = installed.lines().map(str::trim);
    let mut count = 0;
    for line in members.filter(|line| line.contains("name=\"")) {
        assert!(xml.contains(line), "{line} is not in\n{xml}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}

#[test]
fn reload_answers_when_the_new_configuration_is_in_force() {
    let bus = Bus::new();
    let home = bus.home("wsgi", "apps = echo").shared();
    let daemon = home.start();
    let client = bus.connect();
    for round in 0..10 {
        let path = format!("/round-{round}");
        home.configure(&format!("apps = echo\n[echo]\ncall = echo\npath = {path}"));
        call(&client, WSGI, INSTANCE, "Reload", &()).unwrap();
        assert_eq!(get(&daemon, &path).status, 200);
    }
    eventually("ten requests", || (total(&client, WSGI, "echo.requests") == 10).then_some(()));
}

#[test]
fn a_refused_reload_names_every_problem_with_its_line() {
    let bus = Bus::new();
    let home = bus.home("wsgi", "apps = echo").shared();
    let daemon = home.start();
    let client = bus.connect();
    home.configure("apps = echo\nhead_limt = 1\nfoo = 2\n[echo]\ncall = echo\nbar = 1");
    let (name, text) = error(call(&client, WSGI, INSTANCE, "Reload", &()));
    assert_eq!(name, "net.brim.Brim1.Error.ReloadFailed");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let file = home.config().display().to_string();
    for place in [":4: [wsgi] head_limt: ", ":5: [wsgi] foo: ", ":8: [echo] bar: "] {
        assert!(text.contains(&format!("{file}{place}")), "{text}");
    }
    assert_eq!(get(&daemon, "/echo").status, 200);
    assert_eq!(property::<String>(&client, INSTANCE, "State"), "running");
}

#[test]
fn a_held_instance_is_on_the_bus_and_heals_by_reload() {
    let bus = Bus::new();
    let home = bus.home("wsgi", "nonsense = 1").shared();
    let daemon = home.start();
    let client = bus.connect();
    let state = || {
        let answer = call(&client, WSGI, PROPERTIES, "Get", &(INSTANCE, "State")).ok()?;
        let value: OwnedValue = answer.body().deserialize().unwrap();
        Some(String::try_from(value).unwrap())
    };
    assert_eq!(eventually("the name", state), "holding");
    let (name, text) = error(call(&client, WSGI, INSTANCE, "Reload", &()));
    assert_eq!(name, "net.brim.Brim1.Error.ReloadFailed");
    assert!(text.contains(":3: [wsgi] nonsense: "), "{text}");
    home.configure("apps = echo");
    call(&client, WSGI, INSTANCE, "Reload", &()).unwrap();
    assert_eq!(get(&daemon, "/echo").status, 200);
    eventually("running", || state().filter(|state| state == "running"));
}

#[test]
fn drain_ends_it() {
    let bus = Bus::new();
    let daemon = bus.home("wsgi", "apps = echo").shared().start();
    get(&daemon, "/echo");
    call(&bus.connect(), WSGI, INSTANCE, "Drain", &()).unwrap();
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn a_second_process_of_the_section_says_that_the_name_is_taken() {
    let bus = Bus::new();
    let first = bus.home("wsgi", "apps = echo").shared().start();
    let second = bus.home("wsgi", "apps = echo").shared().start();
    let log = second.logs("no name on the bus");
    assert!(log.contains("warning: no name on the bus") && log.contains("taken"), "{log}");
    assert!(!first.log().contains("warning"), "{}", first.log());
    assert_eq!(get(&second, "/echo").status, 200, "it serves all the same");
    assert_eq!(get(&second, "/echo").status, 200);
    let client = bus.connect();
    assert_eq!(total(&client, WSGI, "request_count"), 0, "the first one's");
    first.terminate();
    assert_eq!(first.ended().code, Some(0));
    second.logs("back on the bus");
    assert_eq!(total(&client, WSGI, "request_count"), 2);
}

#[test]
fn a_bus_that_goes_away_and_comes_back_is_found_again() {
    let mut bus = Bus::new();
    let daemon = bus.home("wsgi", "apps = echo stats").shared().start();
    assert_eq!(get(&daemon, "/echo").status, 200);
    bus.stop();
    daemon.logs("warning: the bus is gone");
    assert_eq!(daemon.stats()["wsgi"]["echo.requests"], 1, "its own figures need no bus");
    bus.start();
    daemon.logs("back on the bus");
    assert_eq!(total(&bus.connect(), WSGI, "echo.requests"), 1);
}

#[test]
fn stats_shows_all_instances() {
    let bus = Bus::new();
    let one = bus.home("wsgi", "apps = echo stats").shared().start();
    let other = bus.home("wsgi#other", "apps = echo").shared().start();
    get(&one, "/echo");
    get(&other, "/echo");
    get(&other, "/echo");
    eventually("the other one's two requests", || {
        (one.stats()["wsgi#other"]["echo.requests"] == 2).then_some(())
    });
    assert_eq!(one.stats()["wsgi"]["echo.requests"], 1);
    drop(other);
    // What was gathered is good for a second.
    eventually("the other one's end", || one.stats()["wsgi#other"].is_null().then_some(()));
}

#[test]
fn an_instance_that_hangs_hides_no_other() {
    let bus = Bus::new();
    let one = bus.home("wsgi", "apps = stats").shared().start();
    let hanging = bus.home("wsgi#hangs", "apps = echo").shared().start();
    let _well = bus.home("wsgi#well", "apps = echo").shared().start();
    hanging.signal(Signal::STOP);
    let start = Instant::now();
    let stats = one.stats();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(stats["wsgi#well"]["0"].is_object(), "{stats}");
    assert!(stats["wsgi#hangs"].is_null(), "{stats}");
}

#[test]
fn a_bus_that_hangs_costs_a_moment_and_no_more() {
    let bus = Bus::new();
    bus.signal(Signal::STOP);
    let start = Instant::now();
    let daemon = bus.home("wsgi", "apps = echo stats").shared().start();
    daemon.logs("warning: the bus did not answer");
    assert_eq!(get(&daemon, "/echo").status, 200);
    assert_eq!(daemon.stats()["wsgi"]["echo.requests"], 1);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    bus.signal(Signal::CONT);
    let client = bus.connect();
    eventually("the name", || call(&client, WSGI, STATS, "Get", &("echo.requests",)).ok());
    bus.signal(Signal::STOP);
    let start = Instant::now();
    assert_eq!(daemon.stats()["wsgi"]["echo.requests"], 1);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    bus.signal(Signal::CONT);
}
