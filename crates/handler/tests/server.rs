//! The library beside a server whose both sockets are in the test's hands.
#![forbid(unsafe_code)]

use std::time::Duration;

use brim_handler::{Client, Kind, Replies, Requests};
use tokio::time::{interval, timeout};
use zeromq::{Endpoint, PushSocket, Socket, SocketRecv, SocketSend, SubSocket};

/// Long enough for a crowded machine.
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: &str = r#"web-1 7 /x 16:{"METHOD":"GET"},5:hello,"#;

/// What a server binds.
struct Server {
    requests: PushSocket,
    replies: SubSocket,
    send_spec: String,
    recv_spec: String,
}

impl Server {
    async fn bind(send_spec: &str, recv_spec: &str) -> Self {
        let (mut requests, mut replies) = (PushSocket::new(), SubSocket::new());
        replies.subscribe("").await.expect("a server of the test's own");
        let recv_spec =
            replies.bind(recv_spec).await.expect("a server of the test's own").to_string();
        let send_spec =
            requests.bind(send_spec).await.expect("a server of the test's own").to_string();
        Self { requests, replies, send_spec, recv_spec }
    }

    async fn new() -> Self {
        Self::bind("tcp://127.0.0.1:0", "tcp://127.0.0.1:0").await
    }

    /// A handler that is connected.
    async fn handler(&self) -> (Requests, Replies) {
        let (mut requests, replies) = brim_handler::connect(&self.send_spec, &self.recv_spec)
            .expect("a server of the test's own");
        timeout(PATIENCE, requests.connected()).await.expect("a server of the test's own");
        (requests, replies)
    }

    /// Sends as soon as the handler is there, which it may know before the server does.
    async fn send(&mut self, message: &str) {
        self.try_send(message, true).await;
    }

    /// Tries to send until that goes, or until it goes no more.
    async fn try_send(&mut self, message: &str, goes: bool) {
        let tried = async {
            let mut pause = interval(Duration::from_millis(10));
            while self.requests.send(message.into()).await.is_ok() != goes {
                pause.tick().await;
            }
        };
        timeout(PATIENCE, tried).await.expect("a server of the test's own");
    }

    async fn reply(&mut self) -> String {
        let message = timeout(PATIENCE, self.replies.recv())
            .await
            .expect("a server of the test's own")
            .expect("a server of the test's own");
        message.try_into().expect("a server of the test's own")
    }

    async fn close(self) {
        let endpoints = [self.send_spec.parse::<Endpoint>(), self.recv_spec.parse()];
        let Self { mut requests, mut replies, .. } = self;
        let [send, recv] = endpoints.map(Result::unwrap);
        requests.unbind(send).await.expect("a server of the test's own");
        replies.unbind(recv).await.expect("a server of the test's own");
        requests.backend().shutdown();
        replies.backend().shutdown();
    }
}

#[tokio::test]
async fn the_first_request_is_answered_though_the_connection_is_new() {
    for _ in 0..5 {
        let mut server = Server::new().await;
        let (mut requests, replies) = server.handler().await;
        server.send(REQUEST).await;
        let request = requests.recv().await.unwrap();
        assert_eq!(request.kind(), Kind::Http);
        replies.send(&request.client, b"answer").await;
        assert_eq!(server.reply().await, "web-1 1:7, answer");
    }
}

#[tokio::test]
async fn a_server_that_comes_late_or_again_is_met_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let spec = |name: &str| format!("ipc://{}", folder.path().join(name).display());
    let (send_spec, recv_spec) = (spec("send"), spec("recv"));
    let (mut requests, replies) = brim_handler::connect(&send_spec, &recv_spec).unwrap();
    for _ in 0..3 {
        let mut server = Server::bind(&send_spec, &recv_spec).await;
        server.send(REQUEST).await;
        let request = timeout(PATIENCE, requests.recv()).await.unwrap().unwrap();
        replies.close(&request.client).await;
        assert_eq!(server.reply().await, "web-1 1:7, ");
        server.close().await;
    }
}

#[tokio::test]
async fn a_message_that_is_no_request_is_an_error_and_the_next_one_is_taken() {
    let mut server = Server::new().await;
    let (mut requests, _replies) = server.handler().await;
    server.send("web-1 7 /x 99:{},0:,").await;
    server.send(REQUEST).await;
    let error = requests.recv().await.unwrap_err();
    assert_eq!(error.to_string(), "byte 11: a length of 99 bytes or more, at most 20 allowed");
    assert_eq!(requests.recv().await.unwrap().body, "hello");
}

#[tokio::test]
async fn many_clients_of_two_servers_take_a_message_for_each_128() {
    let mut server = Server::new().await;
    let (_requests, replies) = server.handler().await;
    let client = |server: &str, id| Client::new(server, id).unwrap();
    let mut clients: Vec<Client> = (1..=129).map(|id| client("a", id)).collect();
    clients.push(client("b", 1));
    replies.send_to_all(&clients, b"").await;
    replies.send_to_all(&[], b"x").await;
    replies.send_to_all(&clients, b"x").await;
    let ids = (1..=128).map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(server.reply().await, format!("a {}:{ids}, x", ids.len()));
    assert_eq!(server.reply().await, "a 3:129, x");
    assert_eq!(server.reply().await, "b 1:1, x");
}

#[tokio::test]
async fn what_was_sent_leaves_though_the_handler_ends_and_then_its_connection_is_closed() {
    let mut server = Server::new().await;
    let (requests, replies) = server.handler().await;
    let client = Client::new("web-1", 7).unwrap();
    for _ in 0..50 {
        replies.send(&client, b"last words").await;
    }
    drop(requests);
    for _ in 0..50 {
        assert_eq!(server.reply().await, "web-1 1:7, last words");
    }
    server.try_send(REQUEST, false).await;
}

#[tokio::test]
async fn a_spec_that_is_no_endpoint_is_refused_at_once() {
    for spec in ["", "127.0.0.1:1", "udp://127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"]
    {
        let error = brim_handler::connect(spec, "tcp://127.0.0.1:1").unwrap_err();
        assert_eq!(error.spec, spec);
        let error = brim_handler::connect("tcp://127.0.0.1:1", spec).unwrap_err();
        assert_eq!(error.spec, spec);
    }
}
