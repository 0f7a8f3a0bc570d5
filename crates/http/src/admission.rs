//! What hyper lets through and we do not: asked once per request, before any app.

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version, header};

use crate::error::Error;
use crate::exchange::{HEAD_TOO_LARGE, URI_TOO_LONG};
use crate::worker::Limits;

/// Refuses a request that is malformed or larger than the limits.
pub(crate) fn admit(head: &Parts, limits: &Limits) -> Result<(), Error> {
    size(head, limits)?;
    if matches!(head.method, Method::TRACE | Method::CONNECT) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "TRACE and CONNECT are not served");
    }
    host(head)?;
    framing(&head.headers)?;
    expectation(&head.headers)?;
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limits.body => Err(Error::BodyTooLarge { limit: limits.body }),
        _ => Ok(()),
    }
}

fn refuse<T>(status: StatusCode, reason: &'static str) -> Result<T, Error> {
    Err(Error::refused(status, reason))
}

fn size(head: &Parts, limits: &Limits) -> Result<(), Error> {
    let target = target_length(head);
    if target > limits.uri {
        return refuse(StatusCode::URI_TOO_LONG, URI_TOO_LONG);
    }
    // As on the wire: the request line with its two spaces and version, `: ` and CRLF per header.
    let line = head.method.as_str().len() + target + 12;
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if head.headers.len() > limits.headers || line + headers.sum::<usize>() + 2 > limits.head {
        return refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, HEAD_TOO_LARGE);
    }
    Ok(())
}

fn target_length(head: &Parts) -> usize {
    let uri = &head.uri;
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + 3);
    path + scheme + uri.authority().map_or(0, |authority| authority.as_str().len())
}

/// RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
fn host(head: &Parts) -> Result<(), Error> {
    let count = head.headers.get_all(header::HOST).iter().count();
    match (head.version, count) {
        (_, 1) | (Version::HTTP_10, 0) => Ok(()),
        (_, 0) => refuse(StatusCode::BAD_REQUEST, "the Host header is missing"),
        _ => refuse(StatusCode::BAD_REQUEST, "there is more than one Host header"),
    }
}

/// RFC 9112 section 6: one way to tell where a body ends.
fn framing(headers: &HeaderMap) -> Result<(), Error> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if headers.contains_key(header::CONTENT_LENGTH) {
        return refuse(StatusCode::BAD_REQUEST, "both Content-Length and Transfer-Encoding");
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return refuse(StatusCode::NOT_IMPLEMENTED, "the only Transfer-Encoding is chunked");
    }
    Ok(())
}

fn expectation(headers: &HeaderMap) -> Result<(), Error> {
    let known = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    match headers.get_all(header::EXPECT).iter().all(known) {
        true => Ok(()),
        false => refuse(StatusCode::EXPECTATION_FAILED, "the only expectation is 100-continue"),
    }
}
