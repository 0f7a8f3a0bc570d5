use super::content::Side;
use super::{HIGHEST, LOWEST};
use crate::error::Found;

/// What is wrong with the link. Bytes are counted from 0, the start of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Something else stands where the format wants a certain thing.
    #[error("byte {at} of a frame: found {found}, expected {expected}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What stands there.
        found: Found,
        /// What the format wants.
        expected: &'static str,
    },
    /// A frame of another version than the one that its kind and flags came with.
    #[error("a frame of version {found}, expected {expected}")]
    Version {
        /// The frame's version.
        found: u8,
        /// That of its kind and flags.
        expected: u8,
    },
    /// A peer that speaks only versions that are not spoken here.
    #[error(
        "the peer speaks the versions {lowest} to {highest}, expected {LOWEST} or {HIGHEST} among them"
    )]
    Versions {
        /// The lowest that the peer speaks.
        lowest: u8,
        /// The highest.
        highest: u8,
    },
    /// A frame that this side does not send.
    #[error("a frame of kind {kind} from the {from}, which does not send it")]
    Direction {
        /// The frame's kind.
        kind: u8,
        /// Whose frame it is.
        from: Side,
    },
    /// A frame announces more bytes than allowed.
    #[error("a frame of kind {kind} with {announced} bytes, at most {limit} allowed")]
    TooLong {
        /// The frame's kind.
        kind: u8,
        /// Its payload, as announced.
        announced: usize,
        /// The caller's limit.
        limit: usize,
    },
    /// A head has more headers than allowed.
    #[error("a head of {count} headers, at most {limit} allowed")]
    TooManyHeaders {
        /// How many it announces.
        count: usize,
        /// The caller's limit.
        limit: usize,
    },
    /// A part of a head does not fit the length field that stands before it.
    #[error("{length} bytes of {what}, at most {limit} can be sent")]
    Unsendable {
        /// What is too long.
        what: &'static str,
        /// Its bytes, or how many there are of it.
        length: usize,
        /// What fits.
        limit: usize,
    },
    /// A peer sent more than it had credit for.
    #[error("{bytes} bytes where there was credit for {credit}")]
    OverCredit {
        /// What came.
        bytes: usize,
        /// What might have come.
        credit: u32,
    },
    /// A peer granted so much credit that it cannot be counted.
    #[error("a credit of {granted} on top of {credit}, at most {} in all", i32::MAX)]
    TooMuchCredit {
        /// What was there.
        credit: u32,
        /// What was granted.
        granted: u32,
    },
}
