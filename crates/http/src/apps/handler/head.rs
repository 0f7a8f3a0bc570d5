//! Heads: what a handler is told of a request, and what a client gets of an answer.

use brim_service::tls::ClientCertificate;
use brim_wire::link::{CERTIFICATE, Class, LinkError, RequestHead, append_request};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;

use super::link::{Answer, KEEP_ALIVE};
use crate::app::Request;
use crate::apps::proxy::forwarded::Origin;
use crate::body::Response;
use crate::error::Error;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a request is sent as, whichever link carries it.
pub(super) struct Outgoing {
    pub(super) request: Request,
    pub(super) class: Class,
}

impl Outgoing {
    pub(super) fn is_head(&self) -> bool {
        *self.request.method() == Method::HEAD
    }

    /// Appends the frame. `length` of the body, if it is known; 0 is its end.
    pub(super) fn append(
        &self,
        out: &mut Vec<u8>,
        id: u64,
        handler: &str,
        length: Option<u64>,
    ) -> Result<(), LinkError> {
        let (parts, exchange) = (self.request.parts(), self.request.exchange());
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let pattern = self.request.route().map_or("/", |route| route.pattern());
        let head = RequestHead {
            class: self.class,
            version: match parts.version {
                Version::HTTP_10 => 10,
                Version::HTTP_2 => 20,
                _ => 11,
            },
            is_https: exchange.peer.secure,
            connection: exchange.peer.connection.number,
            length,
            client: exchange.client_text.as_deref().unwrap_or_default().as_bytes(),
            handler: handler.as_bytes(),
            pattern: pattern.as_bytes(),
            method: parts.method.as_str().as_bytes(),
            target: target.as_bytes(),
        };
        let origin = Origin {
            peer: exchange.peer.text.as_deref(),
            trusted: exchange.trusts_peer(),
            scheme: exchange.scheme(),
            host: None,
            headers: &parts.headers,
        };
        let from = origin.path();
        let from = Some(from.as_bytes()).filter(|from| !from.is_empty());
        let from = from.map(|from| ("x-forwarded-for".as_bytes(), from));
        let is_upgrade = self.class == Class::WebSocket;
        let headers = parts.headers.iter().filter(|(name, _)| is_for_handler(name, is_upgrade));
        let headers = headers.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let shown = exchange.client_certificate().map(ClientCertificate::sha1);
        let shown = shown.map(|sha1| (CERTIFICATE, sha1.as_bytes()));
        append_request(out, id, &head, headers.chain(from).chain(shown), length == Some(0))
    }
}

/// Whether a handler sees a header. It does not see how the body came, for it gets that without its framing;
/// and we say ourselves where the request came from.
fn is_for_handler(name: &HeaderName, is_upgrade: bool) -> bool {
    match *name {
        header::TRANSFER_ENCODING | header::TE | header::TRAILER => false,
        header::UPGRADE => is_upgrade,
        _ => *name != FORWARDED_FOR && *name != KEEP_ALIVE,
    }
}

/// Whether a request is a WebSocket handshake (RFC 6455 section 4.2.1). One without a key is a request
/// like others.
///
/// # Errors
///
/// It is one of a version that is not spoken here.
pub(super) fn is_websocket(request: &Request, has_body: bool) -> Result<bool, Error> {
    let headers = request.headers();
    // Of few headers, a look at each takes less than a search.
    let upgrade = headers.iter().find(|(name, _)| matches!(**name, header::UPGRADE));
    let Some((_, upgrade)) = upgrade else { return Ok(false) };
    let asks = request.version() == Version::HTTP_11
        && *request.method() == Method::GET
        && !has_body
        && has_token(upgrade, "websocket")
        && headers.get_all(header::CONNECTION).iter().any(|value| has_token(value, "upgrade"))
        && headers.get(header::SEC_WEBSOCKET_KEY).is_some_and(|key| is_key(key.as_bytes()));
    match headers.get(header::SEC_WEBSOCKET_VERSION) {
        Some(version) if asks && version.as_bytes().trim_ascii() == b"13" => Ok(true),
        Some(_) if asks => {
            let spoken = HeaderValue::from_static("13");
            let status = StatusCode::UPGRADE_REQUIRED;
            Err(Error::status(status, "426 Upgrade Required: WebSocket version 13 is spoken here")
                .with_header(header::SEC_WEBSOCKET_VERSION, spoken))
        }
        _ => Ok(false),
    }
}

fn has_token(value: &HeaderValue, wanted: &str) -> bool {
    let mut tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tokens.any(|token| token.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Sixteen bytes in base64.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24 && key.ends_with(b"==")
}

/// Status and headers for the client, without the length of a body; `None` where the answer makes no sense.
pub(super) fn response(answer: Answer) -> Option<Response> {
    let mut response = Response::default();
    let status = StatusCode::from_u16(answer.status).ok()?;
    *response.status_mut() = status;
    *response.headers_mut() = answer.headers;
    if !answer.reason.is_empty() {
        let reason = ReasonPhrase::try_from(answer.reason).ok()?;
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    if answer.is_upgrade {
        switch(headers);
    }
    Some(response)
}

/// Says that the connection switches.
fn switch(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Statuses whose responses have no body.
pub(super) fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
