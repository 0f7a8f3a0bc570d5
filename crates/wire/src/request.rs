//! What a handler is sent: `SENDER ' ' ID ' ' PATH ' ' HEADERS BODY`.
//!
//! `HEADERS` is a netstring of a JSON object or a tnetstring dictionary, `BODY` is a netstring. The id
//! is decimal, below 2^32. Source: "Mongrel2's protocol".
//!
//! A value is a string, or a list of strings where a client sent a header more than once, in the order
//! of arrival. Upper-case keys are the server's ([`Key`]); a client's names are lower-case.
//!
//! A header value may be any bytes. In tnetstrings it is exact. In JSON, a value that is UTF-8 is
//! written as that text, with `"`, `\` and control characters escaped; any other value is taken for
//! ISO 8859-1, and each byte from 0x80 on becomes `\u0080` to `\u00ff`. So every message is JSON for
//! strict parsers, and `caf\xe9` arrives as `café`; but a reader of JSON cannot tell which of the two
//! spellings of `é` a client sent. Who needs to know takes tnetstrings.

mod decode;
mod encode;
mod json;
mod key;
mod notice;

pub use decode::{Headers, Request, parse};
pub use encode::{BODY_END, Encoding, Envelope, RequestWriter};
pub use key::{Key, UPLOAD_DONE, UPLOAD_START};
pub use notice::{NOTICE_PATH, Notice, append_credits, append_disconnect};

#[cfg(test)]
mod tests;
