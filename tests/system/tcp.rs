//! TCP servers as people run them: echo on every kind of socket, an app of one's own, a program for each
//! client, a forwarder; restarts under load, kills, hangs.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::bus;
use crate::client;
use crate::machine::{self, Machine};
use crate::trial;
use crate::wait::until;

const FILE: &str = "/etc/brim/brim.conf.d/10-tcp.conf";
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tcp::echo_on_ipv4_ipv6_and_unix_sockets", echo),
        trial("tcp::an_app_of_ones_own_shows_its_counters", own_app),
        trial("tcp::programs_run_for_clients_and_loosen_their_sandbox", programs),
        trial("tcp::a_forwarder_tells_who_the_client_is", forwarder),
        trial("tcp::restarts_under_load_lose_no_connection", restarts),
        trial("tcp::open_connections_may_end_until_drain_timeout", drain),
        trial("tcp::what_is_killed_or_hangs_is_replaced", replaced),
        trial("tcp::its_exposure_is_as_small_as_that_of_the_front_end", exposure),
    ]
}

/// Configures these sections, and starts these units.
fn start(machine: &Machine, config: &str, units: &str) {
    machine.write(FILE, config);
    machine.sh_ok(&format!("systemctl daemon-reload; systemctl start {units}"));
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    stream
}

/// What comes back to a client that says something and then no more.
fn said(stream: &mut (impl Read + Write), end: impl Fn(), says: &str) -> String {
    stream.write_all(says.as_bytes()).expect("sent");
    end();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("an answer");
    heard
}

fn echoes(port: u16, text: &str) -> String {
    let mut stream = connect(port);
    let ends = stream.try_clone().expect("a socket");
    said(&mut stream, || ends.shutdown(Shutdown::Write).expect("an end"), text)
}

fn echo() {
    let machine = machine::shared();
    start(
        &machine,
        "[tcp]\nlisten = *:8902 [::]:8902 127.0.0.1:8903 unix:/run/brim/echo.sock\ncall = echo\n\
         [tcp#other]\nport = 8904\ncall = brim.tcp_echo.TCPEcho\n[wsgi]\nport = 8901\napps = stats\n",
        "brim@tcp brim@tcp:other brim@wsgi",
    );
    let all = [
        ("127.0.0.1 8902", "hello"),
        ("127.0.0.1 8903", "hello"),
        ("127.0.0.1 8904", "hello"),
        ("::1 8902", "six"),
        ("-U /run/brim/echo.sock", "unix"),
    ];
    for (server, text) in all {
        assert_eq!(machine.sh_ok(&format!("printf {text} | nc -N {server}")), text, "{server}");
    }

    assert_eq!(bus::total(&machine, "tcp", "byte_count"), 17);
    assert_eq!(bus::total(&machine, "tcp", "connection_count"), 4);
    assert_eq!(bus::total(&machine, "tcp_3aother", "byte_count"), 5);
    let stats = client::get(8901, "/stats").expect("the stats").text();
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["tcp"]["byte_count"], 17, "{stats}");
    assert_eq!(stats["tcp#other"]["byte_count"], 5, "{stats}");
    let status = machine.ok(&["systemctl", "status", "brim@tcp"]);
    assert!(status.contains("serving ") && status.contains("[::]:8902"), "{status}");
    let shown = machine.ok(&["brimctl", "status"]);
    assert!(shown.contains("tcp#other"), "{shown}");
}

