use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use brim_wire::zmtp::{
    Command, Frame, FrameDecoder, FrameLimits, Greeting, SocketType, append_message, append_ready,
    append_subscription, subscription,
};

use crate::peer::Peer;

const LIMITS: FrameLimits =
    FrameLimits { frame: 100_000, parts: 10, message: 200_000, command: 1000 };

/// So few that frames and even headers are often cut.
const READ_BYTES: usize = 7;
/// Long enough for a crowded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came from a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Part { body: Vec<u8>, more: bool },
    Ready,
    Subscribe(Vec<u8>),
    Cancel(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
}

/// A connection that blocks, with our codec between the socket and the test.
pub(crate) struct Connection {
    stream: TcpStream,
    minor: u8,
    kept: Vec<u8>,
    decoder: FrameDecoder,
    pub(crate) pings: usize,
    start: Instant,
}

impl Connection {
    /// Greeting and READY, both ways.
    pub(crate) fn shake_hands(
        stream: TcpStream,
        minor: u8,
        ours: SocketType,
        theirs: SocketType,
    ) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let decoder = FrameDecoder::new(LIMITS);
        let mut connection =
            Self { stream, minor, kept: Vec::new(), decoder, pings: 0, start: Instant::now() };
        connection.write(&Greeting { minor, ..Greeting::OURS }.encode());
        let greeting = loop {
            let mut input = connection.kept.as_slice();
            if let Some(greeting) = Greeting::decode(&mut input).expect("a greeting") {
                connection.kept = input.to_vec();
                break greeting;
            }
            assert!(connection.read(), "no greeting");
        };
        assert_eq!(greeting, Greeting::OURS, "libzmq 4.2 and later");
        greeting.check_null().expect("no mechanism");
        let mut ready = Vec::new();
        append_ready(&mut ready, ours, Some(b"brim"));
        connection.write(&ready);
        let properties = connection.frame(|frame| {
            let Frame::Command(body) = frame else { panic!("{frame:?} instead of READY") };
            let Command::Ready(properties) = Command::parse(body).expect("a command") else {
                panic!("{body:?} instead of READY")
            };
            assert_eq!(properties.socket_type(), Some(theirs));
            assert!(ours.goes_with(theirs));
            Got::Ready
        });
        assert_eq!(properties, Some(Got::Ready));
        connection
    }

    /// Reads a few bytes; no when none came in time.
    fn read(&mut self) -> bool {
        // Heartbeats come whatever else does not.
        assert!(self.start.elapsed() < PATIENCE * 2, "no end in time");
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the peer has closed"),
            Ok(count) => {
                self.kept.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("bytes taken");
    }

    /// What `take` makes of the next frame; nothing when none came in time.
    fn frame(&mut self, take: impl Fn(Frame<'_>) -> Got) -> Option<Got> {
        loop {
            let mut input = self.kept.as_slice();
            if let Some(frame) = self.decoder.decode(&mut input).expect("a frame") {
                let got = take(frame);
                self.kept = input.to_vec();
                return Some(got);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// The next frame. A PING is answered.
    pub(crate) fn next(&mut self) -> Option<Got> {
        let mut pong = Vec::new();
        let got = self.frame(|frame| match frame {
            Frame::Message { body, more } => Got::Part { body: body.to_vec(), more },
            Frame::Command(body) => match Command::parse(body).expect("a command") {
                Command::Ping { .. } => Got::Ping,
                Command::Pong { context } => Got::Pong(context.to_vec()),
                Command::Subscribe(prefix) => Got::Subscribe(prefix.to_vec()),
                Command::Cancel(prefix) => Got::Cancel(prefix.to_vec()),
                other => panic!("{other:?}"),
            },
        });
        if got == Some(Got::Ping) {
            self.pings += 1;
            // libzmq's have no context.
            Command::Pong { context: b"" }.append(&mut pong);
            self.write(&pong);
        }
        got
    }

    /// The next message, whole.
    pub(crate) fn message(&mut self) -> Vec<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            match self.next().expect("a message in time") {
                Got::Part { body, more } => {
                    message.push(body);
                    if !more {
                        return message;
                    }
                }
                Got::Ping | Got::Pong(_) => {}
                other => panic!("{other:?} instead of a message"),
            }
        }
    }

    /// The next message of one part, where `send` is repeated until one comes.
    pub(crate) fn message_after(&mut self, mut send: impl FnMut()) -> Vec<u8> {
        let short = Duration::from_millis(50);
        self.stream.set_read_timeout(Some(short)).expect("a timeout");
        let start = Instant::now();
        let body = loop {
            assert!(start.elapsed() < PATIENCE, "no message in time");
            send();
            if let Some(Got::Part { body, more: false }) = self.next() {
                break body;
            }
        };
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        body
    }

    /// The next subscription, which is a command in ZMTP 3.1 and a message before. At each heartbeat the
    /// peer is told to look for us.
    pub(crate) fn subscription(&mut self, peer: &mut Peer) -> Got {
        loop {
            match self.next().expect("a subscription in time") {
                Got::Ping => peer.look(),
                Got::Part { body, more: false } if self.minor == 0 => {
                    return match subscription(&body) {
                        Some(Command::Subscribe(prefix)) => Got::Subscribe(prefix.to_vec()),
                        Some(Command::Cancel(prefix)) => Got::Cancel(prefix.to_vec()),
                        _ => panic!("{body:?}"),
                    };
                }
                got if self.minor == 1 => return got,
                got => panic!("{got:?}"),
            }
        }
    }

    pub(crate) fn send(&mut self, message: &[Vec<u8>]) {
        let parts: Vec<&[u8]> = message.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        append_message(&mut bytes, &parts);
        self.write(&bytes);
    }

    pub(crate) fn command(&mut self, command: Command<'_>) {
        let mut bytes = Vec::new();
        command.append(&mut bytes);
        self.write(&bytes);
    }

    pub(crate) fn subscribe(&mut self, command: Command<'_>) {
        let mut bytes = Vec::new();
        append_subscription(&mut bytes, command, self.minor > 0);
        self.write(&bytes);
    }
}
