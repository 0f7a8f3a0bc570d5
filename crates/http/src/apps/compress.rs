use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use brim_config::{Count, Reader, Size};
use brim_stats::{Counter, Stat};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;

use crate::accept_encoding::{Coding, Wishes};
use crate::app::{App, AppContext, Claims, Request};
use crate::body::{Response, ResponseBody};
use crate::chain::Next;
use crate::error::Error;

mod encoder;
mod stream;

use encoder::{Encoder, Levels};
use stream::Compressing;

/// Bodies up to this size are compressed at once, in a millisecond or so.
const AT_ONCE: usize = 32 * 1024;
/// What is worth compressing, as far as it has a name of its own.
const TYPES: &[&str] = &[
    "text/*",
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/rss+xml",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
];

/// Compresses the responses of the apps that follow it, as the client's Accept-Encoding has it.
pub(crate) struct Compress {
    conf: Arc<Conf>,
    /// Responses that are being compressed.
    open: Rc<Cell<usize>>,
    compressed: Counter,
    busy: Counter,
}

/// `types` (list of media types, `text/*` for all of a kind, default [`TYPES`]). `min_size` (size,
/// default 1K): smaller bodies are left as they are. `codings` (list of zstd, br and gzip, the
/// one that is liked most in front, default all in this order). `zstd_level` (1 to 10, default 3),
/// `br_level` (0 to 7, default 4), `gzip_level` (1 to 9, default 5). `concurrent` (1 to 10000, default
/// 32): responses per worker that are compressed at the same time; more go as they are.
pub(crate) struct Conf {
    types: Vec<String>,
    min_size: u64,
    codings: Vec<Coding>,
    levels: Levels,
    concurrent: usize,
}

/// A response that is being compressed counts as long as this lives.
#[derive(Debug)]
struct Slot(Rc<Cell<usize>>);

