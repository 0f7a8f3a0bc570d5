//! What a handler writes for a client, taken apart: head, body, end.

use std::mem::MaybeUninit;

use brim_wire::link::{self, HEADER_BYTES, ResponseHead, SendCredit};
use httparse::{ParserConfig, Status};
use memchr::memchr;

use super::chunks::{ChunkError, Chunks};

/// Headers of an answer.
pub(crate) const HEADERS: usize = 100;
/// Bytes of an answer's head.
pub(crate) const HEAD_BYTES: usize = 65_536;

/// Why an answer cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("no head of an HTTP response: {0}")]
    Head(#[from] httparse::Error),
    #[error("a head of more than {HEAD_BYTES} bytes, or more than the front end takes")]
    TooLong,
    #[error("the status {0}, expected 200 to 999")]
    Status(u16),
    #[error("101 to a request that is no WebSocket handshake")]
    Upgrade,
    #[error("a content-length that is no number, or two that differ")]
    Length,
    #[error("a transfer-encoding other than chunked")]
    Coding,
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("the end, {0} bytes before that of the body")]
    Early(u64),
    #[error("the end, within the head or a chunk")]
    Cut,
}

/// How far an answer has come.
#[derive(Debug)]
pub(crate) struct Answer {
    stage: Stage,
    /// The handler wants the client's connection closed after it.
    close: bool,
}

#[derive(Debug)]
enum Stage {
    /// So much of the head, and how much of it was looked at.
    Head(Vec<u8>),
    /// So many bytes of the body are left.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    /// Bytes for the connection as they are.
    Raw,
}

/// The longest head that is remembered.
const REMEMBERED: usize = 2048;

/// The head that the handlers of a section sent last, of a body with a length: mostly, the next is the same.
#[derive(Debug, Default)]
pub(crate) struct LastHead {
    head: Vec<u8>,
    /// The frame that was made of it.
    frame: Vec<u8>,
    length: u64,
    close: bool,
}

/// Where an answer goes: an exchange of a link.
pub(crate) struct Sink<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) exchange: u64,
    pub(crate) credit: &'a mut SendCredit,
    /// The longest payload that the front end takes.
    pub(crate) payload: usize,
    pub(crate) is_handshake: bool,
    /// There is no body, whatever the head says.
    pub(crate) is_head_method: bool,
    /// What is fed at once is a message, and the front end wants to know which pieces belong together.
    pub(crate) has_parts: bool,
    pub(crate) last: Option<&'a mut LastHead>,
}

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// All of them went on, or are kept here.
    All,
    /// The client has to take something first.
    Blocked,
    /// The answer is over. What follows belongs to nobody.
    Ended,
}

impl Answer {
    /// Of an HTTP request or a WebSocket handshake.
    pub(crate) fn new() -> Self {
        Self { stage: Stage::Head(Vec::new()), close: false }
    }

    /// To socket messages.
    pub(crate) fn raw() -> Self {
        Self { stage: Stage::Raw, close: false }
    }

