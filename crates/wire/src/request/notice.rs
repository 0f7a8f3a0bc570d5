use super::encode::{Encoding, Envelope, RequestWriter};
use super::key::Key;
use crate::sender::Sender;

/// The path of notices, which no client can send.
pub const NOTICE_PATH: &[u8] = b"@*";

pub(super) const DISCONNECT: &[u8] = br#"{"type":"disconnect"}"#;
pub(super) const CREDITS: &[u8] = br#"{"type":"credits"}"#;

/// What a server tells a handler unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The client left.
    Disconnect,
    /// The client took so many bytes, and the handler may send as many more.
    Credits(u64),
}

/// Appends the notice that a client left.
pub fn append_disconnect(out: &mut Vec<u8>, encoding: Encoding, sender: Sender<'_>, id: u32) {
    let envelope = Envelope { sender, id, path: NOTICE_PATH };
    let mut notice = RequestWriter::begin(out, encoding, &envelope);
    notice.key(Key::Method, b"JSON");
    notice.finish(DISCONNECT);
}

/// Appends the notice that a client took so many bytes, framing included.
pub fn append_credits(
    out: &mut Vec<u8>,
    encoding: Encoding,
    sender: Sender<'_>,
    id: u32,
    bytes: u64,
) {
    let envelope = Envelope { sender, id, path: NOTICE_PATH };
    let mut notice = RequestWriter::begin(out, encoding, &envelope);
    // The orders of Mongrel2, for handlers that compare bytes.
    if encoding == Encoding::Json {
        notice.key(Key::Method, b"JSON");
        notice.number(Key::DownloadCredits, bytes);
    } else {
        notice.number(Key::DownloadCredits, bytes);
        notice.key(Key::Method, b"JSON");
    }
    notice.finish(CREDITS);
}
