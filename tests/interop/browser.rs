//! The pages of the examples in a real browser: two windows chat, one is closed, and the other one sees it leave;
//! another one uploads a file.
//!
//! With `BRIM_SCREENSHOT=FILE` each leaves a picture of what it saw last, in base64.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::{Kind, Process, free_address};
use crate::setup::eventually;

/// What is done in a page; it returns whether it is so, or what is there.
const USERS: &str =
    "return [...document.querySelectorAll('#users li')].map(item => item.textContent)";
const LOG: &str = "return [...document.querySelectorAll('#log li')].map(item => item.innerText)";
const SAY: &str = "const input = document.getElementById('input');
    input.value = arguments[0];
    document.getElementById('form').requestSubmit()";
/// Keeps how far the bar was and what stood above it, whenever it changes.
const WATCH: &str = "window.seen = [];
    new MutationObserver(() => {
        const bar = document.querySelector('progress');
        if (bar) seen.push([bar.value, document.querySelector('section span').textContent]);
    }).observe(document.getElementById('list'), {subtree: true, childList: true, attributes: true})";
const SUM: &str = "return document.querySelector('section code')?.textContent";
const ROWS: &str = "return [...document.querySelectorAll('section')].map(
    row => [row.querySelector('b').textContent, row.querySelector('span').textContent])";

pub(crate) fn two_windows_chat(kind: Kind) {
    let (server, _handler) = crate::examples::start(kind, "chat", &[]);
    let browser = Browser::start();
    let url = format!("http://{}/app/", server.address);
    let ann = browser.window(&url);
    let bob = browser.window(&url);
    ann.run(SAY, json!(["Ann"]));
    eventually("Ann is there", || ann.run(USERS, json!([])) == json!(["Ann"]));
    bob.run(SAY, json!(["Bob"]));
    for window in [&ann, &bob] {
        eventually("both are there", || window.run(USERS, json!([])) == json!(["Ann", "Bob"]));
    }
    ann.run(SAY, json!(["Hello, <b>Bob</b>!"]));
    bob.run(SAY, json!(["Hello, Ann. Shall we?"]));
    let both = json!(["Bob has come.", "Hello, <b>Bob</b>!", "Hello, Ann. Shall we?"]);
    eventually("Ann sees all", || said(&ann) == both);
    drop(ann);
    eventually("Bob sees Ann leave", || bob.run(USERS, json!([])) == json!(["Bob"]));
    let all = json!(["Hello, <b>Bob</b>!", "Hello, Ann. Shall we?", "Ann has left."]);
    assert_eq!(said(&bob), all);
    bob.picture();
}

/// The lines of a page, without the name above each.
fn said(window: &Window<'_>) -> Value {
    let lines = window.run(LOG, json!([]));
    let last = |line: &Value| line.as_str().unwrap_or_default().lines().last().map(str::to_owned);
    lines.as_array().expect("lines").iter().map(last).collect()
}

pub(crate) fn upload_in_rust(kind: Kind) {
    upload(kind, "upload");
}

pub(crate) fn upload_in_python(kind: Kind) {
    upload(kind, "upload/upload.py");
}

fn upload(kind: Kind, handler: &str) {
    let own = tempfile::tempdir().expect("a folder");
    let kept = tempfile::tempdir().expect("a folder");
    let name = "Grüße & mehr.bin";
    let bytes: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(own.path().join(name), &bytes).expect("a file");
    let folder = kept.path().to_str().expect("a path");
    let (server, _handler) = crate::examples::start(kind, handler, &[folder]);
    let browser = Browser::start();
    let window = browser.window(&format!("http://{}/app/", server.address));
    window.uploads_at(4_000_000);
    window.run(WATCH, json!([]));
    window.choose("#files", &own.path().join(name));
    eventually("its end", || window.run(SUM, json!([])) != Value::Null);
    window.picture();
    let sum: String = digest(&SHA256, &bytes).as_ref().iter().map(|x| format!("{x:02x}")).collect();
    assert_eq!(window.run(SUM, json!([])), format!("sha256 {sum}"));
    assert_eq!(window.run(ROWS, json!([])), json!([[name, "8.0 MB"]]));
    let seen = window.run("return seen", json!([]));
    let seen = seen.as_array().expect("what was seen");
    let parts: Vec<f64> = seen.iter().map(|one| one[0].as_f64().expect("a part")).collect();
    assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{seen:?}");
    let is_under_way = |one: &&Value| one[0].as_f64().is_some_and(|part| 0.0 < part && part < 1.0);
    let under_way: Vec<_> = seen.iter().filter(is_under_way).collect();
    assert!(under_way.len() >= 3, "{seen:?}");
    for one in under_way {
        assert!(one[1].as_str().is_some_and(|text| text.contains(" of 8.0 MB, ")), "{one}");
    }
    assert!(std::fs::read(kept.path().join(name)).expect("the file") == bytes, "another file");
}

/// Chromium's driver, which starts the browser and ends with it.
struct Browser {
    address: SocketAddr,
    _driver: Process,
}

/// A browser of its own, so that both pages are in the foreground. It ends when this is dropped: without a word
/// from the driver it would stay for ever.
struct Window<'b> {
    browser: &'b Browser,
    session: String,
}

impl Browser {
    fn start() -> Self {
        let address = free_address();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port())).stdout(Stdio::piped());
        let mut driver = Process::start(&mut command);
        let mut lines = BufReader::new(driver.0.stdout.take().expect("its output")).lines();
        let is_started = lines.any(|line| line.is_ok_and(|line| line.contains("successfully")));
        assert!(is_started, "the driver has ended");
        Self { address, _driver: driver }
    }

    fn window(&self, url: &str) -> Window<'_> {
        // Root may not have a sandbox, containers have a small /dev/shm.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=900,640",
        ];
        let wishes = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": arguments}}}});
        let session = self.ask("POST", "/session", &wishes);
        let session = session["sessionId"].as_str().expect("a session").to_owned();
        let window = Window { browser: self, session };
        window.ask("POST", "/url", &json!({"url": url}));
        window
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Answer {
        let mut client = Client::connect(self.address);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client.ask(&format!("{method} {path}"), "Connection: close\r\n", body.as_bytes());
        client.answer()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.request(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()["value"].take()
    }
}

impl Window<'_> {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.browser.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    fn run(&self, script: &str, arguments: Value) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// Puts a file into a field for files.
    fn choose(&self, field: &str, file: &Path) {
        let found = self.ask("POST", "/element", &json!({"using": "css selector", "value": field}));
        let element = found.as_object().and_then(|found| found.values().next());
        let element = element.and_then(Value::as_str).expect("an element");
        self.ask("POST", &format!("/element/{element}/value"), &json!({"text": file}));
    }

    /// Lets it send so many bytes a second.
    fn uploads_at(&self, speed: u64) {
        let conditions = json!({"offline": false, "latency": 0, "download_throughput": -1,
            "upload_throughput": speed});
        let conditions = json!({"network_conditions": conditions});
        self.ask("POST", "/chromium/network_conditions", &conditions);
    }

    /// Leaves a picture if one is wanted.
    fn picture(&self) {
        if let Some(file) = std::env::var_os("BRIM_SCREENSHOT") {
            let picture = self.ask("GET", "/screenshot", &Value::Null);
            std::fs::write(file, picture.as_str().expect("a picture")).expect("a file");
        }
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.browser.request("DELETE", &format!("/session/{}", self.session), &Value::Null);
    }
}