    /// Whether the head has gone on.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.stage, Stage::Head(_))
    }

    /// Whether nothing of it has come.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(&self.stage, Stage::Head(partial) if partial.is_empty())
    }

    /// Whether it goes on until somebody ends it.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(self.stage, Stage::UntilClose | Stage::Raw)
    }

    /// Passes on what may go. `input` begins then with what may not.
    pub(crate) fn feed(
        &mut self,
        input: &mut &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Fed, AnswerError> {
        if self.is_fresh() {
            self.begin_again(input, sink);
        }
        loop {
            match &mut self.stage {
                Stage::Head(partial) => {
                    let Some(head) = take_head(partial, input)? else { return Ok(Fed::All) };
                    if let Some(ended) = self.head(&head, sink)? {
                        return Ok(ended);
                    }
                }
                Stage::Length(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let (body, rest) = input.split_at_checked(count).unwrap_or((input, &[]));
                    let sent = sink.data(body, *left == count as u64, self.close);
                    *left -= sent as u64;
                    *input = input.get(sent..).unwrap_or_default();
                    return Ok(match (*left, sent < body.len()) {
                        (0, _) => {
                            *input = rest;
                            Fed::Ended
                        }
                        (_, true) => Fed::Blocked,
                        (_, false) => Fed::All,
                    });
                }
                Stage::Chunked(chunks) => {
                    while let Some(body) = chunks.next(input)? {
                        let sent = sink.data(body, false, false);
                        chunks.took(sent);
                        *input = input.get(sent..).unwrap_or_default();
                        if sent < body.len() {
                            return Ok(Fed::Blocked);
                        }
                    }
                    if chunks.is_over() {
                        sink.data(b"", true, self.close);
                        return Ok(Fed::Ended);
                    }
                    return Ok(Fed::All);
                }
                Stage::UntilClose | Stage::Raw => {
                    let sent = sink.data(input, false, false);
                    *input = input.get(sent..).unwrap_or_default();
                    return Ok(if input.is_empty() { Fed::All } else { Fed::Blocked });
                }
            }
        }
    }

    /// Begins as the last answer did, if this one has the same head.
    fn begin_again(&mut self, input: &mut &[u8], sink: &mut Sink<'_>) {
        let Some(last) = sink.last.as_deref().filter(|_| !sink.is_head_method) else { return };
        if last.head.is_empty() || last.frame.len() - HEADER_BYTES > sink.payload {
            return;
        }
        let Some(rest) = input.strip_prefix(last.head.as_slice()) else { return };
        let start = sink.out.len();
        sink.out.extend_from_slice(&last.frame);
        link::readdress(sink.out.get_mut(start..).unwrap_or_default(), sink.exchange);
        self.stage = Stage::Length(last.length);
        self.close = last.close;
        *input = rest;
    }

    /// The handler's own end. `Ok(false)` if it has written nothing at all.
    pub(crate) fn close(&mut self, sink: &mut Sink<'_>) -> Result<bool, AnswerError> {
        match &self.stage {
            Stage::Head(partial) if partial.is_empty() => Ok(false),
            Stage::Head(_) | Stage::Chunked(_) => Err(AnswerError::Cut),
            Stage::Length(left) => Err(AnswerError::Early(*left)),
            Stage::UntilClose | Stage::Raw => {
                sink.data(b"", true, self.close);
                Ok(true)
            }
        }
    }

    fn head(&mut self, head: &[u8], sink: &mut Sink<'_>) -> Result<Option<Fed>, AnswerError> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parser = ParserConfig::default();
        let parsed =
            parser.parse_response_with_uninit_headers(&mut response, head, &mut headers)?;
        if parsed == Status::Partial {
            return Err(AnswerError::Cut);
        }
        let status = response.code.unwrap_or_default();
        let is_upgrade = status == 101;
        match status {
            101 if sink.is_handshake => {}
            101 => return Err(AnswerError::Upgrade),
            // Interim answers are not for clients of today.
            100..200 => {
                self.stage = Stage::Head(Vec::new());
                return Ok(None);
            }
            200..=999 => {}
            _ => return Err(AnswerError::Status(status)),
        }
        let framing = Framing::of(response.headers)?;
        let has_body = !(sink.is_head_method || is_upgrade || matches!(status, 204 | 304));
        let end = !has_body && !is_upgrade || has_body && framing.length == Some(0);
        let length = if status == 204 || is_upgrade { Some(0) } else { framing.length };
        self.close = framing.close;
        let reason = response.reason.unwrap_or_default().as_bytes();
        let is_kept = |name: &str| !OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
        let kept = response.headers.iter().filter(|header| is_kept(header.name));
        let kept = kept.map(|header| (header.name.as_bytes(), header.value));
        let length = length.filter(|_| !framing.is_chunked);
        let start = sink.out.len();
        sink.response(&ResponseHead { status, length, reason }, kept, (end, self.close))?;
        self.stage = match framing.length {
            _ if is_upgrade => Stage::Raw,
            _ if framing.is_chunked => Stage::Chunked(Chunks::default()),
            Some(length) => {
                if has_body && !end {
                    sink.remember(head, start, (length, self.close));
                }
                Stage::Length(length)
            }
            None => Stage::UntilClose,
        };
        Ok(end.then_some(Fed::Ended))
    }
}

/// Headers about the connection, or about the length, which the link has in a field.
const OWN: [&str; 4] = ["connection", "content-length", "keep-alive", "transfer-encoding"];

