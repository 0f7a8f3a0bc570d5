//! Upstreams behind TLS, and clients of the proxy behind it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::proxy_tunnel::echoing;
use crate::support::{Authority, Upstream, curl_tls, get, serve, serve_tls};
use crate::tls::python;

/// Python's own HTTPS server; dropping it ends it.
struct Https {
    child: Child,
    port: u16,
}

const SERVER: &str = "
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '6')
        self.end_headers()
        self.wfile.write(b'secret')
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

impl Https {
    fn start(certificate: &Path, key: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .args([certificate, key])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_certificate_has_to_be_the_right_one() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("a.crt"), directory.path().join("a.key"));
    let made = rcgen::generate_simple_self_signed(vec!["app.test".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let https = Https::start(&certificate, &key);
    let authority = format!("ca_file = {}", certificate.display());
    for (keys, status) in [
        (format!("{authority}\ntls_name = app.test"), 200),
        (format!("{authority}\ntls_name = other.test"), 502),
        (authority, 502),
        ("verify = no".to_owned(), 200),
        ("tls_name = app.test\nretries = 0".to_owned(), 502),
    ] {
        let upstream = format!("upstream = https://127.0.0.1:{}", https.port);
        let daemon = serve(&format!("apps = proxy\n[proxy]\ncall = proxy\n{upstream}\n{keys}"));
        for _ in 0..3 {
            let response = get(&daemon, "/");
            assert_eq!(response.status, status, "{keys}");
            assert!(status != 200 || response.text() == "secret");
        }
        match status {
            200 => assert!(!daemon.log().contains("TLS"), "{}", daemon.log()),
            _ => drop(daemon.logs("no TLS with it")),
        }
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_refused() {
    let keys = "apps = proxy\n[proxy]\ncall = proxy\nupstream = https://a\nca_file = /nowhere.pem";
    let output = crate::support::Home::new(keys).command().arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("[proxy] ca_file: "), "{stdout}");
}

#[test]
fn upstreams_learn_that_a_client_came_by_https() {
    let upstream = Upstream::showing();
    let keys = upstream.behind("forwarded = both");
    let daemon = serve_tls(&keys, &Authority::new());
    for version in ["--http1.1", "--http2"] {
        let (done, text) = curl_tls(&daemon, "/", &[version, "-H", "X-Forwarded-Proto: http"]);
        assert!(done, "{text}");
        assert!(text.contains("\r\nX-Forwarded-Proto: https\r\n"), "{version}: {text}");
        assert!(text.contains(";host=example.test;proto=https\r\n"), "{version}: {text}");
    }
}

#[test]
fn a_connection_over_tls_is_switched_too() {
    let upstream = echoing();
    let daemon = serve_tls(&upstream.behind(""), &Authority::new());
    let (done, text) = python(
        &daemon,
        "socket.sendall(b'GET /chat HTTP/1.1\\r\\nHost: example.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')
def take(end):
    text = b''
    while not text.endswith(end):
        more = socket.recv(65536)
        assert more, text
        text += more
    return text
assert take(b'first').startswith(b'HTTP/1.1 101 ')
for silence in [0, 0, 0.3]:
    time.sleep(silence)
    socket.sendall(b'ab')
    assert take(b'xx') == b'xx'
socket.unwrap()",
    );
    assert!(done, "{text}");
    let lines = daemon.access_lines(1);
    let fields: Vec<_> = lines[0].split(' ').collect();
    assert_eq!((fields[8], fields[9], fields[15]), ("101", "11", "-"), "{}", lines[0]);
}
