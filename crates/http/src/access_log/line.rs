use std::borrow::Cow;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Version};
use percent_encoding::percent_decode_str;

use crate::exchange::Exchange;
use crate::title_case;

/// A finished exchange, as the formats see it.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) status: u16,
    pub(crate) broken: bool,
    /// When it was finished.
    pub(crate) now: Instant,
}

impl Line<'_> {
    pub(crate) fn client(&self) -> Option<&str> {
        self.exchange.client_text.as_deref()
    }

    pub(crate) fn peer(&self) -> Option<&str> {
        self.exchange.peer.text.as_deref()
    }

    pub(crate) fn method(&self) -> Option<&str> {
        self.exchange.method.as_ref().map(http::Method::as_str)
    }

    /// The path and query as they came, `None` where the head was not understood.
    pub(crate) fn target(&self) -> Option<&str> {
        self.exchange.method.as_ref()?;
        self.exchange.target.path_and_query().map(http::uri::PathAndQuery::as_str)
    }

    /// The path decoded, then a question mark and the query decoded with `+` for a space.
    pub(crate) fn decoded_target(&self) -> Option<Cow<'_, [u8]>> {
        let target = self.target()?;
        if !target.contains(['%', '?']) {
            return Some(Cow::Borrowed(target.as_bytes()));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let mut decoded: Vec<u8> = percent_decode_str(path).collect();
        if let Some(query) = query {
            decoded.push(b'?');
            decoded.extend(percent_decode_str(&query.replace('+', " ")));
        }
        Some(Cow::Owned(decoded))
    }

    pub(crate) fn protocol(&self) -> Option<&'static str> {
        match self.exchange.version? {
            Version::HTTP_10 => Some("HTTP/1.0"),
            Version::HTTP_11 => Some("HTTP/1.1"),
            Version::HTTP_2 => Some("HTTP/2.0"),
            _ => None,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.exchange.start)
    }

    /// Request headers, `Name:value` joined by new lines; secrets are not shown.
    pub(crate) fn headers(&self) -> Option<String> {
        let headers = self.exchange.shown.all.as_ref().filter(|headers| !headers.is_empty())?;
        Some(shown(headers).collect::<Vec<_>>().join("\n"))
    }
}

/// Each header as `Name:value`, with a word instead of what nobody should find in a log.
pub(crate) fn shown(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.iter().map(|(name, value)| {
        let value = match is_secret(name) {
            true => "(redacted)".into(),
            false => String::from_utf8_lossy(value.as_bytes()),
        };
        let mut line = Vec::new();
        title_case::append(name, &mut line);
        format!("{}:{value}", String::from_utf8_lossy(&line))
    })
}

/// Names of secrets are many, and one line too few does less harm than one too many.
fn is_secret(name: &HeaderName) -> bool {
    const PARTS: [&str; 12] = [
        "authorization",
        "cookie",
        "token",
        "secret",
        "passw",
        "credential",
        "api-key",
        "apikey",
        "auth-key",
        "access-key",
        "csrf",
        "session",
    ];
    PARTS.iter().any(|part| name.as_str().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-auth-token",
            "x-auth-key",
            "x-api-key",
            "api-key",
            "apikey",
            "x-csrf-token",
            "x-xsrf-token",
            "x-amz-security-token",
            "x-access-key",
            "x-client-secret",
            "x-session-id",
            "x-password",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, "hidden".parse().unwrap());
            let line: Vec<_> = shown(&headers).collect();
            assert!(line.len() == 1 && line[0].ends_with(":(redacted)"), "{line:?}");
        }
        for name in ["host", "user-agent", "accept", "x-forwarded-for", "if-none-match", "range"] {
            let mut headers = HeaderMap::new();
            headers.insert(name, "seen".parse().unwrap());
            assert!(shown(&headers).all(|line| line.ends_with(":seen")), "{name}");
        }
    }
}
