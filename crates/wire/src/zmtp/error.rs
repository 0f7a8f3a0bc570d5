use super::greeting::Mechanism;
use crate::error::Found;

/// Why a peer is not understood. Bytes are counted from 0: those of a greeting from its start, those of
/// frames from the first one on, those within a command from its name's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZmtpError {
    /// Something else stands where the protocol wants a certain thing.
    #[error("byte {at}: found {found}, expected {expected}")]
    Unexpected {
        /// Where.
        at: u64,
        /// What stands there.
        found: Found,
        /// What the protocol wants.
        expected: &'static str,
    },
    /// A peer of an older protocol.
    #[error("byte 10: found ZMTP {found}, expected 3 or newer")]
    Version {
        /// Its major version.
        found: u8,
    },
    /// A peer that wants another mechanism.
    #[error("byte 12: found the mechanism {found}, expected NULL")]
    Mechanism {
        /// What it wants.
        found: Mechanism,
    },
    /// A frame, message or command announces more bytes than the caller allows.
    #[error("byte {at}: a {what} of {announced} bytes, at most {limit} allowed")]
    TooLong {
        /// Where the frame begins.
        at: u64,
        /// What is too long.
        what: &'static str,
        /// Its bytes, as far as they were announced.
        announced: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// A message has more frames than the caller allows.
    #[error("byte {at}: a message of more than {limit} frames")]
    TooManyParts {
        /// Where the one too many begins.
        at: u64,
        /// The caller's limit.
        limit: usize,
    },
}
