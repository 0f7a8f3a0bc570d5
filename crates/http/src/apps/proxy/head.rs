//! Heads on their way through: what belongs to one hop stays there.

use std::rc::Rc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use http_body::Body as _;

use super::conf::{Conf, ForwardHost, Protocol, Spec};
use super::forwarded::Origin;
use super::upload::Upload;
use crate::app::{Head, Request};
use crate::error::{Error, UpstreamFailure};
use crate::exchange::Exchange;
use crate::txn;

/// What a request is sent as, whichever upstream gets it.
pub(super) struct Outgoing {
    head: Box<Head>,
    pub(super) exchange: Rc<Exchange>,
    pub(super) upload: Upload,
    target: Uri,
    /// The Host that the client asked for.
    host: Option<HeaderValue>,
    /// Headers that the client's `Connection` names.
    listed: Vec<HeaderName>,
    /// The protocol to which the client wants to switch, and may.
    upgrade: Option<HeaderValue>,
    trusted: bool,
}

impl Outgoing {
    pub(super) fn new(conf: &Conf, request: Request) -> Result<Self, Error> {
        let target = target(&request, conf.strip_prefix)?;
        let (head, body, exchange) = request.into_parts();
        let (upload, parts) = (Upload::new(body), &head.parts);
        Ok(Self {
            target,
            // Admission has seen to it that this is one, and the target's where that has one.
            host: parts.headers.get(header::HOST).filter(|host| !host.is_empty()).cloned(),
            listed: listed(&parts.headers)?,
            upgrade: upgrade(conf, parts).filter(|_| upload.is_empty()).cloned(),
            trusted: exchange.trusts_peer(),
            head,
            exchange,
            upload,
        })
    }

    pub(super) fn method(&self) -> &Method {
        &self.head.parts.method
    }

    pub(super) fn is_head(&self) -> bool {
        self.head.parts.method == Method::HEAD
    }

    pub(super) fn upgrade(&self) -> Option<&HeaderValue> {
        self.upgrade.as_ref()
    }

    /// The request for one upstream.
    pub(super) fn request(&self, conf: &Conf, spec: &Spec) -> http::Request<Upload> {
        let head = &self.head.parts;
        let mut headers = HeaderMap::with_capacity(head.headers.len() + 8);
        let host = match &conf.forward_host {
            ForwardHost::Client => self.host.as_ref().unwrap_or(&spec.host),
            ForwardHost::Upstream => &spec.host,
            ForwardHost::Name(name) => name,
        };
        headers.append(header::HOST, host.clone());
        for (name, value) in &head.headers {
            let stays = is_of_one_hop(name) || is_ours(name) || self.listed.contains(name);
            if !stays && (self.trusted || !is_about_client(name)) {
                headers.append(name.clone(), value.clone());
            }
        }
        self.tell(conf, &mut headers);
        frame(&self.upload, &head.method, &mut headers);
        if let Some(protocol) = &self.upgrade {
            switch(&mut headers, protocol);
        }
        let mut request = http::Request::new(self.upload.clone());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = headers;
        request
    }

    /// Adds what is ours to say.
    fn tell(&self, conf: &Conf, headers: &mut HeaderMap) {
        let (head, exchange) = (&self.head.parts, &*self.exchange);
        let origin = Origin {
            peer: exchange.peer.text.as_deref(),
            trusted: self.trusted,
            scheme: exchange.scheme(),
            host: self.host.as_ref(),
            headers: &head.headers,
        };
        if conf.forwarded.x_forwarded() {
            origin.x_forwarded(headers);
        }
        if conf.forwarded.forwarded() {
            origin.forwarded(headers);
        }
        if let Ok(txn) = HeaderValue::from_str(exchange.txn()) {
            headers.insert(txn::HEADER, txn);
        }
        if conf.via {
            let via = match head.version {
                Version::HTTP_10 => "1.0 brim",
                Version::HTTP_2 => "2.0 brim",
                _ => "1.1 brim",
            };
            headers.append(header::VIA, HeaderValue::from_static(via));
        }
    }
}

/// The protocol that the client asks for, if it is one of those that may be.
fn upgrade<'a>(conf: &Conf, head: &'a Parts) -> Option<&'a HeaderValue> {
    if head.version != Version::HTTP_11 {
        return None;
    }
    let mut wanted = head.headers.get_all(header::UPGRADE).iter();
    let (protocol, None) = (wanted.next()?, wanted.next()) else { return None };
    let known = |known: &Protocol| protocol.as_bytes().eq_ignore_ascii_case(known.0.as_bytes());
    let asks = head.headers.get_all(header::CONNECTION).iter().any(|value| {
        let tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        tokens.into_iter().any(|token| token.eq_ignore_ascii_case(b"upgrade"))
    });
    (asks && conf.upgrade.iter().any(known)).then_some(protocol)
}

