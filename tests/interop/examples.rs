//! The examples, as their pages say to run them.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Kind, Process, Section, Server, free_address, program_beside};
use crate::setup::{eventually, example};

const TEXT: u8 = 0x81;

/// A server with one section, `app`, and this handler; arguments before the endpoints.
pub(crate) fn start(kind: Kind, handler: &str, arguments: &[&str]) -> (Server, Process) {
    let section = Section { name: "app", protocol: "json", is_ipc: false, keys: "" };
    let server = Server::start(kind, &[section], false);
    let mut command = match handler.ends_with(".py") {
        true => {
            let mut command = Command::new(brim_testing::python_with("zmq"));
            command.arg(example(handler));
            command
        }
        false => Command::new(program_beside("examples").join(handler)),
    };
    let (send, recv) = server.specs("app");
    let process = Process::start(command.args(arguments).args([send, recv]).stdout(Stdio::null()));
    eventually("the handler answers", || {
        let mut client = server.client();
        client.patience(std::time::Duration::from_secs(1));
        // Which all of them refuse or answer, but none lets wait.
        client.ask(if handler == "longpoll" { "PUT /app/" } else { "GET /app/" }, "", b"");
        client.try_answer(handler != "audio").is_ok_and(|answer| answer.status != 503)
    });
    (server, process)
}

pub(crate) fn dump(kind: Kind) {
    let (server, _handler) = start(kind, "dump", &[]);
    let text = server.client().post("/app/x?y=1", b"hi there").text();
    for line in ["path     /app/x\n", "header   QUERY: y=1\n", "about    Http\n", "\n\nhi there\n"]
    {
        assert!(text.contains(line), "{text}");
    }
}

pub(crate) fn chat_in_rust(kind: Kind) {
    chat(start(kind, "chat", &[]));
}

pub(crate) fn chat_in_python(kind: Kind) {
    chat(start(kind, "chat/chat.py", &[]));
}

fn say(client: &mut Client, message: &Value) {
    client.send_frame(TEXT, message.to_string().as_bytes());
}

fn hear(client: &mut Client) -> Value {
    let (first, payload) = client.frame();
    assert_eq!(first, TEXT);
    serde_json::from_slice(&payload).expect("JSON")
}

fn chat((server, _handler): (Server, Process)) {
    let page = server.client().get("/app/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("new WebSocket("));

    let [mut ann, mut bob, mut eve] = [(); 3].map(|()| {
        let mut client = server.client();
        client.upgrade("/app/");
        client
    });
    say(&mut ann, &json!({"type": "join", "user": "Ann"}));
    assert_eq!(hear(&mut ann), json!({"type": "list", "users": ["Ann"]}));
    say(&mut bob, &json!({"type": "join", "user": "Bob"}));
    assert_eq!(hear(&mut bob), json!({"type": "list", "users": ["Ann", "Bob"]}));
    assert_eq!(hear(&mut ann), json!({"type": "join", "user": "Bob"}));
    // Whoever has not joined neither says nor hears anything.
    say(&mut eve, &json!({"type": "message", "text": "psst"}));
    eve.send_frame(TEXT, b"[1, ");
    say(&mut ann, &json!({"type": "message", "text": "Grüß Gott"}));
    let message = json!({"type": "message", "user": "Ann", "text": "Grüß Gott"});
    assert_eq!([hear(&mut ann), hear(&mut bob)], [message.clone(), message]);
    drop(ann);
    assert_eq!(hear(&mut bob), json!({"type": "leave", "user": "Ann"}));
    // A page that is closed says so.
    bob.send_frame(0x88, b"\x03\xe9");
    assert_eq!(bob.frame(), (0x88, b"\x03\xe9".to_vec()));
    assert!(bob.is_closed());
    say(&mut eve, &json!({"type": "join", "user": "Eve"}));
    assert_eq!(hear(&mut eve), json!({"type": "list", "users": ["Eve"]}));
}

pub(crate) fn longpoll(kind: Kind) {
    let (server, _handler) = start(kind, "longpoll", &[]);
    let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        client.ask("GET /app/", "", b"");
    }
    let mut teller = server.client();
    let mut told = 0;
    eventually("all are told", || {
        let answer = teller.post("/app/", b"News.").text();
        told += answer.trim_end_matches(" told\n").parse::<usize>().expect("a number");
        told == 3
    });
    for client in &mut clients {
        assert_eq!(client.answer().text(), "News.");
    }
    // All may ask again on their connections.
    clients[0].ask("GET /app/", "", b"");
    eventually("one is told", || teller.post("/app/", b"More.").text() == "1 told\n");
    assert_eq!(clients[0].answer().text(), "More.");
}

pub(crate) fn audio(kind: Kind) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["Eins", "Zwei"].map(|name| folder.path().join(format!("{name}.mp3")));
    fs::write(&files[0], [b'1'; 700]).expect("a file");
    fs::write(&files[1], [b'2'; 900]).expect("a file");
    let files = files.each_ref().map(|file| file.to_str().expect("a path"));
    let (server, _handler) = start(kind, "audio", &["--rate", "2000", files[0], files[1], "--"]);
    let mut plain = server.client();
    plain.ask("GET /app/", "", b"");
    let head = plain.answer_without_body();
    assert_eq!(head.header("content-type"), Some("audio/mpeg"));
    let mut player = server.client();
    player.ask("GET /app/", "Icy-MetaData: 1\r\n", b"");
    let head = player.answer_without_body();
    assert_eq!(head.header("icy-metaint"), Some("1000"));
    let is_chunked = head.header("transfer-encoding").is_some();
    let mut body = Body { client: player, is_chunked, kept: Vec::new() };
    let mut names = String::new();
    eventually("both names", || {
        assert!(body.bytes(1000).iter().all(|byte| b"12".contains(byte)));
        let length = usize::from(body.bytes(1)[0]) * 16;
        names += &String::from_utf8(body.bytes(length)).expect("a name");
        names.contains("StreamTitle='Eins';") && names.contains("StreamTitle='Zwei';")
    });
    let is_chunked = plain_is_chunked(&server);
    let mut body = Body { client: plain, is_chunked, kept: Vec::new() };
    assert!(body.bytes(2000).iter().all(|byte| b"12".contains(byte)));
}

