//! Connections that go on in another protocol after a 101.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brim_service::{Transport, put_held};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::Exchange;

/// What an app does with a connection that it has upgraded.
pub(crate) struct Tunnel(Box<dyn FnOnce(Upgraded) -> Work>);

type Work = Pin<Box<dyn Future<Output = ()>>>;

impl Tunnel {
    pub(crate) fn new<F: Future<Output = ()> + 'static>(
        work: impl FnOnce(Upgraded) -> F + 'static,
    ) -> Self {
        Self(Box::new(|upgraded| Box::pin(work(upgraded))))
    }

    pub(crate) fn begin(self, upgraded: Upgraded) -> Work {
        (self.0)(upgraded)
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}

/// A client's connection after its 101, for whatever the client and the app have agreed on. What goes
/// through it counts as the bytes of its exchange. Dropping it closes the connection.
#[derive(Debug)]
pub struct Upgraded {
    transport: Transport,
    /// What came behind the request's head.
    rest: Bytes,
    exchange: Rc<Exchange>,
}

impl Upgraded {
    pub(crate) fn new(transport: Transport, rest: Bytes, exchange: Rc<Exchange>) -> Self {
        // Even an empty one keeps hyper's whole buffer.
        let rest = if rest.is_empty() { Bytes::new() } else { rest };
        Self { transport, rest, exchange }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.exchange.add_bytes_out(count as u64);
        }
        written
    }
}

impl AsyncRead for Upgraded {
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
        this.exchange.add_bytes_in((buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.note(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write_vectored(cx, parts);
        this.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}