fn own_app() {
    const PROGRAM: &str = "/usr/local/libexec/hello-tcp";
    let machine = machine::shared();
    let program = machine.path(PROGRAM);
    fs::create_dir_all(program.parent().expect("a folder")).expect("a folder for the program");
    fs::copy(env!("CARGO_BIN_EXE_hello-tcp"), &program).expect("the program copied in");
    let config = |greeting: &str| {
        format!(
            "[tcp]\nport = 8902\nprogram = {PROGRAM}\ncall = hello\n{greeting}\n\
             [wsgi]\nport = 8901\napps = stats\n"
        )
    };
    machine.write(FILE, config(""));
    let check = machine.run(&["brimctl", "check"]);
    let refusal = format!("{FILE}:1: [tcp] greeting: must be set\n");
    assert_eq!((check.code, check.text()), (78, refusal));
    start(&machine, &config("greeting = Hello"), "brim@tcp brim@wsgi");
    assert_eq!(echoes(8902, "World\n"), "Who are you?\nHello World!\n");
    assert_eq!(bus::total(&machine, "tcp", "greetings"), 1);
    let stats = client::get(8901, "/stats").expect("the stats").text();
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["tcp"]["greetings"], 1, "{stats}");
    machine.write(FILE, config("greeting = Good day,"));
    machine.ok(&["systemctl", "reload", "brim@tcp"]);
    assert_eq!(echoes(8902, "World\n"), "Who are you?\nGood day, World!\n");
}

fn programs() {
    let machine = machine::shared();
    let section = |name: &str, port: u16, sandbox: &str| {
        format!(
            "[tcp#{name}]\nport = {port}\ncall = exec\nsandbox = {sandbox}\n\
             exec = /bin/sh -c 'echo $REMOTE_ADDR; id -un; touch /var/tmp/brim-trial && echo writes; \
             echo complaint >&2; cat'\n"
        )
    };
    let all = ["strict", "normal", "off"];
    let config: String =
        all.iter().zip(8902..).map(|(name, port)| section(name, port, name)).collect();
    start(&machine, &config, "brim@tcp:strict brim@tcp:normal brim@tcp:off");
    for (name, port) in all.iter().zip(8902..) {
        // Under `strict`, /var/tmp is a place of its own, and writable: PrivateTmp=.
        let heard = echoes(port, "input\n");
        assert_eq!(heard, "127.0.0.1\nbrim\nwrites\ninput\n", "{name}");
        let journal = machine.journal(&format!("brim@tcp:{name}"));
        assert!(journal.contains("complaint"), "{journal}");
        assert_eq!(bus::total(&machine, &format!("tcp_3a{name}"), "program_count"), 1);
    }
    let exposure = |name: &str| exposure_of(&machine, &format!("brim@tcp:{name}.service"));
    let found = all.map(exposure);
    println!("exposure: strict {}, normal {}, off {}", found[0], found[1], found[2]);
    assert!(found[0] <= 1.2 && found[1] <= 4.0 && found[2] > found[1], "{found:?}");
}

fn exposure_of(machine: &Machine, unit: &str) -> f64 {
    let text = machine.run(&["systemd-analyze", "security", "--no-pager", unit]).text();
    let line = text.lines().find(|line| line.contains("Overall exposure level"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    let number = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

fn exposure() {
    let machine = machine::shared();
    start(&machine, "[tcp]\nport = 8902\ncall = echo\n", "brim@tcp");
    let exposure = exposure_of(&machine, "brim@tcp.service");
    println!("exposure {exposure} (wish 1.1, ceiling 1.2)");
    assert!(exposure <= 1.2, "{exposure}");
}

fn forwarder() {
    let machine = machine::shared();
    start(
        &machine,
        "[tcp#front]\nport = 8902\ncall = forward\nupstream = 127.0.0.1:1 127.0.0.1:8903\n\
         send_proxy_protocol = v2\n\
         [tcp#behind]\nport = 8903\nproxy_protocol = yes\ncall = exec\n\
         exec = /bin/sh -c 'echo $REMOTE_ADDR $REMOTE_PORT; cat'\n",
        "brim@tcp:front brim@tcp:behind",
    );
    let mut stream = connect(8902);
    let port = stream.local_addr().expect("an address").port();
    let ends = stream.try_clone().expect("a socket");
    let heard = said(&mut stream, || ends.shutdown(Shutdown::Write).expect("an end"), "through\n");
    assert_eq!(heard, format!("127.0.0.1 {port}\nthrough\n"));
    // Who speaks for nobody is not heard.
    let mut stream = connect(8903);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    assert!(matches!(stream.read(&mut [0; 100]), Ok(0) | Err(_)));
    assert_eq!(bus::total(&machine, "tcp_3abehind", "proxy_protocol_refused_count"), 1);
}

/// Clients that connect, say something, and hear it.
struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<(u32, Vec<io::Error>, Duration)>>,
}

impl Clients {
    fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..8).map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let (mut count, mut failures, mut slowest) = (0, Vec::new(), Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    match one(port) {
                        Ok(()) => count += 1,
                        Err(error) => failures.push(error),
                    }
                    slowest = slowest.max(started.elapsed());
                }
                (count, failures, slowest)
            })
        });
        Self { threads: threads.collect(), stop }
    }

    /// How many conversations there were; none may have failed.
    fn stop(self, what: &str) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = 0;
        for thread in self.threads {
            let (count, failures, slowest) = thread.join().expect("clients do not panic");
            assert!(failures.is_empty(), "{what}: {:?}", failures.first());
            assert!(slowest < Duration::from_secs(10), "{what}: {slowest:?}");
            all += count;
        }
        println!("{what}: {all} conversations, no failure");
        all
    }
}

