use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::upload::Upload;
use super::wire::Wire;

/// Pieces up to this size are copied behind what goes before them, so that they leave in one write.
const SMALL: usize = 4096;
/// No more is put together before it is written, in bytes.
const ENOUGH: usize = 16 * 1024;
/// A buffer that has grown beyond this is not kept for the next request.
const KEPT: usize = 16 * 1024;

/// How a request's body is told from what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has so many bytes.
    Length(u64),
    /// It comes in chunks.
    Chunked,
}

/// A request on its way out.
#[derive(Debug)]
pub(super) struct Sending {
    /// The head, lines of chunks, small pieces.
    text: Vec<u8>,
    /// How much of that is written.
    written: usize,
    /// A large piece behind it.
    piece: Bytes,
    framing: Framing,
    /// Nothing follows what is here.
    ended: bool,
    /// Something has left.
    begun: bool,
}

/// Why a request does not go out.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The connection takes no more.
    Wire(io::Error),
    /// Its body is not what was announced; where the client is to blame, the upload knows why.
    Body,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            written: 0,
            piece: Bytes::new(),
            framing: Framing::Length(0),
            ended: true,
            begun: false,
        }
    }
}

impl Sending {
    /// Begins with a head, which `write` appends and whose framing it says.
    pub(super) fn begin(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Framing) {
        self.text.clear();
        self.written = 0;
        self.piece = Bytes::new();
        self.framing = write(&mut self.text);
        self.ended = self.framing == Framing::Length(0);
        self.begun = false;
    }

    /// Whether something of the request may have arrived.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether all of the request is with the kernel.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.piece.is_empty() && self.written == self.text.len()
    }

    /// Writes what can be written; ready when that was all.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
        upload: &Upload,
    ) -> Poll<Result<(), Stopped>> {
        loop {
            let waits =
                !self.ended && self.has_room() && self.poll_gather(cx, upload)?.is_pending();
            ready!(self.poll_write(cx, wire)).map_err(Stopped::Wire)?;
            if self.ended || waits {
                // TLS may hold back something.
                ready!(Pin::new(&mut *wire).poll_flush(cx)).map_err(Stopped::Wire)?;
                return if self.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        }
    }

    fn has_room(&self) -> bool {
        self.piece.is_empty() && self.text.len() - self.written < ENOUGH
    }

    /// Takes a piece of the body.
    fn poll_gather(&mut self, cx: &mut Context<'_>, upload: &Upload) -> Poll<Result<(), Stopped>> {
        let mut body = upload.clone();
        match ready!(Pin::new(&mut body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.put(frame.into_data().unwrap_or_default())?;
                if upload.is_whole() { self.end() } else { Ok(()) }
            }
            Some(Err(_)) => Err(Stopped::Body),
            None => self.end(),
        }
        .into()
    }

    fn put(&mut self, data: Bytes) -> Result<(), Stopped> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Stopped::Body)?;
            }
            Framing::Chunked => {
                // Writing to a Vec cannot fail.
                let _ = io::Write::write_fmt(&mut self.text, format_args!("{:x}\r\n", data.len()));
            }
        }
        if data.len() > SMALL {
            self.piece = data;
            return Ok(());
        }
        self.text.extend_from_slice(&data);
        self.close_chunk();
        Ok(())
    }

    fn close_chunk(&mut self) {
        if self.framing == Framing::Chunked {
            self.text.extend_from_slice(b"\r\n");
        }
    }

    /// The body has ended: nothing follows but what says so.
    fn end(&mut self) -> Result<(), Stopped> {
        match self.framing {
            Framing::Length(0) => {}
            Framing::Length(_) => return Err(Stopped::Body),
            Framing::Chunked if self.piece.is_empty() => self.text.extend_from_slice(b"0\r\n\r\n"),
            // Behind the piece.
            Framing::Chunked => return Ok(()),
        }
        self.ended = true;
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, wire: &mut Wire) -> Poll<io::Result<()>> {
        loop {
            let text = self.text.get(self.written..).unwrap_or_default();
            let wire = Pin::new(&mut *wire);
            let count = match (text, &*self.piece) {
                ([], []) => break,
                (text, []) => ready!(wire.poll_write(cx, text))?,
                ([], piece) => ready!(wire.poll_write(cx, piece))?,
                (text, piece) => {
                    let both = [IoSlice::new(text), IoSlice::new(piece)];
                    ready!(wire.poll_write_vectored(cx, &both))?
                }
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun = true;
            self.advance(count);
        }
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// So many bytes were written.
    fn advance(&mut self, count: usize) {
        let of_text = count.min(self.text.len() - self.written);
        self.written += of_text;
        if of_text == count {
            return;
        }
        self.piece.advance(count - of_text);
        if self.piece.is_empty() {
            self.piece = Bytes::new();
            self.text.clear();
            self.written = 0;
            self.close_chunk();
        }
    }
}
