//! WebSocket frames (RFC 6455), as far as a server between client and handler needs them.
//!
//! 1. [`Flags`]: the first byte of a frame, as a handler gets it in `FLAGS`.
//! 2. [`ClientFrames`]: a client's frames, checked and unmasked, as pieces of messages.
//! 3. [`ServerFrames`]: where frames end in what a handler sends, so that one of ours can go between.
//! 4. [`append_frame`], [`append_close`]: frames of ours.

mod client;
mod flags;
mod server;
mod utf8;

pub use client::{ClientFrames, Control, Event, Violation};
pub use flags::Flags;
pub use server::{ServerFrames, append_close, append_frame};

/// The most bytes that a control frame can carry (section 5.5).
pub const CONTROL_BYTES: usize = 125;

#[cfg(test)]
mod tests;
