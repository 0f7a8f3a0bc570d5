/// The header that tells a handler where an upload goes, at its start and at its end.
///
/// A client can send it too: whoever writes requests leaves out a client's.
pub const UPLOAD_START: &str = "x-mongrel2-upload-start";

/// The header that tells a handler that an upload is whole, with the same path.
///
/// A client can send it too: whoever writes requests leaves out a client's.
pub const UPLOAD_DONE: &str = "x-mongrel2-upload-done";

/// The keys of a request's headers that the server writes. Source: "Mongrel2's protocol".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The HTTP method; `JSON` and `XML` for socket messages and notices; `WEBSOCKET_HANDSHAKE`,
    /// `WEBSOCKET`.
    Method,
    /// The path as it was sent, without the query.
    Path,
    /// Path and query as they were sent.
    Uri,
    /// What stood after `?`.
    Query,
    /// `HTTP/1.0` or `HTTP/1.1`.
    Version,
    /// The route that matched.
    Pattern,
    /// `http` or `https`.
    UrlScheme,
    /// The client's address, without a port.
    RemoteAddr,
    /// The first byte of a WebSocket message: [`Flags`](crate::websocket::Flags).
    Flags,
    /// The fingerprint of a client's certificate.
    PeerCertSha1,
    /// At which byte of an upload this piece begins, decimal.
    UploadStream,
    /// `1` at the last piece of an upload.
    UploadStreamDone,
    /// How many more bytes a handler may send, decimal.
    DownloadCredits,
}

impl Key {
    /// The key as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "METHOD",
            Self::Path => "PATH",
            Self::Uri => "URI",
            Self::Query => "QUERY",
            Self::Version => "VERSION",
            Self::Pattern => "PATTERN",
            Self::UrlScheme => "URL_SCHEME",
            Self::RemoteAddr => "REMOTE_ADDR",
            Self::Flags => "FLAGS",
            Self::PeerCertSha1 => "PEER_CERT_SHA1",
            Self::UploadStream => "UPLOAD_STREAM",
            Self::UploadStreamDone => "UPLOAD_STREAM_DONE",
            Self::DownloadCredits => "DOWNLOAD_CREDITS",
        }
    }
}
