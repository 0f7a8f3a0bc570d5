//! A handler that does what the last part of a path says, by the library: `interop/handler.py` does the same
//! by pyzmq. For tests, never in the package.
//!
//! Usage: `test-handler NAME SEND_SPEC RECV_SPEC`
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use brim_handler::{
    Bytes, Client, Control, Flags, Key, Kind, Replies, Request, Upload, http, response, websocket,
};
use ring::digest::{Context, SHA256, digest};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, send_spec, recv_spec] =
        arguments.try_into().map_err(|_| "NAME SEND_SPEC RECV_SPEC")?;
    let (mut requests, replies) = brim_handler::connect(&send_spec, &recv_spec)?;
    let mut handler = Handler {
        name,
        replies,
        waiting: Vec::new(),
        drips: Vec::new(),
        notices: Vec::new(),
        uploads: HashMap::new(),
        streams: HashMap::new(),
    };
    loop {
        let request = requests.recv().await?;
        handler.event(&request).await?;
    }
}

struct Handler {
    name: String,
    replies: Replies,
    waiting: Vec<Client>,
    drips: Vec<(Client, Bytes)>,
    notices: Vec<Value>,
    uploads: HashMap<Client, Value>,
    streams: HashMap<Client, Stream>,
}

/// An upload that comes in pieces.
struct Stream {
    first: Request,
    bytes: u64,
    pieces: u64,
    digest: Context,
}

impl Handler {
    async fn event(&mut self, request: &Request) -> Result<(), Box<dyn Error>> {
        let client = &request.client;
        match request.kind() {
            Kind::Disconnect => self.notices.push(json!([client.id(), "disconnect"])),
            Kind::Credits(_) => self.notices.push(json!([client.id(), "credits"])),
            Kind::Handshake => {
                let answer = websocket::accept(request, None).ok_or("no key")?;
                self.replies.send(client, &answer).await;
            }
            Kind::WebSocket(flags) => self.websocket(request, flags).await,
            Kind::Json | Kind::Xml => {
                let answer = [&request.path[..], b" got ", &request.body].concat();
                self.replies.send(client, &answer).await;
            }
            Kind::Http | Kind::Piece => match request.upload() {
                Some(Upload::Piece { at, is_last }) => self.piece(request, at, is_last).await,
                _ => self.call(request).await?,
            },
        }
        Ok(())
    }

    async fn websocket(&self, request: &Request, flags: Flags) {
        let id = request.client.id().to_string();
        let answer = match flags.opcode() {
            1 if request.body == "id" => websocket::text(&id),
            1 | 2 => websocket::frame(flags, &request.body),
            9 => websocket::pong(&request.body),
            8 => websocket::frame(Flags::CLOSE, &request.body),
            _ => return,
        };
        self.replies.send(&request.client, &answer).await;
        if flags == Flags::CLOSE {
            self.replies.close(&request.client).await;
        }
    }

    async fn piece(&mut self, request: &Request, at: u64, is_last: bool) {
        let client = &request.client;
        if at == 0 && !self.streams.contains_key(client) {
            if request.path.ends_with(b"/refuse") {
                return self.replies.close(client).await;
            }
            let first = request.clone();
            let stream = Stream { first, bytes: 0, pieces: 0, digest: Context::new(&SHA256) };
            self.streams.insert(client.clone(), stream);
        }
        let Some(stream) = self.streams.get_mut(client) else { return };
        assert_eq!(at, stream.bytes, "a piece that is out of order");
        stream.bytes += request.body.len() as u64;
        stream.pieces += 1;
        stream.digest.update(&request.body);
        if !is_last {
            let credits = Control { credits: Some(20_000), ..Control::default() };
            self.replies.control(client, credits).await;
        } else if let Some(stream) = self.streams.remove(client) {
            let sum = hex(stream.digest.finish().as_ref());
            let answer = json!({"bytes": stream.bytes, "pieces": stream.pieces, "sha256": sum});
            self.respond(&stream.first, &answer).await;
        }
    }

