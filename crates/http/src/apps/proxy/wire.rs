use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use brim_service::{LocalStream, Stream, connect};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::conf::Place;
use super::upstream::Upstream;
use crate::error::UpstreamFailure;

/// A socket to an upstream.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(Stream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects, within `connect_timeout` for all that it takes.
    pub(super) async fn connect(upstream: &Upstream) -> Result<Self, UpstreamFailure> {
        let time = upstream.conf().connect_timeout;
        let connected = tokio::time::timeout(time, Self::dial(upstream)).await;
        connected.unwrap_or(Err(UpstreamFailure::ConnectTimeout))
    }

    async fn dial(upstream: &Upstream) -> Result<Self, UpstreamFailure> {
        let spec = upstream.spec();
        let stream = match &spec.place {
            Place::Unix(path) => {
                let connected = LocalStream::connect(path).await;
                let stream = connected.map_err(UpstreamFailure::Connect)?;
                return Ok(Self::Plain(Stream::Unix(stream)));
            }
            Place::Address(address) => connect(&[*address]).await,
            Place::Name(..) => connect(&upstream.addresses().await?).await,
        };
        let stream = stream.map_err(UpstreamFailure::Connect)?;
        match (&spec.tls, &upstream.conf().tls) {
            (Some(name), Some(config)) => {
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name.clone(), stream).await;
                stream.map(|stream| Self::Tls(Box::new(stream))).map_err(UpstreamFailure::Tls)
            }
            _ => Ok(Self::Plain(Stream::Tcp(stream))),
        }
    }
}

impl Wire {
    /// Whether nothing has come on a connection on which nothing is to come, not even its end.
    pub(super) fn is_silent(&mut self) -> bool {
        let nothing = |read: io::Result<usize>| {
            read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        let mut byte = [0];
        match self {
            // Without a system call, as long as the runtime has not heard of anything.
            Self::Plain(Stream::Tcp(stream)) => nothing(stream.try_read(&mut byte)),
            Self::Plain(Stream::Unix(stream)) => nothing(stream.try_read(&mut byte)),
            Self::Tls(stream) => {
                // Nobody is to be woken: whoever takes the connection polls it again.
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
