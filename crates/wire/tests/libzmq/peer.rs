use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use brim_wire::zmtp::SocketType;

/// A process with a socket of libzmq, which ends with its standard input.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(kind: SocketType, arguments: &[&str]) -> Self {
        let mut child = Command::new(brim_testing::python_with("zmq"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libzmq/peer.py"))
            .arg(kind.as_str())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, input, output }
    }

    /// A socket that connects to our port.
    pub(crate) fn connected(kind: SocketType, listener: &TcpListener) -> Self {
        let port = listener.local_addr().expect("an address").port();
        Self::start(kind, &["connect", &port.to_string()])
    }

    /// A socket that listens, and our connection to it.
    pub(crate) fn bound(kind: SocketType) -> (Self, TcpStream) {
        let mut peer = Self::start(kind, &["bind"]);
        let port: u16 = peer.line().parse().expect("a port");
        (peer, TcpStream::connect(("127.0.0.1", port)).expect("a connection"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn order(&mut self, words: &[String]) {
        let input = self.input.as_mut().expect("its input");
        writeln!(input, "{}", words.join(" ")).expect("a line taken");
    }

    pub(crate) fn tell(&mut self, word: &str, part: &[u8]) {
        self.order(&[word.to_owned(), hex(part)]);
    }

    pub(crate) fn look(&mut self) {
        self.order(&["look".to_owned()]);
    }

    pub(crate) fn send(&mut self, message: &[Vec<u8>]) {
        let parts = message.iter().map(|part| hex(part));
        self.order(&["send".to_owned()].into_iter().chain(parts).collect::<Vec<_>>());
    }

    pub(crate) fn receive(&mut self) -> Vec<Vec<u8>> {
        self.order(&["receive".to_owned()]);
        self.line().split(' ').map(unhex).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    if text == "-" {
        return Vec::new();
    }
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}
