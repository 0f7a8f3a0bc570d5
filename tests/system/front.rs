//! The front end as people run it: files, an upstream, TLS and HTTP/2 at once, under load, while an
//! operator does what operators do and clients do what they should not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::certificate::{Authority, CERTIFICATE, KEY, NAME};
use crate::load::connect;
use crate::machine::{self, Machine};
use crate::mixed::{self, Kind, Mixed, Site};
use crate::upstream::{self, Upstream};
use crate::wait::until;
use crate::{host, trial};

const PLAIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8901);
const TLS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8943);
const UNITS: [&str; 2] = ["brim@wsgi.service", "brim@wsgi:tls.service"];
const SMALL: &[u8] = &[b's'; 1024];
const LARGE: usize = 32 * 1024 * 1024;
const BLOCK: usize = 4096;
/// What a tunnel gets at a restart.
const DRAIN_TUNNEL: Duration = Duration::from_secs(1);
/// Clients of each kind, and their pause: enough to meet every moment, and to leave room for the rest.
const CLIENTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("front::twenty_reloads_under_mixed_load_lose_nothing", reloads),
        trial("front::twenty_restarts_under_mixed_load_lose_nothing", restarts),
        trial("front::a_new_certificate_is_served_at_once", new_certificate),
        trial("front::an_upstream_that_is_killed_and_started_again", upstream_killed),
        trial("front::a_full_log_disk_costs_no_request_of_a_mixed_load", full_disk),
        trial("front::slow_clients_hold_up_nobody", slow_clients),
    ]
}

/// Two sections with the same apps, the second one by TLS.
struct Front<'a> {
    machine: &'a Machine,
    authority: Authority,
    site: Site,
}

impl<'a> Front<'a> {
    fn start(machine: &'a Machine) -> Self {
        let authority = Authority::new();
        machine.sh_ok("mkdir -p /etc/brim/tls /srv/site");
        authority.renew(machine);
        machine.write("/srv/site/small.txt", SMALL);
        let large = (0..LARGE / BLOCK).flat_map(|number| [number as u8; BLOCK]);
        machine.write("/srv/site/large.bin", large.collect::<Vec<_>>());
        let front = Self {
            machine,
            site: Site::new(PLAIN, TLS, ("/small.txt", SMALL), ("/app/", b"behind"), &authority),
            authority,
        };
        front.configure(1);
        machine.sh_ok("brimctl check; systemctl daemon-reload");
        machine.ok(&[&["systemctl", "start"], &UNITS[..]].concat());
        front
    }

    /// Every generation looks different.
    fn configure(&self, generation: u32) {
        let common = format!(
            "workers = 2\napps = app echo site\ndrain_tunnel = {}\n",
            DRAIN_TUNNEL.as_secs()
        );
        let config = format!(
            "[wsgi]\nport = {}\n{common}[wsgi#tls]\nport = {}\n{common}\
             certfile = {CERTIFICATE}\nkeyfile = {KEY}\nhttp2 = yes\n\
             [app]\ncall = proxy\nroute = /app/\nupstream = 127.0.0.1:{}\n\
             [site]\ncall = files\nroot = /srv/site\ncache_control = max-age={generation}\n",
            PLAIN.port(),
            TLS.port(),
            upstream::PORT,
        );
        self.machine.write("/etc/brim/brim.conf.d/10-front.conf", config);
    }

    fn load(&self, kinds: &[Kind]) -> Mixed {
        Mixed::start(&self.site, kinds, CLIENTS, PAUSE)
    }

    fn all(&self, verb: &str) {
        self.machine.ok(&[&["systemctl", verb], &UNITS[..]].concat());
    }
}

/// A download that takes its time until it is told to hurry.
struct Download {
    thread: JoinHandle<()>,
    hurry: Arc<AtomicBool>,
}

