use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use brim_wire::Sender;
use brim_wire::reply::{self, Control};
use brim_wire::request;
use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A handler: `puppet.py`.
pub(crate) struct Puppet {
    child: Child,
    orders: ChildStdin,
    messages: Receiver<Vec<u8>>,
}

/// A message that a handler got.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: u32,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    bytes: Vec<u8>,
}

impl Puppet {
    pub(crate) fn start(send: &str, recv: &str, arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/puppet.py");
        let mut child = Command::new(brim_testing::python_with("zmq"))
            .args([script, send, recv])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let (give, messages) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let digit = |index: usize| u8::from_str_radix(&line[index..index + 2], 16).unwrap();
                let _ = give.send((0..line.len()).step_by(2).map(digit).collect());
            }
        });
        Self { child, orders, messages }
    }

    /// The next message.
    pub(crate) fn hear(&self) -> Seen {
        Seen::new(self.messages.recv_timeout(PATIENCE).expect("a message for the handler"))
    }

    /// The next message if it comes soon.
    pub(crate) fn try_hear(&self) -> Option<Seen> {
        self.messages.recv_timeout(Duration::from_millis(100)).ok().map(Seen::new)
    }

    /// Whether nothing comes for a while.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.messages.recv_timeout(Duration::from_millis(100)).is_err()
    }

    /// The next message, which says that the client of this id has left.
    pub(crate) fn hear_leave(&self, id: u32) {
        let seen = self.hear();
        assert_eq!((seen.id, seen.path.as_str()), (id, "@*"), "{seen:?}");
        assert_eq!(seen.body, br#"{"type":"disconnect"}"#);
    }

    /// Publishes a message.
    pub(crate) fn say(&mut self, message: &[u8]) {
        let digits: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.orders, "say {digits}").unwrap();
    }

    /// Publishes a reply.
    pub(crate) fn reply(&mut self, ids: &[u32], body: impl AsRef<[u8]>) {
        let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
        self.reply_to(&ids.join(" "), body.as_ref());
    }

    /// The same, with the ids as they are written.
    pub(crate) fn reply_to(&mut self, ids: &str, body: &[u8]) {
        let mut message = format!("u-1 {}:{ids}, ", ids.len()).into_bytes();
        message.extend_from_slice(body);
        self.say(&message);
    }

    /// An extended reply with the key `ctl`.
    pub(crate) fn control(&mut self, ids: &[u32], control: Control) {
        let mut message = Vec::new();
        reply::append_control(&mut message, Sender::new(b"u-1").unwrap(), ids, control).unwrap();
        self.say(&message);
    }

    /// A whole answer of HTTP.
    pub(crate) fn answer(&mut self, id: u32, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.reply(&[id], head);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Seen {
    fn new(bytes: Vec<u8>) -> Self {
        let request = request::parse(&bytes, 1000).expect("a request");
        let path = String::from_utf8_lossy(request.path).into_owned();
        let (id, body) = (request.id, request.body.to_vec());
        Self { id, path, body, bytes }
    }

    /// A header or key, empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> String {
        let request = request::parse(&self.bytes, 1000).unwrap();
        let value = request.headers.get(name).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }

    /// The whole message.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let request = request::parse(&self.bytes, 1000).unwrap();
        let names = request.headers.iter();
        names.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }
}
