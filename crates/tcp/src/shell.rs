//! The shell of a connection: owns its socket from the accept to the end.

use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use brim_config::Address;
use brim_service::proxy_protocol::{self, BadHeader};
use brim_service::tls::ClientCertificate;
use brim_service::{Current, PeerAddress, Stream, Transport, linger};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::silence::{Ended, Silence};
use crate::worker::TcpWorker;

/// How long we listen to a client that goes on sending after the end, so that it hears of that end.
const LINGER: Duration = Duration::from_secs(2);
/// The same for a client that never stops.
const LINGER_TIME: Duration = Duration::from_secs(30);

/// Serves a connection to its end.
pub(crate) async fn serve(current: Current<TcpWorker>, accepted: brim_service::Connection) {
    let worker = current.get();
    drop(current);
    let brim_service::Connection { stream, peer, local, open: _open } = accepted;
    let opened = match worker.has_to_open(&local) {
        false => Opened::plain(stream, peer, Bytes::new()),
        // Boxed: what it needs is freed before the app begins.
        true => match Box::pin(worker.open(stream, peer, &local)).await {
            Some(opened) => opened,
            None => return,
        },
    };
    let silence = Silence::new(worker.client_timeout);
    let connection = Connection {
        transport: opened.transport,
        first: opened.first,
        client: opened.client,
        local,
        certificate: opened.certificate,
        silence: silence.clone(),
        lifecycle: worker.context.lifecycle.clone(),
        ended: false,
    };
    let work = AssertUnwindSafe(worker.app.clone().serve(connection)).catch_unwind();
    match silence.watch(&worker.context.lifecycle, work).await {
        Ended::Done(Ok((Ok(()), connection))) => {
            drop(silence);
            Box::pin(close(connection)).await;
        }
        Ended::Done(Ok((Err(error), connection))) => {
            worker.failed.incr();
            let client = connection.client();
            tracing::debug!(?client, local = %connection.local(), %error, "a connection failed");
            reset(connection.transport.stream());
        }
        Ended::Done(Err(_)) => worker.failed.incr(),
        Ended::Silent => worker.silent.incr(),
    }
}

/// Ends a connection so that what was written last arrives.
async fn close(mut connection: Connection) {
    if connection.ended {
        // Of plain sockets, closing them says all.
        if let Transport::Tls(_) = connection.transport {
            linger::end(&mut connection.transport).await;
        }
    } else {
        linger::linger(connection.transport, LINGER, LINGER_TIME).await;
    }
}

/// Has the kernel tell the other side, when the socket is closed, that this was no proper end.
pub(crate) fn reset(stream: &Stream) {
    if let Stream::Tcp(stream) = stream {
        // Of a socket that is broken already nobody hears.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}

/// A connection that is ready for the app.
struct Opened {
    transport: Transport,
    first: Bytes,
    client: PeerAddress,
    certificate: Option<ClientCertificate>,
}

impl Opened {
    fn plain(stream: Stream, client: PeerAddress, first: Bytes) -> Self {
        Self { transport: Transport::Plain(stream), first, client, certificate: None }
    }
}

impl TcpWorker {
    /// Whether something comes before the app, for clients of this listener.
    fn has_to_open(&self, local: &Address) -> bool {
        self.proxy_protocol || self.speaks_tls(local)
    }

    /// Not on Unix sockets, whose peers are on this machine.
    fn speaks_tls(&self, local: &Address) -> bool {
        self.tls.is_some() && matches!(local, Address::Tcp(_))
    }

    /// Reads the header of the PROXY protocol and shakes hands; `None` where that came to nothing.
    async fn open(
        self: &Rc<Self>,
        stream: Stream,
        peer: PeerAddress,
        local: &Arc<Address>,
    ) -> Option<Opened> {
        let deadline = Instant::now() + self.handshake_timeout;
        let (mut first, mut client) = (BytesMut::new(), peer);
        if self.proxy_protocol {
            let header = proxy_protocol::read(&stream, &mut first, peer, &self.trusted_proxies);
            let header = timeout_at(deadline, header).await;
            match header.unwrap_or(Err(BadHeader::Late)) {
                Ok(named) => client = named.or(peer),
                Err(error) => {
                    self.bad_proxy_headers.incr();
                    tracing::debug!(?peer, %local, %error, "refused a connection");
                    return None;
                }
            }
        }
        let config = self.tls.clone().filter(|_| self.speaks_tls(local));
        let Some(config) = config else {
            return Some(Opened::plain(stream, client, first.freeze()));
        };
        let hands = Transport::handshake(config, stream, first.freeze());
        let (error, stream) = match timeout_at(deadline, hands).await {
            Ok(Ok(transport)) => {
                let session = transport.session();
                let shown = session.and_then(|session| session.peer_certificates()?.first());
                let certificate = shown.map(ClientCertificate::of);
                return Some(Opened { transport, first: Bytes::new(), client, certificate });
            }
            Ok(Err((error, stream))) => (error, Some(stream)),
            Err(_) => (io::ErrorKind::TimedOut.into(), None),
        };
        self.failed_handshakes.incr();
        tracing::debug!(?client, %local, %error, "no agreement on TLS");
        if let Some(stream) = stream {
            // What was wrong is on its way to the client.
            linger::linger(Transport::Plain(stream), LINGER, LINGER_TIME).await;
        }
        None
    }
}
