//! Responses as bytes.

use std::cell::RefCell;
use std::time::Instant;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{StatusCode, Version};
use httpdate::HttpDate;
use hyper::ext::ReasonPhrase;

use crate::per_second::PerSecond;
use crate::title_case;

/// Appends a head whose body has this length, as hyper would write it.
///
/// `None` where there is something special to it, about which hyper knows what is to be done. Then what was
/// appended means nothing.
pub(super) fn write(
    head: &Parts,
    length: u64,
    now: impl FnOnce() -> Instant,
    out: &mut Vec<u8>,
) -> Option<()> {
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless || head.status.is_informational() || head.version != Version::HTTP_11 {
        return None;
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(length).as_bytes();
    out.extend_from_slice(b"HTTP/1.1 ");
    match head.extensions.get::<ReasonPhrase>() {
        None if head.status == StatusCode::OK => out.extend_from_slice(b"200 OK"),
        reason => {
            out.extend_from_slice(head.status.as_str().as_bytes());
            out.push(b' ');
            let canonical = || head.status.canonical_reason().unwrap_or("<none>").as_bytes();
            out.extend_from_slice(reason.map_or_else(canonical, |reason| reason.as_bytes()));
        }
    }
    out.extend_from_slice(b"\r\n");
    let (mut told, mut dated) = (false, false);
    for (name, value) in &head.headers {
        match *name {
            CONTENT_LENGTH if told || value.as_bytes() != digits => return None,
            CONTENT_LENGTH => told = true,
            DATE => dated = true,
            CONNECTION | TRAILER | TRANSFER_ENCODING | UPGRADE => return None,
            _ => {}
        }
        title_case::append(name, out);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !told {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(digits);
        out.extend_from_slice(b"\r\n");
    }
    if !dated {
        out.extend_from_slice(b"Date: ");
        DATE_NOW.with_borrow_mut(|date| {
            let date = date.at(now(), |time| HttpDate::from(time).to_string());
            out.extend_from_slice(date.as_bytes());
        });
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(())
}

thread_local! {
    static DATE_NOW: RefCell<PerSecond> = const { RefCell::new(PerSecond::new()) };
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderValue, Response};

    use super::*;

    fn head(headers: &[(&'static str, &'static str)]) -> Parts {
        let (mut parts, ()) = Response::new(()).into_parts();
        headers.iter().for_each(|(name, value)| {
            parts.headers.append(*name, HeaderValue::from_static(value));
        });
        parts
    }

    fn written(head: &Parts, length: u64) -> String {
        let mut out = Vec::new();
        write(head, length, Instant::now, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn is_plain(head: &Parts, length: u64) -> bool {
        write(head, length, Instant::now, &mut Vec::new()).is_some()
    }

    #[test]
    fn a_head_has_what_the_app_says_its_length_and_the_date() {
        let text = written(&head(&[("server", "x"), ("x-a-b", "1"), ("x-a-b", "2")]), 12);
        let (before, date) = text.split_once("Date: ").unwrap();
        let expected =
            "HTTP/1.1 200 OK\r\nServer: x\r\nX-A-B: 1\r\nX-A-B: 2\r\nContent-Length: 12\r\n";
        assert_eq!(before, expected);
        let date = httpdate::parse_http_date(date.strip_suffix("\r\n\r\n").unwrap()).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(3), "{age:?}");
    }

    #[test]
    fn what_the_app_says_of_length_and_date_stands() {
        let text = written(&head(&[("date", "long ago"), ("content-length", "3")]), 3);
        assert_eq!(text, "HTTP/1.1 200 OK\r\nDate: long ago\r\nContent-Length: 3\r\n\r\n");
    }

    #[test]
    fn reasons_are_those_of_the_app_or_the_usual_ones() {
        let mut head = head(&[]);
        head.status = StatusCode::NOT_FOUND;
        assert!(written(&head, 0).starts_with("HTTP/1.1 404 Not Found\r\n"));
        head.status = StatusCode::from_u16(599).unwrap();
        assert!(written(&head, 0).starts_with("HTTP/1.1 599 <none>\r\n"));
        head.extensions.insert(ReasonPhrase::from_static(b"So It Is"));
        assert!(written(&head, 0).starts_with("HTTP/1.1 599 So It Is\r\n"));
    }

    #[test]
    fn special_heads_are_not_plain() {
        assert!(is_plain(&head(&[]), 3) && is_plain(&head(&[("content-length", "3")]), 3));
        for headers in [
            [("content-length", "4"), ("x", "")],
            [("content-length", "03"), ("x", "")],
            [("content-length", "3"), ("content-length", "3")],
            [("connection", "close"), ("x", "")],
            [("transfer-encoding", "chunked"), ("x", "")],
            [("trailer", "x"), ("x", "")],
            [("upgrade", "x"), ("x", "")],
        ] {
            assert!(!is_plain(&head(&headers), 3), "{headers:?}");
        }
        for status in [101, 103, 204, 304] {
            let mut head = head(&[]);
            head.status = StatusCode::from_u16(status).unwrap();
            assert!(!is_plain(&head, 0), "{status}");
        }
    }
}
