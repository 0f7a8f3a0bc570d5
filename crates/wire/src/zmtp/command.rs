use super::encode::{append_command, append_message, append_short};
use super::error::ZmtpError;
use super::socket::SocketType;
use crate::error::Found;

/// The longest context of a PING (RFC 37/ZMTP, "Connection Heartbeating").
pub const PING_CONTEXT: usize = 16;

/// A command, which borrows from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The end of a peer's handshake.
    Ready(Properties<'a>),
    /// The peer refuses, and closes.
    Error {
        /// For the log; any bytes.
        reason: &'a [u8],
    },
    /// To be answered by a PONG with the same context.
    Ping {
        /// Tenths of a second after which the peer may be taken for dead if it is silent; 0 for never.
        ttl: u16,
        /// At most 16 bytes.
        context: &'a [u8],
    },
    /// The answer to a PING.
    Pong {
        /// What the PING had.
        context: &'a [u8],
    },
    /// The peer wants messages that begin with these bytes. Counts once for each time.
    Subscribe(&'a [u8]),
    /// Takes one SUBSCRIBE back.
    Cancel(&'a [u8]),
    /// A command that is not known here.
    Unknown {
        /// Its name.
        name: &'a [u8],
        /// What it says.
        data: &'a [u8],
    },
}

/// The properties of a READY: names and values, checked. The case of names has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'a> {
    rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// Reads the body of a command's frame. An empty one is an error: a command has a name.
    pub fn parse(body: &'a [u8]) -> Result<Self, ZmtpError> {
        let (name, data) = split_short(body, 0, "the name of a command")?;
        let start = body.len() - data.len();
        match name {
            b"READY" => {
                Properties::check(data, start)?;
                Ok(Self::Ready(Properties { rest: data }))
            }
            b"ERROR" => {
                let (reason, _) = split_counted(data, start, "the reason of an error")?;
                Ok(Self::Error { reason })
            }
            b"PING" => {
                let Some(([high, low], context)) = data.split_first_chunk() else {
                    let expected = "two bytes of time to live";
                    return Err(unexpected(start, Found::Bytes(data.len()), expected));
                };
                let context = check_context(context, start + 2)?;
                Ok(Self::Ping { ttl: u16::from_be_bytes([*high, *low]), context })
            }
            b"PONG" => Ok(Self::Pong { context: check_context(data, start)? }),
            b"SUBSCRIBE" => Ok(Self::Subscribe(data)),
            b"CANCEL" => Ok(Self::Cancel(data)),
            name => Ok(Self::Unknown { name, data }),
        }
    }

    /// Appends the command as a frame. Names and reasons are cut after 255 bytes.
    pub fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ready(properties) => append_command(out, b"READY", &[properties.rest]),
            Self::Error { reason } => {
                let mut data = Vec::new();
                append_short(&mut data, reason);
                append_command(out, b"ERROR", &[&data]);
            }
            Self::Ping { ttl, context } => {
                append_command(out, b"PING", &[&ttl.to_be_bytes(), context]);
            }
            Self::Pong { context } => append_command(out, b"PONG", &[context]),
            Self::Subscribe(prefix) => append_command(out, b"SUBSCRIBE", &[prefix]),
            Self::Cancel(prefix) => append_command(out, b"CANCEL", &[prefix]),
            Self::Unknown { name, data } => {
                let name = name.get(..usize::from(u8::MAX)).unwrap_or(name);
                append_command(out, name, &[data]);
            }
        }
    }
}

impl<'a> Properties<'a> {
    fn check(mut data: &'a [u8], mut at: usize) -> Result<(), ZmtpError> {
        while !data.is_empty() {
            let (name, rest) = split_short(data, at, "the name of a property")?;
            at += 1 + name.len();
            let value = rest.split_first_chunk().and_then(|(length, rest)| {
                rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
            });
            let Some((value, rest)) = value else {
                let found = Found::Bytes(rest.len());
                return Err(unexpected(at, found, "four bytes of length and a value of it"));
            };
            at += 4 + value.len();
            data = rest;
        }
        Ok(())
    }

