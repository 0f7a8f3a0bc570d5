//! The gateway in the booted system: handlers outside, clients that compare nonces, and one or the other process
//! killed and restarted under load.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::client::Client;
use crate::machine::{self, Machine};
use crate::python::Script;
use crate::trial;
use crate::wait::until;

const CONF: &str = "[wsgi]\nport = 8901\nworkers = 2\napps = nonce\n\
                    [nonce]\ncall = handler\nroute = /nonce\nhandler_wait = 10s\n\
                    send_spec = tcp://127.0.0.1:9997\nrecv_spec = tcp://127.0.0.1:9996\n[gateway]\n";
const CONF_FILE: &str = "/etc/brim/brim.conf.d/20-nonce.conf";
/// The longest that service may be away after a kill; the wish is a second.
const CEILING: Duration = Duration::from_secs(10);
/// Clients at a time.
const CLIENTS: usize = 20;
/// How often a gateway is killed.
const KILLS: usize = 3;
/// How often each side is restarted.
const RESTARTS: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("gateway::a_killed_gateway_costs_what_was_under_way", gateway_killed),
        trial("gateway::a_killed_front_end_costs_its_own_clients_only", front_end_killed),
        trial("gateway::restarts_of_either_side_mix_nobody_up", restarts),
        trial("gateway::only_brim_may_use_the_link", link_is_private),
        trial("gateway::endpoints_and_uploads_are_for_a_group", groups),
    ]
}

/// A handler that is a process of its own; dropping it kills it.
struct Handler {
    _script: Script,
}

impl Handler {
    fn start(moment: &str) -> Self {
        Self::at(["tcp://127.0.0.1:9997", "tcp://127.0.0.1:9996", moment])
    }

    fn at(specs: [&str; 3]) -> Self {
        Self { _script: Script::start(include_str!("handler.py"), &specs) }
    }
}

/// Clients that ask with a nonce each, and compare.
struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    served: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Answers of 502, of 503 and of 504.
    refused: [usize; 3],
    /// Connections that ended without an answer.
    cut: usize,
    /// What must never be.
    wrong: Vec<String>,
    slowest: Duration,
}

impl Load {
    /// The nonces begin with this name.
    fn start(name: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let served = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS)
            .map(|number| {
                let (stop, seen, served) = (stop.clone(), seen.clone(), served.clone());
                std::thread::spawn(move || client((name, number), &stop, &seen, &served))
            })
            .collect();
        Self { stop, seen, served, clients }
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until so many more are served; how long that took.
    fn await_served(&self, more: u64) -> Duration {
        let (before, start) = (self.served(), Instant::now());
        until("requests are served", Duration::from_secs(60), || {
            (self.served() >= before + more).then_some(())
        });
        start.elapsed()
    }

    fn end(self) -> (u64, Seen) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("a client's end"));
        let seen = std::mem::take(&mut *self.seen.lock().expect("no client panics"));
        (self.served.load(Ordering::Relaxed), seen)
    }
}