    /// What a path may ask for.
    async fn call(&mut self, request: &Request) -> Result<(), Box<dyn Error>> {
        let client = &request.client;
        let path = String::from_utf8_lossy(&request.path).into_owned();
        match path.rsplit('/').next().unwrap_or_default() {
            "echo" => self.respond(request, &self.describe(request)).await,
            "same" => self.replies.respond(request, &http::Response::new(&request.body)).await,
            "pieces" => {
                let pieces =
                    ["HTTP/1.1 200 OK\r\nCont", "ent-Length: 10\r\n", "\r\n01234", "56789"];
                self.send(client, &pieces).await;
            }
            "chunked" => {
                let head = response::head(&http::Response::new(()), response::Framing::Chunked);
                self.replies.send(client, &head).await;
                self.replies.send(client, &response::chunk(b"one")).await;
                self.send(client, &["5\r\nth", "ree\r\n"]).await;
                self.replies.send(client, response::LAST_CHUNK).await;
            }
            "stream" => {
                let head = response::head(&http::Response::new(()), response::Framing::Close);
                self.replies.send(client, &head).await;
                for _ in 0..5 {
                    self.replies.send(client, &[b'x'; 1000]).await;
                }
                self.replies.close(client).await;
            }
            "big" => {
                let big = response::whole(&http::Response::new(vec![b'y'; 5_000_000]));
                self.replies.send(client, &big).await;
                self.replies.close(client).await;
            }
            "upload" => self.upload(request).await?,
            "refuse" => {
                let refusal = http::Response::builder().status(413).header("connection", "close");
                self.replies.respond(request, &refusal.body("too large")?).await;
            }
            _ => self.ask(request, &path).await?,
        }
        Ok(())
    }

    /// About other clients than the one who asks.
    async fn ask(&mut self, request: &Request, path: &str) -> Result<(), Box<dyn Error>> {
        match path.rsplit('/').next().unwrap_or_default() {
            "wait" => self.waiting.push(request.client.clone()),
            "tell" => {
                let told = response::whole(&http::Response::new(&request.body));
                self.replies.send_to_all(&self.waiting, &told).await;
                let answer = json!({"told": self.waiting.len()});
                self.waiting.clear();
                self.respond(request, &answer).await;
            }
            "drip" => {
                let client = &request.client;
                self.replies.send(client, b"HTTP/1.1 200 OK\r\n\r\n").await;
                self.replies.send(client, &request.body).await;
                self.drips.push((client.clone(), request.body.clone()));
            }
            "more" => {
                for (client, body) in &self.drips {
                    self.replies.send(client, &body.repeat(1000)).await;
                }
                self.respond(request, &json!({})).await;
            }
            "heard" => {
                let waiting: Vec<u32> = self.waiting.iter().map(Client::id).collect();
                let answer = json!({"notices": self.notices, "waiting": waiting});
                self.respond(request, &answer).await;
            }
            "nobody" => {
                let nobody = Client::new(request.client.server(), 2_000_000_000)?;
                let answer = response::whole(&http::Response::new(""));
                self.replies.send(&nobody, &answer).await;
                self.respond(request, &json!({})).await;
            }
            "started" => {
                let started: Vec<u32> = self.uploads.keys().map(Client::id).collect();
                self.respond(request, &json!(started)).await;
            }
            other => return Err(format!("{other}?").into()),
        }
        Ok(())
    }

    async fn upload(&mut self, request: &Request) -> Result<(), Box<dyn Error>> {
        let answer = match request.upload() {
            Some(Upload::Started(path)) => {
                let mode = file(path).metadata()?.permissions().mode() & 0o777;
                let start = String::from_utf8_lossy(path);
                let state = json!({"start": start, "mode": format!("{mode:o}")});
                self.uploads.insert(request.client.clone(), state);
                return Ok(());
            }
            Some(Upload::Finished(path)) => {
                let data = std::fs::read(file(path))?;
                std::fs::remove_file(file(path))?;
                let mut state = self.uploads.remove(&request.client).ok_or("no start")?;
                state["done"] = json!(String::from_utf8_lossy(path));
                state["bytes"] = json!(data.len());
                state["sha256"] = json!(hex(digest(&SHA256, &data).as_ref()));
                state
            }
            _ => {
                let sum = hex(digest(&SHA256, &request.body).as_ref());
                json!({"bytes": request.body.len(), "sha256": sum})
            }
        };
        self.respond(request, &answer).await;
        Ok(())
    }

    /// As the Python handler says it: values in lists, bytes that are not UTF-8 as Latin-1.
    fn describe(&self, request: &Request) -> Value {
        let is_json = request.encoding == brim_handler::Encoding::Json;
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) if is_json => text.to_owned(),
            _ => bytes.iter().copied().map(char::from).collect(),
        };
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in request.headers.iter() {
            headers.entry(text(name)).or_default().push(text(value));
        }
        let path = request.headers.key(Key::Path).map(text);
        let (id, body) = (request.client.id(), hex(&request.body));
        json!({"worker": self.name, "id": id, "path": path, "headers": headers, "body": body})
    }

    async fn respond(&self, request: &Request, answer: &Value) {
        self.replies.respond(request, &http::Response::new(answer.to_string())).await;
    }

    async fn send(&self, client: &Client, pieces: &[&str]) {
        for piece in pieces {
            self.replies.send(client, piece.as_bytes()).await;
        }
    }
}

fn file(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