/// What a head says about the body.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    close: bool,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>]) -> Result<Self, AnswerError> {
        let mut framing = Self::default();
        for header in headers {
            let name = header.name;
            if name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).map_err(|_| AnswerError::Length)?;
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                // The largest number means that there is none.
                let length: u64 = text.parse().map_err(|_| AnswerError::Length)?;
                let is_new = framing.length.is_none_or(|known| known == length);
                if !is_number || !is_new || length == u64::MAX {
                    return Err(AnswerError::Length);
                }
                framing.length = Some(length);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if !header.value.eq_ignore_ascii_case(b"chunked") || framing.is_chunked {
                    return Err(AnswerError::Coding);
                }
                framing.is_chunked = true;
            } else if name.eq_ignore_ascii_case("connection") {
                let mut words = header.value.split(|byte| *byte == b',');
                framing.close |= words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
        }
        if framing.is_chunked {
            framing.length = None;
        }
        Ok(framing)
    }
}

impl Sink<'_> {
    fn response<'h>(
        &mut self,
        head: &ResponseHead<'_>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        (end, close): (bool, bool),
    ) -> Result<(), AnswerError> {
        let start = self.out.len();
        let appended = if head.status == 101 {
            link::append_upgrade(self.out, self.exchange, head, headers)
        } else {
            link::append_response(self.out, self.exchange, head, headers, (end, close))
        };
        if appended.is_err() || self.out.len() - start - HEADER_BYTES > self.payload {
            self.out.truncate(start);
            return Err(AnswerError::TooLong);
        }
        Ok(())
    }

    /// Keeps a head and its frame, which begins at `start`.
    fn remember(&mut self, head: &[u8], start: usize, (length, close): (u64, bool)) {
        if let Some(last) = self.last.as_deref_mut().filter(|_| head.len() <= REMEMBERED) {
            let frame = self.out.get(start..).unwrap_or_default().to_vec();
            *last = LastHead { head: head.to_vec(), frame, length, close };
        }
    }

    /// Sends as much as there is credit for; `end` counts only if that is all.
    fn data(&mut self, bytes: &[u8], end: bool, close: bool) -> usize {
        let credited = self.credit.take(bytes.len());
        let mut left = bytes.get(..credited).unwrap_or(bytes);
        let is_whole = left.len() == bytes.len();
        let end = end && is_whole;
        loop {
            let piece = left.get(..self.payload).unwrap_or(left);
            left = left.get(piece.len()..).unwrap_or_default();
            let is_last = left.is_empty();
            if !piece.is_empty() || end {
                let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                let end = end && is_last;
                let header = match self.has_parts && !(is_last && is_whole) {
                    true => link::part_header(self.exchange, length),
                    false => link::data_header(self.exchange, length, end, close),
                };
                self.out.extend_from_slice(&header);
                self.out.extend_from_slice(piece);
            }
            if is_last {
                return credited;
            }
        }
    }
}

/// A whole head, as soon as there is one: of `input`, if nothing came before.
fn take_head<'a>(
    partial: &mut Vec<u8>,
    input: &mut &'a [u8],
) -> Result<Option<std::borrow::Cow<'a, [u8]>>, AnswerError> {
    if partial.is_empty()
        && let Some(end) = head_end(input, 0)
    {
        let (head, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
        *input = rest;
        return check_length(head.len()).map(|()| Some(head.into()));
    }
    let known = partial.len();
    partial.extend_from_slice(input);
    let end = head_end(partial, known.saturating_sub(3));
    check_length(end.unwrap_or(partial.len()))?;
    let Some(end) = end else {
        *input = &[];
        return Ok(None);
    };
    *input = input.get(end - known..).unwrap_or_default();
    partial.truncate(end);
    Ok(Some(std::mem::take(partial).into()))
}

fn check_length(length: usize) -> Result<(), AnswerError> {
    if length > HEAD_BYTES { Err(AnswerError::TooLong) } else { Ok(()) }
}

/// Behind the empty line, from `from` on.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr(b'\n', bytes.get(at..)?) {
        at += found + 1;
        match bytes.get(at..) {
            Some([b'\n', ..]) => return Some(at + 1),
            Some([b'\r', b'\n', ..]) => return Some(at + 2),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