/// Says that the connection switches to a protocol, or is to.
fn switch(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

/// A body's length, or that it comes in chunks. hyper would guess, from the method.
fn frame(upload: &Upload, method: &Method, headers: &mut HeaderMap) {
    if !upload.is_empty() {
        match upload.size_hint().exact() {
            Some(length) => headers.insert(header::CONTENT_LENGTH, length.into()),
            None => headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        };
    } else if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// The target in origin-form, or the asterisk, without dot segments.
fn target(request: &Request, strip_prefix: bool) -> Result<Uri, Error> {
    let uri = request.uri();
    let strips = strip_prefix && request.route().is_some();
    let path = if strips { request.forward_rest() } else { request.forward_path() };
    if !strips && uri.authority().is_none() && path == uri.path() {
        return Ok(uri.clone());
    }
    let mut target = String::with_capacity(uri.path().len() + 1);
    if !path.starts_with('*') {
        // What is left may begin with another slash, and would look like a host.
        target.push('/');
    }
    target.push_str(path.trim_start_matches('/'));
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    target.parse().map_err(|_| bad("the target is malformed"))
}

fn bad(reason: &'static str) -> Error {
    Error::refused(StatusCode::BAD_REQUEST, reason)
}

/// The names in `Connection`, without the usual ones that stay here anyway.
fn listed(headers: &HeaderMap) -> Result<Vec<HeaderName>, Error> {
    let mut listed = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let usual = [&b""[..], b"close", b"keep-alive", b"upgrade"];
            if usual.iter().any(|usual| token.eq_ignore_ascii_case(usual)) {
                continue;
            }
            let name = HeaderName::from_bytes(token);
            listed.push(name.map_err(|_| bad("the Connection header is malformed"))?);
        }
    }
    Ok(listed)
}

/// RFC 9110 section 7.6.1: headers that are about one connection, and those of their kind.
fn is_of_one_hop(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::UPGRADE
        | header::PROXY_AUTHORIZATION
        | header::PROXY_AUTHENTICATE => true,
        _ => {
            let name = name.as_str();
            // Most names are none of these, and that shows in the first letter.
            match name.as_bytes().first() {
                Some(b'k') => name == "keep-alive",
                // Of `Proxy`, a CGI program makes the variable that names its own proxy.
                Some(b'p') => name == "proxy" || name.starts_with("proxy-"),
                Some(b'h') => name == "http2-settings",
                _ => false,
            }
        }
    }
}

/// Request headers that are written anew, and such as a program behind a gateway protocol could
/// take for one of them: there an underscore and a hyphen are the same.
fn is_ours(name: &HeaderName) -> bool {
    match *name {
        header::HOST | header::CONTENT_LENGTH | header::EXPECT => true,
        _ => *name == txn::HEADER || (name.as_str().contains('_') && is_disguised(name.as_str())),
    }
}

/// Whether a name with underscores would be one of those that stay here.
fn is_disguised(name: &str) -> bool {
    HeaderName::from_bytes(name.replace('_', "-").as_bytes())
        .is_ok_and(|name| is_of_one_hop(&name) || is_ours(&name) || is_about_client(&name))
}

/// Headers in which a proxy tells who its client is.
fn is_about_client(name: &HeaderName) -> bool {
    if *name == header::FORWARDED {
        return true;
    }
    let name = name.as_str();
    name.starts_with("x-")
        && (name.starts_with("x-forwarded") || matches!(name, "x-real-ip" | "x-cluster-client-ip"))
}

/// Takes out of a response what is about the upstream's connection, and refuses one whose end would be
/// in doubt.
pub(super) fn response(
    parts: &mut http::response::Parts,
    outgoing: &Outgoing,
) -> Result<(), UpstreamFailure> {
    let headers = &mut parts.headers;
    let status = parts.status;
    let mut switched = None;
    if status.is_informational() {
        let protocol = headers.get(header::UPGRADE).filter(|protocol| {
            let wanted = outgoing.upgrade();
            wanted.is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(protocol.as_bytes()))
        });
        let protocol = protocol.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS);
        switched = protocol.cloned();
        if switched.is_none() {
            return Err(UpstreamFailure::Strange("nobody asked for this protocol"));
        }
    }
    let mut listed = Vec::new();
    let (mut lengths, mut codings) = (0, 0);
    let mut stays = false;
    for (name, value) in &*headers {
        stays |= is_of_one_hop(name);
        match *name {
            header::CONTENT_LENGTH => lengths += 1,
            header::TRANSFER_ENCODING => {
                codings += 1;
                if codings > 1 || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                    return Err(UpstreamFailure::Strange("a Transfer-Encoding other than chunked"));
                }
            }
            header::CONNECTION => {
                let tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                let names = tokens.filter_map(|token| HeaderName::from_bytes(token).ok());
                listed.extend(names.filter(|name| !is_of_one_hop(name) && *name != "close"));
            }
            _ => {}
        }
    }
    if codings > 0 && lengths > 0 {
        return Err(UpstreamFailure::Strange("both Transfer-Encoding and Content-Length"));
    }
    if stays {
        let names: Vec<_> = headers.keys().filter(|name| is_of_one_hop(name)).cloned().collect();
        names.iter().chain(&listed).for_each(|name| drop(headers.remove(name)));
    }
    if let Some(protocol) = switched {
        headers.remove(header::CONTENT_LENGTH);
        switch(headers, &protocol);
    } else if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    } else if lengths > 0 {
        one_length(headers)?;
    }
    Ok(())
}

/// Content-Length as one number: hyper takes a list of the same one for it.
fn one_length(headers: &mut HeaderMap) -> Result<(), UpstreamFailure> {
    const STRANGE: UpstreamFailure = UpstreamFailure::Strange("a malformed Content-Length");
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (first, more) = (lengths.next(), lengths.next());
    let plain = first.is_some_and(|length| {
        !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit)
    });
    match (plain, more) {
        (true, None) => Ok(()),
        (true, Some(more)) if Some(more) == first && lengths.next().is_none() => {
            let length = more.clone();
            headers.insert(header::CONTENT_LENGTH, length);
            Ok(())
        }
        _ => Err(STRANGE),
    }
}
