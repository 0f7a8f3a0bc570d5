//! The compress app.

use std::io::Read;

use crate::support::{Daemon, Home, curl, eventually, serve, serve_trial};

/// `stream` of trial.rs as text, compressed.
fn streaming(keys: &str) -> Daemon {
    serve_trial(&format!(
        "apps = c type stream echo\n[c]\ncall = compress\n{keys}\n[type]\ncall = headers\n\
         set = Content-Type: text/event-stream\n      ETag: \"strong\"\n"
    ))
}

fn url(daemon: &Daemon, target: &str) -> String {
    format!("http://{}{target}", daemon.address())
}

#[test]
fn curl_gets_the_same_bytes_in_every_coding() {
    let daemon = streaming("");
    let target = url(&daemon, "/stream?pieces=40&size=100000");
    for coding in ["gzip", "br", "zstd"] {
        let wanted = format!("Accept-Encoding: {coding}");
        let head = curl(&["-s", "-D", "-", "-o", "/dev/null", "-H", &wanted, &target]);
        assert!(head.contains(&format!("Content-Encoding: {coding}\r\n")), "{head}");
        assert!(head.contains("Vary: Accept-Encoding\r\n"), "{head}");
        assert!(head.contains("Etag: W/\"strong\"\r\n"), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        let features = curl(&["--version"]);
        if features.contains(coding) || coding == "gzip" && features.contains("libz") {
            let body = curl(&["-s", "--compressed", "-H", &wanted, &target]);
            assert!(body.len() == 4_000_000 && body.bytes().all(|byte| byte == b'x'), "{coding}");
        } else {
            eprintln!("skipped: this curl does not know {coding}");
        }
        let sent =
            curl(&["-s", "-o", "/dev/null", "-w", "%{size_download}", "-H", &wanted, &target]);
        assert!(sent.parse::<u64>().unwrap() < 40_000, "{coding}: {sent}");
    }
}

#[test]
fn who_does_not_ask_gets_it_as_it_is_and_caches_are_told() {
    let daemon = streaming("");
    for accepted in ["identity", "gzip;q=0", "deflate", "gzip;q=2"] {
        let mut client = daemon.client();
        client.send(format!(
            "GET /stream?size=2000 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {accepted}\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!(response.header("content-encoding"), None, "{accepted}");
        assert_eq!(response.header("etag"), Some("\"strong\""));
        assert_eq!(response.header("vary"), Some("Accept-Encoding"));
        assert_eq!(response.body.len(), 6000);
    }
}

#[test]
fn an_event_passes_before_the_next_one_is_there() {
    let daemon = streaming("");
    for coding in ["gzip", "br", "zstd"] {
        let mut client = daemon.client();
        client.send(format!(
            "GET /stream?pieces=2&size=100&seconds=1 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n"
        ));
        client.head();
        // The first chunk ends with all of the first event, as far as its decoder is concerned.
        let mut raw = Vec::new();
        let text = eventually("the first event", || {
            let mut piece = [0; 1024];
            let count = client.stream.read(&mut piece).unwrap();
            raw.extend_from_slice(&piece[..count]);
            Some(decoded(coding, &unchunked(&raw))).filter(|text| text.len() >= 100)
        });
        assert_eq!(text.len(), 100);
    }
}

/// The data of the chunks that are whole.
fn unchunked(mut raw: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = raw.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = raw.get(end + 2..end + 2 + size) else { break };
        data.extend_from_slice(chunk);
        raw = raw.get(end + size + 4..).unwrap_or_default();
    }
    data
}

/// As much as can be decoded of what has come.
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut decoder: Box<dyn Read + '_> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
    };
    let mut byte = [0; 1];
    while decoder.read(&mut byte).is_ok_and(|count| count == 1) {
        text.push(byte[0]);
    }
    text
}

