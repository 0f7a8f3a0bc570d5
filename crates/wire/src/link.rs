//! The link between a front end's worker and the gateway: many exchanges over one stream.
//!
//! `docs/link.md` is the format; this is its code, from the bottom up:
//!
//! 1. [`RequestHead`], [`ResponseHead`], [`Headers`]: what begins an exchange and an answer.
//! 2. [`Frame`] and [`Content`]: everything that can be sent, and how it is written.
//! 3. [`FrameDecoder`]: finds the frames of one direction in a stream, and checks them.
//! 4. [`SendCredit`], [`ReceiveCredit`]: how much of an exchange may be under way.
//! 5. [`Numbered`]: what each side keeps by numbers of exchanges.
//!
//! Numbers are big-endian. A decoder takes a slice, moves its start behind what it used, and returns
//! `None` when it needs more bytes than there are. After an error the link is of no more use.

mod content;
mod credit;
mod decode;
mod encode;
mod error;
mod fields;
mod head;
mod numbered;

pub use content::{Cancel, Content, Frame, GoAway, GoAwayReason, Hello, Reason, Side};
pub use credit::{ReceiveCredit, SendCredit};
pub use decode::{FrameDecoder, HELLO_BYTES, Limits, parse_request};
pub use encode::{
    HEADER_BYTES, append_request, append_response, append_upgrade, data_header, part_header,
    readdress,
};
pub use error::LinkError;
pub use head::{CERTIFICATE, Class, Headers, RequestHead, ResponseHead};
pub use numbered::{NumberHasher, Numbered};

/// The lowest version of the format that is spoken here.
pub const LOWEST: u8 = 1;
/// The highest.
pub const HIGHEST: u8 = 2;

#[cfg(test)]
mod tests;
