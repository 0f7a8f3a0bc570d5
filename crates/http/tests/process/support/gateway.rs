use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use brim_wire::link::{
    Cancel, Class, Content, Frame, FrameDecoder, GoAway, GoAwayReason, Hello, Limits, Reason,
    ResponseHead, Side, append_response, append_upgrade,
};
use tempfile::TempDir;

use super::PATIENCE;

/// A gateway that does what the test says, frame by frame.
pub(crate) struct Gateway {
    directory: TempDir,
    listener: UnixListener,
}

/// A link of a worker.
pub(crate) struct Link {
    pub(crate) stream: UnixStream,
    decoder: FrameDecoder,
    read: Vec<u8>,
    /// What the front end said first.
    pub(crate) name: String,
    pub(crate) credit: u32,
}

/// A frame of the front end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Request(Box<Asked>),
    Data { id: u64, bytes: Vec<u8>, end: bool },
    Message { id: u64, flags: u8, path: String, bytes: Vec<u8>, more: bool },
    Cancel { id: u64, reason: Reason },
    Credit { id: u64, bytes: u32 },
    GoAway { reason: GoAwayReason, text: String },
    Pong(u64),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) class: Class,
    pub(crate) version: u8,
    pub(crate) is_https: bool,
    pub(crate) connection: u64,
    pub(crate) length: Option<u64>,
    pub(crate) client: String,
    pub(crate) handler: String,
    pub(crate) pattern: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) end: bool,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("link.sock")).unwrap();
        Self { directory, listener }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("link.sock")
    }

    /// A section whose only app is the handler `chat`, with these keys.
    pub(crate) fn behind(&self, keys: &str) -> String {
        format!("apps = chat stats\n{}", self.sections(keys))
    }

    /// The sections of the handler `chat` and of the gateway.
    pub(crate) fn sections(&self, keys: &str) -> String {
        let specs = "send_spec = ipc:///run/brim/s.sock\nrecv_spec = ipc:///run/brim/r.sock";
        let route = if keys.contains("route =") { "" } else { "route = /chat /(x)" };
        let link = self.path();
        format!(
            "[chat]\ncall = handler\n{route}\n{specs}\n{keys}\n[gateway]\nlink = {}\n",
            link.display()
        )
    }

    /// The next link, greeted.
    pub(crate) fn link(&self) -> Link {
        self.link_with(65_536, 65_536, 1000)
    }

    /// The next link, greeted with these numbers: credit, longest payload, exchanges.
    pub(crate) fn link_with(&self, credit: u32, payload: u32, exchanges: u32) -> Link {
        let (stream, _) = self.listener.accept().unwrap();
        let limits = Limits { payload: 1 << 20, headers: 1000 };
        let decoder = FrameDecoder::new(Side::FrontEnd, limits);
        let (name, read) = (String::new(), Vec::new());
        let mut link = Link { stream, decoder, read, name, credit: 0 };
        link.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        link.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        link.send(
            0,
            Content::Hello(Hello {
                lowest: 1,
                highest: 2,
                credit,
                payload,
                exchanges,
                name: b"test",
            }),
        );
        link.greeted();
        link
    }

    /// The next connection, as it is.
    pub(crate) fn accepted(&self) -> UnixStream {
        self.listener.accept().unwrap().0
    }

    /// Whether somebody connects within a moment.
    pub(crate) fn is_called(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let called = self.listener.accept().is_ok();
        self.listener.set_nonblocking(false).unwrap();
        called
    }
}

impl Link {
    fn greeted(&mut self) {
        loop {
            let mut input = self.read.as_slice();
            let frame = self.decoder.decode(&mut input).unwrap();
            if let Some(Frame { content: Content::Hello(hello), .. }) = frame {
                self.name = String::from_utf8(hello.name.to_vec()).unwrap();
                self.credit = hello.credit;
                self.read = input.to_vec();
                return;
            }
            assert!(self.more().unwrap() > 0, "no hello");
        }
    }

