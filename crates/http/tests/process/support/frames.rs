use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;

/// Types of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A client that speaks HTTP/2 frame by frame, over a Unix socket.
pub(crate) struct Frames {
    stream: UnixStream,
}

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frames {
    /// Connects, and says the preface with these settings.
    pub(crate) fn connect(path: &Path, settings: &[(u16, u32)]) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut frames = Self { stream };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        assert!(frames.send(kind::SETTINGS, 0, 0, &settings));
        frames
    }

    /// Sends a frame; false when the connection is gone.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.stream.write_all(&frame(kind, flags, stream, payload)).is_ok()
    }

    /// Sends many of the same at once; false when the connection is gone.
    pub(crate) fn send_many(
        &mut self,
        count: usize,
        kind: u8,
        stream: u32,
        payload: &[u8],
    ) -> bool {
        self.stream.write_all(&frame(kind, 0, stream, payload).repeat(count)).is_ok()
    }

    /// Sends the head of a request; false when the connection is gone.
    pub(crate) fn request(&mut self, stream: u32, method: &str, path: &str, end: bool) -> bool {
        let head = head(method, path);
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(kind::HEADERS, flags, stream, &head)
    }

    /// Sends a head that goes on, without its end.
    pub(crate) fn request_without_end(&mut self, stream: u32, path: &str) -> bool {
        let head = head("GET", path);
        self.send(kind::HEADERS, END_STREAM, stream, &head)
    }

    /// The next frame, `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of that type, whatever comes before it.
    pub(crate) fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads a response to its end, and returns its body.
    pub(crate) fn body(&mut self, stream: u32) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let frame = self.next()?;
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::DATA => body.extend(&frame.payload),
                kind::HEADERS => {}
                _ => return None,
            }
            if frame.flags & END_STREAM != 0 {
                return Some(body);
            }
        }
    }

    /// Reads to the end; all types of frames that came, each once, and the last GOAWAY's reason.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, Option<u32>) {
        let (mut kinds, mut reason) = (Vec::new(), None);
        while let Some(frame) = self.next() {
            if frame.kind == kind::GOAWAY {
                reason = frame
                    .payload
                    .get(4..8)
                    .map(|code| u32::from_be_bytes(code.try_into().unwrap()));
            }
            kinds.push(frame.kind);
        }
        kinds.sort_unstable();
        kinds.dedup();
        (kinds, reason)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block without compression.
fn head(method: &str, path: &str) -> Vec<u8> {
    let fields =
        [(":method", method), (":scheme", "http"), (":authority", "example.test"), (":path", path)];
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// One header, literal and not indexed.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127, "longer numbers have another form");
        field.push(u8::try_from(text.len()).unwrap());
        field.extend(text.as_bytes());
    }
    field
}
