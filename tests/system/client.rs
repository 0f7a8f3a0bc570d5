//! A plain HTTP/1.1 client over one connection: it sends what it is told, and reads whole answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer, and no step of one, takes longer than that.
const LIMIT: Duration = Duration::from_secs(60);

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects to a port of the loopback.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends a request, as it is, and reads the answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.send(request)?;
        self.response()
    }

    /// Sends a request for a path and reads the answer; the connection stays open.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Response> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// Waits for the first byte of an answer, and leaves it there.
    pub(crate) fn await_byte(&mut self) -> io::Result<()> {
        match self.0.fill_buf()?.is_empty() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }

    /// Whether there is something to read, or the end, within this time.
    pub(crate) fn answers_within(&mut self, time: Duration) -> bool {
        let stream = self.0.get_ref();
        let limited = stream.set_read_timeout(Some(time)).is_ok();
        let came = limited && self.0.fill_buf().is_ok();
        self.0.get_ref().set_read_timeout(Some(LIMIT)).is_ok() && came
    }

    /// Reads one answer. Its length must be given, or its end be that of the connection.
    pub(crate) fn response(&mut self) -> io::Result<Response> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                let kind = io::ErrorKind::UnexpectedEof;
                return Err(io::Error::new(kind, format!("the end within the head {head:?}")));
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?;
        let mut response = Response { status, head, body: Vec::new() };
        match response.header("content-length").map(str::parse) {
            Some(Ok(length)) => {
                response.body.resize(length, 0);
                self.0.read_exact(&mut response.body)?;
            }
            Some(Err(_)) => return Err(io::Error::other(response.head)),
            None => drop(self.0.read_to_end(&mut response.body)?),
        }
        Ok(response)
    }

    /// Whether the server has closed the connection; waits for that.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// One request on a connection of its own, which the server closes.
pub(crate) fn get(port: u16, path: &str) -> io::Result<Response> {
    post(port, path, b"")
}

/// As [`get`], with a body.
pub(crate) fn post(port: u16, path: &str, body: &[u8]) -> io::Result<Response> {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    Client::connect(port)?.exchange(&request)
}
