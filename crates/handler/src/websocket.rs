//! WebSockets (RFC 6455) as a handler sees them: the server takes the clients' frames apart, the handler
//! writes its own.
//!
//! A [handshake](crate::Kind::Handshake) is answered by [`accept`], or by any other response and a close.
//! Then messages come whole and unmasked; [`text`], [`binary`] and the others are what
//! [`Replies::send`](crate::Replies::send) takes. A [`close`] from either side is answered by the other,
//! and then the handler closes the connection. Brim answers pings by itself, Mongrel2 does not: a handler
//! that answers each [ping](Flags::PING) it gets by a [`pong`] is right with both.

use brim_wire::websocket::Flags;
use bytes::Bytes;

use crate::request::{Kind, Request};

/// The other side has done what it wanted.
pub const NORMAL: u16 = 1000;
/// The one who says so leaves: a page that is closed, a server that stops.
pub const GOING_AWAY: u16 = 1001;
/// A message is not to one's liking.
pub const POLICY: u16 = 1008;

/// Bytes of a reason: a control frame has 125 at most, the code takes two.
const REASON: usize = 123;

/// The response that begins a WebSocket, with a subprotocol of those that the client offered.
///
/// `None` if the request is no handshake, or if the subprotocol has characters that none can have.
pub fn accept(request: &Request, protocol: Option<&str>) -> Option<Bytes> {
    if request.kind() != Kind::Handshake || !request.body.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut out = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                    connection: Upgrade\r\nsec-websocket-accept: "
        .to_vec();
    out.extend_from_slice(&request.body);
    if let Some(protocol) = protocol {
        if protocol.is_empty() || !protocol.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        out.extend_from_slice(b"\r\nsec-websocket-protocol: ");
        out.extend_from_slice(protocol.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    Some(Bytes::from(out))
}

/// A text message.
pub fn text(text: &str) -> Bytes {
    frame(Flags::TEXT, text.as_bytes())
}

/// A binary message.
pub fn binary(bytes: &[u8]) -> Bytes {
    frame(Flags::BINARY, bytes)
}

/// A ping of at most 125 bytes; what is more is left out.
pub fn ping(bytes: &[u8]) -> Bytes {
    frame(Flags::PING, bytes.get(..125).unwrap_or(bytes))
}

/// The answer to a ping: its bytes.
pub fn pong(bytes: &[u8]) -> Bytes {
    frame(Flags::PONG, bytes.get(..125).unwrap_or(bytes))
}

/// The closing handshake, with as much of the reason as fits.
pub fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    frame(Flags::CLOSE, &body)
}

/// Why the other side closes; `None` if it does not say, or if this is the body of no close.
pub fn close_code(body: &[u8]) -> Option<u16> {
    body.first_chunk().map(|code| u16::from_be_bytes(*code))
}

/// A frame with these flags, unmasked as a server's are.
pub fn frame(flags: Flags, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 10);
    out.push(flags.0);
    match (u8::try_from(body.len()), u16::try_from(body.len())) {
        (Ok(length @ ..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(body);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_one_three_or_nine_bytes() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = binary(&vec![7; length]);
            assert_eq!(frame.get(..head.len()), Some(head));
            assert_eq!(frame.len(), head.len() + length);
        }
    }

    #[test]
    fn control_frames_are_never_longer_than_125_bytes() {
        assert_eq!(ping(&[1; 126]).len(), 127);
        assert_eq!(pong(b"x"), &b"\x8a\x01x"[..]);
        // The 123rd byte is in the middle of a letter.
        let close = close(NORMAL, &"é".repeat(100));
        assert_eq!((close.first(), close.len()), (Some(&0x88), 2 + 2 + 122));
        assert_eq!(close_code(&close.slice(2..)), Some(NORMAL));
        assert_eq!(close_code(b"\x03"), None);
    }
}
