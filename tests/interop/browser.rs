//! Two windows of a real browser chat, one is closed, and the other one sees it leave.
//!
//! With `BRIM_SCREENSHOT=FILE` it leaves a picture of the window that stays, in base64.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

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
    if let Some(file) = std::env::var_os("BRIM_SCREENSHOT") {
        let picture = bob.ask("GET", "/screenshot", &Value::Null);
        std::fs::write(file, picture.as_str().expect("a picture")).expect("a file");
    }
}

/// The lines of a page, without the name above each.
fn said(window: &Window<'_>) -> Value {
    let lines = window.run(LOG, json!([]));
    let last = |line: &Value| line.as_str().unwrap_or_default().lines().last().map(str::to_owned);
    lines.as_array().expect("lines").iter().map(last).collect()
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
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.browser.request("DELETE", &format!("/session/{}", self.session), &Value::Null);
    }
}
