//! A handler's replies: `SENDER ' ' LENGTH ':' ID (' ' ID)* ',' ' ' BODY`.
//!
//! The ids are decimal, below 2^32, with one space between them and perhaps one at the end. An empty
//! body closes the connections, after what was sent before. Ids that begin with `X ` make the reply an
//! extended one, whose body is a tnetstring list of a key and a value. Source: "Mongrel2's protocol".

use crate::error::{Found, MessageError};
use crate::netstring;
use crate::reader::Reader;
use crate::sender::Sender;
use crate::tnetstring::{self, Value};

/// The most ids of one reply that "Mongrel2's protocol" allows by default.
pub const TARGETS: usize = 128;

/// Bytes of an extended reply's body, and how deep it may be: a list and a dictionary, and some more
/// in values that are not ours.
const EXTENDED: tnetstring::Limits = tnetstring::Limits { bytes: 65_536, depth: 8 };

/// A handler's reply, which borrows from its message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reply<'a> {
    /// The server that is meant: the id of its requests.
    pub sender: Sender<'a>,
    /// Whom it is for.
    pub targets: Targets<'a>,
    /// What is to be done.
    pub body: Body<'a>,
}

/// What a reply wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    /// Send these bytes, of which there is at least one.
    Data(&'a [u8]),
    /// Send what was sent before, then close.
    Close,
    /// An extended reply.
    Extended(Extended<'a>),
}

/// What an extended reply wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extended<'a> {
    /// The key `ctl`.
    Control(Control),
    /// The key `sendfile`: send this file, raw.
    SendFile(&'a [u8]),
    /// A key that nobody knows, and its value.
    Unknown {
        /// The key.
        key: &'a [u8],
        /// Its value.
        value: Value<'a>,
    },
}

/// What a `ctl` reply says, in any combination. Keys beside these are overlooked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The connection is not idle.
    pub keep_alive: bool,
    /// The handler takes so many more bytes of an upload.
    pub credits: Option<u64>,
    /// Close at once, without sending what waits.
    pub cancel: bool,
}

/// The ids of a reply: at least one, in their order, repetitions too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets<'a> {
    digits: &'a [u8],
    count: usize,
}

/// Reads a whole message as a reply to at most `targets` ids.
pub fn parse(message: &[u8], targets: usize) -> Result<Reply<'_>, MessageError> {
    let mut reader = Reader::new(message);
    let sender = Sender::read(&mut reader)?;
    reader.expect(b' ', "a letter, a digit or '-', or ' ' after a sender's id")?;
    let (targets, is_extended) = parse_targets(&mut reader, message, targets)?;
    reader.expect(b' ', "' ' between the ids and the body")?;
    let body = match reader.rest() {
        _ if is_extended => Body::Extended(parse_extended(&mut reader, message)?),
        [] => Body::Close,
        data => Body::Data(data),
    };
    Ok(Reply { sender, targets, body })
}

/// The longest list of so many ids: ten digits and a space each, and `X `.
fn longest(targets: usize) -> usize {
    targets.saturating_mul(11).saturating_add(2)
}

fn parse_targets<'a>(
    reader: &mut Reader<'a>,
    message: &'a [u8],
    limit: usize,
) -> Result<(Targets<'a>, bool), MessageError> {
    let too_many = |at| MessageError::TooMany { at, what: "ids", limit };
    let at = reader.at();
    let length = match reader.length(longest(limit)) {
        Err(MessageError::TooLong { .. }) => return Err(too_many(at)),
        length => length?,
    };
    let start = reader.at();
    let field = reader.take(length)?;
    reader.expect(b',', "',' after the ids")?;
    let mut ids = Reader::within(message, start, start + field.len());
    let is_extended = field.starts_with(b"X ");
    if is_extended {
        ids.take(2)?;
    }
    let digits = ids.rest();
    let mut count = 0;
    while count == 0 || !ids.is_at_end() {
        if count == limit {
            return Err(too_many(ids.at()));
        }
        ids.number("an id below 4294967296")?;
        count += 1;
        if !ids.is_at_end() {
            ids.expect(b' ', "a digit, or ' ' between ids")?;
        }
    }
    Ok((Targets { digits, count }, is_extended))
}

