//! Brim's byte formats: bytes in, values out, and back.
//!
//! From the bottom up, each step one file:
//!
//! 1. [`netstring`] and [`tnetstring`]: counted strings, and values made of them.
//! 2. [`request`]: what a handler is sent. [`reply`]: what it answers. [`websocket`]: a flag of both.
//! 3. [`zmtp`]: how ZeroMQ carries both.
//! 4. [`socket_message`]: what clients send that speak no HTTP.
//! 5. [`link`]: how front end and gateway talk to each other.
//!
//! No I/O, no clock, no tasks: the caller reads and writes. Nothing recurses over its input, nothing
//! reserves memory because a peer announced a size, every size has a limit that the caller gives.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod error;
pub mod link;
pub mod netstring;
mod reader;
pub mod reply;
pub mod request;
mod sender;
pub mod socket_message;
pub mod tnetstring;
pub mod websocket;
mod words;
pub mod zmtp;

pub use error::{Found, MessageError};
pub use sender::{OwnedSender, SENDER_BYTES, Sender};
