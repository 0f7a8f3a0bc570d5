//! A chat over WebSocket, with its page: `chat [SEND_SPEC RECV_SPEC]`.
//!
//! The page asks for `/chat/` and opens a WebSocket there. Messages are JSON: `{"type": "join", "user":
//! ...}`, `list`, `message` and `leave`.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;

use brim_handler::{Client, Flags, Kind, Replies, Request, http, websocket};
use serde_json::{Value, json};

const PAGE: &str = include_str!("page.html");

/// The longest name and the longest message, in characters.
const NAME: usize = 40;
const TEXT: usize = 2000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let send_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9997".to_owned());
    let recv_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9996".to_owned());
    let (mut requests, replies) = brim_handler::connect(&send_spec, &recv_spec)?;
    let page = http::Response::builder().header("content-type", "text/html; charset=utf-8");
    let page = page.body(PAGE)?;
    let mut room = Room { replies, users: HashMap::new() };
    loop {
        match requests.recv().await {
            Ok(request) if request.kind() == Kind::Http => {
                room.replies.respond(&request, &page).await;
            }
            Ok(request) => room.event(&request).await,
            Err(error) => eprintln!("a message that is no request: {error}"),
        }
    }
}

/// Who is there.
struct Room {
    replies: Replies,
    users: HashMap<Client, String>,
}

impl Room {
    async fn event(&mut self, request: &Request) {
        let client = &request.client;
        match request.kind() {
            Kind::Handshake => {
                if let Some(answer) = websocket::accept(request, None) {
                    self.replies.send(client, &answer).await;
                }
            }
            Kind::WebSocket(Flags::TEXT) => self.message(client, &request.body).await,
            Kind::WebSocket(Flags::PING) => {
                self.replies.send(client, &websocket::pong(&request.body)).await;
            }
            Kind::WebSocket(Flags::CLOSE) => {
                self.leave(client).await;
                let code = websocket::close_code(&request.body).unwrap_or(websocket::NORMAL);
                self.replies.send(client, &websocket::close(code, "")).await;
                self.replies.close(client).await;
            }
            Kind::Disconnect => self.leave(client).await,
            _ => {}
        }
    }

    async fn message(&mut self, client: &Client, body: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return };
        let field = |name: &str, most: usize| -> Option<String> {
            let text = message[name].as_str()?.trim();
            (!text.is_empty()).then(|| text.chars().take(most).collect())
        };
        match (message["type"].as_str(), self.users.get(client)) {
            (Some("join"), None) => {
                let Some(user) = field("user", NAME) else { return };
                self.say(self.users.keys(), &json!({"type": "join", "user": user})).await;
                self.users.insert(client.clone(), user);
                let mut users: Vec<&String> = self.users.values().collect();
                users.sort();
                self.say([client], &json!({"type": "list", "users": users})).await;
            }
            (Some("message"), Some(user)) => {
                let Some(text) = field("text", TEXT) else { return };
                let message = json!({"type": "message", "user": user, "text": text});
                self.say(self.users.keys(), &message).await;
            }
            _ => {}
        }
    }

    async fn leave(&mut self, client: &Client) {
        if let Some(user) = self.users.remove(client) {
            self.say(self.users.keys(), &json!({"type": "leave", "user": user})).await;
        }
    }

    async fn say<'c>(&self, clients: impl IntoIterator<Item = &'c Client>, message: &Value) {
        self.replies.send_to_all(clients, &websocket::text(&message.to_string())).await;
    }
}
