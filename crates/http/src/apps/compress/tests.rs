use std::io::Read;

use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::*;

const LEVELS: Levels = Levels { zstd: 3, br: 4, gzip: 5 };

fn conf() -> Conf {
    Conf {
        types: TYPES.iter().map(|name| (*name).to_owned()).collect(),
        min_size: 10,
        codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
        levels: LEVELS,
        concurrent: 2,
    }
}

fn response(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Response {
    let mut response = Response::new(ResponseBody::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        Coding::Zstd => text = zstd::decode_all(bytes).unwrap(),
        Coding::Br => {
            brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text).unwrap();
        }
        Coding::Gzip => {
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
        }
    }
    text
}

fn slot() -> Slot {
    Slot::take(&Rc::default(), 1).unwrap()
}

fn collected(body: ResponseBody) -> Result<Vec<u8>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Ok(runtime.block_on(body.collect())?.to_bytes().to_vec())
}

#[test]
fn what_is_text_and_large_enough_and_nobody_s_own_suits() {
    let html = ("content-type", "text/html; charset=utf-8");
    let body = "0123456789";
    let suits = |status, headers: &[_], body| conf().suits(&response(status, headers, body), false);
    assert!(suits(200, &[html], body));
    assert!(suits(404, &[("content-type", "TEXT/Plain")], body));
    assert!(suits(200, &[("content-type", "application/json")], body));
    assert!(!suits(200, &[html], "012345678"), "one byte less");
    for status in [204, 206, 304] {
        assert!(!suits(status, &[html], body), "{status}");
    }
    assert!(!suits(200, &[], body));
    for kind in ["image/png", "application/json2", "textual/html", "text", ""] {
        assert!(!suits(200, &[("content-type", kind)], body), "{kind}");
    }
    for header in [
        ("content-encoding", "gzip"),
        ("content-range", "bytes 0-1/2"),
        ("cache-control", "public, No-Transform"),
        ("content-digest", "sha-256=:x:"),
    ] {
        assert!(!suits(200, &[html, header], body), "{header:?}");
    }
    let head = |length| conf().suits(&response(200, &[html, ("content-length", length)], ""), true);
    assert!(head("10") && !head("9"));
}

#[test]
fn headers_say_what_happened_to_the_body() {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("etag", "\"x\""), ("content-length", "5"), ("accept-ranges", "bytes"), ("vary", "Origin")]
    {
        headers.insert(name, value.parse().unwrap());
    }
    vary(&mut headers);
    vary(&mut headers);
    mark(&mut headers, Coding::Br);
    assert_eq!(headers["etag"], "W/\"x\"");
    assert_eq!(headers["content-encoding"], "br");
    assert!(!headers.contains_key("content-length") && !headers.contains_key("accept-ranges"));
    let vary: Vec<_> = headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["Origin", "Accept-Encoding"]);
    mark(&mut headers, Coding::Br);
    assert_eq!(headers["etag"], "W/\"x\"");
}

#[test]
fn small_bodies_have_a_length_and_what_would_grow_stays() {
    let text = "so much of the same, ".repeat(50);
    for coding in conf().codings {
        let body = ResponseBody::from(text.clone());
        let (body, done) = conf().encode(body, coding, false, slot()).unwrap();
        let ResponseBody::Full(bytes) = body else { panic!("{body:?}") };
        assert!(done && bytes.len() < text.len());
        assert_eq!(decoded(coding, &bytes), text.as_bytes());
        let body = ResponseBody::from("0123456789");
        let (body, done) = conf().encode(body, coding, false, slot()).unwrap();
        assert!(!done && matches!(body, ResponseBody::Full(bytes) if bytes == "0123456789"));
    }
}

#[test]
fn large_bodies_come_out_whole_at_every_level() {
    let text: String = (0..60_000).map(|n| format!("{} ", n * 7919 % 10_007)).collect();
    for level in [1, 5, 7] {
        let conf = Conf { levels: Levels { zstd: level, br: level, gzip: level }, ..conf() };
        for coding in conf.codings.clone() {
            let body = ResponseBody::from(text.clone());
            let (body, done) = conf.encode(body, coding, false, slot()).unwrap();
            assert!(done && body.size_hint().exact().is_none());
            let bytes = collected(body).unwrap();
            assert!(bytes.len() < text.len() / 2, "{} of {}", bytes.len(), text.len());
            assert!(decoded(coding, &bytes) == text.as_bytes(), "{coding:?} {level}");
        }
    }
}

#[test]
fn a_body_that_breaks_off_is_not_ended_as_if_it_were_whole() {
    let pieces =
        ["first ".into(), "second".into()].map(|piece: bytes::Bytes| Ok(Frame::data(piece)));
    let broken = futures_util::stream::iter(pieces.into_iter().chain([Err(Error::internal("x"))]));
    let body = ResponseBody::stream(StreamBody::new(broken));
    let (body, _) = conf().encode(body, Coding::Gzip, false, slot()).unwrap();
    assert!(collected(body).is_err());
}

#[test]
fn slots_are_bounded_and_given_back() {
    let open = Rc::default();
    let first = Slot::take(&open, 2);
    let second = Slot::take(&open, 2);
    assert!(first.is_some() && second.is_some() && Slot::take(&open, 2).is_none());
    drop(first);
    assert!(Slot::take(&open, 2).is_some());
}

#[test]
fn a_pattern_is_a_media_type() {
    for good in ["text/*", "text/html", "application/ld+json", "image/svg+xml"] {
        assert!(is_pattern(good), "{good}");
    }
    for bad in ["text", "*/*", "text/", "/html", "text/*x", "text/html;q=1", "te xt/html"] {
        assert!(!is_pattern(bad), "{bad}");
    }
}
