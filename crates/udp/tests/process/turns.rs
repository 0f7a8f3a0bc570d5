//! No flood keeps a worker from its other tasks.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::process::Signal;

use crate::forward::{heard, with_a_session};
use crate::support::{Client, PATIENCE, Server, eventually, home};

/// Answers that have to come through a flood, one after the other.
const ROUNDS: usize = 20;
/// What they may take together; the wish is a tenth of it.
const CEILING: Duration = Duration::from_secs(10);
/// Answers that wait for a session at once: more than it may pass on in one turn, and no more than the kernel
/// holds for a socket.
const FLOOD: usize = 200;

/// Datagrams without end from a connected socket, until it is dropped.
struct Flood(Arc<AtomicBool>);

impl Flood {
    /// More than the server can take: the kernel makes 64 of each.
    fn begin(socket: &UdpSocket) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        setsockopt(socket, sockopt::UdpGsoSegment, &8).unwrap();
        for _ in 0..2 {
            let (socket, stop) = (socket.try_clone().unwrap(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = socket.send(&[b'x'; 64 * 8]);
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_flood_of_one_client_leaves_the_answers_of_others_their_turn() {
    let (upstream, server, client, session) = with_a_session("");
    let flooding = Client::of(&server);
    let _flood = Flood::begin(&flooding.0);
    eventually("a flood", || (server.saved("datagram_count") > 10_000).then_some(()));
    let start = Instant::now();
    for round in 0..ROUNDS {
        upstream.send_to(round.to_string().as_bytes(), session).unwrap();
        client.expect(round.to_string());
    }
    let took = start.elapsed();
    println!("{ROUNDS} answers through a flood took {took:?} (wish 1 s, ceiling {CEILING:?})");
    assert!(took < CEILING, "{took:?}");
}

/// Stops the server where it is.
fn freeze(server: &Server) {
    server.signal(Signal::STOP);
    let stopped = |thread: &Path| {
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    };
    eventually("its standstill", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
        threads.map(|thread| thread.unwrap().path()).all(|thread| stopped(&thread)).then_some(())
    });
}

#[test]
fn a_flood_of_answers_to_one_client_leaves_others_their_turn() {
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listeners = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [one, two] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let up = upstream.local_addr().unwrap();
    let home = home(&format!("listen = {one} {two}\ncall = forward\nupstream = {up}"));
    let server = home.start_with(listeners.map(OwnedFd::from).into());
    // Two sessions with answers to one socket, so that their order shows.
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let [flooded, other] = [one, two].map(|listener| {
        client.send_to(b"question", listener).unwrap();
        heard(&upstream).1
    });
    for _ in 0..5 {
        freeze(&server);
        for _ in 0..FLOOD {
            upstream.send_to(b"flood", flooded).unwrap();
        }
        upstream.send_to(b"other", other).unwrap();
        server.signal(Signal::CONT);
        let answers: Vec<_> = (0..=FLOOD).map(|_| heard(&client).0).collect();
        let before = answers.iter().take_while(|answer| *answer == "flood").count();
        println!("{before} of {FLOOD} answers came before another client's");
        assert!(before < FLOOD, "all of the flood came first");
    }
}
