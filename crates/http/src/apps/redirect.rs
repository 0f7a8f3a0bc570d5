use std::sync::Arc;

use brim_config::{Count, Reader};
use brim_stats::{Counter, Stat};
use http::{HeaderValue, StatusCode, Uri, header};

use crate::app::{App, AppContext, Claims, Request};
use crate::body::Response;
use crate::chain::Next;
use crate::error::{Error, plain, title};

/// Answers every request with another place to go to.
pub(crate) struct Redirect {
    conf: Arc<Conf>,
    redirected: Counter,
}

/// `to` (required): an absolute URL, or a path; `{host}`, `{path}`, `{query}` and `{uri}` stand for
/// the request's. `status` (301, 302, 303, 307 or 308, default 308). `keep_query` (yes or no,
/// default yes): the request's query is appended where `to` does not place it.
pub(crate) struct Conf {
    to: Vec<Part>,
    status: StatusCode,
    append_query: bool,
}

/// A piece of the target.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The host without its port.
    Host,
    /// The path as it came.
    Path,
    /// The query as it came, without the question mark.
    Query,
    /// Path, question mark and query.
    Uri,
}

impl App for Redirect {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let to = match section.require::<String>("to").map(|to| template(&to)) {
            Some(Err(why)) => {
                section.refuse("to", why);
                Vec::new()
            }
            Some(Ok(to)) => to,
            None => Vec::new(),
        };
        let Count(status) = section.get_or("status", Count::<300, 308>(308));
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            section.refuse("status", "expected 301, 302, 303, 307 or 308");
        }
        let placed = to.iter().any(|part| matches!(part, Part::Query | Part::Uri));
        let keep = section.get_or("keep_query", true);
        let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
        Conf {
            to,
            status: status.unwrap_or(StatusCode::PERMANENT_REDIRECT),
            append_query: keep && !placed,
        }
    }

    fn claims(_: &Conf) -> Claims {
        Claims::Everything
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        vec![Stat::sum(format!("{name}.redirected"))]
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        Self { conf, redirected: context.counter(&format!("{name}.redirected")) }
    }

    async fn call(&self, request: Request, _: Next) -> Result<Response, Error> {
        let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
        let location = self.conf.location(request.uri(), host)?;
        self.redirected.incr();
        let mut response = plain(self.conf.status, format!("{}\n", title(self.conf.status)));
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }
}

impl Conf {
    fn location(&self, uri: &Uri, host: Option<&[u8]>) -> Result<HeaderValue, Error> {
        // `*`, of OPTIONS, is no path that could stand behind a host.
        let path = if uri.path().starts_with('/') { uri.path() } else { "/" };
        let query = uri.query();
        let mut to = String::new();
        for part in &self.to {
            match part {
                Part::Text(text) => to.push_str(text),
                Part::Host => to.push_str(name_of(uri, host)?),
                Part::Path | Part::Uri => {
                    // Two slashes in front would be another host.
                    let path = match to.is_empty() {
                        true => path.trim_start_matches(['/', '\\']),
                        false => path,
                    };
                    if to.is_empty() {
                        to.push('/');
                    }
                    escape(path, &mut to);
                    if let (Part::Uri, Some(query)) = (part, query) {
                        to.push('?');
                        escape(query, &mut to);
                    }
                }
                Part::Query => escape(query.unwrap_or_default(), &mut to),
            }
        }
        if let Some(query) = query.filter(|_| self.append_query) {
            let fragment = to.find('#').map(|at| to.split_off(at)).unwrap_or_default();
            to.push(if to.contains('?') { '&' } else { '?' });
            escape(query, &mut to);
            to.push_str(&fragment);
        }
        HeaderValue::try_from(to).map_err(Error::internal)
    }
}

/// What a browser would read in its own way, and what no header can hold.
fn escape(text: &str, to: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'\\' | b'"' | b'<' | b'>') => to.push(byte.into()),
            _ => to.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The host that was asked for, without its port: that of an absolute target counts before Host
/// (RFC 9112, section 3.2.2).
fn name_of<'a>(uri: &'a Uri, host: Option<&'a [u8]>) -> Result<&'a str, Error> {
    let host = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| host.and_then(|host| std::str::from_utf8(host).ok()));
    let name = host.map(without_port).filter(|name| is_host(name));
    name.ok_or_else(|| Error::refused(StatusCode::BAD_REQUEST, "the Host header names no host"))
}

fn without_port(host: &str) -> &str {
    match (host.rfind(':'), host.rfind(']')) {
        (Some(colon), Some(bracket)) if colon < bracket => host,
        (Some(colon), _) => host.get(..colon).unwrap_or_default(),
        (None, _) => host,
    }
}

fn is_host(name: &str) -> bool {
    match name.strip_prefix('[') {
        Some(ip) => ip.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            (1..=255).contains(&name.len()) && name.bytes().all(plain)
        }
    }
}