fn client(
    (name, number): (&str, usize),
    stop: &AtomicBool,
    seen: &Mutex<Seen>,
    served: &AtomicU64,
) {
    let mut connection: Option<Client> = None;
    for count in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let path = format!("/nonce/{name}-{number}-{count}");
        let start = Instant::now();
        let answer = ask(&mut connection, &path);
        let mut seen = seen.lock().expect("no client panics");
        seen.slowest = seen.slowest.max(start.elapsed());
        match answer {
            Ok((200, body)) if body == path.as_bytes() => {
                served.fetch_add(1, Ordering::Relaxed);
            }
            Ok((status @ 502..=504, _)) => seen.refused[usize::from(status) - 502] += 1,
            Ok((status, body)) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                seen.wrong.push(format!("{status} {body:?} to {path}"));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                seen.wrong.push(format!("no answer to {path}"));
            }
            Err(_) => {
                seen.cut += 1;
                connection = None;
                drop(seen);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn ask(connection: &mut Option<Client>, path: &str) -> io::Result<(u16, Vec<u8>)> {
    if connection.is_none() {
        *connection = Some(Client::connect(8901)?);
    }
    let Some(client) = connection else { return Err(io::ErrorKind::NotConnected.into()) };
    let response = client.get(path)?;
    if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        *connection = None;
    }
    Ok((response.status, response.body))
}

/// A front end, a gateway and two handlers that serve.
fn serving(machine: &Machine) -> [Handler; 2] {
    machine.write(CONF_FILE, CONF);
    machine.ok(&["systemctl", "daemon-reload"]);
    // The gateway is wanted by the front end.
    machine.ok(&["systemctl", "start", "brim@wsgi"]);
    machine.await_state("brim@gateway", "active");
    let handlers = [Handler::start("0.005"), Handler::start("0.005")];
    until("the first answer", Duration::from_secs(60), || {
        let answer = crate::client::get(8901, "/nonce/first").ok()?;
        (answer.status == 200).then_some(())
    });
    handlers
}

fn stat(machine: &Machine, section: &str, name: &str) -> String {
    let bus = format!("net.brim.Brim1.{section}");
    let words = ["busctl", "call", &bus, "/net/brim/Brim1", "net.brim.Brim1.Stats", "Get", "s"];
    let text = machine.ok(&[&words[..], &[name]].concat());
    text.trim().strip_prefix("t ").unwrap_or(&text).to_owned()
}

fn gateway_killed() {
    let machine = machine::shared();
    let _handlers = serving(&machine);
    let load = Load::start("killed");
    load.await_served(100);
    let mut slowest = Duration::ZERO;
    for _ in 0..KILLS {
        machine.ok(&["systemctl", "kill", "--signal=KILL", "brim@gateway"]);
        let away = load.await_served(50);
        println!("killed: 50 are served {away:?} later");
        slowest = slowest.max(away);
    }
    let (served, seen) = load.end();
    println!("{served} served, {seen:?}");
    assert_eq!(seen.wrong, [""; 0]);
    assert_eq!(seen.cut, 0, "clients keep their connections");
    // What each client had under way is 502; the next ones wait for the gateway and for its handlers.
    let [lost, nobody, late] = seen.refused;
    assert!((1..=KILLS * CLIENTS).contains(&lost), "{seen:?}");
    assert_eq!((nobody, late), (0, 0), "{seen:?}");
    assert!(seen.slowest < CEILING && slowest < CEILING);
    until("no exchange is left", CEILING, || {
        (stat(&machine, "gateway", "exchanges_open") == "0").then_some(())
    });
}

fn front_end_killed() {
    let machine = machine::shared();
    let _handlers = serving(&machine);
    let gateway = machine.property("brim@gateway", "MainPID");
    let load = Load::start("killed");
    load.await_served(100);
    for _ in 0..3 {
        machine.ok(&["systemctl", "kill", "--signal=KILL", "brim@wsgi"]);
        let away = load.await_served(50);
        println!("killed: 50 are served {away:?} later");
        assert!(away < CEILING);
    }
    let (served, seen) = load.end();
    println!("{served} served, {seen:?}");
    assert_eq!(seen.wrong, [""; 0]);
    assert_eq!(machine.property("brim@gateway", "MainPID"), gateway);
    until("no exchange is left", CEILING, || {
        (stat(&machine, "gateway", "exchanges_open") == "0").then_some(())
    });
}

fn restarts() {
    let machine = machine::shared();
    let _handlers = serving(&machine);
    for unit in ["brim@gateway", "brim@wsgi"] {
        let load = Load::start(unit);
        load.await_served(100);
        let mut slowest = Duration::ZERO;
        for _ in 0..RESTARTS {
            let began = Instant::now();
            machine.ok(&["systemctl", "restart", unit]);
            load.await_served(50);
            slowest = slowest.max(began.elapsed());
        }
        let (served, seen) = load.end();
        println!(
            "{RESTARTS} restarts of {unit}: {served} served, each over and 50 served {slowest:?} later, {seen:?}"
        );
        assert_eq!(seen.wrong, [""; 0]);
        assert!(seen.slowest < CEILING && slowest < CEILING);
        // A restart lets finish what is open, and the rest waits for the next process.
        assert_eq!((seen.refused, seen.cut), ([0; 3], 0));
    }
}

fn link_is_private() {
    let machine = machine::shared();
    let _handlers = serving(&machine);
    let link = "/run/brim/gateway.sock";
    let owner = machine.ok(&["stat", "--format=%U %a", link]);
    assert_eq!(owner, "brim 600\n");
    let score = machine.ok(&["systemd-analyze", "security", "--no-pager", "brim@gateway"]);
    let line = score.lines().last().unwrap_or_default().to_owned();
    println!("{line}");
    let checked = machine.run(&["brimctl", "check"]);
    assert!(checked.success(), "{}", checked.text());
}

fn groups() {
    let machine = machine::shared();
    let store = "/var/lib/brim-uploads";
    machine.sh_ok(&format!("rm -rf {store}; install -d -o brim -g www-data -m 2770 {store}"));
    let endpoints = ["/run/brim/up-requests.sock", "/run/brim/up-replies.sock"];
    let text = format!(
        "[wsgi]\nport = 8901\napps = up\n[gateway]\n[up]\ncall = handler\nroute = /up\n\
         handler_wait = 20s\nsend_spec = ipc://{}\nrecv_spec = ipc://{}\n\
         handler_group = www-data\nupload_store = {store}\nupload_group = www-data\n",
        endpoints[0], endpoints[1]
    );
    machine.write(CONF_FILE, text);
    machine.ok(&["systemctl", "daemon-reload"]);
    machine.ok(&["systemctl", "start", "brim@wsgi"]);
    machine.await_state("brim@gateway", "active");
    for endpoint in endpoints {
        let owner = machine.ok(&["stat", "--format=%U %G %a", endpoint]);
        assert_eq!(owner, "root www-data 660\n", "{endpoint}");
    }
    // From outside, by the machine's own root; it answers two seconds after the upload.
    let specs = endpoints.map(|endpoint| format!("ipc://{}", machine.path(endpoint).display()));
    let _handler = Handler::at([&specs[0], &specs[1], "2"]);
    let body = vec![b'x'; 300_000];
    let asked = std::thread::spawn(move || crate::client::post(8901, "/up", &body));
    let file = until("a file of 300000 bytes", Duration::from_secs(60), || {
        let found = machine.sh_ok(&format!("stat --format='%U %G %a %s' {store}/* || :"));
        found.contains(" 300000").then_some(found)
    });
    assert_eq!(file, "brim www-data 640 300000\n");
    let answer = asked.join().expect("the client").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "/up"));
    until("no file", CEILING, || machine.sh_ok(&format!("ls {store}")).is_empty().then_some(()));
}
