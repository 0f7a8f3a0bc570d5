//! HTTP/2 by ALPN, and by prior knowledge on Unix sockets.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;

use crate::support::{Authority, Daemon, Frames, Home, curl_tls, example, kind, post, serve_tls};

/// A daemon with TLS and these further keys.
fn serve(keys: &str) -> Daemon {
    serve_tls(keys, &Authority::new())
}

/// A daemon on a Unix socket, with the path of that.
pub(crate) fn serve_unix(keys: &str) -> (Daemon, PathBuf) {
    on_unix(&format!("h2c = yes\n{keys}"))
}

fn on_unix(keys: &str) -> (Daemon, PathBuf) {
    serve_unix_by(1, keys)
}

/// The same without HTTP/2, with so many workers.
pub(crate) fn serve_unix_by(workers: u32, keys: &str) -> (Daemon, PathBuf) {
    let home: Rc<Home> = Home::new("").program(example("trial")).shared();
    let path = home.path("x.sock");
    let listen = format!("[wsgi]\nlisten = unix:{}\nworkers = {workers}\n", path.display());
    home.write_config(&format!("{listen}{keys}\n"));
    (home.start_with(Vec::new()), path)
}

#[test]
fn without_tls_it_is_spoken_only_on_unix_sockets_that_are_told_to() {
    /// What is said to a client that begins with HTTP/2.
    fn heard(mut stream: impl Read + Write) -> String {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }
    let tcp = crate::support::serve("apps = echo\nh2c = yes");
    assert_eq!(heard(tcp.client().stream), "HTTP/1.1 400");
    assert_eq!(post(&tcp, "/echo", b"1").text(), "1");
    let (_unix, path) = on_unix("apps = echo");
    assert_eq!(heard(UnixStream::connect(path).unwrap()), "HTTP/1.1 400");
    let (_unix, path) = on_unix("apps = echo\nh2c = yes");
    assert_eq!(heard(UnixStream::connect(path).unwrap()).as_bytes()[3], 4, "SETTINGS");
}

#[test]
fn it_is_spoken_with_those_who_ask_for_it() {
    let daemon = serve("apps = echo");
    let version = ["-d", "hello", "-w", " %{http_version}"];
    assert_eq!(curl_tls(&daemon, "/echo", &version), (true, "hello 2".to_owned()));
    let arguments = [&version[..], &["--http1.1"]].concat();
    assert_eq!(curl_tls(&daemon, "/echo", &arguments), (true, "hello 1.1".to_owned()));
    let lines = daemon.access_lines(2);
    assert!(lines[0].contains(" POST /echo HTTP/2.0 200 5 5 "), "{}", lines[0]);
    assert!(lines[1].contains(" POST /echo HTTP/1.1 200 5 5 "), "{}", lines[1]);
}

#[test]
fn it_can_be_switched_off() {
    let daemon = serve("apps = echo\nhttp2 = no");
    let answer = curl_tls(&daemon, "/echo", &["-d", "hello", "-w", " %{http_version}"]);
    assert_eq!(answer, (true, "hello 1.1".to_owned()));
}

#[test]
fn heads_and_bodies_are_as_with_http1() {
    let daemon = serve("apps = echo upload stream tell");
    let (done, text) = curl_tls(&daemon, "/echo", &["--head"]);
    assert!(done && text.starts_with("HTTP/2 200"), "{text}");
    assert!(!text.to_lowercase().contains("connection:"), "{text}");
    let body = daemon.home.write("body", &"x".repeat(3_000_000));
    let upload = format!("@{}", body.display());
    assert_eq!(
        curl_tls(&daemon, "/upload", &["--data-binary", &upload]),
        (true, "3000000 bytes\n".to_owned())
    );
    let (done, text) = curl_tls(&daemon, "/stream?pieces=100&size=100000", &[]);
    assert!(done && text.len() == 10_000_000, "{}", text.len());
    let (done, text) = curl_tls(&daemon, "/tell", &["-H", "X-Txn: mine"]);
    assert!(done && text == "mine 127.0.0.1\n", "{text}");
    let (done, text) = curl_tls(&daemon, "/nothing", &["-w", "%{http_code}"]);
    assert!(done && text.ends_with("404"), "{text}");
    let lines = daemon.access_lines(5);
    assert!(lines.iter().all(|line| line.contains(" HTTP/2.0 ")), "{lines:?}");
    assert!(lines[2].contains(" 200 10000000 "), "{}", lines[2]);
}