/// Takes `to` apart.
fn template(to: &str) -> Result<Vec<Part>, String> {
    if let Some(bad) = to.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("holds {bad:?}, which a URL writes as %XX"));
    }
    let mut parts = Vec::new();
    let mut rest = to;
    while let Some(at) = rest.find(['{', '}']) {
        let (text, from) = rest.split_at(at);
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let end = from.find('}').filter(|_| from.starts_with('{'));
        let (name, behind) =
            end.and_then(|end| from.split_at_checked(end + 1)).unwrap_or((from, ""));
        parts.push(match name {
            "{host}" => Part::Host,
            "{path}" => Part::Path,
            "{query}" => Part::Query,
            "{uri}" => Part::Uri,
            _ => {
                return Err(format!(
                    "{name:?} is not one of {{host}}, {{path}}, {{query}}, {{uri}}"
                ));
            }
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    begins(&parts).map(|()| parts)
}

/// How a target may begin; whatever a client sends must not become its host.
fn begins(parts: &[Part]) -> Result<(), String> {
    let expected = "must be an absolute URL (https://...), or begin with /, {path} or {uri}";
    match parts {
        [Part::Path | Part::Uri, ..] => Ok(()),
        [Part::Text(text)] if text == "/" => Ok(()),
        [Part::Text(text), Part::Path | Part::Uri, ..] if text == "/" => {
            Err("begins with two slashes, {path} has one of its own".to_owned())
        }
        [Part::Text(text), ..] if text.starts_with('/') && !text.starts_with("//") => Ok(()),
        [Part::Text(text), following @ ..] => {
            let (scheme, host) = text.split_once("://").ok_or(expected)?;
            let first = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            if !first || !scheme.chars().all(known) {
                return Err(expected.to_owned());
            }
            let path_follows = matches!(following, [Part::Path | Part::Uri, ..]);
            match (host.is_empty(), following) {
                (true, [Part::Host, ..]) | (false, []) => Ok(()),
                (true, _) => Err("names no host".to_owned()),
                // A query or a host glued to a host's name would make another host of it.
                (false, _) if host.contains(['/', '?', '#']) || path_follows => Ok(()),
                (false, _) => Err("has no / between the host and what follows".to_owned()),
            }
        }
        _ => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(template_text: &str, uri: &str, host: &str, append_query: bool) -> String {
        let to = template(template_text).unwrap();
        let placed = to.iter().any(|part| matches!(part, Part::Query | Part::Uri));
        let conf = Conf { to, status: StatusCode::FOUND, append_query: append_query && !placed };
        match conf.location(&uri.parse().unwrap(), Some(host.as_bytes())) {
            Ok(location) => location.to_str().unwrap().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_request_s_parts_take_their_places() {
        for (template, uri, expected) in [
            ("https://{host}{uri}", "/a%20b?c=d", "https://example.com/a%20b?c=d"),
            ("https://{host}{path}", "/a?c=d", "https://example.com/a?c=d"),
            ("https://other.example/x", "/a?c=d", "https://other.example/x?c=d"),
            ("https://other.example/x?y=z#top", "/a?c=d", "https://other.example/x?y=z&c=d#top"),
            ("/search?q={query}", "/a?c=d", "/search?q=c=d"),
            ("/new{path}", "/a", "/new/a"),
            ("https://{host}:8443{uri}", "/", "https://example.com:8443/"),
            ("/x", "/", "/x"),
            ("https://{host}{uri}", "http://third.example:81/p", "https://third.example/p"),
            ("https://{host}{uri}", "*", "https://example.com/"),
        ] {
            assert_eq!(to(template, uri, "example.com:8080", true), expected, "{template} {uri}");
        }
        assert_eq!(to("/x", "/a?c=d", "h", false), "/x");
        assert_eq!(to("https://{host}/", "/", "[2001:db8::1]:80", false), "https://[2001:db8::1]/");
        assert_eq!(to("https://{host}/", "/", "[2001:db8::1]", false), "https://[2001:db8::1]/");
    }

    #[test]
    fn no_client_makes_a_host_of_a_path() {
        assert_eq!(to("{uri}", "//evil.example/a", "h", true), "/evil.example/a");
        assert_eq!(to("{path}/", "///evil.example", "h", true), "/evil.example/");
        assert_eq!(
            to("https://good.example{uri}", "/%0d%0aX:1", "h", true),
            "https://good.example/%0d%0aX:1"
        );
        for host in
            ["", "evil.example/", "a b", "x@evil.example", "a,b", "[::1", "[::1]x", "\u{e4}"]
        {
            let refused = "the Host header names no host";
            assert_eq!(to("https://{host}{uri}", "/", host, true), refused, "{host}");
        }
    }

    #[test]
    fn a_target_that_could_lead_anywhere_is_refused() {
        for bad in [
            "example.com",
            "{host}",
            "{query}",
            "//example.com/",
            "https://",
            "https://{path}",
            "https://example.com{query}",
            "https://example.com{host}/",
            "https://a b/",
            "/{nobody}",
            "/{path",
            "/}",
            "/{path}",
            "https://\u{e4}/",
            "1://x/",
            "ht tp://x/",
            "://x",
        ] {
            assert!(template(bad).is_err(), "{bad}");
        }
        for good in [
            "/",
            "/x",
            "{path}",
            "{uri}",
            "https://example.com",
            "https://{host}",
            "https://a/{query}",
        ] {
            assert!(template(good).is_ok(), "{good}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 2000, ..Default::default() })]
        /// Whatever a client asks for, the place to go to is on the host that was meant.
        #[test]
        fn the_host_of_a_target_is_the_configured_one(path in "/[!-~]{0,40}", host in "[!-~]{0,20}") {
            let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
            for text in ["https://good.example{uri}", "https://good.example{path}", "{uri}", "{path}"] {
                let conf = Conf {
                    to: template(text).unwrap(),
                    status: StatusCode::FOUND,
                    append_query: true,
                };
                let location = conf.location(&uri, Some(host.as_bytes())).unwrap();
                let location = location.to_str().unwrap();
                match location.strip_prefix("https://good.example") {
                    Some(rest) => proptest::prop_assert!(rest.starts_with('/')),
                    None => proptest::prop_assert!(
                        location.starts_with('/') && !location.starts_with("//")
                            && !location.starts_with("/\\"), "{}", location
                    ),
                }
            }
        }
    }
}