fn parse_extended<'a>(
    reader: &mut Reader<'a>,
    message: &'a [u8],
) -> Result<Extended<'a>, MessageError> {
    const SHAPE: &str = "a tnetstring list of a key and a value";
    let start = reader.at();
    let wrong = |expected| {
        let found = Found::Bytes(message.len() - start);
        MessageError::Unexpected { at: start, found, expected }
    };
    let Value::List(mut parts) = tnetstring::read(reader, message, EXTENDED)? else {
        return Err(wrong(SHAPE));
    };
    if !reader.is_at_end() {
        return Err(reader.unexpected("nothing after the list"));
    }
    let (Some(Value::String(key)), Some(value), None) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong(SHAPE));
    };
    match (key, value) {
        (b"ctl", Value::Dictionary(entries)) => {
            let mut control = Control::default();
            for (key, value) in entries {
                match (key, value) {
                    (b"keep-alive", _) => control.keep_alive = true,
                    (b"cancel", _) => control.cancel = true,
                    (b"credits", Value::Integer(credits)) => {
                        let credits = credits.try_into();
                        control.credits = Some(credits.map_err(|_| wrong("credits of 0 or more"))?);
                    }
                    (b"credits", _) => return Err(wrong("an integer for credits")),
                    _ => {}
                }
            }
            Ok(Extended::Control(control))
        }
        (b"ctl", _) => Err(wrong("a dictionary for ctl")),
        (b"sendfile", Value::String(path)) => Ok(Extended::SendFile(path)),
        (b"sendfile", _) => Err(wrong("a path for sendfile")),
        (key, value) => Ok(Extended::Unknown { key, value }),
    }
}

impl Targets<'_> {
    /// How many ids there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The ids.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        // Checked before, so nothing overflows here.
        let ids = self.digits.split(|byte| *byte == b' ').filter(|digits| !digits.is_empty());
        ids.map(|digits| {
            digits.iter().fold(0_u32, |id, digit| {
                id.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0')))
            })
        })
    }
}

/// Appends a reply of these bytes; none of them closes the connections.
///
/// Fails if there are no ids, or more than [`TARGETS`].
pub fn append(
    out: &mut Vec<u8>,
    sender: Sender<'_>,
    ids: &[u32],
    body: &[u8],
) -> Result<(), MessageError> {
    append_head(out, sender, b"", ids)?;
    out.extend_from_slice(body);
    Ok(())
}

/// Appends an extended reply with the key `ctl`.
///
/// Fails if there are no ids, or more than [`TARGETS`].
pub fn append_control(
    out: &mut Vec<u8>,
    sender: Sender<'_>,
    ids: &[u32],
    control: Control,
) -> Result<(), MessageError> {
    append_head(out, sender, b"X ", ids)?;
    tnetstring::append_list(out, |out| {
        tnetstring::append_string(out, b"ctl");
        tnetstring::append_dictionary(out, |out| {
            if control.keep_alive {
                tnetstring::append_string(out, b"keep-alive");
                tnetstring::append_boolean(out, true);
            }
            if let Some(credits) = control.credits {
                tnetstring::append_string(out, b"credits");
                tnetstring::append_integer(out, i64::try_from(credits).unwrap_or(i64::MAX));
            }
            if control.cancel {
                tnetstring::append_string(out, b"cancel");
                tnetstring::append_boolean(out, true);
            }
        });
    });
    Ok(())
}

/// Appends an extended reply that sends a file, raw.
///
/// Fails if there are no ids, or more than [`TARGETS`].
pub fn append_send_file(
    out: &mut Vec<u8>,
    sender: Sender<'_>,
    ids: &[u32],
    path: &[u8],
) -> Result<(), MessageError> {
    append_head(out, sender, b"X ", ids)?;
    tnetstring::append_list(out, |out| {
        tnetstring::append_string(out, b"sendfile");
        tnetstring::append_string(out, path);
    });
    Ok(())
}

fn append_head(
    out: &mut Vec<u8>,
    sender: Sender<'_>,
    mark: &[u8],
    ids: &[u32],
) -> Result<(), MessageError> {
    if ids.is_empty() {
        return Err(MessageError::Unexpected { at: 0, found: Found::End, expected: "an id" });
    }
    if ids.len() > TARGETS {
        return Err(MessageError::TooMany { at: 0, what: "ids", limit: TARGETS });
    }
    out.extend_from_slice(sender.as_str().as_bytes());
    out.push(b' ');
    let open = netstring::Open::begin(out);
    out.extend_from_slice(mark);
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*id).as_bytes());
    }
    open.close(out, b',');
    out.push(b' ');
    Ok(())
}

#[cfg(test)]
mod tests;
