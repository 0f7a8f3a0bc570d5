//! UDP servers as people run them: echo on every kind of socket, an app of one's own, a forwarder; restarts
//! under load, kills, hangs.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::bus;
use crate::client;
use crate::machine::{self, Machine};
use crate::trial;
use crate::wait::until;

const FILE: &str = "/etc/brim/brim.conf.d/10-udp.conf";
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("udp::echo_on_ipv4_ipv6_and_unix_sockets", echo),
        trial("udp::an_app_of_ones_own_shows_its_counters", own_app),
        trial("udp::restarts_under_load_lose_no_datagram", restarts),
        trial("udp::what_is_killed_or_hangs_is_replaced", replaced),
    ]
}

/// Configures these sections, and starts these units.
fn start(machine: &Machine, config: &str, units: &str) {
    machine.write(FILE, config);
    machine.sh_ok(&format!("systemctl daemon-reload; systemctl start {units}"));
}

fn client(server: &str) -> UdpSocket {
    let server: SocketAddr = server.parse().expect("an address");
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("a socket");
    // Replies from any other address are not heard.
    socket.connect(server).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a socket");
    socket
}

fn answer(socket: &UdpSocket, text: &str) -> String {
    socket.send(text.as_bytes()).expect("sent");
    let mut buffer = [0; 2000];
    let length = socket.recv(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn echo() {
    let machine = machine::shared();
    start(
        &machine,
        "[udp]\nlisten = *:8902 [::]:8902 unix:/run/brim/echo\ncall = echo\nmax_datagram_size = 100\n\
         [udp#forward]\nport = 8903\ncall = forward\nupstream = 127.0.0.1:8902\n\
         [wsgi]\nport = 8901\napps = stats\n",
        "brim@udp brim@udp:forward brim@wsgi",
    );
    for server in ["127.0.0.1:8902", "127.0.0.2:8902", "[::1]:8902", "127.0.0.1:8903"] {
        assert_eq!(answer(&client(server), "hello"), "hello", "{server}");
        assert_eq!(answer(&client(server), ""), "", "{server}");
    }
    // A client on a Unix socket has one of its own, at which the server's user may answer.
    let unix = "-U -s /run/brim/client /run/brim/echo";
    for server in ["127.0.0.1 8902", "::1 8902", unix] {
        let script = format!("umask 0; printf hello | nc -u -W 1 {server}");
        assert_eq!(machine.sh_ok(&script), "hello", "{server}");
    }
    let socket = client("127.0.0.1:8902");
    socket.send(&[0; 101]).expect("sent");
    assert_eq!(answer(&socket, "after"), "after");
    let unix = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    let path = format!("/proc/{}/root/run/brim/echo", machine.leader());
    unix.send_to(b"no way back", path).expect("sent");
    let total = |name: &str| bus::total(&machine, "udp", name);
    until("the counters", LIMIT, || (total("datagram_count") == 14).then_some(()));
    assert_eq!((total("byte_count"), total("truncated_count")), (51, 1));
    assert_eq!(total("send_failed_count"), 1);
    let stats = client::get(8901, "/stats").expect("the stats").text();
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["udp"]["byte_count"], 51, "{stats}");
    assert_eq!(stats["udp#forward"]["session_count"], 2, "{stats}");
    let buffer = machine.property("brim-listen@udp-8902.socket", "ReceiveBuffer");
    assert_eq!(buffer, (2 << 20).to_string());
}

fn own_app() {
    const PROGRAM: &str = "/usr/local/libexec/hello-udp";
    let machine = machine::shared();
    let program = machine.path(PROGRAM);
    fs::create_dir_all(program.parent().expect("a folder")).expect("a folder for the program");
    fs::copy(env!("CARGO_BIN_EXE_hello-udp"), &program).expect("the program copied in");
    start(
        &machine,
        &format!(
            "[udp]\nport = 8902\nprogram = {PROGRAM}\ncall = hello\ngreeting = Hello\n\
             [wsgi]\nport = 8901\napps = stats\n"
        ),
        "brim@udp brim@wsgi",
    );
    assert_eq!(answer(&client("127.0.0.1:8902"), "World\n"), "Hello World!\n");
    assert_eq!(bus::total(&machine, "udp", "greetings"), 1);
    let stats = client::get(8901, "/stats").expect("the stats").text();
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["udp"]["greetings"], 1, "{stats}");
}

fn restarts() {
    let machine = machine::shared();
    start(&machine, "[udp]\nport = 8902\ncall = echo\n", "brim@udp");
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let socket = client("127.0.0.1:8902");
                let (mut count, mut slowest) = (0_u64, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    // A window of ten, so that something is always on its way.
                    for index in 0..10 {
                        socket.send(format!("{count} {index}").as_bytes()).expect("sent");
                    }
                    for index in 0..10 {
                        let mut buffer = [0; 100];
                        let length = socket.recv(&mut buffer).expect("no datagram is lost");
                        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                        assert_eq!(text, format!("{count} {index}"));
                    }
                    slowest = slowest.max(started.elapsed());
                    count += 1;
                }
                (count * 10, slowest)
            })
        })
        .collect();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        machine.ok(&["systemctl", "restart", "brim@udp"]);
    }
    stop.store(true, Ordering::Relaxed);
    let all = threads.into_iter().map(|thread| thread.join().expect("nothing is lost"));
    let (count, slowest) = all.fold((0, Duration::ZERO), |(count, slowest), (one, time)| {
        (count + one, slowest.max(time))
    });
    println!("ten restarts under load: {count} datagrams, none lost, slowest answer {slowest:?}");
    assert!(count > 1000, "{count}");
    until("the counters", LIMIT, || {
        (bus::total(&machine, "udp", "datagram_count") == count).then_some(())
    });
}

fn replaced() {
    let machine = machine::shared();
    start(&machine, "[udp]\nport = 8902\ncall = echo\n", "brim@udp");
    let pid = || machine.property("brim@udp.service", "MainPID");
    let socket = client("127.0.0.1:8902");
    for (signal, what) in [("KILL", "killed"), ("STOP", "hung")] {
        let before = pid();
        assert_eq!(answer(&socket, "before"), "before");
        let started = Instant::now();
        machine.ok(&["kill", &format!("-{signal}"), &before]);
        // The signal may come a moment too late for the first one.
        until("an answer of another process", LIMIT, || {
            assert_eq!(answer(&socket, "after"), "after");
            (pid() != before).then_some(())
        });
        println!("{what}: an answer after {:?}", started.elapsed());
    }
}
