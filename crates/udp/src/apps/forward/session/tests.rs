use std::sync::Arc;
use std::sync::mpsc::channel;

use brim_config::Address;
use brim_service::Datagrams;
use brim_stats::WorkerStats;

use super::*;
use crate::apps::forward::Upstreams;
use crate::socket::Peer;

/// Longer than this an end at once never takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn conf(upstream: SocketAddr) -> Conf {
    let long = Duration::from_secs(3600);
    Conf {
        upstreams: vec![Target::Address(upstream)],
        idle_timeout: long,
        max_sessions: 1,
        fail_timeout: long,
        resolve: long,
    }
}

fn counters() -> Counters {
    let stats = WorkerStats::default();
    let counter = |name| stats.counter(name);
    Counters {
        sessions: counter("sessions"),
        refused: counter("refused"),
        up: counter("up"),
        down: counter("down"),
        unsent: counter("unsent"),
        failed: counter("failed"),
    }
}

/// A session whose error was told to `send` after the runtime had heard of it.
async fn told_of_an_error() {
    // Connected with itself it refuses all others.
    let upstream = StdSocket::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    upstream.connect(address).unwrap();
    let (conf, counters) = (conf(address), counters());
    let (picked, _) = Upstreams::new(&conf, 0).pick(Instant::now()).unwrap();
    let session = Session::new(picked, address).unwrap();
    session.send(b"to nobody").unwrap();
    assert!(session.socket.ready(Interest::ERROR).await.unwrap().is_error());
    rustix::net::connect_unspec(&upstream).unwrap();
    // The kernel has chosen the port, and takes it back with the connection.
    rustix::net::bind(&upstream, &address).unwrap();
    session.send(b"to somebody").unwrap();
    assert!(session.is_refused());

    let socket = StdSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let client = socket.local_addr().unwrap();
    let socket = Socket::new(Datagrams::Udp(socket), Arc::new(Address::Tcp(client))).unwrap();
    let to = From { peer: Peer::Ip(client), asked: None };
    session.answer(&socket, &to, &conf, &counters).await;
    assert_eq!(counters.failed.get(), 1);
}

#[test]
fn an_error_that_was_told_already_ends_it_and_is_not_waited_for() {
    // A loop without end would not let a timer have its turn.
    let (done, is_done) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(told_of_an_error());
        done.send(())
    });
    is_done.recv_timeout(PATIENCE).expect("an end");
}
