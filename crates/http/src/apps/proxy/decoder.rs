//! A response's body out of the bytes of its connection (RFC 9112 sections 6 and 7).

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// Longest line before a chunk, with its extensions, in bytes.
const LINE: usize = 4096;
/// All lines of the trailers together, in bytes.
const TRAILERS: usize = 16 * 1024;
/// Digits of a chunk's length.
const DIGITS: usize = 16;

/// What of a body is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// All that comes until the connection ends.
    Close,
}

/// Where a chunked body has got to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    next: Next,
    /// Bytes that the lines of the trailers may still have.
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A line with a chunk's length.
    Line,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of line behind a chunk.
    End,
    /// A line of the trailers, or the empty one behind them.
    Trailer,
    /// Nothing.
    Over,
    /// Nothing that makes sense.
    Broken(&'static str),
}

/// What the next bytes come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A part of the body.
    Data(Bytes),
    /// More has to be read.
    Wants,
    /// The body is whole.
    Over,
}

impl Decoder {
    /// A body in chunks.
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks { next: Next::Line, trailers: TRAILERS })
    }

    /// Whether the body is whole.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks { next: Next::Over, .. }))
    }

    /// How many bytes are still to come, where that was said.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(Chunks { next: Next::Over, .. }) => Some(0),
            Self::Chunked(_) | Self::Close => None,
        }
    }

    /// Whether the body is whole when the connection ends now.
    pub(super) fn may_end(&self) -> bool {
        matches!(self, Self::Close) || self.is_over()
    }

    /// Takes the next part of the body out of what was read; or says what is wrong with it.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Piece, &'static str> {
        match self {
            Self::Length(0) => Ok(Piece::Over),
            Self::Length(_) | Self::Close if input.is_empty() => Ok(Piece::Wants),
            Self::Length(left) => Ok(Piece::Data(part(input, left))),
            Self::Close => Ok(Piece::Data(input.split().freeze())),
            Self::Chunked(chunks) => chunks.take(input),
        }
    }
}

/// As much of the next `left` bytes as was read.
fn part(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= count as u64;
    input.split_to(count).freeze()
}

impl Chunks {
    fn take(&mut self, input: &mut BytesMut) -> Result<Piece, &'static str> {
        self.settle(input);
        match &mut self.next {
            Next::Broken(reason) => Err(reason),
            Next::Over => Ok(Piece::Over),
            Next::Data(left) if !input.is_empty() => {
                let data = part(input, left);
                if *left == 0 {
                    self.next = Next::End;
                    // The end of the body is mostly there with its last chunk.
                    self.settle(input);
                }
                Ok(Piece::Data(data))
            }
            _ => Ok(Piece::Wants),
        }
    }

    /// Gets past what is no data.
    fn settle(&mut self, input: &mut BytesMut) {
        loop {
            let step = match self.next {
                Next::Line => line(input, LINE, size),
                Next::End => end(input),
                Next::Trailer => self.trailer(input),
                Next::Data(_) | Next::Over | Next::Broken(_) => return,
            };
            match step {
                Ok(Some(next)) => self.next = next,
                Ok(None) => return,
                Err(reason) => self.next = Next::Broken(reason),
            }
        }
    }

    fn trailer(&mut self, input: &mut BytesMut) -> Result<Option<Next>, &'static str> {
        let before = input.len();
        let next = line(input, self.trailers, field)?;
        self.trailers = self.trailers.saturating_sub(before - input.len());
        Ok(next)
    }
}

/// Takes a line of at most `limit` bytes, its end included, and sees what it means; `None` until it is
/// there.
fn line(
    input: &mut BytesMut,
    limit: usize,
    meaning: impl Fn(&[u8]) -> Result<Next, &'static str>,
) -> Result<Option<Next>, &'static str> {
    let within = input.get(..limit).unwrap_or(input);
    let Some(end) = memchr(b'\n', within) else {
        return if input.len() < limit { Ok(None) } else { Err("a line of a chunk is too long") };
    };
    let line = within.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let next = meaning(line.ok_or("a line of a chunk ends with a bare LF")?)?;
    input.advance(end + 1);
    Ok(Some(next))
}

/// `chunk-size [ chunk-ext ]`. Blanks behind the length are an old habit of some servers.
fn size(line: &[u8]) -> Result<Next, &'static str> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).unwrap_or((line, b""));
    if !(1..=DIGITS).contains(&digits.len()) {
        return Err("a chunk without a length, or with one that is too long");
    }
    let rest = rest.trim_ascii_start();
    if !(rest.is_empty() || rest.starts_with(b";")) || rest.iter().any(is_control) {
        return Err("a chunk's length is malformed");
    }
    let value = |digit: &u8| u64::from(char::from(*digit).to_digit(16).unwrap_or_default());
    match digits.iter().fold(0, |size, digit| size << 4 | value(digit)) {
        0 => Ok(Next::Trailer),
        size => Ok(Next::Data(size)),
    }
}

fn end(input: &mut BytesMut) -> Result<Option<Next>, &'static str> {
    match input.as_ref() {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => {
            input.advance(2);
            Ok(Some(Next::Line))
        }
        _ => Err("a chunk is longer than it says"),
    }
}

/// A field of the trailers, which goes no further, or the empty line at the end.
fn field(line: &[u8]) -> Result<Next, &'static str> {
    if line.is_empty() {
        return Ok(Next::Over);
    }
    let colon = memchr(b':', line).unwrap_or(0);
    let name = line.get(..colon).unwrap_or_default();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    match !name.is_empty() && name.iter().all(is_token) && !line.iter().any(is_control) {
        true => Ok(Next::Trailer),
        false => Err("the trailers are malformed"),
    }
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

#[cfg(test)]
mod tests;
