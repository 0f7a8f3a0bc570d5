//! SIGHUP with other keys of the listeners: they are for new connections, and what is open goes on.

use crate::support::{
    Authority, Client, Daemon, Frames, curl_tls, curl_tls_command, get, kind, serve, serve_tls,
    serve_trial,
};

use super::http2::serve_unix;

const ASK: &str = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reloads with these keys.
fn change(daemon: &Daemon, keys: &str) {
    daemon.home.configure(keys);
    daemon.reload();
}

#[test]
fn concurrent_per_worker_changes_and_what_is_open_counts() {
    let daemon = serve("apps = echo\nconcurrent_per_worker = 2");
    let mut open: Vec<Client> = (0..2).map(|_| daemon.client()).collect();
    open.iter_mut().for_each(|client| assert_eq!(client.get("/echo").status, 200));
    let mut third = daemon.client();
    third.send(ASK);
    change(&daemon, "apps = echo\nconcurrent_per_worker = 3");
    assert_eq!(third.response().status, 200, "there is room");
    open.push(third);
    change(&daemon, "apps = echo\nconcurrent_per_worker = 1");
    open.iter_mut().for_each(|client| assert_eq!(client.get("/echo").status, 200));
    let mut waiting = daemon.client();
    waiting.send(ASK);
    while let Some(mut last) = open.pop() {
        assert_eq!(last.get("/echo").status, 200);
        assert!(waiting.is_open());
    }
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn proxy_protocol_is_for_new_connections() {
    let daemon = serve_trial("apps = tell");
    let tell = "GET /tell HTTP/1.1\r\nHost: x\r\nX-Txn: t\r\n\r\n";
    let named = format!("PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n{tell}");
    let told = |client: &mut Client, bytes: &str| {
        client.send(bytes);
        client.response().text().to_owned()
    };
    let mut old = daemon.client();
    assert_eq!(told(&mut old, tell), "t 127.0.0.1\n");
    change(&daemon, "apps = tell\nproxy_protocol = yes");
    let mut new = daemon.client();
    assert_eq!(told(&mut new, &named), "t 192.0.2.7\n");
    let mut silent = daemon.client();
    silent.send(tell);
    silent.is_closed();
    assert_eq!(told(&mut old, tell), "t 127.0.0.1\n");
    change(&daemon, "apps = tell");
    assert_eq!(told(&mut new, tell), "t 192.0.2.7\n");
    assert_eq!(told(&mut old, tell), "t 127.0.0.1\n");
    assert_eq!(get(&daemon, "/tell").status, 200);
}

#[test]
fn h2c_is_for_new_connections() {
    let (daemon, path) = serve_unix("apps = echo");
    let listen = format!("[wsgi]\nlisten = unix:{}\nworkers = 1\napps = echo\n", path.display());
    let mut old = Frames::connect(&path, &[]);
    let ask = |frames: &mut Frames, stream| {
        assert!(frames.request(stream, "GET", "/echo", true));
        assert!(frames.body(stream).is_some());
    };
    ask(&mut old, 1);
    daemon.home.write_config(&listen);
    daemon.reload();
    // An answer of HTTP/1.1 is no frame.
    let speaks =
        || Frames::connect(&path, &[]).next().is_some_and(|frame| frame.kind == kind::SETTINGS);
    assert!(!speaks());
    ask(&mut old, 3);
    daemon.home.write_config(&format!("{listen}h2c = yes\n"));
    daemon.reload();
    assert!(speaks());
    ask(&mut old, 5);
}

#[test]
fn http2_is_for_new_connections() {
    let daemon = serve_tls("apps = echo slow", &Authority::new());
    let section = std::fs::read_to_string(daemon.home.config()).unwrap();
    // Three requests, of which the second is in progress when the configuration changes.
    let urls = ["https://example.test/echo", "https://example.test/slow?seconds=2"];
    let version =
        ["-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{http_version} "];
    let mut old = curl_tls_command(&daemon, "/echo", &[&urls[..], &version].concat());
    let old = old.stdout(std::process::Stdio::piped()).spawn().unwrap();
    daemon.access_lines(1);
    daemon.home.write_config(&section.replace("apps =", "http2 = no\napps ="));
    daemon.reload();
    let version = ["-o", "/dev/null", "-w", "%{http_version}"];
    assert_eq!(curl_tls(&daemon, "/echo", &version), (true, "1.1".to_owned()));
    let output = old.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2 2 2 ");
    daemon.home.write_config(&section);
    daemon.reload();
    assert_eq!(curl_tls(&daemon, "/echo", &version), (true, "2".to_owned()));
}
