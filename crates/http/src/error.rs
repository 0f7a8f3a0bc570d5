use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::body::{Response, ResponseBody};

mod pages;

pub(crate) use pages::ErrorPages;

/// Whose fault an error is: this decides what is logged, and how loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client's; it can repeat it at will, so nothing of it is logged above debug.
    Client,
    /// An app's: it answered by an error on purpose.
    App,
    /// That of a server behind us.
    Upstream,
    /// Ours, or a bug in an app.
    Us,
}

/// Why a request got an error for an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An app answers by a status, and says what for.
    #[error("{text}")]
    Status {
        /// The status.
        status: StatusCode,
        /// What the client reads.
        text: Cow<'static, str>,
    },
    /// The request is malformed in a way that RFC 9112 wants answered by 400 or the like.
    #[error("{reason}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What is wrong, and what is accepted.
        reason: &'static str,
    },
    /// The body is larger than the limit.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The client sends the body too slowly.
    #[error("the body came too slowly")]
    BodyTimeout,
    /// The body's framing is broken.
    #[error("the body is malformed")]
    BodyMalformed(#[source] hyper::Error),
    /// The client went away before its request was whole.
    #[error("the client went away")]
    Gone(#[source] hyper::Error),
    /// A server behind us gave no good answer.
    #[error("upstream {upstream} failed")]
    Upstream {
        /// Which one, or all that there are, as the configuration calls them.
        upstream: Arc<str>,
        /// In what way.
        #[source]
        failure: UpstreamFailure,
    },
    /// A handler, or the gateway in front of it, gave no good answer.
    #[error("handler {handler} failed")]
    Handler {
        /// The handler's section.
        handler: Arc<str>,
        /// In what way.
        #[source]
        failure: HandlerFailure,
    },
    /// An app panicked.
    #[error("bug: an app panicked")]
    Panic,
    /// Another error, with a header for its answer.
    #[error("{error}")]
    WithHeader {
        /// That error.
        error: Box<Error>,
        /// The header's name.
        name: HeaderName,
        /// The header's value.
        value: HeaderValue,
    },
    /// Something failed on our side.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// In what way a handler failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerFailure {
    /// There is no link to its gateway.
    #[error("its gateway does not answer")]
    NoGateway,
    /// The gateway has as many exchanges as it takes.
    #[error("its gateway has all the requests that it takes")]
    Full,
    /// The link was lost after the request was sent.
    #[error("the link to its gateway was lost")]
    LinkLost,
    /// It is not connected to its gateway.
    #[error("it is not connected")]
    NoHandler,
    /// It has not answered in time.
    #[error("it has not answered in time")]
    Timeout,
    /// Its answer cannot be understood.
    #[error("its answer cannot be understood")]
    Malformed,
    /// It left after it had got the request.
    #[error("it left without an answer")]
    Left,
    /// Too much waits for it already.
    #[error("too much waits for it")]
    Overload,
    /// The gateway does not know it.
    #[error("its gateway does not know it")]
    Unknown,
    /// The request is larger than it takes.
    #[error("the request is larger than it takes")]
    TooLarge,
    /// It wants the connection closed at once.
    #[error("it ended the connection")]
    Cancelled,
    /// The gateway stops.
    #[error("its gateway stops")]
    Stops,
    /// The gateway has failed.
    #[error("its gateway failed")]
    Failed,
    /// The head of the request is longer than the gateway takes.
    #[error("the request's head is longer than its gateway takes")]
    HeadTooLarge,
    /// Its response is not whole.
    #[error("its response broke off")]
    CutOff,
}

impl HandlerFailure {
    fn code(self) -> StatusCode {
        match self {
            Self::NoGateway | Self::Full | Self::NoHandler | Self::Overload | Self::Stops => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::LinkLost
            | Self::Malformed
            | Self::Left
            | Self::Unknown
            | Self::Cancelled
            | Self::CutOff => StatusCode::BAD_GATEWAY,
        }
    }
}

/// In what way an upstream failed.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFailure {
    /// Its name stands for no address.
    #[error("its name was not found")]
    Resolve(#[source] io::Error),
    /// It takes no connection.
    #[error("it takes no connection")]
    Connect(#[source] io::Error),
    /// It took no connection in time.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// It speaks no TLS, or its certificate is not to be trusted.
    #[error("no TLS with it")]
    Tls(#[source] io::Error),
    /// It ended the connection.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// What it said is not HTTP, or makes no sense.
    #[error("its response makes no sense: {0}")]
    Strange(&'static str),
    /// Its response did not begin in time.
    #[error("its response did not begin in time")]
    HeadTimeout,
    /// Its response went silent.
    #[error("its response did not go on in time")]
    BodyTimeout,
    /// Its response is not whole.
    #[error("its response broke off")]
    CutOff,
    /// All of them failed lately, and somebody is trying already.
    #[error("all rest after failures")]
    AllRest,
    /// It has as many connections as it may have.
    #[error("all its connections are in use")]
    Full,
}

impl UpstreamFailure {
    fn code(&self) -> StatusCode {
        match self {
            Self::Resolve(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Lost(_)
            | Self::Strange(_)
            | Self::CutOff => StatusCode::BAD_GATEWAY,
            Self::AllRest | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectTimeout | Self::HeadTimeout | Self::BodyTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
        }
    }
}

impl Error {
    /// An answer by a status and a text.
    pub fn status(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Status { status, text: text.into() }
    }

    /// A failure on our side; the client learns no more than that.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// The same, with a header for its answer.
    #[must_use]
    pub fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self::WithHeader { error: Box::new(self), name, value }
    }

    pub(crate) fn refused(status: StatusCode, reason: &'static str) -> Self {
        Self::Refused { status, reason }
    }

    /// What reading a body came to.
    pub(crate) fn reading(error: hyper::Error) -> Self {
        // Of broken chunks hyper says no more than that the data is not valid.
        let source = std::error::Error::source(&error);
        let broken =
            source.and_then(|source| source.downcast_ref::<io::Error>()).is_some_and(|io| {
                matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
            });
        if broken || error.is_parse() || error.is_user() {
            Self::BodyMalformed(error)
        } else {
            Self::Gone(error)
        }
    }

    /// The error itself, without headers for its answer.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::WithHeader { error, .. } => error.bare(),
            error => error,
        }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Status { .. } => Blame::App,
            Self::Handler {
                failure: HandlerFailure::TooLarge | HandlerFailure::HeadTooLarge,
                ..
            } => Blame::Client,
            // On purpose.
            Self::Handler { failure: HandlerFailure::Cancelled, .. } => Blame::App,
            Self::Upstream { .. } | Self::Handler { .. } => Blame::Upstream,
            Self::Refused { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyTimeout
            | Self::BodyMalformed(_)
            | Self::Gone(_) => Blame::Client,
            Self::Panic | Self::Internal(_) => Blame::Us,
            Self::WithHeader { error, .. } => error.blame(),
        }
    }

    /// The status of the answer.
    pub fn code(&self) -> StatusCode {
        match self {
            Self::Status { status, .. } | Self::Refused { status, .. } => *status,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyMalformed(_) | Self::Gone(_) => StatusCode::BAD_REQUEST,
            Self::Upstream { failure, .. } => failure.code(),
            Self::Handler { failure, .. } => failure.code(),
            Self::Panic | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::WithHeader { error, .. } => error.code(),
        }
    }

    /// What a client reads where there is no page for it.
    fn text(&self) -> String {
        let title = title(self.code());
        match self {
            Self::Status { text, .. } if !text.is_empty() => format!("{text}\n"),
            Self::Refused { reason, .. } => format!("{title}: {reason}\n"),
            Self::BodyTooLarge { .. } | Self::BodyTimeout => format!("{title}: {self}\n"),
            Self::Handler { failure: HandlerFailure::TooLarge, .. } => {
                format!("{title}: the body is larger than its handler takes\n")
            }
            _ => format!("{title}\n"),
        }
    }

    /// The answer. The only place where an error becomes a response.
    pub(crate) fn into_response(self, pages: &ErrorPages) -> Response {
        if let Self::WithHeader { error, name, value } = self {
            let mut response = error.into_response(pages);
            response.headers_mut().append(name, value);
            return response;
        }
        let status = self.code();
        let mut response = match pages.page(status) {
            Some(page) => page_of(status, page),
            None => plain(status, self.text()),
        };
        // The rest of the request is not worth reading, and its framing may be broken.
        if self.blame() == Blame::Client {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// A response of plain text.
pub(crate) fn plain(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(ResponseBody::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// `404 Not Found` for 404.
pub(crate) fn title(status: StatusCode) -> String {
    format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or("Status"))
}

fn page_of(status: StatusCode, page: &pages::Page) -> Response {
    let mut response = Response::new(ResponseBody::from(page.body.clone()));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(page.media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// A whole response in bytes, for when hyper no longer holds the connection: after it, the
/// connection ends. `to_head`: the request was a HEAD. `headers`: further ones, a line each.
pub(crate) fn raw(
    status: StatusCode,
    reason: &str,
    pages: &ErrorPages,
    headers: &str,
    to_head: bool,
) -> Vec<u8> {
    let title = title(status);
    let plain = format!("{title}: {reason}\n");
    let (body, media_type) = match pages.page(status) {
        Some(page) => (&*page.body, page.media_type),
        None => (plain.as_bytes(), "text/plain"),
    };
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 {title}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    )
    .into_bytes();
    if !to_head {
        response.extend_from_slice(body);
    }
    response
}
