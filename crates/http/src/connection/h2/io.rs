use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use brim_service::{Transport, put_held};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::Meter;
use super::streams::Streams;

/// The transport while hyper speaks HTTP/2 over it.
#[derive(Debug)]
pub(crate) struct Io {
    transport: Transport,
    /// What was read before hyper had it.
    rest: Bytes,
    streams: Rc<Streams>,
    meter: Meter,
}

impl Io {
    pub(crate) fn new(
        transport: Transport,
        rest: Bytes,
        streams: Rc<Streams>,
        meter: Meter,
    ) -> Self {
        Self { transport, rest, streams, meter }
    }

    fn note(&mut self, written: &Poll<io::Result<usize>>, before: u64) {
        if let Poll::Ready(Ok(count)) = written {
            self.meter.wrote(*count);
        }
        self.streams.writes(written.is_ready() || self.transport.written() != before);
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
        if !put_held(&mut this.rest, buffer) {
            ready!(Pin::new(&mut this.transport).poll_read(cx, buffer))?;
        }
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if !this.meter.read(bytes, Instant::now()) {
            this.streams.flood();
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
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
        let before = this.transport.written();
        let written = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.note(&written, before);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let before = this.transport.written();
        let written = Pin::new(&mut this.transport).poll_write_vectored(cx, parts);
        this.note(&written, before);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = this.transport.written();
        let flushed = Pin::new(&mut this.transport).poll_flush(cx);
        let none = flushed.map_ok(|()| 0);
        this.note(&none, before);
        none.map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}
