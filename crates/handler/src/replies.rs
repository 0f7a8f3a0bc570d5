use brim_wire::reply::{self, Control, TARGETS};
use brim_wire::{MessageError, Sender};
use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, HeaderValue};
use tokio::sync::mpsc;

use crate::request::{Client, Request};
use crate::response;

/// The way back to the clients. Clones send over the same connection.
///
/// To send waits only while more is on its way already than the connection takes. Whether a reply
/// arrived is not known; a server tells by [`Kind::Disconnect`](crate::Kind) that a client was not there.
#[derive(Clone, Debug)]
pub struct Replies {
    messages: mpsc::Sender<Bytes>,
}

impl Replies {
    pub(crate) fn new(messages: mpsc::Sender<Bytes>) -> Self {
        Self { messages }
    }

    /// Answers an HTTP request: whole, with a length, and without a body if the method was HEAD.
    ///
    /// Closes the connection behind it if the client says so, or if the response has `Connection: close`.
    pub async fn respond<B: AsRef<[u8]>>(&self, request: &Request, response: &Response<B>) {
        let says_close = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
        let has_close = response.headers().get(CONNECTION).is_some_and(says_close);
        let closes = has_close || !request.keeps_alive();
        let bytes = response::answer(response, request, closes && !has_close);
        self.send(&request.client, &bytes).await;
        if closes {
            self.close(&request.client).await;
        }
    }

    /// Sends bytes as they are. No bytes are sent by no message: an empty one would close.
    pub async fn send(&self, client: &Client, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.message(client.server(), &[client.id()], bytes).await;
        }
    }

    /// Sends the same bytes to many, in messages for up to [`TARGETS`] of them.
    pub async fn send_to_all<'c>(
        &self,
        clients: impl IntoIterator<Item = &'c Client>,
        bytes: &[u8],
    ) {
        if !bytes.is_empty() {
            self.messages_to_all(clients, bytes).await;
        }
    }

    /// Closes the connection behind what was sent before.
    pub async fn close(&self, client: &Client) {
        self.message(client.server(), &[client.id()], b"").await;
    }

    /// Closes the connections of many behind what was sent to them before.
    pub async fn close_all<'c>(&self, clients: impl IntoIterator<Item = &'c Client>) {
        self.messages_to_all(clients, b"").await;
    }

    /// Grants bytes of an upload, keeps a connection from being idle, or closes it at once.
    pub async fn control(&self, client: &Client, control: Control) {
        let message = message(client.server(), 0, |out, sender| {
            reply::append_control(out, sender, &[client.id()], control)
        });
        self.give(message).await;
    }

    /// Has the server send a file's bytes, raw, behind what was sent before. The path is the server's.
    pub async fn send_file(&self, client: &Client, path: &[u8]) {
        let message = message(client.server(), path.len(), |out, sender| {
            reply::append_send_file(out, sender, &[client.id()], path)
        });
        self.give(message).await;
    }

    async fn messages_to_all<'c>(
        &self,
        clients: impl IntoIterator<Item = &'c Client>,
        bytes: &[u8],
    ) {
        // Few servers: mostly one.
        let mut servers: Vec<(&str, Vec<u32>)> = Vec::new();
        for client in clients {
            match servers.iter_mut().find(|(server, _)| *server == client.server()) {
                Some((_, ids)) => ids.push(client.id()),
                None => servers.push((client.server(), vec![client.id()])),
            }
        }
        for (server, ids) in servers {
            for ids in ids.chunks(TARGETS) {
                self.message(server, ids, bytes).await;
            }
        }
    }

    async fn message(&self, server: &str, ids: &[u32], bytes: &[u8]) {
        let message = message(server, 11 * ids.len() + bytes.len(), |out, sender| {
            reply::append(out, sender, ids, bytes)
        });
        self.give(message).await;
    }

    async fn give(&self, message: Option<Bytes>) {
        if let Some(message) = message {
            // Fails if `Requests` is gone, and with it the connection.
            let _ = self.messages.send(message).await;
        }
    }
}

/// A message for a server; `None` never comes, as a client has a server's name, and ids are 1 to
/// [`TARGETS`].
fn message(
    server: &str,
    size: usize,
    append: impl FnOnce(&mut Vec<u8>, Sender<'_>) -> Result<(), MessageError>,
) -> Option<Bytes> {
    let sender = Sender::new(server.as_bytes()).ok()?;
    let mut out = Vec::with_capacity(server.len() + size + 64);
    append(&mut out, sender).ok()?;
    Some(Bytes::from(out))
}
