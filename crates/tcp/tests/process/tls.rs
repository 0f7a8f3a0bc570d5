//! TLS, by openssl.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, KeyPair};

use crate::support::{Client, Server, home};

/// A server for `localhost` with a certificate that signs itself.
fn serve_tls(keys: &str) -> Server {
    let home = home("call = echo");
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(home.path("crt"), certificate.pem()).unwrap();
    std::fs::write(home.path("key"), key.serialize_pem()).unwrap();
    let (certfile, keyfile) = (home.path("crt"), home.path("key"));
    home.configure(&format!(
        "{keys}\ncertfile = {}\nkeyfile = {}",
        certfile.display(),
        keyfile.display()
    ));
    home.start()
}

/// What a client hears who says something and then waits for the end.
fn heard(server: &Server, says: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"]);
    openssl.arg("-CAfile").arg(server.home().path("crt"));
    openssl.arg("-connect").arg(server.address().to_string());
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut openssl = openssl.spawn().unwrap();
    openssl.stdin.take().unwrap().write_all(says.as_bytes()).unwrap();
    let mut heard = vec![0; says.len()];
    openssl.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
    openssl.kill().unwrap();
    openssl.wait().unwrap();
    String::from_utf8(heard).unwrap()
}

#[test]
fn echo_speaks_tls() {
    let server = serve_tls("call = echo");
    let text = "hello over TLS\n".repeat(5000);
    assert_eq!(heard(&server, &text), text);
    server.saves("byte_count", text.len() as u64);
}

#[test]
fn what_is_no_handshake_costs_only_its_sender() {
    let server = serve_tls("call = echo\nhandshake_timeout = 500ms");
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], b"\x16\x03\x01\xff\xff\0\0", b"\x16"]
    {
        let mut client = Client::of(&server);
        client.send(garbage);
        let mut answer = Vec::new();
        // An alert perhaps, and then the end.
        let _ = client.0.read_to_end(&mut answer);
        assert!(answer.len() < 64);
    }
    // Neither does silence.
    assert_eq!(Client::of(&server).rest(), "");
    server.saves("tls_failed_count", 5);
    assert_eq!(heard(&server, "still there\n"), "still there\n");
}

#[test]
fn a_program_and_an_upstream_are_reached_through_tls() {
    let server = serve_tls("call = exec\nexec = /bin/cat");
    assert_eq!(heard(&server, "program\n"), "program\n");
    let behind = crate::support::serve("call = echo");
    let server = serve_tls(&format!("call = forward\nupstream = {}", behind.address()));
    let text = "upstream\n".repeat(20_000);
    assert_eq!(heard(&server, &text), text);
}

#[test]
fn a_client_that_goes_without_a_word_is_no_failure_of_others() {
    let server = serve_tls("call = echo");
    let mut client = Client::of(&server);
    client.send(b"\x16\x03\x01");
    client.reset();
    server.saves("tls_failed_count", 1);
    assert_eq!(heard(&server, "x\n"), "x\n");
}
