//! What comes before the first request: the PROXY protocol, TLS, and the choice of HTTP/1 or 2.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use brim_config::Address;
use brim_service::proxy_protocol::{self, BadHeader};
use brim_service::tls::ClientCertificate;
use brim_service::{Stream, Transport};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use rustls::ServerConfig;
use tokio::time::{Instant, timeout_at};

use super::{Shell, Spoken};
use crate::apps::{Messages, begins_with};
use crate::client::Peer;
use crate::worker::{HTTP2, HttpWorker};

/// What a client that knows of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Shell {
    /// Whether there is something before HTTP/1, for clients of this listener.
    pub(super) fn has_to_open(&self) -> bool {
        let worker = self.current.get();
        let speaks = worker.h2c && !self.is_tcp() || worker.messages.is_some();
        worker.proxy_protocol || speaks || self.tls(&worker).is_some()
    }

    /// TLS as clients of this listener have to speak it: not on a Unix socket, whose peers are on
    /// this machine.
    fn tls(&self, worker: &HttpWorker) -> Option<Arc<ServerConfig>> {
        worker.tls.clone().filter(|_| self.is_tcp())
    }

    fn is_tcp(&self) -> bool {
        matches!(*self.local, Address::Tcp(_))
    }

    /// Brings a connection to where requests begin.
    pub(super) async fn open(&mut self, transport: Transport) -> Spoken {
        let worker = self.current.get();
        let Transport::Plain(stream) = transport else { return Spoken::Stuck };
        let deadline = Instant::now() + worker.times.handshake;
        let opened = self.begin(stream, &worker, deadline).await;
        self.clock.begin_silence();
        opened.unwrap_or_else(|spoken| spoken)
    }

    async fn begin(
        &mut self,
        stream: Stream,
        worker: &HttpWorker,
        deadline: Instant,
    ) -> Result<Spoken, Spoken> {
        let mut first = BytesMut::new();
        if worker.proxy_protocol {
            let (peer, trusted) = (self.peer.address, &worker.trusted_proxies);
            let header = proxy_protocol::read(&stream, &mut first, peer, trusted);
            let header = timeout_at(deadline, header).await;
            let client = header.unwrap_or(Err(BadHeader::Late)).map_err(Spoken::Unnamed)?;
            if let Some(client) = client {
                self.peer = Peer::new(Some(client));
            }
        }
        match self.tls(worker) {
            Some(config) => {
                let hands = timeout_at(deadline, self.shake_hands(stream, first, config)).await;
                let late = || Err(Spoken::Failed(None, io::ErrorKind::TimedOut.into()));
                hands.unwrap_or_else(|_| late())
            }
            None if worker.messages.is_some() || worker.h2c && !self.is_tcp() => {
                let h2c = worker.h2c && !self.is_tcp();
                let choice = choose(stream, first, worker.messages.clone(), h2c);
                let choice = timeout_at(deadline, choice).await;
                choice.unwrap_or(Err(Spoken::Ended))
            }
            None => Ok(Spoken::Silent(Transport::Plain(stream), first.freeze())),
        }
    }

    async fn shake_hands(
        &mut self,
        stream: Stream,
        mut first: BytesMut,
        config: Arc<ServerConfig>,
    ) -> Result<Spoken, Spoken> {
        if first.is_empty() {
            match stream.read_more(&mut first).await {
                Ok(true) => {}
                Ok(false) => return Ok(Spoken::Over(Transport::Plain(stream))),
                Err(error) => return Err(Spoken::Failed(None, error)),
            }
        }
        if first.first().is_some_and(u8::is_ascii_uppercase) {
            self.clock.read(&first);
            let status = StatusCode::BAD_REQUEST;
            let plain = Transport::Plain(stream);
            return Err(Spoken::Refused(plain, status, "this port speaks HTTPS"));
        }
        let transport = Transport::handshake(config, stream, first.freeze()).await;
        let transport = transport
            .map_err(|(error, stream)| Spoken::Failed(Some(Transport::Plain(stream)), error))?;
        self.peer.secure = true;
        self.peer.certificate = certificate(&transport);
        match transport.session().and_then(|session| session.alpn_protocol()) == Some(HTTP2) {
            true => Ok(Spoken::Http2(transport, Bytes::new())),
            false => Ok(Spoken::Silent(transport, Bytes::new())),
        }
    }
}

/// Who the client is, as its certificate has it.
pub(super) fn certificate(transport: &Transport) -> Option<Rc<ClientCertificate>> {
    let shown = transport.session()?.peer_certificates()?.first()?;
    Some(Rc::new(ClientCertificate::of(shown)))
}

/// Sees whether a client without TLS begins with a socket message, or with HTTP/2.
async fn choose(
    stream: Stream,
    mut first: BytesMut,
    messages: Option<Rc<Messages>>,
    h2c: bool,
) -> Result<Spoken, Spoken> {
    if let Some(messages) = messages {
        if first.is_empty() {
            let _ = stream.read_more(&mut first).await;
        }
        if first.first().is_some_and(|byte| begins_with(*byte)) {
            return Ok(Spoken::Messages(Transport::Plain(stream), first.freeze(), messages));
        }
    }
    while h2c && is_prefix(&first) && first.len() < PREFACE.len() {
        if !matches!(stream.read_more(&mut first).await, Ok(true)) {
            break;
        }
    }
    match h2c && first.starts_with(PREFACE) {
        true => Ok(Spoken::Http2(Transport::Plain(stream), first.freeze())),
        false => Ok(Spoken::Silent(Transport::Plain(stream), first.freeze())),
    }
}

/// Whether more bytes may make the preface of it.
fn is_prefix(first: &[u8]) -> bool {
    first.iter().zip(PREFACE).all(|(a, b)| a == b)
}
