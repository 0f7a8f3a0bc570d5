//! Larger files on their way: what becomes of them meanwhile, and of those who do not take them.

use std::fs::{File, OpenOptions};

use rustix::fs::{Advice, fadvise};

use super::files::Site;
use crate::support::{Authority, Client, Daemon, curl_tls, serve_tls};

const MIB: usize = 1024 * 1024;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 251) as u8 ^ n as u8).collect()
}

fn head_of(daemon: &Daemon, target: &str) -> (Client, usize) {
    let mut client = daemon.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let head = client.head();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    (client, length.unwrap().parse().unwrap())
}

#[test]
fn a_file_that_shrinks_ends_the_connection_and_the_log_says_so() {
    let site = Site::new(&[]);
    let file = File::create(site.path("a")).unwrap();
    file.set_len(256 * MIB as u64).unwrap();
    let daemon = site.serve("");
    let (mut client, length) = head_of(&daemon, "/a");
    client.take(MIB);
    file.set_len(MIB as u64).unwrap();
    let rest = client.rest().len();
    assert!(MIB + rest < length, "{rest}");
    let line = daemon.access_lines(1).remove(0);
    let fields: Vec<_> = line.split(' ').collect();
    let sent: usize = fields[9].parse().unwrap_or_else(|_| panic!("{line}"));
    assert!(line.contains(" disconnect"), "{line}");
    assert!(sent >= MIB && sent < length, "{line}");
}

#[test]
fn a_file_that_grows_is_cut_where_it_was_promised() {
    let site = Site::new(&[]);
    let file = File::create(site.path("a")).unwrap();
    file.set_len(64 * MIB as u64).unwrap();
    let daemon = site.serve("");
    let (mut client, length) = head_of(&daemon, "/a");
    client.take(MIB);
    file.set_len(65 * MIB as u64).unwrap();
    let rest = client.take(length - MIB);
    assert!(rest.iter().all(|byte| *byte == 0));
    client.send("GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=0-3\r\n\r\n");
    assert_eq!(client.response().body, [0; 4]);
}

#[test]
fn pipelined_files_follow_one_another() {
    let site = Site::new(&[("small", "small")]);
    let large = content(3 * MIB + 17);
    site.write("large", &large);
    let daemon = site.serve("");
    let mut client = daemon.client();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    client
        .send([get("/large"), get("/small"), get("/large"), get("/none"), get("/small")].concat());
    assert!(client.response().body == large);
    assert_eq!(client.response().text(), "small");
    assert!(client.response().body == large);
    assert_eq!(client.response().status, 404);
    assert_eq!(client.response().text(), "small");
    let lines = daemon.access_lines(5);
    assert!(lines[0].contains(&format!(" {} ", large.len())), "{}", lines[0]);
}

#[test]
fn a_client_of_http_1_0_gets_the_file_and_the_end() {
    let site = Site::new(&[]);
    let large = content(2 * MIB);
    site.write("large", &large);
    let daemon = site.serve("");
    let mut client = daemon.client();
    client.send("GET /large HTTP/1.0\r\n\r\n");
    assert!(client.response().body == large);
    client.is_closed();
}

#[test]
fn a_file_that_is_not_in_memory_is_sent_whole() {
    let site = Site::new(&[]);
    let large = content(5 * MIB + 3);
    site.write("large", &large);
    let file = OpenOptions::new().read(true).open(site.path("large")).unwrap();
    file.sync_all().unwrap();
    let daemon = site.serve("");
    for _ in 0..3 {
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let mut client = daemon.client();
        assert!(client.get("/large").body == large);
    }
}

#[test]
fn two_hundred_parts_at_once_are_each_right() {
    let site = Site::new(&[]);
    let large = content(4 * MIB);
    site.write("large", &large);
    let daemon = site.serve("");
    let mut clients: Vec<_> = (0..200).map(|n| (n * 20_000, daemon.client())).collect();
    for (start, client) in &mut clients {
        let range = format!("Range: bytes={start}-{}", *start + 99_999);
        client.send(format!("GET /large HTTP/1.1\r\nHost: x\r\n{range}\r\n\r\n"));
    }
    for (start, client) in &mut clients {
        let end = (*start + 100_000).min(large.len());
        let response = client.response();
        assert_eq!(response.status, 206);
        assert!(response.body == large[*start..end], "from {start}");
    }
}

#[test]
fn many_parts_of_a_large_file_are_each_right() {
    let site = Site::new(&[]);
    let large = content(2 * MIB);
    site.write("large", &large);
    let daemon = site.serve("range_limit = 100");
    let mut client = daemon.client();
    let ranges: Vec<_> =
        (0..100).map(|n| format!("{}-{}", n * 20_000, n * 20_000 + 9_999)).collect();
    client.send(format!(
        "GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes={}\r\n\r\n",
        ranges.join(",")
    ));
    let response = client.response();
    assert_eq!(response.status, 206);
    for n in [0, 50, 99] {
        let part = &large[n * 20_000..n * 20_000 + 10_000];
        assert!(response.body.windows(part.len()).any(|window| window == part), "{n}");
    }
}

#[test]
fn a_client_that_leaves_is_in_the_log() {
    let site = Site::new(&[]);
    let file = File::create(site.path("a")).unwrap();
    file.set_len(256 * MIB as u64).unwrap();
    let daemon = site.serve("");
    let (mut client, _) = head_of(&daemon, "/a");
    client.take(MIB);
    client.reset();
    let line = daemon.access_lines(1).remove(0);
    assert!(line.contains(" 200 ") && line.contains(" disconnect"), "{line}");
}

#[test]
fn over_tls_and_http2_a_large_file_and_its_parts_are_each_right() {
    let site = Site::new(&[]);
    let large = content(20 * MIB + 5);
    site.write("large", &large);
    let keys = format!("apps = web\n[web]\ncall = files\nroot = {}", site.path("").display());
    let daemon = serve_tls(&keys, &Authority::new());
    let got = site.outside("got");
    let got = |arguments: &[&str]| {
        let output = ["-o", got.to_str().unwrap(), "-w", "%{http_version} %{http_code}"];
        let told = curl_tls(&daemon, "/large", &[&output[..], arguments].concat());
        (told, std::fs::read(&got).unwrap())
    };
    for (version, number) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let (told, bytes) = got(&[version]);
        assert_eq!(told, (true, format!("{number} 200")));
        assert!(bytes == large, "{} bytes over {number}", bytes.len());
        let (start, end) = (MIB - 3, 18 * MIB + 7);
        let (told, bytes) = got(&[version, "-r", &format!("{start}-{}", end - 1)]);
        assert_eq!(told, (true, format!("{number} 206")));
        assert!(bytes == large[start..end], "{} bytes over {number}", bytes.len());
        let (told, bytes) = got(&[version, "-r", "-1000"]);
        assert_eq!(told, (true, format!("{number} 206")));
        assert!(bytes == large[large.len() - 1000..], "{} bytes over {number}", bytes.len());
    }
}