fn one(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    for _ in 0..3 {
        stream.write_all(b"ping")?;
        let mut pong = [0; 4];
        stream.read_exact(&mut pong)?;
        if pong != *b"ping" {
            return Err(io::Error::other("another answer"));
        }
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0; 1])? {
        0 => Ok(()),
        _ => Err(io::Error::other("more than the answer")),
    }
}

fn restarts() {
    let machine = machine::shared();
    start(&machine, "[tcp]\nport = 8902\ncall = echo\n", "brim@tcp");
    let clients = Clients::start(8902);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        machine.ok(&["systemctl", "restart", "brim@tcp"]);
    }
    std::thread::sleep(Duration::from_millis(200));
    let count = clients.stop("ten restarts under load");
    assert!(count > 200, "{count}");
    // Each is in the counters, whichever process served it.
    until("the counters", LIMIT, || {
        (bus::total(&machine, "tcp", "connection_count") == u64::from(count)).then_some(())
    });
}

fn drain() {
    let machine = machine::shared();
    start(&machine, "[tcp]\nport = 8902\ncall = echo\ndrain_timeout = 8s\n", "brim@tcp");
    let (mut ends, mut stays) = (connect(8902), connect(8902));
    for stream in [&mut ends, &mut stays] {
        stream.write_all(b"x").expect("sent");
        stream.read_exact(&mut [0; 1]).expect("an echo");
    }
    let started = Instant::now();
    machine.ok(&["systemctl", "--no-block", "restart", "brim@tcp"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(echoes(8902, "newcomer"), "newcomer");
    ends.write_all(b"still here").expect("sent");
    ends.read_exact(&mut [0; 10]).expect("an echo");
    ends.shutdown(Shutdown::Both).expect("an end");
    let _ = stays.read(&mut [0; 1]);
    let cut = started.elapsed();
    println!("cut after {cut:?} (drain_timeout = 8s)");
    assert!(cut >= Duration::from_millis(7900) && cut < Duration::from_secs(20), "{cut:?}");
    assert_eq!(echoes(8902, "successor"), "successor");
}

fn replaced() {
    let machine = machine::shared();
    start(&machine, "[tcp]\nport = 8902\ncall = echo\n", "brim@tcp");
    let pid = || machine.property("brim@tcp.service", "MainPID");
    for (signal, what) in [("KILL", "killed"), ("STOP", "hung")] {
        let before = pid();
        assert_eq!(echoes(8902, "before"), "before");
        let started = Instant::now();
        machine.ok(&["kill", &format!("-{signal}"), &before]);
        // The signal may come a moment too late for the first one.
        until("an answer of another process", LIMIT, || {
            assert_eq!(echoes(8902, "after"), "after");
            (pid() != before).then_some(())
        });
        println!("{what}: an answer after {:?}", started.elapsed());
    }
    let result = machine.journal("brim@tcp");
    assert!(result.to_lowercase().contains("watchdog"), "{result}");
}
