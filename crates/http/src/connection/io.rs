use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brim_service::{Transport, put_held};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::outgoing::{in_memory, warm};
use crate::body::{Window, is_placeholder};
use crate::error::Error;

/// The transport while hyper holds it: tells the clock what comes and goes.
#[derive(Debug)]
pub(crate) struct Io {
    transport: Transport,
    /// What an earlier hyper had read and not used.
    rest: Bytes,
    clock: Rc<Clock>,
    /// Reads what is to be sent next from a disk, on another thread.
    warming: Option<JoinHandle<io::Result<u64>>>,
}

impl Io {
    pub(crate) fn new(transport: Transport, rest: Bytes, clock: Rc<Clock>) -> Self {
        // Through TLS, files go as bytes.
        if let Transport::Plain(_) = transport {
            clock.outgoing().enable();
        }
        Self { transport, rest, clock, warming: None }
    }

    pub(crate) fn into_transport(self) -> Transport {
        self.transport
    }

    /// Sends up to `wanted` bytes of the file that comes next.
    fn poll_send_file(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let sent = match self.clock.outgoing().next() {
            Some(window) => ready!(self.poll_send_window(cx, &window, wanted as u64)),
            None => Err(io::Error::other("bug: no file for a placeholder")),
        };
        match &sent {
            Ok(count) => self.clock.sent_of_file(*count),
            // Files are replaced while they are sent: nobody has to act on that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::debug!("a file has become shorter while it was sent");
            }
            Err(error) if is_of_client(error) => {}
            Err(error) => {
                let copy = error.raw_os_error().map(io::Error::from_raw_os_error);
                let error = copy.unwrap_or_else(|| io::Error::other(error.to_string()));
                self.clock.broke_off(&Error::internal(error));
            }
        }
        Poll::Ready(sent)
    }

    fn poll_send_window(
        &mut self,
        cx: &mut Context<'_>,
        window: &Window,
        wanted: u64,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(warming) = &mut self.warming {
                let warmed = ready!(Pin::new(warming).poll(cx));
                self.warming = None;
                window.warm.set(warmed.map_err(io::Error::other)??);
            }
            // There is no use in looking before the client takes more.
            let writable = self.transport.stream().poll_writable(cx);
            self.note(writable.is_pending(), 0);
            ready!(writable)?;
            let count = in_memory(window, wanted.min(window.left()))?;
            if count == 0 {
                let (file, offset, left) = (window.file.clone(), window.offset(), window.left());
                let work = move || warm(&file, offset, left);
                self.warming = Some(tokio::task::spawn_blocking(work));
                continue;
            }
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let sent = self.transport.stream();
            let sent = sent.poll_send_file(cx, &window.file, window.offset(), count);
            self.note(sent.is_pending(), 0);
            return Poll::Ready(match ready!(sent) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                sent => sent,
            });
        }
    }

    /// Tells the clock how writing went; `before`: what the kernel had taken of TLS by then.
    fn note(&self, blocked: bool, before: u64) {
        if blocked && self.transport.written() == before {
            self.clock.write_blocks();
        } else {
            self.clock.write_goes();
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
        if !put_held(&mut this.rest, buffer) {
            ready!(Pin::new(&mut this.transport).poll_read(cx, buffer))?;
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
        if is_placeholder(bytes) {
            return this.poll_send_file(cx, bytes.len());
        }
        let before = this.transport.written();
        let written = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.note(written.is_pending(), before);
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
        // PLACEHOLDER: what stands for a file is not written, but the file is sent.
        let plain = parts.iter().take_while(|part| !is_placeholder(part)).count();
        let before = this.transport.written();
        let written = match parts.split_at_checked(plain) {
            Some(([], [file, ..])) => return this.poll_send_file(cx, file.len()),
            // The head goes into one packet with the beginning of the file.
            Some(([head], [_, ..])) => this.transport.stream().poll_write_more(cx, head),
            Some((plain, _)) => Pin::new(&mut this.transport).poll_write_vectored(cx, plain),
            None => Poll::Ready(Ok(0)),
        };
        this.note(written.is_pending(), before);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Transport::Tls(_) = this.transport {
            let before = this.transport.written();
            let flushed = Pin::new(&mut this.transport).poll_flush(cx);
            this.note(flushed.is_pending(), before);
            ready!(flushed)?;
        }
        // hyper flushes when its own buffer is empty, so all of a response is with the kernel.
        this.clock.flushed(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

/// Whether an error tells that the client is gone.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, TimedOut};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | TimedOut)
}