#[test]
fn a_body_that_breaks_off_is_no_whole_response() {
    let daemon = serve("apps = stream");
    let (done, text) = curl_tls(&daemon, "/stream?pieces=3&end=error", &[]);
    assert!(!done, "{text}");
    let line = daemon.access_lines(1).remove(0);
    assert!(line.contains(" disconnect "), "{line}");
}

#[test]
fn the_limits_are_those_of_http1() {
    let daemon = serve("apps = upload\nbody_limit = 1000\nuri_limit = 100\nheader_limit = 20");
    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    let body = daemon.home.write("body", &"x".repeat(200_000));
    let upload = format!("@{}", body.display());
    let ask =
        |target: &str, more: &[&str]| curl_tls(&daemon, target, &[&code[..], more].concat()).1;
    assert!(ask("/upload", &["--data-binary", &upload]).contains("413"));
    // Without a length, too.
    let chunked = ["-H", "Content-Length:", "--data-binary", &upload];
    assert!(ask("/upload", &chunked).contains("413"));
    assert_eq!(ask(&format!("/{}", "x".repeat(100)), &[]), "414");
    let header = format!("X-Long: {}", "x".repeat(33_000));
    assert_eq!(ask("/", &["-H", &header]), "431");
    let many: Vec<String> = (0..20).map(|number| format!("X-{number}: x")).collect();
    let many: Vec<&str> = many.iter().flat_map(|header| ["-H", header.as_str()]).collect();
    assert_eq!(ask("/", &many), "431");
    assert_eq!(ask("/", &["-X", "TRACE"]), "501");
    let lines = daemon.access_lines(6);
    assert_eq!(lines.len(), 6, "{lines:?}");
}

#[test]
fn thousands_of_requests_on_a_few_connections_are_answered() {
    let daemon = serve("apps = echo\nworkers = 2");
    let url = format!("https://127.0.0.1:{}/echo", daemon.address().port());
    let output = Command::new("h2load")
        .args(["-n", "4000", "-c", "8", "-m", "50", &url])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    daemon.access_lines(4000);
}

#[test]
fn a_slow_body_gets_a_408_and_others_go_on() {
    let (daemon, path) = serve_unix("apps = upload echo\nbody_timeout = 500ms");
    let mut client = Frames::connect(&path, &[]);
    assert!(client.request(1, "POST", "/upload", false));
    assert!(client.request(3, "GET", "/echo", true));
    assert!(client.body(3).is_some());
    let body = client.body(1).unwrap();
    assert!(String::from_utf8_lossy(&body).contains("408"), "{body:?}");
    daemon.access_lines(2);
}

#[test]
fn a_client_that_takes_nothing_loses_its_stream_and_no_other() {
    // No window at all for responses.
    let (daemon, path) = serve_unix("apps = stream echo\nwrite_timeout = 500ms");
    let mut client = Frames::connect(&path, &[(4, 0)]);
    assert!(client.request(1, "GET", "/stream?pieces=100&size=100000", true));
    let reset = client.next_of(kind::RST_STREAM).unwrap();
    assert_eq!(reset.stream, 1);
    assert!(client.request(3, "GET", "/nothing", true));
    assert_eq!(client.next_of(kind::HEADERS).map(|frame| frame.stream), Some(3));
    assert!(client.send(kind::WINDOW_UPDATE, 0, 3, &1000u32.to_be_bytes()));
    assert!(client.body(3).is_some());
    let lines = daemon.access_lines(2);
    assert!(lines[0].contains(" disconnect "), "{}", lines[0]);
}

