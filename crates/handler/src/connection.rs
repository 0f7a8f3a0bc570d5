use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use brim_wire::MessageError;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use zeromq::{
    Endpoint, PubSocket, PullSocket, Socket, SocketEvent, SocketOptions, SocketRecv, SocketSend,
    ZmqError,
};

use crate::replies::Replies;
use crate::request::Request;

/// Requests that wait for the handler here; the others wait at the server, which sees it by that.
const REQUESTS: usize = 64;
/// Replies that wait for the connection.
const REPLIES: usize = 64;
/// Time for a connection to be made, with both greetings.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Time for the server's subscription, which comes after the greetings. What is published before it is
/// lost, and `PubSocket` does not tell of it: no request is taken before.
const SUBSCRIPTION: Duration = Duration::from_millis(50);
/// Time for what `PubSocket` has taken to leave the process at the end.
const FAREWELL: Duration = Duration::from_millis(50);

/// An endpoint that nobody can connect to.
#[derive(Debug, thiserror::Error)]
#[error("{spec:?} is no endpoint, expected tcp://ADDRESS:PORT or ipc://PATH")]
pub struct ConnectError {
    /// What was given.
    pub spec: String,
    /// What is wrong with it.
    #[source]
    pub source: ZmqError,
}

/// What the server sends. When it is dropped, the connection ends; what was sent before still leaves.
#[derive(Debug)]
pub struct Requests {
    messages: mpsc::Receiver<Result<Request, MessageError>>,
    connected: watch::Receiver<bool>,
}

/// Connects to a server, by its `send_spec` and its `recv_spec`: `tcp://ADDRESS:PORT` or `ipc://PATH`.
///
/// Returns at once. A server that is not there is waited for, one that goes away is tried again ten times
/// a second. Fails if one of the two is no endpoint.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn connect(send_spec: &str, recv_spec: &str) -> Result<(Requests, Replies), ConnectError> {
    for spec in [send_spec, recv_spec] {
        Endpoint::from_str(spec)
            .map_err(|error| ConnectError { spec: spec.to_owned(), source: error.into() })?;
    }
    let (requests, messages) = mpsc::channel(REQUESTS);
    let (replies, sent) = mpsc::channel(REPLIES);
    let (connected, is_connected) = watch::channel(false);
    let connection = Connection {
        send_spec: send_spec.to_owned(),
        recv_spec: recv_spec.to_owned(),
        requests,
        replies: sent,
        connected,
    };
    tokio::spawn(connection.run());
    Ok((Requests { messages, connected: is_connected }, Replies::new(replies)))
}

impl Requests {
    /// The next request. What cannot be understood is an error, and the next one may be right again.
    ///
    /// Nothing is lost if this is dropped while it waits, as in `tokio::select!`.
    pub async fn recv(&mut self) -> Result<Request, MessageError> {
        match self.messages.recv().await {
            Some(request) => request,
            // The other end goes only after this one, or with the runtime.
            None => std::future::pending().await,
        }
    }

    /// Waits until there is a connection, if there is none. A handler need not, unless it is the first
    /// to speak.
    pub async fn connected(&mut self) {
        if self.connected.wait_for(|connected| *connected).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Both sockets and both queues, on a task of its own.
struct Connection {
    send_spec: String,
    recv_spec: String,
    requests: mpsc::Sender<Result<Request, MessageError>>,
    replies: mpsc::Receiver<Bytes>,
    connected: watch::Sender<bool>,
}

struct Sockets {
    pull: PullSocket,
    publish: PubSocket,
    /// Events of both.
    events: BoxStream<'static, SocketEvent>,
}

impl Connection {
    async fn run(mut self) {
        loop {
            let Some(mut sockets) = self.open().await else { return };
            tracing::info!(send_spec = self.send_spec, recv_spec = self.recv_spec, "connected");
            let _ = self.connected.send(true);
            let is_over = self.serve(&mut sockets).await;
            let _ = self.connected.send(false);
            if is_over {
                sleep(FAREWELL).await;
                return;
            }
            tracing::warn!(
                send_spec = self.send_spec,
                recv_spec = self.recv_spec,
                "connection lost"
            );
        }
    }

    /// Sockets that are connected; `None` when nobody wants them any more.
    async fn open(&mut self) -> Option<Sockets> {
        let sockets = async {
            loop {
                match Sockets::connect(&self.send_spec, &self.recv_spec).await {
                    Ok(sockets) => return sockets,
                    Err(error) => tracing::debug!(%error, "no connection"),
                }
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            sockets = sockets => Some(sockets),
            () = self.requests.closed() => None,
            // Whoever these were for has gone with the last connection.
            () = async { while self.replies.recv().await.is_some() {} } => None,
        }
    }

    /// Until the connection is lost, or, and then it says so, until nobody wants it any more.
    async fn serve(&mut self, sockets: &mut Sockets) -> bool {
        let Sockets { pull, publish, events } = sockets;
        let is_lost = async {
            // Whoever misses one of the two sees nothing, or hears nothing.
            while let Some(event) = events.next().await {
                if matches!(event, SocketEvent::Disconnected(_)) {
                    break;
                }
            }
        };
        tokio::select! {
            () = is_lost => false,
            () = take(pull, &self.requests) => false,
            () = give(publish, &mut self.replies) => false,
            () = self.requests.closed() => {
                while let Ok(reply) = self.replies.try_recv() {
                    let _ = publish.send(reply.into()).await;
                }
                true
            }
        }
    }
}

impl Sockets {
    async fn connect(send_spec: &str, recv_spec: &str) -> Result<Self, ZmqError> {
        let options = || {
            let mut options = SocketOptions::default();
            options.connect_timeout(PATIENCE);
            options
        };
        let mut publish = PubSocket::with_options(options());
        let replies = publish.monitor();
        publish.connect(recv_spec).await?;
        sleep(SUBSCRIPTION).await;
        let mut pull = PullSocket::with_options(options());
        let requests = pull.monitor();
        pull.connect(send_spec).await?;
        let events = futures_util::stream::select(requests, replies).boxed();
        Ok(Self { pull, publish, events })
    }
}

/// A `PullSocket` that is dropped leaves its connection open, and the server sends on.
impl Drop for Sockets {
    fn drop(&mut self) {
        self.pull.backend().shutdown();
    }
}

/// Hands requests on, until the socket fails.
async fn take(pull: &mut PullSocket, requests: &mpsc::Sender<Result<Request, MessageError>>) {
    let mut server: Arc<str> = Arc::from("");
    while let Ok(message) = pull.recv().await {
        // Each part is a message of its own for servers of this protocol.
        for part in message.into_vec() {
            if requests.send(Request::parse(&part, &mut server)).await.is_err() {
                // Ours is over; the other branch sees it, too.
                return std::future::pending().await;
            }
        }
    }
}

/// Sends replies, until the socket fails.
async fn give(publish: &mut PubSocket, replies: &mut mpsc::Receiver<Bytes>) {
    while let Some(reply) = replies.recv().await {
        if publish.send(reply.into()).await.is_err() {
            return;
        }
    }
    // A handler that only listens.
    std::future::pending().await
}
