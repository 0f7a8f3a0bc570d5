//! What hyper lets through and we do not: asked once per request, before any app.

use brim_config::RequestPath;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

mod authority;

use crate::error::Error;
use crate::exchange::{HEAD_TOO_LARGE, URI_TOO_LONG};
use crate::txn;
use crate::worker::Limits;

/// What the headers say that Brim itself wants to know, found in one pass over them.
#[derive(Debug, Default)]
pub(crate) struct Survey<'a> {
    bytes: usize,
    lines: usize,
    hosts: usize,
    host: Option<&'a HeaderValue>,
    coding: Option<&'a HeaderValue>,
    codings: usize,
    length: Option<&'a HeaderValue>,
    odd_expectation: bool,
    /// The client may wait for a 100 before it sends its body.
    pub(crate) expectation: bool,
    pub(crate) txn: Option<&'a HeaderValue>,
    pub(crate) referer: Option<&'a HeaderValue>,
    pub(crate) user_agent: Option<&'a HeaderValue>,
}

impl<'a> Survey<'a> {
    /// Looks at every header once.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut survey = Self::default();
        for (name, value) in headers {
            // As on the wire: a colon, a space and CRLF.
            survey.bytes += name.as_str().len() + value.len() + 4;
            survey.lines += 1;
            match *name {
                header::HOST => {
                    survey.hosts += 1;
                    survey.host = Some(value);
                }
                header::USER_AGENT => survey.user_agent = survey.user_agent.or(Some(value)),
                header::REFERER => survey.referer = survey.referer.or(Some(value)),
                header::CONTENT_LENGTH => survey.length = Some(value),
                header::TRANSFER_ENCODING => {
                    survey.codings += 1;
                    survey.coding = Some(value);
                }
                header::EXPECT => {
                    let known = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
                    survey.expectation = true;
                    survey.odd_expectation |= !known;
                }
                _ if *name == txn::HEADER => survey.txn = survey.txn.or(Some(value)),
                _ => {}
            }
        }
        survey
    }
}

/// Refuses a request that is malformed or larger than the limits; else its path, in the one form that
/// counts.
pub(crate) fn admit(
    head: &Parts,
    survey: &Survey<'_>,
    limits: &Limits,
) -> Result<RequestPath, Error> {
    size(head, survey, limits)?;
    if matches!(head.method, Method::TRACE | Method::CONNECT) {
        // Not 405: that says (and has to list) what the target allows, and here nobody asked it.
        return refuse(StatusCode::NOT_IMPLEMENTED, "TRACE and CONNECT are not served");
    }
    target(head)?;
    host(head.version, survey)?;
    values(head)?;
    framing(survey)?;
    if survey.odd_expectation {
        let reason = "the only expectation is 100-continue";
        return refuse(StatusCode::EXPECTATION_FAILED, reason);
    }
    let length = survey.length.and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limits.any_body => {
            Err(Error::BodyTooLarge { limit: limits.any_body })
        }
        _ => RequestPath::of(head.uri.path())
            .map_err(|bad| Error::refused(StatusCode::BAD_REQUEST, bad.reason())),
    }
}

fn refuse<T>(status: StatusCode, reason: &'static str) -> Result<T, Error> {
    Err(Error::refused(status, reason))
}

fn size(head: &Parts, survey: &Survey<'_>, limits: &Limits) -> Result<(), Error> {
    let target = target_length(head);
    if target > limits.uri {
        return refuse(StatusCode::URI_TOO_LONG, URI_TOO_LONG);
    }
    // As on the wire: two spaces, the version and CRLF in the request line, CRLF at the end.
    let line = head.method.as_str().len() + target + 12;
    if survey.lines > limits.headers || line + survey.bytes + 2 > limits.head {
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

/// RFC 9112 section 3.2: the form of the target fits the method. (CONNECT is refused before.)
fn target(head: &Parts) -> Result<(), Error> {
    let uri = &head.uri;
    let (fits, reason) = match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path() == "*" => {
            (head.method == Method::OPTIONS, "the target * is for OPTIONS only")
        }
        // HTTP/2 may have a query alone.
        (None, None) => {
            let begins = uri.path_and_query().is_some_and(|path| path.as_str().starts_with('/'));
            (begins, "the target does not begin with a slash")
        }
        (None, Some(_)) => (false, "the target is neither a path nor a URL"),
        // RFC 9110 section 4.2: a host, and no user.
        (Some("http" | "https"), Some(authority)) => {
            let authority = authority.as_str();
            let is_one = !authority.is_empty() && authority::is_valid(authority.as_bytes());
            (is_one, "the target's host is malformed")
        }
        (Some(_), _) => (false, "the target is neither an http nor an https URL"),
    };
    if fits { Ok(()) } else { refuse(StatusCode::BAD_REQUEST, reason) }
}

/// RFC 9112 section 3.2: exactly one Host in HTTP/1.1, and a valid one.
fn host(version: Version, survey: &Survey<'_>) -> Result<(), Error> {
    let reason = match (version, survey.hosts, survey.host) {
        (Version::HTTP_10, 0, _) => return Ok(()),
        (_, 1, Some(host)) if authority::is_valid(host.as_bytes()) => return Ok(()),
        (_, 1, _) => "the Host header is malformed",
        (_, 0, _) => "the Host header is missing",
        _ => "there is more than one Host header",
    };
    refuse(StatusCode::BAD_REQUEST, reason)
}

/// RFC 9112 section 3.2.2: where the target names a host, that is the Host, whatever the header says.
pub(crate) fn settle_host(head: &mut Parts) {
    let Some(authority) = head.uri.authority() else { return };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        head.headers.insert(header::HOST, host);
    }
}

/// RFC 9113 section 8.2.1: white space around a value, which HTTP/1 takes off while it reads.
fn values(head: &Parts) -> Result<(), Error> {
    let is_padded = |value: &HeaderValue| {
        let value = value.as_bytes();
        [value.first(), value.last()].iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'))
    };
    if head.version == Version::HTTP_2 && head.headers.values().any(is_padded) {
        return refuse(StatusCode::BAD_REQUEST, "there is white space around a header's value");
    }
    Ok(())
}

/// RFC 9112 section 6: one way to tell where a body ends. (hyper takes out a Content-Length beside a
/// Transfer-Encoding, and closes the connection after the answer: section 6.1.)
fn framing(survey: &Survey<'_>) -> Result<(), Error> {
    let Some(coding) = survey.coding else { return Ok(()) };
    if survey.codings > 1 || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return refuse(StatusCode::NOT_IMPLEMENTED, "the only Transfer-Encoding is chunked");
    }
    Ok(())
}
