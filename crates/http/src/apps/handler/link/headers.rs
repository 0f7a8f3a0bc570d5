use brim_wire::link::Headers;
use http::{HeaderMap, HeaderName, HeaderValue, header};

pub(in crate::apps::handler) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Room for those that are added to them.
const OTHERS: usize = 4;

/// The headers of the last answer: mostly, those of the next are the same.
#[derive(Default)]
pub(super) struct LastHeaders {
    /// As the gateway wrote them.
    bytes: Vec<u8>,
    /// For a client, without those about its connection.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl LastHeaders {
    /// The headers for a client; `None` if they cannot be sent.
    pub(super) fn map(&mut self, headers: &Headers<'_>) -> Option<HeaderMap> {
        if self.bytes != headers.as_bytes() {
            self.headers = read(headers)?;
            self.bytes = headers.as_bytes().to_vec();
        }
        let mut map = HeaderMap::with_capacity(self.headers.len() + OTHERS);
        for (name, value) in &self.headers {
            map.append(name, value.clone());
        }
        Some(map)
    }
}

fn read(headers: &Headers<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value).ok()?;
        if !is_connections_own(&name) {
            kept.push((name, value));
        }
    }
    Some(kept)
}

/// Whether a header says what is ours to say.
fn is_connections_own(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::CONTENT_LENGTH
        | header::TRANSFER_ENCODING
        | header::UPGRADE => true,
        _ => *name == KEEP_ALIVE,
    }
}
