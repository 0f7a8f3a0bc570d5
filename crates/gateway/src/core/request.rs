//! What a handler is sent for a client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brim_wire::link::{CERTIFICATE, Class, Headers, RequestHead};
use brim_wire::request::{
    Encoding, Envelope, Key, RequestWriter, UPLOAD_DONE, UPLOAD_START, append_credits,
    append_disconnect,
};
use brim_wire::websocket::Flags;
use brim_wire::zmtp::OpenFrame;
use brim_wire::{OwnedSender, Sender};

/// What follows the client's key in a WebSocket's accept value (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Who writes: the same for all messages of a handler's section.
#[derive(Clone, Debug)]
pub(crate) struct Pen {
    /// `None` for what is no id, which the configuration cannot have.
    pub(crate) sender: Option<OwnedSender>,
    pub(crate) encoding: Encoding,
    /// What the first message of an exchange allows in bytes of its answer.
    pub(crate) download_credits: u64,
}

/// What a message is about, beyond the request's head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    /// The request, with its body.
    Request,
    /// A message of a WebSocket.
    Message(Flags),
    /// A socket message that came to this path.
    Socket(&'a [u8]),
    /// A body goes to this file.
    UploadStart(&'a str),
    /// A body is in this file.
    UploadDone(&'a str),
    /// A body comes in pieces.
    StreamStart,
}

/// A piece of a body, which begins at this byte of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) offset: u64,
    pub(crate) is_last: bool,
    pub(crate) bytes: &'a [u8],
}

impl Pen {
    fn sender(&self) -> Option<Sender<'_>> {
        self.sender.as_ref().map(OwnedSender::as_sender)
    }

    /// Appends a request as a frame.
    pub(crate) fn request(
        &self,
        out: &mut Vec<u8>,
        id: u32,
        (head, headers): (&RequestHead<'_>, &Headers<'_>),
        (about, body): (About<'_>, &[u8]),
    ) {
        let Some(sender) = self.sender() else { return };
        let path = match about {
            About::Socket(path) => path,
            _ => head.path(),
        };
        let frame = OpenFrame::begin(out);
        let mut writer = RequestWriter::begin(out, self.encoding, &Envelope { sender, id, path });
        // The orders of Mongrel2, for handlers that compare bytes.
        match self.encoding {
            Encoding::Json => {
                writer.key(Key::Path, path);
                headers_of(&mut writer, head, headers, about);
                origin_keys(&mut writer, head, about, false);
                certificate(&mut writer, head, headers);
            }
            Encoding::Tnetstring => {
                certificate(&mut writer, head, headers);
                origin_keys(&mut writer, head, about, true);
                writer.key(Key::Path, path);
                headers_of(&mut writer, head, headers, about);
            }
        }
        if self.download_credits > 0 && !matches!(about, About::Message(_) | About::UploadDone(_)) {
            writer.number(Key::DownloadCredits, self.download_credits);
        }
        match about {
            About::Message(flags) => writer.key(Key::Flags, &flags.text()),
            About::StreamStart => writer.number(Key::UploadStream, 0),
            _ => {}
        }
        if head.class == Class::WebSocket && matches!(about, About::Request) {
            writer.finish(accept(headers).as_bytes());
        } else {
            writer.finish(body);
        }
        frame.close(out);
    }

    /// Appends a piece of a body.
    pub(crate) fn piece(&self, out: &mut Vec<u8>, id: u32, path: &[u8], piece: Piece<'_>) {
        let Piece { offset, is_last, bytes } = piece;
        let Some(sender) = self.sender() else { return };
        let frame = OpenFrame::begin(out);
        let mut writer = RequestWriter::begin(out, self.encoding, &Envelope { sender, id, path });
        writer.number(Key::UploadStream, offset);
        if is_last {
            writer.key(Key::UploadStreamDone, b"1");
        }
        writer.finish(bytes);
        frame.close(out);
    }

    /// Appends the notice that a client left.
    pub(crate) fn disconnect(&self, out: &mut Vec<u8>, id: u32) {
        let Some(sender) = self.sender() else { return };
        let frame = OpenFrame::begin(out);
        append_disconnect(out, self.encoding, sender, id);
        frame.close(out);
    }

    /// Appends the notice that so many bytes have gone on.
    pub(crate) fn credits(&self, out: &mut Vec<u8>, id: u32, bytes: u64) {
        let Some(sender) = self.sender() else { return };
        let frame = OpenFrame::begin(out);
        append_credits(out, self.encoding, sender, id, bytes);
        frame.close(out);
    }
}

/// The server's keys, which no client can send.
fn origin_keys(
    writer: &mut RequestWriter<'_>,
    head: &RequestHead<'_>,
    about: About<'_>,
    is_reversed: bool,
) {
    let is_socket = matches!(head.class, Class::Json | Class::Xml);
    let method = match (head.class, about) {
        (Class::Json, _) => &b"JSON"[..],
        (Class::Xml, _) => b"XML",
        (Class::WebSocket, About::Message(_)) => b"WEBSOCKET",
        (Class::WebSocket, _) => b"WEBSOCKET_HANDSHAKE",
        _ => head.method,
    };
    // HTTP/2 is none of a handler's business: it answers as to HTTP/1.1.
    let version: &[u8] = if head.version == 10 { b"HTTP/1.0" } else { b"HTTP/1.1" };
    let keys = [
        (Key::Method, Some(method)),
        (Key::Version, (!is_socket).then_some(version)),
        (Key::Uri, (!is_socket).then_some(head.target)),
        (Key::Query, head.query().filter(|_| !is_socket)),
        (Key::Pattern, Some(head.pattern)),
        (Key::UrlScheme, Some(if head.is_https { b"https" } else { &b"http"[..] })),
        (Key::RemoteAddr, Some(head.client)),
    ];
    let mut write = |(key, value): (Key, Option<&[u8]>)| {
        if let Some(value) = value {
            writer.key(key, value);
        }
    };
    if is_reversed {
        let [method, version, uri, query, pattern, scheme, address] = keys;
        [address, method, scheme, pattern, query, uri, version].into_iter().for_each(&mut write);
    } else {
        keys.into_iter().for_each(&mut write);
    }
}

/// The client's certificate, which the front end names among the headers.
fn certificate(writer: &mut RequestWriter<'_>, head: &RequestHead<'_>, headers: &Headers<'_>) {
    // Nobody else has one.
    if head.is_https
        && let Some((_, sha1)) = headers.iter().find(|(name, _)| *name == CERTIFICATE)
    {
        writer.key(Key::PeerCertSha1, sha1);
    }
}

fn headers_of(
    writer: &mut RequestWriter<'_>,
    head: &RequestHead<'_>,
    headers: &Headers<'_>,
    about: About<'_>,
) {
    let is_socket = matches!(head.class, Class::Json | Class::Xml);
    let is_sent = move |name: &[u8]| {
        let is_forged = name.eq_ignore_ascii_case(UPLOAD_START.as_bytes())
            || name.eq_ignore_ascii_case(UPLOAD_DONE.as_bytes());
        !is_forged && (!is_socket || name == b"x-forwarded-for") && name != CERTIFICATE
    };
    let (start, done) = match about {
        About::UploadStart(path) => (Some(path), None),
        About::UploadDone(path) => (Some(path), Some(path)),
        _ => (None, None),
    };
    let start = start.map(|path| (UPLOAD_START.as_bytes(), path.as_bytes()));
    let done = done.map(|path| (UPLOAD_DONE.as_bytes(), path.as_bytes()));
    let clients = headers.iter().filter(move |(name, _)| is_sent(name));
    if start.is_none() {
        // Most requests: nothing is added to what the client sent.
        return writer.headers(clients);
    }
    writer.headers(clients.chain(start).chain(done));
}

/// The answer to a WebSocket's key, empty if there is none.
fn accept(headers: &Headers<'_>) -> String {
    let key = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"sec-websocket-key"));
    key.map_or_else(String::new, |(_, key)| {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
        digest.update(key);
        digest.update(GUID);
        STANDARD.encode(digest.finish())
    })
}