impl Download {
    /// Begins it, and takes this much of it every 50 ms.
    fn begin(step: usize) -> Self {
        let mut stream = connect(PLAIN).expect("a connection");
        let request = format!("GET /large.bin HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request sent");
        let hurry = Arc::<AtomicBool>::default();
        let told = hurry.clone();
        let thread = std::thread::spawn(move || {
            let mut got = Vec::with_capacity(LARGE + BLOCK);
            let mut buffer = vec![0; 64 * 1024];
            let (mut length, mut pause) = (usize::MAX, step);
            while got.len() < length {
                let count = stream.read(&mut buffer).expect("more of the download");
                assert!(count > 0, "the download ended after {} bytes", got.len());
                got.extend_from_slice(&buffer[..count]);
                if length == usize::MAX {
                    let head = got.windows(4).position(|window| window == b"\r\n\r\n");
                    length = head.map_or(length, |end| end + 4 + LARGE);
                }
                if got.len() >= pause && !told.load(Ordering::Relaxed) {
                    pause += step;
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            let body = &got[length - LARGE..];
            let mut blocks = body.chunks(BLOCK).enumerate();
            let right = |(number, block): (usize, &[u8])| block == [number as u8; BLOCK];
            assert!(blocks.all(right), "other bytes than in the file");
        });
        Self { thread, hurry }
    }

    /// The rest as fast as it comes; all of it must.
    fn ends_whole(self) {
        self.hurry.store(true, Ordering::Relaxed);
        self.thread.join().expect("the whole download");
    }

    fn goes_on(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// A WebSocket through the proxy.
struct Socket(TcpStream);

impl Socket {
    fn open() -> Self {
        let mut stream = connect(PLAIN).expect("a connection");
        let request = format!(
            "GET /app/socket HTTP/1.1\r\nHost: {NAME}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("a request sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // RFC 6455 section 1.3.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self(stream)
    }

    /// A message there and back.
    fn echoes(&mut self) {
        let mut frame = vec![0x81, 0x80 | 4, 1, 2, 3, 4];
        frame.extend(b"ping".iter().enumerate().map(|(at, byte)| byte ^ (at as u8 + 1)));
        self.0.write_all(&frame).expect("a message sent");
        let mut answer = [0; 6];
        self.0.read_exact(&mut answer).expect("a message");
        assert_eq!(&answer, b"\x81\x04ping");
    }

    /// Waits for its end.
    fn ended(mut self) {
        let rest = self.0.read(&mut [0; 64]);
        assert!(matches!(rest, Ok(0) | Err(_)), "{rest:?}");
    }
}

fn reloads() {
    let machine = machine::shared();
    let _upstream = Upstream::start();
    let front = Front::start(&machine);
    let load = front.load(mixed::ALL);
    let download = Download::begin(16 * 1024);
    let mut socket = Socket::open();
    let started = Instant::now();
    for generation in 2..=21 {
        front.configure(generation);
        front.all("reload");
        let head = crate::client::get(PLAIN.port(), "/small.txt").expect("an answer").head;
        assert!(head.contains(&format!("max-age={generation}")), "{head}");
    }
    println!("20 reloads of two units took {:?}", started.elapsed());
    socket.echoes();
    assert!(download.goes_on(), "the download was over before the last reload");
    download.ends_whole();
    load.stop().unnoticed(mixed::ALL, 100, "20 reloads");
}

fn restarts() {
    let machine = machine::shared();
    let _upstream = Upstream::start();
    let front = Front::start(&machine);
    let load = front.load(mixed::ALL);
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let download = Download::begin(2 * 1024 * 1024);
        let mut socket = Socket::open();
        socket.echoes();
        let began = Instant::now();
        let closed = std::thread::spawn(move || {
            socket.ended();
            began.elapsed()
        });
        assert!(download.goes_on(), "the download was over before the restart");
        front.all("restart");
        download.ends_whole();
        longest = longest.max(closed.join().expect("the end of the tunnel"));
    }
    println!("the tunnels ended at most {longest:?} after the restart began");
    let seen = load.stop();
    seen.unnoticed(mixed::ALL, 100, "20 restarts, each with a download and a tunnel open");
    assert!(longest < DRAIN_TUNNEL + Duration::from_secs(10), "{longest:?}");
}

/// The certificate that a new connection is shown.
fn served(front: &Front<'_>) -> CertificateDer<'static> {
    let name = ServerName::try_from(NAME).expect("a name");
    let config = front.authority.client(&["http/1.1"]);
    let mut tls = rustls::ClientConnection::new(config, name).expect("a client");
    let mut stream = connect(TLS).expect("a connection");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).expect("a handshake");
    }
    let shown = tls.peer_certificates().expect("certificates");
    shown.first().expect("a certificate").clone().into_owned()
}

fn new_certificate() {
    const KINDS: &[Kind] = &[Kind::Tls, Kind::TlsFresh, Kind::Http2];
    let machine = machine::shared();
    let _upstream = Upstream::start();
    let front = Front::start(&machine);
    let load = front.load(KINDS);
    let mut slowest = Duration::ZERO;
    for round in 0..3 {
        let new = front.authority.renew(&machine);
        let replaced = Instant::now();
        until("the new certificate is served", Duration::from_secs(20), || {
            (served(&front) == new).then_some(())
        });
        slowest = slowest.max(replaced.elapsed());
        println!("round {round}: served after {:?} (wish 2 s)", replaced.elapsed());
    }
    // What is no certificate changes nothing.
    let before = served(&front);
    machine.write(CERTIFICATE, "no certificate");
    until("the broken file is reported", Duration::from_secs(20), || {
        machine.journal(UNITS[1]).contains(CERTIFICATE).then_some(())
    });
    assert_eq!(served(&front), before);
    load.stop().unnoticed(KINDS, 100, "three new certificates and a broken one");
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
}

fn upstream_killed() {
    const KINDS: &[Kind] = &[Kind::Proxy, Kind::TlsFresh];
    let machine = machine::shared();
    let mut upstream = Upstream::start();
    let front = Front::start(&machine);
    let load = front.load(KINDS);
    let files = front.load(&[Kind::File, Kind::Tls]);
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        until("answers of the upstream", Duration::from_secs(20), || {
            load.take().answers.contains_key(&(Kind::Proxy, 200)).then_some(())
        });
        drop(upstream);
        let mut away = load.take();
        until("a thousand answers without it", Duration::from_secs(60), || {
            let more = load.take();
            for (of, count) in more.answers {
                *away.answers.entry(of).or_default() += count;
            }
            away.failures.extend(more.failures);
            let odd = away.answers.iter().filter(|((_, status), _)| *status != 200);
            (odd.map(|(_, count)| count).sum::<usize>() > CONNECTIONS).then_some(())
        });
        println!("away: {away}");
        assert!(away.failures.is_empty(), "{:#?}", away.failures.first());
        let statuses = away.statuses();
        assert!(statuses.iter().all(|status| [200, 502, 503].contains(status)), "{statuses:?}");
        let started = Instant::now();
        upstream = Upstream::start();
        let back = Instant::now();
        let mut last_odd = back;
        // From the first second without a bad answer on it is back.
        until("the upstream is used again", Duration::from_secs(30), || {
            let seen = load.take();
            assert!(seen.failures.is_empty(), "{:#?}", seen.failures.first());
            let statuses = seen.statuses();
            assert!(statuses.iter().all(|status| [200, 502, 503].contains(status)), "{statuses:?}");
            last_odd = last_odd.max(seen.last_odd.unwrap_or(last_odd));
            (last_odd.elapsed() > Duration::from_secs(1)).then_some(())
        });
        let took = last_odd - back;
        println!("up after {:?}, all well {took:?} later (wish 2 s)", back - started);
        slowest = slowest.max(took);
    }
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    files.stop().unnoticed(&[Kind::File, Kind::Tls], 100, "files while the upstream was away");
    let seen = load.stop();
    assert!(seen.failures.is_empty(), "{:#?}", seen.failures.first());
    assert!(seen.statuses().iter().all(|status| *status == 200), "{:?}", seen.statuses());
}

fn full_disk() {
    let machine = machine::shared();
    machine
        .sh_ok("mkdir -p /var/log/brim; mount -t tmpfs -o size=64k,mode=0755 tmpfs /var/log/brim");
    let _upstream = Upstream::start();
    let front = Front::start(&machine);
    let load = front.load(mixed::ALL);
    until("the log disk is full", Duration::from_secs(60), || {
        let free = machine.sh_ok("df --output=avail /var/log/brim | tail -n 1");
        (free.trim() == "0").then_some(())
    });
    let before = load.take();
    assert!(before.failures.is_empty(), "{:#?}", before.failures.first());
    // With a reload and a restart into the bargain.
    front.all("reload");
    front.all("restart");
    for unit in UNITS {
        until("the lost lines are reported", Duration::from_secs(60), || {
            machine.journal(unit).contains("access lines were dropped").then_some(())
        });
    }
    load.stop().unnoticed(mixed::ALL, 20, "a full log disk");
    machine.sh_ok("systemctl stop 'brim@*'; umount /var/log/brim");
}

/// What an attacker opens.
const CONNECTIONS: usize = 2000;

/// slowhttptest at work.
fn attack(arguments: &[&str], seconds: u32) -> std::process::Child {
    std::process::Command::new("slowhttptest")
        .args(["-c", &CONNECTIONS.to_string(), "-r", "1000"])
        .args(["-l", &seconds.to_string(), "-p", "10"])
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("slowhttptest starts")
}

fn slow_clients() {
    const KINDS: &[Kind] = &[Kind::File, Kind::FileFresh, Kind::Proxy];
    const SECONDS: u32 = 30;
    const MEASURE: Duration = Duration::from_secs(6);
    let machine = machine::shared();
    let _upstream = Upstream::start();
    let front = Front::start(&machine);
    let load = front.load(KINDS);
    load.take();
    std::thread::sleep(MEASURE);
    let quiet = load.take();
    println!("nobody else: {quiet}");
    let plain = format!("http://127.0.0.1:{}", PLAIN.port());
    let [small, large, echo] =
        ["small.txt", "large.bin", "echo"].map(|name| format!("{plain}/{name}"));
    for (what, arguments) in [
        ("slow heads", vec!["-H", "-i", "5", "-u", &small]),
        ("slow bodies", vec!["-B", "-i", "5", "-s", "100000", "-t", "POST", "-u", &echo]),
        ("slow reads", vec!["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-u", &large]),
    ] {
        let mut attack = attack(&arguments, SECONDS);
        let open = || host::command(&["ss", "-Htn", "state", "established", "dport", "=", ":8901"]);
        until("the attack is under way", Duration::from_secs(SECONDS.into()), || {
            (open().expect("ss").lines().count() > CONNECTIONS).then_some(())
        });
        let connections = open().expect("ss").lines().count();
        load.take();
        std::thread::sleep(MEASURE);
        let seen = load.take();
        attack.kill().expect("an end");
        attack.wait().expect("its end");
        let ratio = seen.within(0.99).as_secs_f64() / quiet.within(0.99).as_secs_f64();
        println!("{what}, {connections} connections: {seen}; p99 is {ratio:.1} times (wish 3)");
        seen.unnoticed(KINDS, 20, what);
        assert!(seen.within(0.99) < Duration::from_secs(1), "{what}: {:?}", seen.within(0.99));
    }
    load.stop();
}
