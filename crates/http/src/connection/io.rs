use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use brim_service::Stream;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock::Clock;

/// The socket while hyper holds it: tells the clock what comes and goes.
#[derive(Debug)]
pub(crate) struct Io {
    stream: Stream,
    /// What an earlier hyper had read and not used.
    rest: Bytes,
    clock: Rc<Clock>,
}

impl Io {
    pub(crate) fn new(stream: Stream, rest: Bytes, clock: Rc<Clock>) -> Self {
        Self { stream, rest, clock }
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.clock.write_blocks(),
            Poll::Ready(_) => self.clock.write_goes(),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.rest.is_empty() {
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        } else {
            let count = this.rest.len().min(buffer.remaining());
            buffer.put_slice(this.rest.get(..count).unwrap_or_default());
            this.rest.advance(count);
        }
        match buffer.filled().get(before..) {
            Some(bytes) if !bytes.is_empty() => this.clock.read(bytes),
            _ if buffer.remaining() > 0 && this.clock.hides_end(cx) => return Poll::Pending,
            _ => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.clock.writes_response(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.clock.writes_response(parts.first().map_or(&[], |part| part)) {
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when its own buffer is empty, so all of a response is with the kernel.
        self.clock.flushed(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
