use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::{Daemon, PATIENCE};

/// A client that says what it is told to, byte for byte.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// `GET` on a connection of its own.
pub(crate) fn get(daemon: &Daemon, target: &str) -> Response {
    let mut client = daemon.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    client.response()
}

/// `POST` on a connection of its own.
pub(crate) fn post(daemon: &Daemon, target: &str, body: &[u8]) -> Response {
    let mut client = daemon.client();
    client.send(format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    client.response()
}

/// What the real curl prints.
pub(crate) fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").arg("-q").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what may no longer be wanted; false when it is not.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A `GET` that keeps the connection.
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.response()
    }

    /// Whether an echo comes within a moment.
    pub(crate) fn is_served(&mut self) -> bool {
        self.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
        self.stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let served = self.more().is_ok();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        served
    }

    /// Says that nothing more will come.
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let now = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, now).unwrap();
    }

    /// Reads a whole response.
    pub(crate) fn response(&mut self) -> Response {
        self.read_response(true)
    }

    /// Reads the response to a `HEAD`.
    pub(crate) fn response_to_head(&mut self) -> Response {
        self.read_response(false)
    }

    fn read_response(&mut self, with_body: bool) -> Response {
        let head = self.head();
        let status = head.get(9..12).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {head}"));
        let mut response = Response { status, head, body: Vec::new() };
        if with_body && status >= 200 {
            response.body =
                match (response.header("content-length"), response.header("transfer-encoding")) {
                    (Some(length), None) => self.take(length.parse().unwrap()),
                    (None, Some("chunked")) => self.chunked(),
                    (None, None) => self.rest(),
                    framing => panic!("strange framing {framing:?}"),
                };
        }
        response
    }

    /// Reads up to the empty line.
    pub(crate) fn head(&mut self) -> String {
        let head = self.until(b"\r\n\r\n");
        String::from_utf8(head).unwrap()
    }

    /// Reads a request's head, as an upstream does; None at the end of the connection.
    pub(crate) fn request(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.read.drain(..at + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if self.more().unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n");
            let length = std::str::from_utf8(&line).unwrap().trim_end();
            let length = usize::from_str_radix(length, 16).unwrap();
            let mut chunk = self.take(length + 2);
            assert_eq!(chunk.split_off(length), b"\r\n");
            if length == 0 {
                return body;
            }
            body.extend(chunk);
        }
    }

    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.read.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return self.read.drain(..at + end.len()).collect();
            }
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            assert!(self.more().unwrap() > 0, "the connection ended; there was {so_far:?}");
        }
    }

    /// Reads so many bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            let so_far = self.read.len();
            assert!(
                self.more().unwrap() > 0,
                "the connection ended after {so_far} of {count} bytes"
            );
        }
        self.read.drain(..count).collect()
    }

    /// Reads to the end of the connection; a reset is an end, too.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.more() {
                Ok(0) => return std::mem::take(&mut self.read),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return std::mem::take(&mut self.read);
                }
                Err(error) => panic!("the connection did not end: {error}"),
            }
        }
    }

    /// Waits for the end of the connection, before which nothing may come.
    pub(crate) fn is_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "unexpected {:?}", String::from_utf8_lossy(&rest));
    }

    /// Whether the connection is open and silent at this moment.
    pub(crate) fn is_open(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.more();
        self.stream.set_nonblocking(false).unwrap();
        matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn more(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer)?;
        self.read.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Response {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Whether it says that the connection ends.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}