#[test]
fn what_is_small_or_of_another_type_is_left_alone() {
    let keys = "apps = c type echo\n[c]\ncall = compress\n[type]\ncall = headers\ndefault = Content-Type: ";
    for (kind, size, compressed) in
        [("text/plain", 1023, false), ("text/plain", 1024, true), ("image/png", 5000, false)]
    {
        let daemon = serve(&format!("{keys}{kind}"));
        let mut client = daemon.client();
        let body = "a".repeat(size);
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nContent-Length: {size}\r\n\r\n{body}"
        ));
        let response = client.response();
        let encoded = response.header("content-encoding") == Some("gzip");
        assert_eq!(encoded, compressed, "{kind} {size}");
        let length: usize = response.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length < 100, compressed, "{length}");
        assert_eq!(client.get("/echo").status, 200, "the connection goes on");
    }
}

#[test]
fn a_head_has_the_headers_of_a_get_and_the_connection_goes_on() {
    let daemon = streaming("");
    let mut client = daemon.client();
    let head = "HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\n\r\n";
    client.send(format!("GET /stream?size=2000 {head}"));
    let get = client.response();
    client.send(format!("HEAD /stream?size=2000 {head}"));
    let head = client.response_to_head();
    for name in ["content-encoding", "content-type", "vary", "etag", "content-length"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(client.get("/echo").status, 200);
}

#[test]
fn one_more_than_concurrent_is_sent_as_it_is() {
    let daemon = streaming("concurrent = 1");
    let request = "HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n";
    let mut first = daemon.client();
    first.send(format!("GET /stream?pieces=2&seconds=30&size=2000 {request}"));
    assert!(first.head().contains("Content-Encoding: gzip"));
    let ask = || {
        let mut client = daemon.client();
        client.send(format!("GET /stream?size=2000 {request}"));
        client.response().header("content-encoding").map(str::to_owned)
    };
    assert_eq!(ask(), None);
    first.reset();
    eventually("room", ask);
}

#[test]
fn a_body_that_breaks_off_is_cut_and_not_ended() {
    let daemon = streaming("");
    let mut client = daemon.client();
    client.send("GET /stream?pieces=3&size=5000&end=error HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
    client.head();
    let rest = client.rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    assert_eq!(daemon.access_lines(1)[0].split(' ').nth(15), Some("disconnect"));
}

#[test]
fn files_are_compressed_and_their_ranges_and_conditions_go_on() {
    let home = Home::new("").shared();
    let root = home.path("site");
    std::fs::create_dir(&root).unwrap();
    let text: String = (0..40_000).map(|line| format!("line {line}\n")).collect();
    std::fs::write(root.join("a.txt"), &text).unwrap();
    let keys =
        format!("apps = c f\n[c]\ncall = compress\n[f]\ncall = files\nroot = {}", root.display());
    home.configure(&keys);
    let daemon = home.start();
    let target = url(&daemon, "/a.txt");
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        let body = curl(&["-s", "--compressed", "-H", &accept, &target]);
        assert!(body == text, "{coding}: {} of {} bytes", body.len(), text.len());
    }
    let mut client = daemon.client();
    let mut ask = |method: &str, header: &str| {
        client.send(format!(
            "{method} /a.txt HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n{header}\r\n"
        ));
        match method == "HEAD" || header.starts_with("If-None-Match") {
            true => client.response_to_head(),
            false => client.response(),
        }
    };
    let whole = ask("GET", "");
    assert_eq!(whole.header("content-encoding"), Some("gzip"));
    assert_eq!((whole.header("content-length"), whole.header("accept-ranges")), (None, None));
    let tag = whole.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let head = ask("HEAD", "");
    for name in ["content-encoding", "content-length", "etag", "vary"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    let part = ask("GET", "Range: bytes=0-9\r\n");
    assert_eq!((part.status, part.text()), (206, &text[..10]));
    assert_eq!(part.header("content-encoding"), None);
    let strong = tag.strip_prefix("W/").unwrap();
    for (held, told) in [(tag.as_str(), tag.as_str()), (strong, strong), ("*", strong)] {
        let same = ask("GET", &format!("If-None-Match: {held}\r\n"));
        assert_eq!((same.status, same.header("etag")), (304, Some(told)), "{held}");
    }
    // Of a weak tag no part can be had: the client would join bytes that do not belong together.
    let whole = ask("GET", &format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n"));
    assert_eq!((whole.status, whole.header("content-encoding")), (200, Some("gzip")));
}
