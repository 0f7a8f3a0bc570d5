//! Heads of requests on their way through: what belongs to one hop stays there.

use std::rc::Rc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use http_body::Body as _;

use super::conf::{Conf, ForwardHost, Protocol, Spec};
use super::forwarded::Origin;
use super::lines::Lines;
use super::response::Asked;
use super::sending::Framing;
use super::upload::Upload;
use crate::app::Request;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::txn;

/// What a request is sent as, whichever upstream gets it.
pub(super) struct Outgoing {
    request: Request,
    pub(super) exchange: Rc<Exchange>,
    pub(super) upload: Upload,
    /// The target, where it is not as it came. Boxed: it seldom is, and would be moved about with the rest.
    target: Option<Box<Uri>>,
    /// Headers that the client's `Connection` names.
    listed: Vec<HeaderName>,
    /// The protocol to which the client wants to switch, and may.
    upgrade: Option<HeaderValue>,
    trusted: bool,
}

impl Outgoing {
    pub(super) fn new(conf: &Conf, mut request: Request) -> Result<Self, Error> {
        let upload = Upload::of(&mut request);
        let exchange = request.shared_exchange();
        let target = target(&request, conf.strip_prefix)?;
        let hop = Hop::of(request.parts())?;
        Ok(Self {
            target,
            upgrade: hop.upgrade(conf).filter(|_| upload.is_empty()).cloned(),
            listed: hop.listed,
            trusted: exchange.trusts_peer(),
            request,
            exchange,
            upload,
        })
    }

    pub(super) fn method(&self) -> &Method {
        self.request.method()
    }

    /// What the response is to.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { head: self.method() == Method::HEAD, upgrade: self.upgrade.as_ref() }
    }

    /// Writes the head for one upstream.
    pub(super) fn write(&self, conf: &Conf, spec: &Spec, to: &mut Vec<u8>) -> Framing {
        let head = self.request.parts();
        let target = self.target.as_deref().unwrap_or(&head.uri);
        let target = target.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut lines = Lines::begin(to, &head.method, target);
        // Admission has seen to it that this is one, and the target's where that has one.
        let host = host(&head.headers).filter(|host| !host.is_empty());
        lines.add(
            "Host: ",
            match &conf.forward_host {
                ForwardHost::Client => host.unwrap_or(&spec.host),
                ForwardHost::Upstream => &spec.host,
                ForwardHost::Name(name) => name,
            },
        );
        for (name, value) in &head.headers {
            if !self.stays(conf, name) {
                lines.pass_on(name, value);
            }
        }
        self.tell(conf, host, &mut lines);
        let framing = frame(&self.upload, &head.method, &mut lines);
        if let Some(protocol) = &self.upgrade {
            lines.add("Connection: ", "Upgrade");
            lines.add("Upgrade: ", protocol);
        }
        lines.end();
        framing
    }

    /// Whether a header of the request goes no further as it is.
    fn stays(&self, conf: &Conf, name: &HeaderName) -> bool {
        self.listed.contains(name)
            || (!is_for_upstream(name)
                && (is_of_one_hop(name)
                    || is_ours(name)
                    || (is_about_client(name) && (!self.trusted || conf.forwarded.tells(name)))))
    }

    /// Adds what is ours to say.
    fn tell(&self, conf: &Conf, host: Option<&HeaderValue>, lines: &mut Lines<'_>) {
        let (head, exchange) = (self.request.parts(), &*self.exchange);
        let origin = Origin {
            peer: exchange.peer.text.as_deref(),
            trusted: self.trusted,
            scheme: exchange.scheme(),
            host,
            headers: &head.headers,
        };
        if conf.forwarded.x_forwarded() {
            origin.x_forwarded(lines);
        }
        if conf.forwarded.forwarded() {
            origin.forwarded(lines);
        }
        lines.add("X-Txn: ", &exchange.txn);
        if conf.via {
            lines.add(
                "Via: ",
                match head.version {
                    Version::HTTP_10 => "1.0 brim",
                    Version::HTTP_2 => "2.0 brim",
                    _ => "1.1 brim",
                },
            );
        }
    }
}

