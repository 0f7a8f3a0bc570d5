use std::collections::VecDeque;
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::codings::BESIDE;
use super::conditions::{self, Verdict};
use super::ranges::{Ranges, ranges};
use super::resource::{Form, Resource};
use crate::accept_encoding::{Coding, Wishes};
use crate::body::{Part, Response, ResponseBody};
use crate::error::{Error, plain};

/// What the methods of a file are.
pub(super) const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Answers a `GET` or `HEAD` with a file. `range_limit`: how many ranges it may ask for.
pub(super) fn answer(
    resource: &Resource,
    method: &Method,
    headers: &HeaderMap,
    range_limit: usize,
) -> Result<Response, Error> {
    let form = match resource.forms() {
        [form] => form,
        _ => match choose(resource, headers) {
            Some(form) => form,
            None => return Err(not_acceptable()),
        },
    };
    if conditions::are_none(headers) {
        return Ok(whole(form));
    }
    match form.validators().judge(headers) {
        Verdict::Go => {}
        Verdict::NotModified => return Ok(not_modified(form)),
        Verdict::Failed => return Err(Error::status(StatusCode::PRECONDITION_FAILED, "")),
    }
    let ranges = match headers.get(header::RANGE) {
        Some(range) if *method == Method::GET && !whole_wanted(form, headers) => {
            ranges(range.as_bytes(), form.length(), range_limit)
        }
        _ => Ranges::Whole,
    };
    Ok(match ranges {
        Ranges::Whole => whole(form),
        Ranges::Unsatisfiable => return Err(unsatisfiable(form)),
        Ranges::Parts(parts) => match parts.as_slice() {
            [part] => single(form, part),
            parts => several(form, parts),
        },
    })
}

fn choose<'a>(resource: &'a Resource, headers: &HeaderMap) -> Option<&'a Form> {
    let wishes = Wishes::of(headers);
    let there = |coding: &Coding| resource.form(Some(*coding)).is_some();
    match wishes.choose(BESIDE.into_iter().filter(there)) {
        None if !wishes.accepts_identity() => None,
        coding => resource.form(coding),
    }
}

fn whole_wanted(form: &Form, headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_RANGE)
        && form.validators().is_whole_wanted(headers, SystemTime::now())
}

fn with(status: StatusCode, headers: HeaderMap, body: ResponseBody) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn whole(form: &Form) -> Response {
    with(StatusCode::OK, form.headers.clone(), form.part(0, form.length()).into())
}

/// What a cache wants to know of what it has (RFC 9110 15.4.5).
fn not_modified(form: &Form) -> Response {
    let mut headers = HeaderMap::with_capacity(4);
    for name in [header::ETAG, header::CACHE_CONTROL, header::VARY] {
        if let Some(value) = form.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    with(StatusCode::NOT_MODIFIED, headers, ResponseBody::Empty)
}

fn not_acceptable() -> Error {
    let text = "406 Not Acceptable: there is none of the codings in Accept-Encoding";
    Error::status(StatusCode::NOT_ACCEPTABLE, text)
        .with_header(header::VARY, HeaderValue::from_static("Accept-Encoding"))
}

fn unsatisfiable(form: &Form) -> Error {
    let text = format!("416 Range Not Satisfiable: the file has {} bytes", form.length());
    Error::status(StatusCode::RANGE_NOT_SATISFIABLE, text)
        .with_header(header::CONTENT_RANGE, value(format!("bytes */{}", form.length())))
        .with_header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}

fn single(form: &Form, range: &Range<u64>) -> Response {
    let mut headers = form.headers.clone();
    headers.insert(header::CONTENT_RANGE, value(content_range(range, form.length())));
    let body = form.part(range.start, range.end - range.start).into();
    with(StatusCode::PARTIAL_CONTENT, headers, body)
}

/// RFC 9110 14.6.
fn several(form: &Form, ranges: &[Range<u64>]) -> Response {
    // Nothing that a file has by chance.
    let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut headers = form.headers.clone();
    let content_type = value(format!("multipart/byteranges; boundary={boundary}"));
    let of_part = headers.insert(header::CONTENT_TYPE, content_type);
    let of_part = of_part.as_ref().and_then(|of_part| of_part.to_str().ok()).unwrap_or_default();
    let mut parts = VecDeque::with_capacity(2 * ranges.len() + 1);
    for (index, range) in ranges.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\r\n" };
        let content_range = content_range(range, form.length());
        let head = format!(
            "{separator}--{boundary}\r\nContent-Type: {of_part}\r\nContent-Range: {content_range}\r\n\r\n"
        );
        parts.push_back(Part::Bytes(Bytes::from(head)));
        parts.push_back(form.part(range.start, range.end - range.start));
    }
    parts.push_back(Part::Bytes(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    with(StatusCode::PARTIAL_CONTENT, headers, ResponseBody::Parts(parts))
}

fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
}

fn value(text: String) -> HeaderValue {
    // Digits, letters and spaces.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The answer to `OPTIONS`.
pub(super) fn options() -> Response {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, ALLOWED);
    response
}

/// The answer to other methods.
pub(super) fn not_allowed() -> Error {
    let text = "405 Method Not Allowed: files can be read by GET and HEAD";
    Error::status(StatusCode::METHOD_NOT_ALLOWED, text).with_header(header::ALLOW, ALLOWED)
}

/// The way to a directory: its name with a slash behind it, relative to the request's own target. So
/// no target makes it lead to another host, and whatever a proxy has taken off is still there.
pub(super) fn to_slash(path: &str, query: Option<&str>) -> Response {
    // Browsers take a backslash for a slash.
    let name = path.rsplit('/').next().unwrap_or_default().replace('\\', "%5C");
    // `a:b` alone would be a scheme (RFC 3986 4.2).
    let here = if name.contains(':') { "./" } else { "" };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = value(format!("{here}{name}/{query}"));
    let mut response = plain(StatusCode::MOVED_PERMANENTLY, "301 Moved Permanently\n".to_owned());
    response.headers_mut().insert(header::LOCATION, location);
    response
}