    fn more(&mut self) -> std::io::Result<usize> {
        let mut buffer = vec![0; 1 << 18];
        let count = self.stream.read(&mut buffer)?;
        self.read.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn decode(&mut self) -> Option<Heard> {
        loop {
            let mut input = self.read.as_slice();
            let frame = self.decoder.decode(&mut input).unwrap()?;
            let question = match frame.content {
                Content::Ping { context, is_answer: false } => Some(context),
                _ => None,
            };
            let heard = question.is_none().then(|| owned(&frame));
            self.read = input.to_vec();
            match question {
                Some(context) => self.send(0, Content::Ping { context, is_answer: true }),
                None => return heard,
            }
        }
    }

    /// The next frame; `None` at the end of the link.
    pub(crate) fn try_next(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.decode() {
                return Some(heard);
            }
            match self.more() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    pub(crate) fn next(&mut self) -> Heard {
        self.try_next().expect("the link ended")
    }

    /// The frames that came with one read, when there was nothing before.
    pub(crate) fn at_once(&mut self) -> Vec<Heard> {
        assert!(self.read.is_empty());
        assert!(self.more().unwrap() > 0);
        std::iter::from_fn(|| self.decode()).collect()
    }

    /// What comes within a moment, perhaps nothing.
    pub(crate) fn in_a_moment(&mut self) -> Vec<Heard> {
        self.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut heard: Vec<_> = std::iter::from_fn(|| self.decode()).collect();
        while self.more().is_ok_and(|count| count > 0) {
            heard.extend(std::iter::from_fn(|| self.decode()));
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        heard
    }

    /// The next frame, or `None` when nothing comes within a moment.
    pub(crate) fn soon(&mut self) -> Option<Heard> {
        self.stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut heard = self.decode();
        while heard.is_none() && self.more().is_ok_and(|count| count > 0) {
            heard = self.decode();
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        heard
    }

    /// The next request, whatever credit comes before it.
    pub(crate) fn request(&mut self) -> Asked {
        loop {
            match self.next() {
                Heard::Request(asked) => return *asked,
                Heard::Credit { .. } => {}
                other => panic!("no request but {other:?}"),
            }
        }
    }

    /// The rest of a body.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            match self.next() {
                Heard::Data { bytes, end, .. } => {
                    body.extend(bytes);
                    if end {
                        return body;
                    }
                }
                Heard::Credit { .. } => {}
                other => panic!("no data but {other:?}"),
            }
        }
    }

    /// A whole message; its pieces put together.
    pub(crate) fn message(&mut self) -> (u8, String, Vec<u8>) {
        let mut whole: Option<(u8, String, Vec<u8>)> = None;
        loop {
            match self.next() {
                Heard::Message { flags, path, bytes, more, .. } => {
                    let whole = whole.get_or_insert((flags, path, Vec::new()));
                    assert_eq!(whole.0, flags);
                    whole.2.extend(bytes);
                    if !more {
                        return whole.clone();
                    }
                }
                Heard::Credit { .. } => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    /// The next frame that is no credit.
    pub(crate) fn after_credit(&mut self) -> Heard {
        loop {
            match self.next() {
                Heard::Credit { .. } => {}
                other => return other,
            }
        }
    }

    pub(crate) fn cancelled(&mut self) -> (u64, Reason) {
        match self.after_credit() {
            Heard::Cancel { id, reason } => (id, reason),
            other => panic!("no cancel but {other:?}"),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, exchange: u64, content: Content<'_>) {
        self.write(&frame(exchange, content));
    }

    /// A response with a body of this length, which is still to come unless it is 0.
    pub(crate) fn respond(&mut self, id: u64, status: u16, length: Option<u64>) {
        self.respond_with(id, (status, b""), (length, length == Some(0)), &[]);
    }

    pub(crate) fn respond_with(
        &mut self,
        id: u64,
        (status, reason): (u16, &[u8]),
        (length, end): (Option<u64>, bool),
        headers: &[(&str, &[u8])],
    ) {
        let mut out = Vec::new();
        let head = ResponseHead { status, length, reason };
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), *value));
        append_response(&mut out, id, &head, headers, (end, false)).unwrap();
        self.write(&out);
    }

    /// A whole response with a text.
    pub(crate) fn answer(&mut self, id: u64, text: &str) {
        let mut out = Vec::new();
        let length = Some(text.len() as u64);
        let head = ResponseHead { status: 200, length, reason: b"OK" };
        append_response(&mut out, id, &head, std::iter::empty(), (false, false)).unwrap();
        out.extend(frame(id, Content::Data { bytes: text.as_bytes(), end: true, close: false }));
        self.write(&out);
    }

    pub(crate) fn data(&mut self, id: u64, bytes: &[u8], end: bool) {
        self.send(id, Content::Data { bytes, end, close: false });
    }

    pub(crate) fn credit(&mut self, id: u64, bytes: u32) {
        self.send(id, Content::Credit(bytes));
    }

    pub(crate) fn cancel(&mut self, id: u64, reason: Reason, retry_after: u16) {
        self.send(id, Content::Cancel(Cancel { reason, retry_after }));
    }

    pub(crate) fn watch(&mut self, id: u64) {
        self.send(id, Content::Watch);
    }

    pub(crate) fn upgrade(&mut self, id: u64, headers: &[(&str, &str)]) {
        let mut out = Vec::new();
        let head = ResponseHead { status: 101, length: Some(0), reason: b"" };
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        append_upgrade(&mut out, id, &head, headers).unwrap();
        self.write(&out);
    }

    pub(crate) fn go_away(&mut self, last: u64) {
        let away = GoAway { reason: GoAwayReason::Stops, last, text: b"the test stops" };
        self.send(0, Content::GoAway(away));
    }
}

impl Asked {
    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

pub(crate) fn frame(exchange: u64, content: Content<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    Frame { exchange, content }.append(&mut out).unwrap();
    out
}

fn owned(frame: &Frame<'_>) -> Heard {
    let id = frame.exchange;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match frame.content {
        Content::Request { head, headers, end } => Heard::Request(Box::new(Asked {
            id,
            class: head.class,
            version: head.version,
            is_https: head.is_https,
            connection: head.connection,
            length: head.length,
            client: text(head.client),
            handler: text(head.handler),
            pattern: text(head.pattern),
            method: text(head.method),
            target: text(head.target),
            headers: headers.iter().map(|(name, value)| (text(name), value.to_vec())).collect(),
            end,
        })),
        Content::Data { bytes, end, .. } => Heard::Data { id, bytes: bytes.to_vec(), end },
        Content::Message { flags, path, bytes, more } => {
            Heard::Message { id, flags, path: text(path), bytes: bytes.to_vec(), more }
        }
        Content::Cancel(cancel) => Heard::Cancel { id, reason: cancel.reason },
        Content::Credit(bytes) => Heard::Credit { id, bytes },
        Content::GoAway(away) => Heard::GoAway { reason: away.reason, text: text(away.text) },
        Content::Ping { context, is_answer: true } => Heard::Pong(context),
        other => panic!("unexpected {other:?}"),
    }
}