/// What the headers say about the client's connection, found in one pass over them.
#[derive(Default)]
struct Hop<'a> {
    /// The names in `Connection`, without the usual ones that stay here anyway.
    listed: Vec<HeaderName>,
    /// `Connection` has `upgrade`.
    upgrades: bool,
    /// What `Upgrade` says, and how often.
    protocol: Option<&'a HeaderValue>,
    protocols: usize,
    version: Version,
}

impl<'a> Hop<'a> {
    fn of(head: &'a Parts) -> Result<Self, Error> {
        let mut hop = Self { version: head.version, ..Self::default() };
        for (name, value) in &head.headers {
            match *name {
                header::CONNECTION => hop.note(value)?,
                header::UPGRADE => {
                    hop.protocol = Some(value);
                    hop.protocols += 1;
                }
                _ => {}
            }
        }
        Ok(hop)
    }

    /// Sees what a `Connection` names.
    fn note(&mut self, value: &HeaderValue) -> Result<(), Error> {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let usual = [&b""[..], b"close", b"keep-alive"];
            if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrades = true;
            } else if !usual.iter().any(|usual| token.eq_ignore_ascii_case(usual)) {
                let name = HeaderName::from_bytes(token);
                self.listed.push(name.map_err(|_| bad("the Connection header is malformed"))?);
            }
        }
        Ok(())
    }

    /// The protocol that the client asks for, if it is one of those that may be.
    fn upgrade(&self, conf: &Conf) -> Option<&'a HeaderValue> {
        let asks = self.upgrades && self.protocols == 1 && self.version == Version::HTTP_11;
        let protocol = self.protocol.filter(|_| asks)?;
        let known = |known: &Protocol| protocol.as_bytes().eq_ignore_ascii_case(known.0.as_bytes());
        conf.upgrade.iter().any(known).then_some(protocol)
    }
}

/// The first one. Mostly it stands at the front, and to compute its hash would take longer.
fn host(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.iter().find_map(|(name, value)| (*name == header::HOST).then_some(value))
}

/// Says a body's length, or that it comes in chunks.
fn frame(upload: &Upload, method: &Method, lines: &mut Lines<'_>) -> Framing {
    if upload.is_empty() {
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            lines.add("Content-Length: ", "0");
        }
        return Framing::Length(0);
    }
    match upload.size_hint().exact() {
        Some(length) => {
            lines.add("Content-Length: ", itoa::Buffer::new().format(length));
            Framing::Length(length)
        }
        None => {
            lines.add("Transfer-Encoding: ", "chunked");
            Framing::Chunked
        }
    }
}

/// The target in origin-form, or the asterisk, without dot segments; `None` where it came so.
fn target(request: &Request, strip_prefix: bool) -> Result<Option<Box<Uri>>, Error> {
    let uri = request.uri();
    let strips = strip_prefix && request.route().is_some();
    let path = if strips { request.forward_rest() } else { request.forward_path() };
    if !strips && uri.authority().is_none() && path == uri.path() {
        return Ok(None);
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
    target.parse().map(|target| Some(Box::new(target))).map_err(|_| bad("the target is malformed"))
}

fn bad(reason: &'static str) -> Error {
    Error::refused(StatusCode::BAD_REQUEST, reason)
}

/// RFC 9110 section 7.6.1: headers that are about one connection, and those of their kind.
pub(super) fn is_of_one_hop(name: &HeaderName) -> bool {
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

/// Well-known request headers that are for whoever answers. Most are of these, and nobody has to look
/// at their letters.
fn is_for_upstream(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::ACCEPT
            | header::ACCEPT_ENCODING
            | header::ACCEPT_LANGUAGE
            | header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONTENT_TYPE
            | header::COOKIE
            | header::IF_MODIFIED_SINCE
            | header::IF_NONE_MATCH
            | header::ORIGIN
            | header::PRAGMA
            | header::RANGE
            | header::REFERER
            | header::UPGRADE_INSECURE_REQUESTS
            | header::USER_AGENT
    )
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