/// Whether the server sends such a stream to such a client in chunks.
fn plain_is_chunked(server: &Server) -> bool {
    let mut client = server.client();
    client.ask("GET /app/", "", b"");
    client.answer_without_body().header("transfer-encoding").is_some()
}

/// The bytes of an endless body, in chunks or bare.
struct Body {
    client: Client,
    is_chunked: bool,
    kept: Vec<u8>,
}

impl Body {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        if !self.is_chunked {
            return self.client.bytes(count).expect("bytes");
        }
        while self.kept.len() < count {
            let line = self.client.until(b"\r\n").expect("a length");
            let line = String::from_utf8_lossy(&line);
            let length = usize::from_str_radix(line.trim(), 16).expect("a number");
            self.kept.extend(self.client.bytes(length).expect("a chunk"));
            self.client.until(b"\r\n").expect("its end");
        }
        self.kept.drain(..count).collect()
    }
}

/// `brimctl run`, whose processes end with it.
struct Run(Process);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0.0), Signal::KILL);
    }
}

/// Their own configurations, on other ports and in another folder.
pub(crate) fn configurations() {
    let folder = tempfile::tempdir_in("/run").expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    fs::create_dir(at("uploads")).expect("a folder for uploads");
    fs::write(at("song.mp3"), [b'1'; 700]).expect("a file");
    for one in fs::read_dir(example("")).expect("the examples") {
        let one = one.expect("an example");
        let Ok(mut conf) = fs::read_to_string(one.path().join("brim.conf")) else { continue };
        let [http, send, recv] = [8901, 9997, 9996].map(|port| {
            let (known, free) = (format!("127.0.0.1:{port}"), free_address());
            assert!(conf.contains(&known), "{known} in {conf}");
            conf = conf.replace(&known, &free.to_string());
            free
        });
        conf = conf.replace("/run/brim-example.sock", &at("link"));
        conf = conf.replace("/var/lib/brim-example", &at("uploads"));
        fs::write(at("brim.conf"), &conf).expect("a configuration");
        let mut command = Command::new(program_beside("brimctl"));
        command.args(["run", "-c", &at("brim.conf")]).process_group(0);
        let _run = Run(Process::start(&mut command));
        let name = one.file_name().into_string().expect("a name");
        let arguments = match name.as_str() {
            "audio" => vec![at("song.mp3"), "--".to_owned()],
            "upload" => vec![folder.path().to_str().expect("a path").to_owned()],
            _ => vec![],
        };
        let mut command = Command::new(program_beside("examples").join(&name));
        command.args(arguments).args([send, recv].map(|address| format!("tcp://{address}")));
        let _handler = Process::start(command.stdout(Stdio::null()));
        let route = conf.lines().find_map(|line| line.strip_prefix("route = ")).expect("a route");
        let method = if name == "longpoll" { "POST" } else { "GET" };
        eventually(&format!("an answer of {name}"), || {
            if TcpStream::connect(http).is_err() {
                return false;
            }
            let mut client = Client::connect(http);
            client.ask(&format!("{method} {route}"), "", b"");
            client.try_answer(false).is_ok_and(|answer| answer.status == 200)
        });
    }
}

pub(crate) fn upload_in_rust(kind: Kind) {
    upload(kind, "upload");
}

pub(crate) fn upload_in_python(kind: Kind) {
    upload(kind, "upload/upload.py");
}

fn upload(kind: Kind, handler: &str) {
    let kept = tempfile::tempdir().expect("a folder");
    let (server, _handler) = start(kind, handler, &[kept.path().to_str().expect("a path")]);
    let mut client = server.client();
    assert!(client.get("/app/").text().contains("request.upload.onprogress"));
    for length in [5, 1_000_000] {
        let body = vec![b'u'; length];
        let answer = client.post("/app/?name=..%2Fa%20file", &body).json();
        assert_eq!(answer["bytes"], length);
        let files: Vec<_> = fs::read_dir(kept.path()).expect("the folder").collect();
        assert_eq!(files.len(), 1, "one file, in the folder: {files:?}");
        assert_eq!(fs::read(kept.path().join("a file")).expect("the file"), body);
    }
    eventually("nothing is left behind", || {
        fs::read_dir(&server.uploads).expect("the folder").count() == 0
    });
}
