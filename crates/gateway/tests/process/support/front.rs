use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use brim_wire::link::{
    Cancel, Class, Content, Frame, FrameDecoder, Hello, Limits, Reason, RequestHead, Side,
    append_request,
};

use super::{Gateway, PATIENCE};

const LIMITS: Limits = Limits { payload: 65_536, headers: 100 };

/// A front end: one link.
pub(crate) struct Front {
    stream: UnixStream,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
    last: u64,
    frames: VecDeque<(u64, Got)>,
    /// Whether clients take what comes.
    pub(crate) grants: bool,
    /// The highest version that it speaks.
    highest: u8,
}

/// What a front end asks.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) class: Class,
    pub(crate) version: u8,
    pub(crate) connection: u64,
    pub(crate) handler: &'a str,
    pub(crate) is_https: bool,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// With a body of so many bytes, or of unknown length.
    pub(crate) body: Option<Option<u64>>,
}

/// A frame of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Hello,
    Head {
        status: u16,
        length: Option<u64>,
        headers: Vec<(String, String)>,
        end: bool,
        close: bool,
    },
    Data {
        bytes: Vec<u8>,
        end: bool,
        close: bool,
    },
    /// Data with more of their message to come.
    Part(Vec<u8>),
    Cancel(Reason, u16),
    Credit(u32),
    Touch,
    Watch,
    GoAway(String, u64),
    Pong(u64),
    Closed,
}

/// All of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) close: bool,
    pub(crate) cancel: Option<(Reason, u16)>,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            class: Class::Http,
            version: 11,
            connection: 1,
            handler: "h",
            is_https: false,
            method: "GET",
            target: "/",
            headers: &[("host", "example.com")],
            body: None,
        }
    }
}

impl Front {
    pub(crate) fn connect(gateway: &Gateway) -> Self {
        let mut front = Self::silent(gateway);
        front.hello();
        front
    }

    /// One that speaks version 1 only.
    pub(crate) fn of_version_1(gateway: &Gateway) -> Self {
        let mut front = Self { highest: 1, ..Self::silent(gateway) };
        front.hello();
        front
    }

    /// Without a hello.
    pub(crate) fn silent(gateway: &Gateway) -> Self {
        let stream = UnixStream::connect(gateway.path("link")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            decoder: FrameDecoder::new(Side::Gateway, LIMITS),
            buffer: Vec::new(),
            last: 0,
            frames: VecDeque::new(),
            grants: true,
            highest: 2,
        }
    }

    pub(crate) fn hello(&mut self) {
        self.send(
            0,
            Content::Hello(Hello {
                lowest: 1,
                highest: self.highest,
                credit: 65_536,
                payload: 65_536,
                exchanges: 0,
                name: b"test/0",
            }),
        );
    }

