use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use brim_config::Address;
use brim_service::tls::ClientCertificate;
use brim_service::{Lifecycle, PeerAddress, Stream, Transport, put_held};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::silence::Silence;

/// A client's connection. What is written goes to the client, through TLS where the section has it; what
/// was written last arrives, even if the client goes on sending.
#[derive(Debug)]
pub struct Connection {
    pub(crate) transport: Transport,
    /// What was read behind a header of the PROXY protocol.
    pub(crate) first: Bytes,
    pub(crate) client: PeerAddress,
    pub(crate) local: Arc<Address>,
    pub(crate) certificate: Option<ClientCertificate>,
    pub(crate) silence: Rc<Silence>,
    pub(crate) lifecycle: Lifecycle,
    /// The client has said all that it has to say.
    pub(crate) ended: bool,
}

impl Connection {
    /// The client's address: the peer's, or that which a trusted proxy names by the PROXY protocol. `None`
    /// over a Unix socket.
    pub fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    /// The listener that the client has connected to.
    pub fn local(&self) -> &Address {
        &self.local
    }

    /// The certificate that the client has shown.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }

    /// Whether the connection is protected by TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Changes how long a silence in both directions may last; `client_timeout` says it at first. Zero
    /// is for ever.
    pub fn set_silence(&self, limit: Duration) {
        self.silence.set_limit(limit);
    }

    /// Ends when the server is to stop. An app that can do so should then finish what it is about;
    /// after `drain_timeout` the connection is cut.
    pub fn drain_begins(&self) -> impl Future<Output = ()> + use<> {
        let lifecycle = self.lifecycle.clone();
        async move { lifecycle.drain_begins().await }
    }

    /// The address that the client has connected to, of this very connection.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self.transport.stream() {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if put_held(&mut this.first, buffer) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.transport).poll_read(cx, buffer))?;
        this.ended |= buffer.filled().len() == before && buffer.remaining() > 0;
        this.silence.breaks();
        Poll::Ready(Ok(()))
    }
}

impl Connection {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.silence.breaks();
        }
        written
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.note(written)
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
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}