impl Slot {
    fn take(open: &Rc<Cell<usize>>, limit: usize) -> Option<Self> {
        (open.get() < limit).then(|| {
            open.set(open.get() + 1);
            Self(open.clone())
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl App for Compress {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let types = section.list::<String>("types");
        let types = types.unwrap_or_else(|| TYPES.iter().map(|name| (*name).to_owned()).collect());
        for name in types.iter().filter(|name| !is_pattern(name)) {
            section.refuse(
                "types",
                format!("{name:?} is not a media type such as text/html or text/*"),
            );
        }
        let Size(min_size) = section.get_or("min_size", Size(1024));
        let all = vec![Coding::Zstd, Coding::Br, Coding::Gzip];
        let Count(zstd) = section.get_or("zstd_level", Count::<1, 10>(3));
        let Count(br) = section.get_or("br_level", Count::<0, 7>(4));
        let Count(gzip) = section.get_or("gzip_level", Count::<1, 9>(5));
        let Count(concurrent) = section.get_or("concurrent", Count::<1, 10_000>(32));
        let level = |level| i32::try_from(level).unwrap_or_default();
        Conf {
            types: types.iter().map(|name| name.to_ascii_lowercase()).collect(),
            min_size,
            codings: section.list("codings").unwrap_or(all),
            levels: Levels { zstd: level(zstd), br: level(br), gzip: level(gzip) },
            concurrent: usize::try_from(concurrent).unwrap_or(usize::MAX),
        }
    }

    fn claims(_: &Conf) -> Claims {
        Claims::Nothing
    }

    fn capacity(conf: &Conf) -> usize {
        conf.concurrent
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        ["compressed", "busy"].map(|what| Stat::sum(format!("{name}.{what}"))).into()
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        let counter = |what: &str| context.counter(&format!("{name}.{what}"));
        Self { conf, open: Rc::default(), compressed: counter("compressed"), busy: counter("busy") }
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        let coding = Wishes::of(request.headers()).choose(self.conf.codings.iter().copied());
        let head = *request.method() == Method::HEAD;
        let held = request.headers().get_all(header::IF_NONE_MATCH);
        let held: Vec<_> = held.iter().filter(|_| coding.is_some()).cloned().collect();
        let mut response = next.call(request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            confirm(response.headers_mut(), &held);
        }
        if !self.conf.suits(&response, head) {
            return Ok(response);
        }
        vary(response.headers_mut());
        let Some(coding) = coding else { return Ok(response) };
        let Some(slot) = Slot::take(&self.open, self.conf.concurrent) else {
            self.busy.incr();
            return Ok(response);
        };
        let (parts, body) = response.into_parts();
        let (body, done) = self.conf.encode(body, coding, head, slot)?;
        let mut response = Response::from_parts(parts, body);
        if done {
            self.compressed.incr();
            mark(response.headers_mut(), coding);
        }
        Ok(response)
    }
}

impl Conf {
    /// Whether a response may be compressed, whatever its client accepts.
    fn suits(&self, response: &Response, head: bool) -> bool {
        let (status, headers) = (response.status(), response.headers());
        let bodiless = status.is_informational()
            || matches!(
                status,
                StatusCode::NO_CONTENT
                    | StatusCode::RESET_CONTENT
                    | StatusCode::PARTIAL_CONTENT
                    | StatusCode::NOT_MODIFIED
            );
        let bound = [header::CONTENT_ENCODING, header::CONTENT_RANGE]
            .iter()
            .chain(&DIGESTS)
            .any(|name| headers.contains_key(name));
        if bodiless || bound || forbids(headers) || !self.is_of_type(headers) {
            return false;
        }
        let told = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let exact = response.body().size_hint().exact();
        let length = if head { told.or(exact) } else { exact.or(told) };
        length.is_none_or(|length| length >= self.min_size && length > 0)
    }

    fn is_of_type(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
        let value = value.to_str().unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        self.types.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(kind) => {
                essence.get(..kind.len()).is_some_and(|front| front.eq_ignore_ascii_case(kind))
            }
            None => essence.eq_ignore_ascii_case(pattern),
        })
    }

    /// The compressed body; or the same one, where it would not become smaller.
    fn encode(
        &self,
        body: ResponseBody,
        coding: Coding,
        head: bool,
        slot: Slot,
    ) -> Result<(ResponseBody, bool), Error> {
        let encoder = || Encoder::new(coding, &self.levels).map_err(Error::internal);
        match body {
            // Of unknown length, as the body of a GET would be.
            ResponseBody::Empty if head => Ok((ResponseBody::stream(stream::Nothing), true)),
            ResponseBody::Full(bytes) if bytes.len() <= AT_ONCE => {
                let mut encoder = encoder()?;
                encoder.write(&bytes).map_err(Error::internal)?;
                let smaller = encoder.finish().map_err(Error::internal)?;
                match smaller.len() < bytes.len() {
                    true => Ok((ResponseBody::Full(smaller), true)),
                    false => Ok((ResponseBody::Full(bytes), false)),
                }
            }
            body => Ok((ResponseBody::stream(Compressing::new(body, encoder()?, slot)), true)),
        }
    }
}

/// Headers that hold for the very bytes of the body as it is.
const DIGESTS: [http::HeaderName; 4] = [
    http::HeaderName::from_static("content-digest"),
    http::HeaderName::from_static("repr-digest"),
    http::HeaderName::from_static("digest"),
    http::HeaderName::from_static("content-md5"),
];

/// Whether nobody on the way may change the body.
fn forbids(headers: &HeaderMap) -> bool {
    holds(headers, &header::CACHE_CONTROL, "no-transform")
}

/// Whether a header that is a list has such an element.
fn holds(headers: &HeaderMap, name: &http::HeaderName, element: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(element))
}

/// Caches have to know that others get it otherwise.
fn vary(headers: &mut HeaderMap) {
    let told = ["accept-encoding", "*"].iter().any(|name| holds(headers, &header::VARY, name));
    if !told {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// What changes in the headers with the body.
fn mark(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    // The body's own length is told by the connection.
    headers.remove(header::CONTENT_LENGTH);
    // Ranges of the compressed bytes are nobody's to give.
    headers.remove(header::ACCEPT_RANGES);
    if let Some(weak) = weakened(headers) {
        headers.insert(header::ETAG, weak);
    }
}

/// The tag of a response whose bytes are others than those it came with, where it was a strong one: the
/// same content, but not the same bytes (RFC 9110, section 8.8.1).
fn weakened(headers: &HeaderMap) -> Option<HeaderValue> {
    let tag = headers.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""))?;
    HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()
}

/// A 304 has the tag that the client's response had (RFC 9110, section 15.4.5): the weak one, where
/// it was compressed. `held`: the tags that the client names.
fn confirm(headers: &mut HeaderMap, held: &[HeaderValue]) {
    let Some(weak) = weakened(headers) else { return };
    let mut tags = held.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    if tags.any(|tag| tag.trim_ascii() == weak.as_bytes()) {
        headers.insert(header::ETAG, weak);
        vary(headers);
    }
}

fn is_pattern(name: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    name.split_once('/').is_some_and(|(kind, sub)| token(kind) && (sub == "*" || token(sub)))
}

#[cfg(test)]
mod tests;
