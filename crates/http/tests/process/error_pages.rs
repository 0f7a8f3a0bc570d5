//! Error pages, and the headers that Brim itself puts into responses.

use std::path::Path;

use crate::support::{Daemon, Home, curl, finished, get, serve, serve_trial};

/// A daemon with these pages.
fn with_pages(pages: &[(&str, &str)], keys: &str) -> Daemon {
    let home = Home::new("").program(crate::support::example("trial")).shared();
    let folder = home.path("pages");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in pages {
        std::fs::write(folder.join(name), text).unwrap();
    }
    home.configure(&format!("error_pages = {}\n{keys}", folder.display()));
    home.start()
}

const PAGES: [(&str, &str); 4] = [
    ("404.html", "<h1>nothing here</h1>"),
    ("50x.html", "<h1>our fault</h1>"),
    ("4xx.json", "{\"error\": true}"),
    ("logo.png", "not a page"),
];

#[test]
fn every_error_of_brim_s_own_has_its_page() {
    let daemon = with_pages(&PAGES, "apps = panic echo\nuri_limit = 100\nbody_limit = 10");
    let url = format!("http://{}/nothing", daemon.address());
    let answer = curl(&["-s", "-w", " %{http_code} %{content_type}", &url]);
    assert_eq!(answer, "<h1>nothing here</h1> 404 text/html; charset=utf-8");
    let response = get(&daemon, "/panic");
    assert_eq!((response.status, response.text()), (500, "<h1>our fault</h1>"));
    let mut client = daemon.client();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n12345678901");
    let response = client.response();
    assert_eq!((response.status, response.text()), (413, "{\"error\": true}"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.closes());
    let response = get(&daemon, &format!("/{}", "x".repeat(200)));
    assert_eq!((response.status, response.text()), (414, "{\"error\": true}"));
    // What hyper refuses, and the shell answers.
    let mut client = daemon.client();
    client.send("nonsense\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text()), (400, "{\"error\": true}"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    client.is_closed();
}

#[test]
fn a_head_has_the_page_s_headers_and_the_connection_goes_on() {
    let daemon = with_pages(&PAGES, "apps = echo\nhead_limit = 8K");
    let mut client = daemon.client();
    for _ in 0..2 {
        client.send("HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = client.response_to_head();
        assert_eq!((response.status, response.header("content-length")), (404, Some("21")));
        assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(client.get("/echo").status, 200);
    }
    // Also where the shell itself answers: no body that the client would take for something else.
    client.send(format!("HEAD / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(20_000)));
    let response = client.response_to_head();
    assert_eq!((response.status, response.header("content-length")), (431, Some("15")));
    client.is_closed();
}

#[test]
fn pages_are_read_again_at_a_reload_and_bad_ones_change_nothing() {
    let daemon = with_pages(&PAGES, "apps = echo");
    let page = daemon.home.path("pages/404.html");
    std::fs::write(&page, "anew").unwrap();
    assert_eq!(get(&daemon, "/").text(), "<h1>nothing here</h1>");
    daemon.reload();
    assert_eq!(get(&daemon, "/").text(), "anew");
    std::fs::write(daemon.home.path("pages/404.txt"), "twice").unwrap();
    let notice = daemon.reload();
    assert!(
        notice.contains(":3: [wsgi] error_pages: ") && notice.contains("same errors"),
        "{notice}"
    );
    assert_eq!(get(&daemon, "/").text(), "anew");
}

#[test]
fn a_folder_that_is_missing_and_a_server_that_is_no_name_are_told() {
    let home = Home::new("error_pages = /nowhere/at/all\nserver = a\u{e4}").shared();
    let config = home.config();
    let ended = finished(&["--check", "--config", config.to_str().unwrap(), "wsgi"]);
    let said = ended.stdout + &ended.stderr;
    assert_eq!(ended.code, Some(78));
    assert!(said.contains(":3: [wsgi] error_pages: /nowhere/at/all cannot be read"), "{said}");
    assert!(said.contains(":4: [wsgi] server: \"a\u{e4}\" is not"), "{said}");
    assert!(!Path::new("/nowhere").exists());
}

#[test]
fn server_and_transaction_are_said_when_configured() {
    let daemon = serve("apps = echo");
    let response = get(&daemon, "/echo");
    assert_eq!((response.header("server"), response.header("x-txn")), (None, None));

    let daemon = serve_trial(
        "apps = h echo\nserver = Brim (test)\necho_txn = yes\nhead_limit = 8K\n[h]\ncall = headers\n\
         remove = X-None",
    );
    let url = format!("http://{}/nothing", daemon.address());
    let head = curl(&["-s", "-D", "-", "-o", "/dev/null", "-H", "X-Txn: mine", &url]);
    assert!(head.contains("\r\nServer: Brim (test)\r\n"), "{head}");
    assert!(head.contains("\r\nX-Txn: mine\r\n"), "{head}");
    let made = get(&daemon, "/echo");
    assert_eq!(made.header("x-txn").unwrap().len(), 32);
    // The shell's own answers have them as well, and the id is that of the access line.
    let mut client = daemon.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(20_000)));
    let response = client.response();
    assert_eq!((response.status, response.header("server")), (431, Some("Brim (test)")));
    let txn = response.header("x-txn").unwrap();
    let lines = daemon.access_lines(3);
    assert!(lines.iter().any(|line| line.contains(txn)), "{txn} in {lines:?}");
}

#[test]
fn a_server_that_an_app_names_stays() {
    let daemon = serve("apps = h echo\nserver = Brim\n[h]\ncall = headers\nset = Server: other");
    assert_eq!(get(&daemon, "/echo").header("server"), Some("other"));
}
