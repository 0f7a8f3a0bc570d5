use std::fmt;

use crate::error::MessageError;
use crate::reader::Reader;

/// The longest sender id, in bytes.
pub const SENDER_BYTES: usize = 255;

/// The id of a server: `send_ident` in a request, and repeated by the handler in its replies.
///
/// One to 255 letters, digits and hyphens (ASCII). Source: "Mongrel2's protocol", which rejects
/// replies with any other id; the upper bound is Brim's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sender<'a>(&'a str);

impl<'a> Sender<'a> {
    /// Takes `bytes` as an id, if they are one.
    pub fn new(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        let sender = Self::read(&mut reader)?;
        if !reader.is_at_end() {
            return Err(reader.unexpected("a letter, a digit or '-' in a sender's id"));
        }
        Ok(sender)
    }

    /// Reads an id; what follows it is up to the caller.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        let at = reader.at();
        let bytes = reader.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if bytes.len() > SENDER_BYTES {
            return Err(MessageError::TooLong { at, length: bytes.len(), limit: SENDER_BYTES });
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() => Ok(Self(text)),
            _ => Err(reader.unexpected("a sender's id of letters, digits and '-'")),
        }
    }

    /// The id.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// A [`Sender`] that borrows from nobody: checked once, for many messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedSender(Box<str>);

impl OwnedSender {
    /// The id.
    pub fn as_sender(&self) -> Sender<'_> {
        Sender(&self.0)
    }
}

impl From<Sender<'_>> for OwnedSender {
    fn from(sender: Sender<'_>) -> Self {
        Self(sender.0.into())
    }
}

impl fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_letters_digits_and_hyphens() {
        let uuid = b"34f9ceee-cd52-4b7f-b197-88bf2f0ec378";
        assert_eq!(Sender::new(uuid).map(|sender| sender.as_str().len()), Ok(36));
        for (bytes, message) in [
            (&b""[..], "byte 0: found the end, expected a sender's id of letters, digits and '-'"),
            (b"a_b", "byte 1: found '_', expected a letter, a digit or '-' in a sender's id"),
            (b"web.1", "byte 3: found '.', expected a letter, a digit or '-' in a sender's id"),
        ] {
            assert_eq!(Sender::new(bytes).unwrap_err().to_string(), message);
        }
        assert!(Sender::new(&[b'a'; 255]).is_ok());
        let refusal = MessageError::TooLong { at: 0, length: 256, limit: 255 };
        assert_eq!(Sender::new(&[b'a'; 256]), Err(refusal));
    }
}
