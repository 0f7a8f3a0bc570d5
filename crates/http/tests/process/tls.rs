//! TLS: handshakes, and everything that HTTP does over them.

use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::support::{Authority, Daemon, Home, curl_tls, eventually, example, serve_tls};

/// A daemon for `example.test` with these further keys.
fn serve(keys: &str) -> Daemon {
    serve_tls(keys, &Authority::new())
}

/// What `openssl s_client` has to say.
fn s_client(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &daemon.address().to_string()])
        .args(["-servername", "example.test", "-CAfile"])
        .arg(daemon.home.path("ca.pem"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn versions_1_2_and_1_3_are_spoken_and_nothing_older() {
    let daemon = serve("apps = echo");
    for version in ["1.2", "1.3"] {
        let exactly = format!("--tlsv{version}");
        let (done, text) =
            curl_tls(&daemon, "/echo", &[&exactly, "--tls-max", version, "-d", "hello"]);
        assert!(done && text == "hello", "TLS {version}: {text}");
    }
    let (done, text) =
        curl_tls(&daemon, "/echo", &["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]);
    assert!(!done, "{text}");
    daemon.access_lines(2);
}

#[test]
fn a_connection_is_kept_parked_and_used_again() {
    let daemon = serve("apps = echo");
    let (done, text) = python(
        &daemon,
        "for body in [b'one', b'two', b'three']:
    request('POST', '/echo', body)
    assert answer() == body
    time.sleep(0.5)",
    );
    assert!(done, "{text}");
    daemon.access_lines(3);
}

#[test]
fn a_session_is_resumed_also_after_a_reload() {
    let daemon = serve("apps = echo");
    let file = daemon.home.path("session").display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        // The tickets of 1.3 come behind the handshake: it takes a request to wait for them.
        let first = s_client_with(&daemon, &[version, "-sess_out", &file]);
        assert!(first.contains("New, TLSv1"), "{first}");
        daemon.reload();
        let second = s_client_with(&daemon, &[version, "-sess_in", &file]);
        assert!(second.contains("Reused, TLSv1"), "{second}");
    }
}

/// The same with a request.
fn s_client_with(daemon: &Daemon, arguments: &[&str]) -> String {
    let request =
        daemon.home.write("request", "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let output = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect", &daemon.address().to_string()])
        .args(["-servername", "example.test", "-CAfile"])
        .arg(daemon.home.path("ca.pem"))
        .args(arguments)
        .stdin(std::fs::File::open(request).unwrap())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_end_of_a_connection_is_said() {
    let daemon = serve("apps = echo\nidle_timeout = 2s");
    // Without close_notify, reading to the end would fail.
    let (done, text) = python(
        &daemon,
        "request('GET', '/echo', b'', 'Connection: close\\r\\n')
assert socket.makefile('rb').read().startswith(b'HTTP/1.1 200')",
    );
    assert!(done, "{text}");
    let (done, text) = python(&daemon, "assert socket.recv(1) == b''");
    assert!(done, "after silence: {text}");
}

#[test]
fn http_without_tls_gets_a_400_in_plain_text() {
    let daemon = serve("apps = echo stats");
    let mut client = daemon.client();
    client.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 400);
    assert!(response.text().contains("this port speaks HTTPS"), "{}", response.text());
    client.is_closed();
    let line = daemon.access_lines(1).remove(0);
    assert!(line.contains(" GET /echo HTTP/1.1 400 "), "{line}");
}

#[test]
fn a_handshake_that_comes_to_nothing_is_counted_and_nothing_else() {
    let daemon = serve("apps = echo stats\nhandshake_timeout = 500ms\nlog_level = debug");
    let mut junk = daemon.client();
    junk.send(b"\x16\x03\x01\x00\x05hello");
    junk.rest();
    let start = Instant::now();
    let mut slow = daemon.client();
    slow.send(b"\x16\x03\x01\x02\x00");
    slow.is_closed();
    assert!((400..8000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    daemon.logs("no agreement on TLS");
    let (done, text) = curl_tls(&daemon, "/stats", &[]);
    assert!(done, "{text}");
    assert!(text.contains("\"tls_failed_count\":2"), "{text}");
}

#[test]
fn a_silent_client_is_closed_after_idle_timeout() {
    let daemon = serve("apps = echo\nidle_timeout = 300ms");
    daemon.client().is_closed();
}

#[test]
fn a_slow_handshake_keeps_nobody_waiting() {
    let daemon = serve("apps = echo\nworkers = 1");
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let mut client = daemon.client();
            client.send(b"\x16\x03\x01");
            client
        })
        .collect();
    let (done, text) = curl_tls(&daemon, "/echo", &["-d", "quick"]);
    assert!(done && text == "quick", "{text}");
    drop(slow);
}

#[test]
fn large_bodies_pass_both_ways() {
    let daemon = serve("apps = upload stream");
    let body = daemon.home.write("body", &"x".repeat(3_000_000));
    let upload = format!("@{}", body.display());
    let (done, text) = curl_tls(&daemon, "/upload", &["--data-binary", &upload]);
    assert!(done && text == "3000000 bytes\n", "{text}");
    let (done, text) = curl_tls(&daemon, "/stream?pieces=100&size=100000", &[]);
    assert!(done && text.len() == 10_000_000, "{}", text.len());
    assert!(daemon.access_lines(2)[1].contains(" 200 10000000 "));
}

#[test]
fn a_body_that_is_too_large_is_answered_before_it_is_sent() {
    let daemon = serve("apps = upload\nbody_limit = 1000");
    let body = daemon.home.write("body", &"x".repeat(200_000));
    let upload = format!("@{}", body.display());
    let arguments = ["--http1.1", "--data-binary", &upload, "-H", "Expect:", "-w", "%{http_code}"];
    let (_, text) = curl_tls(&daemon, "/upload", &arguments);
    assert!(text.contains("413"), "{text}");
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let daemon = serve("apps = stream\nwrite_timeout = 500ms");
    let (done, text) = python(
        &daemon,
        "request('GET', '/stream?pieces=1000&size=100000', b'')
time.sleep(3)
total = 0
try:
    while (piece := socket.recv(65536)):
        total += len(piece)
except OSError:
    pass
assert total < 50000000, total",
    );
    assert!(done, "{text}");
    let line = daemon.access_lines(1).remove(0);
    assert!(line.contains(" disconnect "), "{line}");
}

#[test]
fn a_unix_socket_beside_stays_plain() {
    use std::io::{Read, Write};
    let authority = Authority::new();
    let home = Home::new("").program(example("trial"));
    let pair = home.write_pair("site", &authority.issue(&["example.test"]));
    let path = home.path("x.sock");
    home.write_config(&format!("[wsgi]\nlisten = unix:{}\napps = echo\n{pair}", path.display()));
    let home: Rc<Home> = home.shared();
    let _daemon = home.start_with(Vec::new());
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn a_drain_lets_tls_connections_finish() {
    let daemon = serve("apps = slow\ndrain_idle = 200ms");
    let script = script(
        &daemon,
        "request('GET', '/slow?seconds=1', b'')
print('sent', flush=True)
assert answer() == b'slow but whole\\n'",
    );
    let mut child =
        Command::new("python3").arg("-c").arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
        &mut line,
    )
    .unwrap();
    daemon.terminate();
    let ended = daemon.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_with_the_files_is_said_with_their_names() {
    let authority = Authority::new();
    let home = Home::new("");
    let good = home.write_pair("good", &authority.issue(&["a.test"]));
    home.write_pair("other", &authority.issue(&["a.test"]));
    let expired = home.write_pair("expired", &authority.expired("a.test"));
    home.write("empty.pem", "");
    home.write(
        "garbage.pem",
        "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n",
    );
    for (lines, code, wanted) in [
        (good.replace("good.key", "other.key"), 78, "other.key is not the key of "),
        (good.replace("good.key", "absent.key"), 78, "absent.key: No such file"),
        (good.replace("good.crt", "empty.pem"), 78, "empty.pem: holds no certificate"),
        (good.replace("good.key", "empty.pem"), 78, "empty.pem: holds no private key"),
        (good.replace("good.crt", "garbage.pem"), 78, "garbage.pem: not "),
        (good.replace("good.crt", "good.key"), 78, "good.key: holds no certificate"),
        (expired, 0, "expired.crt has expired"),
        (good.clone(), 0, ""),
    ] {
        home.configure(&lines);
        let output = home.command().arg("--check").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{lines}{text}");
        assert!(text.contains(wanted), "{wanted}: {text}");
        assert!(
            wanted.is_empty()
                || text.contains("brim.conf:3: ") && text.contains("[wsgi] certfile: "),
            "{text}"
        );
    }
}

#[test]
fn a_new_certificate_is_served_within_two_seconds_and_half_of_one_is_not() {
    let authority = Authority::new();
    let daemon = serve_tls("apps = echo", &authority);
    let serial = || {
        let text = s_client(&daemon, &["-showcerts"]);
        let leaf = text.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap_or_default();
        leaf.split("-----END").next().unwrap_or_default().trim().to_owned()
    };
    let old = serial();
    let new = authority.issue(&["example.test"]);
    daemon.home.write("site.crt", &new.certificate);
    daemon.logs("site.key is not the key of");
    assert_eq!(serial(), old);
    let start = Instant::now();
    daemon.home.write("site.key", &new.key);
    eventually("the new certificate", || (serial() != old).then_some(()));
    // Two seconds are promised; each look is a handshake by another program.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(new.certificate.contains(&serial()));
    let warnings = daemon.log().matches("is not the key of").count();
    assert_eq!(warnings, 1, "{}", daemon.log());
    std::fs::remove_file(daemon.home.path("site.crt")).unwrap();
    daemon.logs("site.crt: No such file");
    let (done, text) = curl_tls(&daemon, "/echo", &[]);
    assert!(done, "{text}");
    let notice = daemon.reload();
    assert!(notice.contains("reload refused"), "{notice}");
    let (done, text) = curl_tls(&daemon, "/echo", &[]);
    assert!(done, "{text}");
}

/// Runs these lines of Python: there are a TLS `socket`, `request(method, target, body, headers)` and `answer()`.
pub(crate) fn python(daemon: &Daemon, lines: &str) -> (bool, String) {
    let output = Command::new("python3").arg("-c").arg(script(daemon, lines)).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn script(daemon: &Daemon, lines: &str) -> String {
    format!(
        "import socket as sockets, ssl, time
context = ssl.create_default_context(cafile='{}')
socket = sockets.create_connection(('127.0.0.1', {}), 20)
socket = context.wrap_socket(socket, server_hostname='example.test', suppress_ragged_eofs=False)
def request(method, target, body, headers=''):
    head = f'{{method}} {{target}} HTTP/1.1\\r\\nHost: example.test\\r\\n{{headers}}Content-Length: {{len(body)}}\\r\\n\\r\\n'
    socket.sendall(head.encode() + body)
def answer():
    text = b''
    while b'\\r\\n\\r\\n' not in text:
        text += socket.recv(65536)
    head, body = text.split(b'\\r\\n\\r\\n', 1)
    length = [int(line.split(b':')[1]) for line in head.lower().split(b'\\r\\n') if line.startswith(b'content-length:')][0]
    while len(body) < length:
        body += socket.recv(65536)
    return body
{lines}
",
        daemon.home.path("ca.pem").display(),
        daemon.address().port(),
    )
}

#[test]
fn the_start_tells_what_connections_take_and_apart_from_it_what_http2_may_add() {
    let keys = "apps = echo\nworkers = 1\nconcurrent_per_worker = 1000";
    let daemon = serve(keys);
    let line = daemon.logs("room for 1000 connections, in at most ");
    assert!(line.contains(" MiB; HTTP/2 adds at most "), "{line}");
    assert!(line.contains(" MiB to a connection (http2_max_streams)"), "{line}");
    let daemon = serve(&format!("{keys}\nhttp2 = no"));
    assert!(!daemon.logs("room for 1000 connections").contains("HTTP/2"));
}
