//! The codec against real sockets of libzmq (pyzmq), over TCP, with heartbeats, in both roles, as
//! ZMTP 3.0 and 3.1.
#![forbid(unsafe_code)]

#[path = "libzmq/connection.rs"]
mod connection;
#[path = "libzmq/peer.rs"]
mod peer;

use std::net::TcpListener;
use std::process::ExitCode;

use brim_wire::zmtp::{Command, SocketType};
use connection::{Connection, Got};
use libtest_mimic::{Arguments, Trial};
use peer::Peer;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let talks: [(&str, Run); 5] = [
        ("a_push_socket_sends_us_messages_of_all_sizes", a_push_socket_sends),
        ("a_pull_socket_takes_our_messages_of_all_sizes", a_pull_socket_takes),
        ("a_sub_socket_subscribes_and_takes_what_it_wants", a_sub_socket_subscribes),
        ("a_pub_socket_sends_what_we_subscribe_to", a_pub_socket_publishes),
        ("heartbeats_go_both_ways", heartbeats_go_both_ways),
    ];
    let mut trials = Vec::new();
    for (name, run) in talks {
        for talk in Talk::ALL {
            let (minor, role) = (talk.minor, if talk.binds { "bound" } else { "connected" });
            let trial = Trial::test(format!("{name}_{role}_zmtp_3_{minor}"), move || {
                run(talk);
                Ok(())
            });
            trials.push(trial);
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

type Run = fn(Talk);

/// How the two meet.
#[derive(Clone, Copy)]
struct Talk {
    /// The minor version that we announce: libzmq talks ZMTP 3.0 to us if it is 0.
    minor: u8,
    /// Whether libzmq binds and we connect, or the other way round.
    binds: bool,
}

impl Talk {
    const ALL: [Self; 4] = [
        Self { minor: 0, binds: false },
        Self { minor: 0, binds: true },
        Self { minor: 1, binds: false },
        Self { minor: 1, binds: true },
    ];

    /// A socket of libzmq of type `theirs`, connected to us, who say that we are `ours`.
    fn meet(self, theirs: SocketType, ours: SocketType) -> (Peer, Connection) {
        let (peer, stream) = if self.binds {
            Peer::bound(theirs)
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let peer = Peer::connected(theirs, &listener);
            (peer, listener.accept().expect("a connection").0)
        };
        let connection = Connection::shake_hands(stream, self.minor, ours, theirs);
        (peer, connection)
    }
}

/// Messages with frames about the border of short and long ones.
fn messages() -> Vec<Vec<Vec<u8>>> {
    let part = |length: usize| (0..length).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>();
    vec![
        vec![part(0)],
        vec![part(1)],
        vec![part(255)],
        vec![part(256)],
        vec![part(70_000)],
        vec![part(3), part(0), part(300), part(5)],
    ]
}

fn a_push_socket_sends(talk: Talk) {
    let (mut peer, mut connection) = talk.meet(SocketType::Push, SocketType::Pull);
    for message in messages() {
        peer.send(&message);
        assert_eq!(connection.message(), message);
    }
}

fn a_pull_socket_takes(talk: Talk) {
    let (mut peer, mut connection) = talk.meet(SocketType::Pull, SocketType::Push);
    messages().iter().for_each(|message| connection.send(message));
    for message in messages() {
        assert_eq!(peer.receive(), message);
    }
}

fn a_sub_socket_subscribes(talk: Talk) {
    let (mut peer, mut connection) = talk.meet(SocketType::Sub, SocketType::Pub);
    peer.tell("subscribe", b"a");
    assert_eq!(connection.subscription(&mut peer), Got::Subscribe(b"a".to_vec()));
    peer.tell("subscribe", b"");
    assert_eq!(connection.subscription(&mut peer), Got::Subscribe(Vec::new()));
    connection.send(&[b"b1".to_vec(), b"more".to_vec()]);
    assert_eq!(peer.receive(), [b"b1", &b"more"[..]]);
    peer.tell("unsubscribe", b"");
    assert_eq!(connection.subscription(&mut peer), Got::Cancel(Vec::new()));
    connection.send(&[b"b2".to_vec()]);
    connection.send(&[b"a3".to_vec()]);
    assert_eq!(peer.receive(), [b"a3"]);
}

fn a_pub_socket_publishes(talk: Talk) {
    let (mut peer, mut connection) = talk.meet(SocketType::Pub, SocketType::Sub);
    connection.subscribe(Command::Subscribe(b"u-1 "));
    let publish = |peer: &mut Peer| {
        peer.send(&[b"u-10 wrong".to_vec()]);
        peer.send(&[b"w".to_vec()]);
        peer.send(&[b"u-1 1:1, right".to_vec()]);
    };
    // A publisher drops what it sends before it knows of the subscription.
    assert_eq!(connection.message_after(|| publish(&mut peer)), b"u-1 1:1, right");
    connection.subscribe(Command::Cancel(b"u-1 "));
    connection.subscribe(Command::Subscribe(b"w"));
    let mut seen = Vec::new();
    while seen != b"w" {
        // What was under way when we cancelled may still come.
        seen = connection.message_after(|| publish(&mut peer));
    }
    publish(&mut peer);
    publish(&mut peer);
    assert_eq!(connection.message(), [b"w"]);
    assert_eq!(connection.message(), [b"w"]);
}

fn heartbeats_go_both_ways(talk: Talk) {
    let (mut peer, mut connection) = talk.meet(SocketType::Push, SocketType::Pull);
    while connection.pings < 5 {
        assert_eq!(connection.next(), Some(Got::Ping));
    }
    let context = b"sixteen bytes...";
    connection.command(Command::Ping { ttl: 100, context });
    while connection.next() != Some(Got::Pong(context.to_vec())) {}
    // It has not closed the connection, so our answers were to its liking.
    peer.send(&[b"still here".to_vec()]);
    assert_eq!(connection.message(), [b"still here"]);
}
