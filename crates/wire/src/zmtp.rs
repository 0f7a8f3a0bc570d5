//! ZeroMQ's transport, ZMTP 3.0 (RFC 23/ZMTP) and 3.1 (RFC 37/ZMTP), with the mechanism NULL.
//!
//! The life of a connection, each step one file:
//!
//! 1. [`Greeting`]: 64 bytes each way.
//! 2. [`Command`]: READY each way, with a [`SocketType`]; later PING, PONG, SUBSCRIBE and CANCEL.
//! 3. [`FrameDecoder`]: frames, of which messages and commands are made.
//! 4. [`FrameHeader`], [`append_message`], [`OpenFrame`]: the same outwards.
//!
//! What decodes takes a slice, moves its start behind what it used, and returns `None` when it needs
//! more bytes than there are: the caller keeps the rest and comes again with more. A value borrows from
//! the slice. After an error the connection is of no more use.

mod command;
mod encode;
mod error;
mod frame;
mod greeting;
mod socket;

pub use command::{
    Command, PING_CONTEXT, Properties, append_ready, append_subscription, subscription,
};
pub use encode::{FrameHeader, OpenFrame, append_message};
pub use error::ZmtpError;
pub use frame::{Frame, FrameDecoder, FrameLimits};
pub use greeting::{GREETING_BYTES, Greeting, Mechanism};
pub use socket::SocketType;

#[cfg(test)]
mod tests;
