use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::stream::Stream;

/// What carries a connection's bytes.
#[derive(Debug)]
pub enum Transport {
    /// The socket itself.
    Plain(Stream),
    /// TLS over it. Boxed: it is large, and most of what is parked is plain.
    Tls(Box<TlsStream<Wire>>),
}

/// The socket below TLS.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    /// What was read before TLS began.
    first: Bytes,
    /// Bytes that the kernel took.
    written: u64,
}

impl Transport {
    /// Shakes hands; `first` is what was already read from the socket. The socket comes back when
    /// that fails.
    pub async fn handshake(
        config: Arc<ServerConfig>,
        stream: Stream,
        first: Bytes,
    ) -> Result<Self, (io::Error, Stream)> {
        let wire = Wire { stream, first, written: 0 };
        match TlsAcceptor::from(config).accept(wire).into_fallible().await {
            Ok(tls) => Ok(Self::Tls(Box::new(tls))),
            Err((error, wire)) => Err((error, wire.stream)),
        }
    }

    /// The socket below everything.
    pub fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.get_ref().0.stream,
        }
    }

    /// Puts the socket onto the runtime of the calling thread, from that of another one. Without a descriptor to
    /// spare it stays there, which costs that thread a wake-up for each event.
    pub fn come_over(&mut self) {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &mut tls.get_mut().0.stream,
        };
        match stream.again() {
            Ok(again) => *stream = again,
            Err(error) => {
                tracing::debug!(%error, "a connection stays with the worker it came from")
            }
        }
    }

    /// What TLS knows of this connection.
    pub fn session(&self) -> Option<&ServerConnection> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls.get_ref().1),
        }
    }

    /// Waits until there is something to read, be it in the kernel or in TLS's own buffers.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Tls(tls) = self else { return self.stream().poll_readable(cx) };
        let (wire, session) = tls.get_mut();
        let held = session.process_new_packets();
        let held =
            held.map_or(true, |held| held.plaintext_bytes_to_read() > 0 || held.peer_has_closed());
        if held || !wire.first.is_empty() {
            return Poll::Ready(Ok(()));
        }
        wire.stream.poll_readable(cx)
    }

    /// Bytes that the kernel took from TLS. What TLS itself takes is no progress: it has a buffer.
    pub fn written(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(tls) => tls.get_ref().0.written,
        }
    }
}

/// Puts what was read earlier into a buffer, as much as there is room for; false where there is nothing. Its
/// memory goes with the last of it.
pub fn put_held(held: &mut Bytes, buffer: &mut ReadBuf<'_>) -> bool {
    if held.is_empty() {
        return false;
    }
    let count = held.len().min(buffer.remaining());
    buffer.put_slice(&held.split_to(count));
    if held.is_empty() {
        *held = Bytes::new();
    }
    true
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(tls) => match ready!(Pin::new(tls).poll_read(cx, buffer)) {
                // Many clients just go. Where a request ends, HTTP itself says.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                result => Poll::Ready(result),
            },
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl Wire {
    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.written += count as u64;
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if put_held(&mut this.first, buffer) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
