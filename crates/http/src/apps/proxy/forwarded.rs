//! What upstreams are told of the client: `X-Forwarded-For`, `-Proto`, `-Host`, and RFC 7239's `Forwarded`.
//!
//! What a peer says that is not in `trusted_proxies` is thrown away; to what a trusted one says, the
//! peer itself is added. Nothing that does not look as it should is passed on: the parts are read from the
//! right, and what stands left of the first bad one was not written by anybody we know.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::lines::Lines;

pub(super) const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const CLUSTER: HeaderName = HeaderName::from_static("x-cluster-client-ip");

/// Most proxies in a row that are told of.
const HOPS: usize = 32;
/// Longest part of a Forwarded header, in bytes.
const LONGEST: usize = 256;

/// Who sent a request, and how.
pub(in crate::apps) struct Origin<'a> {
    /// The peer's address as text; none on a Unix socket.
    pub(in crate::apps) peer: Option<&'a str>,
    pub(in crate::apps) trusted: bool,
    pub(in crate::apps) scheme: &'static str,
    /// The Host that the client asked for.
    pub(in crate::apps) host: Option<&'a HeaderValue>,
    /// The request's headers as they came.
    pub(in crate::apps) headers: &'a HeaderMap,
}

impl Origin<'_> {
    /// Adds `X-Forwarded-For`, `-Proto` and `-Host`.
    pub(super) fn x_forwarded(&self, to: &mut Lines<'_>) {
        let (mut proto, mut host) = (self.scheme.as_bytes(), self.host);
        if self.trusted {
            let mut chain = self.chain();
            chain.extend(self.peer);
            if !chain.is_empty() {
                to.add("X-Forwarded-For: ", &chain.join(", "));
            }
            let named = self.headers.get(PROTO).map(HeaderValue::as_bytes);
            proto = named.filter(|proto| is_scheme(proto)).unwrap_or(proto);
            host = self.headers.get(HOST).filter(|host| is_host(host.as_bytes())).or(host);
        } else if let Some(peer) = self.peer {
            to.add("X-Forwarded-For: ", peer);
        }
        to.add("X-Forwarded-Proto: ", proto);
        if let Some(host) = host {
            to.add("X-Forwarded-Host: ", host);
        }
    }

    /// Adds `Forwarded`.
    pub(super) fn forwarded(&self, to: &mut Lines<'_>) {
        let mut all = String::new();
        if self.trusted {
            let values = self.headers.get_all(header::FORWARDED);
            for element in elements(values.iter().filter_map(|value| value.to_str().ok())) {
                all.push_str(element);
                all.push_str(", ");
            }
        }
        // Writing to a String cannot fail.
        let _ = match self.peer {
            Some(v6) if v6.contains(':') => write!(all, "for=\"[{v6}]\""),
            peer => write!(all, "for={}", peer.unwrap_or("unknown")),
        };
        if let Some(host) =
            self.host.and_then(|host| host.to_str().ok()).filter(|host| is_host(host.as_bytes()))
        {
            let _ = match host.bytes().all(is_token) {
                true => write!(all, ";host={host}"),
                false => write!(all, ";host=\"{host}\""),
            };
        }
        let _ = write!(all, ";proto={}", self.scheme);
        to.add("Forwarded: ", &all);
    }

    /// The addresses from the client to the peer, as far as they are known, with commas between them.
    pub(in crate::apps) fn path(&self) -> Cow<'_, str> {
        if !self.trusted {
            return self.peer.unwrap_or_default().into();
        }
        let mut chain = self.chain();
        chain.extend(self.peer);
        chain.join(", ").into()
    }

    /// The addresses before the peer's own.
    fn chain(&self) -> Vec<&str> {
        let named = self.headers.get(CLUSTER).and_then(|value| value.to_str().ok()).map(str::trim);
        if let Some(client) = named.filter(|client| client.parse::<IpAddr>().is_ok()) {
            return vec![client];
        }
        addresses(self.headers.get_all(FOR).iter().map(|value| value.to_str().unwrap_or("?")))
    }
}

/// The addresses of `X-Forwarded-For` lines: the last ones in a row that are addresses.
fn addresses<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Vec<&'a str> {
    let parts = lines.rev().flat_map(|line| line.rsplit(',')).map(str::trim);
    let mut found: Vec<_> = parts.take_while(|part| is_address(part)).take(HOPS).collect();
    found.reverse();
    found
}

/// An address, some with a port, as proxies write them.
fn is_address(part: &str) -> bool {
    part.parse::<IpAddr>().is_ok()
        || part.parse::<std::net::SocketAddr>().is_ok()
        || part
            .strip_prefix('[')
            .and_then(|part| part.strip_suffix(']'))
            .is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
}

/// The elements of `Forwarded` lines: the last ones in a row that are well-formed.
fn elements<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for line in lines {
        for element in split_quoted(line, b',') {
            match element.map(str::trim).filter(|element| is_element(element)) {
                Some(element) => found.push(element),
                None => found.clear(),
            }
        }
    }
    let extra = found.len().saturating_sub(HOPS);
    found.split_off(extra)
}

/// RFC 7239 section 4: pairs with semicolons between them.
fn is_element(element: &str) -> bool {
    (1..=LONGEST).contains(&element.len())
        && split_quoted(element, b';').into_iter().all(|pair| {
            pair.and_then(|pair| pair.split_once('=')).is_some_and(|(name, value)| {
                !name.is_empty() && name.bytes().all(is_token) && is_value(value)
            })
        })
}

fn is_value(value: &str) -> bool {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(is_quoted),
        None => !value.is_empty() && value.bytes().all(is_token),
    }
}

/// What stands between quotes: no quote that is not escaped, and no escape at the end.
fn is_quoted(text: &str) -> bool {
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// Splits where a separator stands outside of quotes; the last part is None where a quote is left open.
fn split_quoted(text: &str, separator: u8) -> Vec<Option<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).filter(|_| !quoted));
    parts
}

fn is_scheme(text: &[u8]) -> bool {
    [&b"http"[..], b"https", b"ws", b"wss"].iter().any(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// Bytes that a host, with or without port, can have (RFC 3986 section 3.2.2). Some of them are
/// strange in a host, but none can be taken for something else.
fn is_host(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(byte))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