    /// The value of the first property of this name.
    pub fn get(mut self, name: &str) -> Option<&'a [u8]> {
        self.find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The peer's type; `None` if it names none, or one that is not known.
    pub fn socket_type(self) -> Option<SocketType> {
        SocketType::parse(self.get("Socket-Type")?)
    }

    /// The peer's identity, empty if it has none.
    pub fn identity(self) -> &'a [u8] {
        self.get("Identity").unwrap_or_default()
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Checked before: the only failure here is the end.
        let (name, rest) = split_short(self.rest, 0, "").ok()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Appends a READY with a socket type, and an identity of at most 255 bytes if there is one.
///
/// Peers look only at the identities of REQ, DEALER and ROUTER.
pub fn append_ready(out: &mut Vec<u8>, socket: SocketType, identity: Option<&[u8]>) {
    let mut data = Vec::new();
    let mut property = |name: &[u8], value: &[u8]| {
        append_short(&mut data, name);
        let value = value.get(..usize::from(u8::MAX)).unwrap_or(value);
        data.extend_from_slice(&[0, 0, 0]);
        append_short(&mut data, value);
    };
    property(b"Socket-Type", socket.as_str().as_bytes());
    if let Some(identity) = identity {
        property(b"Identity", identity);
    }
    append_command(out, b"READY", &[&data]);
}

/// Appends a SUBSCRIBE or CANCEL: to peers of ZMTP 3.1 a command, to others a message that begins
/// with 1 or 0 (RFC 23/ZMTP).
pub fn append_subscription(out: &mut Vec<u8>, command: Command<'_>, is_3_1: bool) {
    let old = match command {
        Command::Subscribe(prefix) => Some((1, prefix)),
        Command::Cancel(prefix) => Some((0, prefix)),
        _ => None,
    };
    match old {
        Some((kind, prefix)) if !is_3_1 => {
            let mut body = vec![kind];
            body.extend_from_slice(prefix);
            append_message(out, &[&body]);
        }
        _ => command.append(out),
    }
}

/// Reads a message to a publisher: the older form of SUBSCRIBE and CANCEL, which peers of ZMTP 3.0
/// send. `None` if it is neither; publishers overlook such messages.
pub fn subscription(message: &[u8]) -> Option<Command<'_>> {
    match message {
        [1, prefix @ ..] => Some(Command::Subscribe(prefix)),
        [0, prefix @ ..] => Some(Command::Cancel(prefix)),
        _ => None,
    }
}

fn check_context(context: &[u8], at: usize) -> Result<&[u8], ZmtpError> {
    if context.len() > PING_CONTEXT {
        let found = Found::Bytes(context.len());
        return Err(unexpected(at, found, "a context of at most 16 bytes"));
    }
    Ok(context)
}

/// A length byte and as many letters, digits or `-_.+`, at least one; and what follows.
fn split_short<'a>(
    bytes: &'a [u8],
    at: usize,
    expected: &'static str,
) -> Result<(&'a [u8], &'a [u8]), ZmtpError> {
    let (name, rest) = split_counted(bytes, at, expected)?;
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte);
    if let Some((index, byte)) = name.iter().enumerate().find(|(_, byte)| !is_good(byte)) {
        return Err(unexpected(at + 1 + index, Found::Byte(*byte), expected));
    }
    if name.is_empty() {
        return Err(unexpected(at, Found::Bytes(0), expected));
    }
    Ok((name, rest))
}

fn split_counted<'a>(
    bytes: &'a [u8],
    at: usize,
    expected: &'static str,
) -> Result<(&'a [u8], &'a [u8]), ZmtpError> {
    let split =
        bytes.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)));
    split.ok_or_else(|| {
        let found = if bytes.is_empty() { Found::End } else { Found::Bytes(bytes.len() - 1) };
        unexpected(at, found, expected)
    })
}

fn unexpected(at: usize, found: Found, expected: &'static str) -> ZmtpError {
    ZmtpError::Unexpected { at: at as u64, found, expected }
}
