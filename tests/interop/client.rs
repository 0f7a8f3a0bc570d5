//! A client that writes what a test wants and reads one response after the other.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    kept: Vec<u8>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header, the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, kept: Vec::new() }
    }

    pub(crate) fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a timeout");
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("bytes taken");
    }

    /// A request with `Host`, these lines and a body.
    pub(crate) fn ask(&mut self, line: &str, headers: &str, body: &[u8]) {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n");
        self.send(&[head.as_bytes(), body].concat());
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "", b"");
        self.answer()
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.ask(&format!("POST {path}"), "", body);
        self.answer()
    }

    /// The next response: by its length, its chunks, or to the end of the connection.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(true).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The next response to a HEAD.
    pub(crate) fn answer_without_body(&mut self) -> Answer {
        self.try_answer(false).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) fn try_answer(&mut self, has_body: bool) -> io::Result<Answer> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n")?).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {head}")))?;
        let mut answer = Answer { status, head, body: Vec::new() };
        if !has_body || status < 200 || status == 204 || status == 304 {
            return Ok(answer);
        }
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            answer.body = self.bytes(length)?;
        } else if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = String::from_utf8_lossy(&self.until(b"\r\n")?).into_owned();
                let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                answer.body.extend(self.bytes(length)?);
                self.until(b"\r\n")?;
                if length == 0 {
                    break;
                }
            }
        } else {
            answer.body = self.rest();
        }
        Ok(answer)
    }

    /// Everything to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more().is_ok_and(|count| count > 0) {}
        std::mem::take(&mut self.kept)
    }

    /// Whether the other side has closed: waits for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.kept.is_empty() && !matches!(self.more(), Ok(1..))
    }

    pub(crate) fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.kept.windows(end.len()).position(|window| window == end) {
                return Ok(self.kept.drain(..at + end.len()).collect());
            }
            self.some()?;
        }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.kept.len() < count {
            self.some()?;
        }
        Ok(self.kept.drain(..count).collect())
    }

    /// A frame of a WebSocket: its first byte and its payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.bytes(2).expect("a frame");
        assert_eq!(head[1] & 0x80, 0, "a server's frames are not masked");
        let length = match head[1] {
            short @ ..126 => u64::from(short),
            126 => self.number(2),
            _ => self.number(8),
        };
        let length = usize::try_from(length).expect("a length");
        (head[0], self.bytes(length).expect("a payload"))
    }

    /// So many bytes as a number.
    fn number(&mut self, bytes: usize) -> u64 {
        let bytes = self.bytes(bytes).expect("a number");
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Opens a WebSocket.
    pub(crate) fn upgrade(&mut self, path: &str) {
        let headers = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        self.ask(&format!("GET {path}"), headers, b"");
        let answer = self.answer_without_body();
        assert_eq!(answer.status, 101, "{answer:?}");
        // The example of RFC 6455, section 1.3.
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    /// Sends a frame, masked as a client's are.
    pub(crate) fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = vec![first];
        match payload.len() {
            length @ ..126 => frame.push(0x80 | length as u8),
            length @ ..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.send(&frame);
    }

    fn some(&mut self) -> io::Result<()> {
        match self.more()? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed after {:?}", String::from_utf8_lossy(&self.kept)),
            )),
            _ => Ok(()),
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 65_536];
        let count = self.stream.read(&mut buffer)?;
        self.kept.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}
