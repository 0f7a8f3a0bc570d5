/// The header that tells a handler where an upload goes, at its start and at its end.
///
/// A client can send it too: whoever writes requests leaves out a client's.
pub const UPLOAD_START: &str = "x-mongrel2-upload-start";

/// The header that tells a handler that an upload is whole, with the same path.
///
/// A client can send it too: whoever writes requests leaves out a client's.
pub const UPLOAD_DONE: &str = "x-mongrel2-upload-done";

macro_rules! keys {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// The keys of a request's headers that the server writes. Source: "Mongrel2's protocol".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Key {
            $($(#[$doc])* $variant,)+
        }

        impl Key {
            /// The key as it is sent.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// What stands in JSON behind the last string and before this key's own.
            pub(super) fn json(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!(",\"", $text, "\":\""),)+
                }
            }
        }
    };
}

keys! {
    /// The HTTP method; `JSON` and `XML` for socket messages and notices; `WEBSOCKET_HANDSHAKE`,
    /// `WEBSOCKET`.
    Method = "METHOD",
    /// The path as it was sent, without the query.
    Path = "PATH",
    /// Path and query as they were sent.
    Uri = "URI",
    /// What stood after `?`.
    Query = "QUERY",
    /// `HTTP/1.0` or `HTTP/1.1`.
    Version = "VERSION",
    /// The route that matched.
    Pattern = "PATTERN",
    /// `http` or `https`.
    UrlScheme = "URL_SCHEME",
    /// The client's address, without a port.
    RemoteAddr = "REMOTE_ADDR",
    /// The first byte of a WebSocket message: [`Flags`](crate::websocket::Flags).
    Flags = "FLAGS",
    /// The SHA-1 of the client's certificate, 40 hex digits in upper case.
    PeerCertSha1 = "PEER_CERT_SHA1",
    /// At which byte of an upload this piece begins, decimal.
    UploadStream = "UPLOAD_STREAM",
    /// `1` at the last piece of an upload.
    UploadStreamDone = "UPLOAD_STREAM_DONE",
    /// How many more bytes a handler may send, decimal.
    DownloadCredits = "DOWNLOAD_CREDITS",
}
