//! Brim's byte formats: bytes in, values out, and back.
//!
//! From the bottom up, each step one file:
//!
//! 1. [`netstring`] and [`tnetstring`]: counted strings, and values made of them.
//! 2. [`reply`]: what a handler answers.
//!
//! No I/O, no clock, no tasks: the caller reads and writes. Nothing recurses over its input, nothing
//! reserves memory because a peer announced a size, every size has a limit that the caller gives.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod error;
pub mod netstring;
mod reader;
pub mod reply;
mod sender;
pub mod tnetstring;

pub use error::{Found, MessageError};
pub use sender::{SENDER_BYTES, Sender};