#[test]
fn a_request_that_is_taken_back_is_a_499() {
    let (daemon, path) = serve_unix("apps = slow echo");
    let mut client = Frames::connect(&path, &[]);
    assert!(client.request(1, "GET", "/slow?seconds=30", true));
    // An answer to what came later: by then the first one has begun.
    assert!(client.request(3, "GET", "/echo", true));
    assert!(client.body(3).is_some());
    assert!(client.send(kind::RST_STREAM, 0, 1, &8u32.to_be_bytes()));
    let line = daemon.access_lines(2).remove(1);
    assert!(line.contains(" 499 ") && line.contains(" disconnect "), "{line}");
}

#[test]
fn a_silent_connection_ends_with_goaway() {
    let (_daemon, path) = serve_unix("apps = echo\nidle_timeout = 2s");
    let mut client = Frames::connect(&path, &[]);
    assert!(client.request(1, "GET", "/echo", true));
    assert!(client.body(1).is_some());
    let (kinds, reason) = client.rest();
    assert!(kinds.contains(&kind::GOAWAY), "{kinds:?}");
    assert_eq!(reason, Some(0));
}

#[test]
fn a_reload_is_live_for_the_next_stream() {
    let (daemon, path) = serve_unix("apps = echo");
    let mut client = Frames::connect(&path, &[]);
    assert!(client.request(1, "GET", "/echo", true));
    assert_eq!(client.body(1).unwrap(), b"");
    let text = std::fs::read_to_string(daemon.home.config()).unwrap();
    daemon.home.write_config(&text.replace("apps = echo", "apps ="));
    daemon.reload();
    assert!(client.request(3, "GET", "/echo", true));
    assert!(client.body(3).unwrap().starts_with(b"404"));
}

#[test]
fn a_drain_ends_the_streams_that_are_open() {
    let (daemon, path) = serve_unix("apps = slow echo");
    let mut client = Frames::connect(&path, &[]);
    assert!(client.request(1, "GET", "/slow?seconds=3", true));
    // An answer to what came later: by then the first one has begun.
    assert!(client.request(3, "GET", "/echo", true));
    assert!(client.body(3).is_some());
    daemon.terminate();
    let goaway = client.next_of(kind::GOAWAY).unwrap();
    assert_eq!(goaway.payload[4..8], [0; 4]);
    assert_eq!(client.body(1).unwrap(), b"slow but whole\n");
    assert_eq!(daemon.ended().code, Some(0));
}

#[test]
fn prior_knowledge_is_for_unix_sockets_and_http1_is_spoken_there_too() {
    let (daemon, path) = serve_unix("apps = echo");
    let ask = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "20", "-d", "hello", "-w", " %{http_version}"])
            .arg("--unix-socket")
            .arg(&path)
            .args(arguments)
            .arg("http://localhost/echo")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(ask(&["--http2-prior-knowledge"]), "hello 2");
    assert_eq!(ask(&["--http1.1"]), "hello 1.1");
    daemon.access_lines(2);
}

#[test]
fn hosts_that_differ_and_hosts_that_are_missing_are_refused() {
    let (daemon, path) = serve_unix("apps = echo");
    let mut client = Frames::connect(&path, &[]);
    let head = |fields: &[(&str, &str)]| -> Vec<u8> {
        let always = [(":method", "GET"), (":scheme", "http"), (":path", "/echo")];
        always
            .iter()
            .chain(fields)
            .flat_map(|(name, value)| crate::support::literal(name, value))
            .collect()
    };
    for (stream, fields) in [(1, &[(":authority", "a.test"), ("host", "b.test")][..]), (3, &[])] {
        assert!(client.send(kind::HEADERS, 5, stream, &head(fields)));
        let body = client.body(stream).unwrap();
        assert!(body.starts_with(b"400"), "{}", String::from_utf8_lossy(&body));
    }
    for (stream, fields) in
        [(5, [(":authority", "a.test"), ("host", "a.test")]), (7, [("host", "a.test"), ("a", "b")])]
    {
        assert!(client.send(kind::HEADERS, 5, stream, &head(&fields)));
        assert_eq!(client.body(stream).unwrap(), b"");
    }
    daemon.access_lines(4);
}
