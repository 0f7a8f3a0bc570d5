//! The PROXY protocol: whoever connects says first for whom.

use crate::support::{Authority, Client, Daemon, get, serve_tls, serve_trial};

const TELL: &str = "GET /tell HTTP/1.1\r\nHost: x\r\nX-Txn: t\r\n\r\n";
const V1: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n";

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn told(client: &mut Client) -> String {
    client.response().text().to_owned()
}

#[test]
fn the_client_that_the_header_names_is_the_peer() {
    let daemon = serve_trial("apps = tell\nproxy_protocol = yes");
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9], &[0; 16], &[1, 2, 3, 4]].concat();
    let with_tlv =
        [&[192, 0, 2, 8, 192, 0, 2, 1, 1, 2, 1, 187][..], &[1, 0, 2, b'h', b'2']].concat();
    for (header, client) in [
        (V1.as_bytes().to_vec(), "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(1, 0x11, &with_tlv), "192.0.2.8"),
        (v2(1, 0x21, &v6), "2001:db8::9"),
        (v2(0, 0, &[]), "127.0.0.1"),
    ] {
        let mut connection = daemon.client();
        // All at once, and on: the header is for the connection.
        connection.send([&header, TELL.as_bytes()].concat());
        assert_eq!(told(&mut connection), format!("t {client}\n"));
        connection.send(TELL);
        assert_eq!(told(&mut connection), format!("t {client}\n"));
        // Byte by byte.
        let mut connection = daemon.client();
        for byte in [&header, TELL.as_bytes()].concat() {
            connection.send([byte]);
        }
        assert_eq!(told(&mut connection), format!("t {client}\n"));
    }
    let line = daemon.access_lines(1).remove(0);
    assert!(line.starts_with("192.0.2.7 192.0.2.7 "), "{line}");
}

#[test]
fn without_the_header_there_is_no_answer() {
    let daemon = serve_trial(
        "apps = tell\nproxy_protocol = yes\nhandshake_timeout = 500ms\nlog_level = debug",
    );
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(93));
    let half = &V1[..10];
    let refusals = [TELL, "PROXY TCP4 nonsense\r\n", &long];
    for bytes in refusals {
        let mut client = daemon.client();
        client.send(bytes);
        client.is_closed();
    }
    let mut slow = daemon.client();
    slow.send(half);
    slow.is_closed();
    daemon.saves("proxy_protocol_refused_count", 4);
    daemon.logs("refused a connection");
}

#[test]
fn only_a_trusted_peer_may_speak_for_others() {
    let daemon = serve_trial("apps = tell\nproxy_protocol = yes\ntrusted_proxies = 127.0.0.1");
    let mut client = daemon.client();
    client.send([V1, TELL].concat());
    assert_eq!(told(&mut client), "t 192.0.2.7\n");
    let daemon = serve_trial("apps = tell\nproxy_protocol = yes\ntrusted_proxies = 192.0.2.0/24");
    let mut client = daemon.client();
    client.send([V1, TELL].concat());
    client.is_closed();
}

#[test]
fn where_nobody_expects_it_the_header_is_a_bad_request() {
    let daemon = serve_trial("apps = tell");
    let mut client = daemon.client();
    client.send([V1, TELL].concat());
    assert_eq!(client.response().status, 400);
    assert_eq!(get(&daemon, "/tell").status, 200);
}

#[test]
fn it_stands_before_tls() {
    let daemon: Daemon = serve_tls("apps = tell\nproxy_protocol = yes", &Authority::new());
    let script = format!(
        "import socket, ssl
context = ssl.create_default_context(cafile='{}')
plain = socket.create_connection(('127.0.0.1', {}), 20)
plain.sendall(b'PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\\r\\n')
tls = context.wrap_socket(plain, server_hostname='example.test')
tls.sendall(b'GET /tell HTTP/1.0\\r\\nX-Txn: t\\r\\n\\r\\n')
answer = tls.makefile('rb').read()
assert answer.endswith(b't 192.0.2.7\\n'), answer
",
        daemon.home.path("ca.pem").display(),
        daemon.address().port()
    );
    let output = std::process::Command::new("python3").arg("-c").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