    pub(crate) fn send(&mut self, exchange: u64, content: Content<'_>) {
        let mut out = Vec::new();
        Frame { exchange, content }.append(&mut out).unwrap();
        self.send_bytes(&out);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Whether the gateway still takes bytes.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Begins an exchange.
    pub(crate) fn ask(&mut self, ask: &Ask<'_>) -> u64 {
        let mut out = Vec::new();
        let exchange = self.append(ask, &mut out);
        self.send_bytes(&out);
        exchange
    }

    /// The same, to be sent later.
    pub(crate) fn append(&mut self, ask: &Ask<'_>, out: &mut Vec<u8>) -> u64 {
        self.last += 1;
        let head = RequestHead {
            class: ask.class,
            version: ask.version,
            is_https: ask.is_https,
            connection: ask.connection,
            length: ask.body.unwrap_or(Some(0)),
            client: b"192.0.2.7",
            handler: ask.handler.as_bytes(),
            pattern: b"/",
            method: ask.method.as_bytes(),
            target: ask.target.as_bytes(),
        };
        let headers = ask.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        append_request(out, self.last, &head, headers, ask.body.is_none()).unwrap();
        self.last
    }

    /// A GET of this path.
    pub(crate) fn get(&mut self, target: &str) -> u64 {
        self.ask(&Ask { target, ..Ask::default() })
    }

    pub(crate) fn data(&mut self, exchange: u64, bytes: &[u8], end: bool) {
        self.send(exchange, Content::Data { bytes, end, close: false });
    }

    /// A whole body, in pieces, as credit comes.
    pub(crate) fn send_body(&mut self, exchange: u64, body: &[u8]) {
        let mut credit = 65_536;
        let mut left = body;
        loop {
            let (piece, rest) = left.split_at(left.len().min(credit).min(20_000));
            left = rest;
            credit -= piece.len();
            self.data(exchange, piece, left.is_empty());
            if left.is_empty() {
                return;
            }
            while credit == 0 {
                match self.next(exchange) {
                    Got::Credit(granted) => credit += usize::try_from(granted).unwrap(),
                    other => panic!("{other:?} instead of credit"),
                }
            }
        }
    }

    /// The next frame of an exchange if it comes soon.
    pub(crate) fn next_within(&mut self, exchange: u64, time: std::time::Duration) -> Option<Got> {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let start = std::time::Instant::now();
        let mut found = None;
        while found.is_none() && start.elapsed() < time {
            if let Some(at) = self.frames.iter().position(|(of, _)| *of == exchange) {
                found = self.frames.remove(at);
            } else if !self.try_read() {
                break;
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        found.map(|(_, got)| got)
    }

    pub(crate) fn message(&mut self, exchange: u64, flags: u8, path: &str, bytes: &[u8]) {
        let path = path.as_bytes();
        self.send(exchange, Content::Message { flags, path, bytes, more: false });
    }

    pub(crate) fn leave(&mut self, exchange: u64) {
        let cancel = Cancel { reason: Reason::ClientLeft, retry_after: 0 };
        self.send(exchange, Content::Cancel(cancel));
    }

    /// The next frame of an exchange, 0 for the link's own.
    pub(crate) fn next(&mut self, exchange: u64) -> Got {
        loop {
            if let Some(at) = self.frames.iter().position(|(of, _)| *of == exchange) {
                return self.frames.remove(at).unwrap().1;
            }
            if !self.read() {
                return Got::Closed;
            }
        }
    }

    /// The whole answer.
    pub(crate) fn answer(&mut self, exchange: u64) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.next(exchange) {
                Got::Head { status, length, headers, end, close } => {
                    answer = Answer { status, length, headers, close, ..answer };
                    if end {
                        return answer;
                    }
                }
                Got::Data { bytes, end, close } => {
                    answer.body.extend_from_slice(&bytes);
                    if end {
                        return Answer { close, ..answer };
                    }
                    if self.grants && !bytes.is_empty() {
                        let granted = u32::try_from(bytes.len()).unwrap();
                        self.send(exchange, Content::Credit(granted));
                    }
                }
                Got::Cancel(reason, retry_after) => {
                    return Answer { cancel: Some((reason, retry_after)), ..answer };
                }
                Got::Credit(_) | Got::Touch | Got::Watch => {}
                other => panic!("{other:?} in an answer, after {answer:?}"),
            }
        }
    }

    /// What a handler of its own accord answers to a GET.
    pub(crate) fn fetch(&mut self, target: &str) -> Answer {
        let exchange = self.get(target);
        self.answer(exchange)
    }

    /// Asks until a handler is there.
    pub(crate) fn wait_for_handler(&mut self) {
        super::eventually("a handler", || {
            let answer = self.fetch("/there");
            answer.cancel.is_none().then_some(())
        });
    }

    /// Whether something could be read before the socket's timeout.
    fn try_read(&mut self) -> bool {
        let mut piece = [0; 1];
        let peeked = rustix::net::recv(&self.stream, &mut piece[..], rustix::net::RecvFlags::PEEK);
        peeked.is_ok() && self.read()
    }

    fn read(&mut self) -> bool {
        let mut piece = [0; 65_536];
        let count = match self.stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("nothing more from the gateway: {error}"),
        };
        self.buffer.extend_from_slice(&piece[..count]);
        let mut input = self.buffer.as_slice();
        while let Some(frame) = self.decoder.decode(&mut input).unwrap() {
            self.frames.push_back((frame.exchange, Got::of(&frame.content)));
        }
        let used = self.buffer.len() - input.len();
        self.buffer.drain(..used);
        true
    }
}

impl Got {
    fn of(content: &Content<'_>) -> Self {
        let pairs = |headers: &brim_wire::link::Headers<'_>| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            headers.iter().map(|(name, value)| (text(name), text(value))).collect()
        };
        match content {
            Content::Hello(_) => Self::Hello,
            Content::Response { head, headers, end, close } => Self::Head {
                status: head.status,
                length: head.length,
                headers: pairs(headers),
                end: *end,
                close: *close,
            },
            Content::Upgrade { head, headers } => Self::Head {
                status: head.status,
                length: head.length,
                headers: pairs(headers),
                end: false,
                close: false,
            },
            Content::Data { bytes, end, close } => {
                Self::Data { bytes: bytes.to_vec(), end: *end, close: *close }
            }
            Content::Part(bytes) => Self::Part(bytes.to_vec()),
            Content::Cancel(cancel) => Self::Cancel(cancel.reason, cancel.retry_after),
            Content::Credit(bytes) => Self::Credit(*bytes),
            Content::Touch => Self::Touch,
            Content::Watch => Self::Watch,
            Content::GoAway(away) => {
                Self::GoAway(String::from_utf8_lossy(away.text).into_owned(), away.last)
            }
            Content::Ping { context, .. } => Self::Pong(*context),
            other => panic!("{other:?} from a gateway"),
        }
    }
}
