use std::fmt;

use super::error::ZmtpError;
use crate::error::Found;

/// How long a greeting is.
pub const GREETING_BYTES: usize = 64;

/// How a peer introduces itself (RFC 37/ZMTP, "Version Negotiation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The major version, 3 or more.
    pub major: u8,
    /// The minor version.
    pub minor: u8,
    /// How the peer wants to be secure.
    pub mechanism: Mechanism,
    /// Whether the peer is the mechanism's server. Without a meaning for NULL.
    pub as_server: bool,
}

/// The name of a security mechanism: at most 20 capital letters, digits and `-_.+`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mechanism([u8; 20]);

impl Mechanism {
    /// No security.
    pub const NULL: Self = Self(*b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");

    /// The name, without the zeros that fill it up.
    pub fn name(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Greeting {
    /// What Brim sends: ZMTP 3.1, NULL.
    pub const OURS: Self =
        Self { major: 3, minor: 1, mechanism: Mechanism::NULL, as_server: false };

    /// The greeting at the start of `input`, as soon as it is whole.
    ///
    /// What is wrong is an error as soon as it is there: a peer of an older protocol sends less, and
    /// waits. Padding and filler have no meaning and are not looked at.
    pub fn decode(input: &mut &[u8]) -> Result<Option<Self>, ZmtpError> {
        let bytes = *input;
        expect(bytes, 0, 0xff, "0xff, the start of a signature")?;
        expect(bytes, 9, 0x7f, "0x7f, the end of a signature")?;
        if let Some(found @ ..3) = bytes.get(10).copied() {
            return Err(ZmtpError::Version { found });
        }
        let mut is_over = false;
        for (at, byte) in (12..32).zip(bytes.iter().skip(12)) {
            let is_good = match byte {
                0 => at > 12,
                b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'+' => !is_over,
                _ => false,
            };
            if !is_good {
                return Err(unexpected(at, *byte, "the name of a mechanism, then zeros"));
            }
            is_over |= *byte == 0;
        }
        if let Some(byte @ 2..) = bytes.get(32).copied() {
            return Err(unexpected(32, byte, "0 or 1 for as-server"));
        }
        let Some((greeting, rest)) = bytes.split_first_chunk::<GREETING_BYTES>() else {
            return Ok(None);
        };
        *input = rest;
        let [_, _, _, _, _, _, _, _, _, _, major, minor, tail @ ..] = greeting;
        let mut mechanism = [0; 20];
        mechanism.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        Ok(Some(Self {
            major: *major,
            minor: *minor,
            mechanism: Mechanism(mechanism),
            as_server: tail.get(20) == Some(&1),
        }))
    }

    /// The 64 bytes to send.
    pub fn encode(&self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        let head = [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, self.major, self.minor];
        let content = head.into_iter().chain(self.mechanism.0).chain([u8::from(self.as_server)]);
        bytes.iter_mut().zip(content).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Whether we can talk with this peer: only if it wants NULL, and then it is no server.
    pub fn check_null(&self) -> Result<(), ZmtpError> {
        if self.mechanism != Mechanism::NULL {
            return Err(ZmtpError::Mechanism { found: self.mechanism });
        }
        if self.as_server {
            return Err(unexpected(32, 1, "0 for as-server with NULL"));
        }
        Ok(())
    }

    /// Whether the peer knows what came with ZMTP 3.1: SUBSCRIBE and CANCEL as commands, PING.
    ///
    /// A peer talks its own version to an older one only if it can; to 3.0, subscriptions are
    /// messages ([`append_subscription`](super::append_subscription)).
    pub fn is_3_1(&self) -> bool {
        (self.major, self.minor) >= (3, 1)
    }
}

fn expect(bytes: &[u8], at: usize, byte: u8, expected: &'static str) -> Result<(), ZmtpError> {
    match bytes.get(at) {
        Some(found) if *found != byte => Err(unexpected(at, *found, expected)),
        _ => Ok(()),
    }
}

fn unexpected(at: usize, found: u8, expected: &'static str) -> ZmtpError {
    ZmtpError::Unexpected { at: at as u64, found: Found::Byte(found), expected }
}
