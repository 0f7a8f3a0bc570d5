use std::fmt;

/// What is wrong with a handler message, and at which byte of it (the first is 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Something else stands where the format wants a certain thing.
    #[error("byte {at}: found {found}, expected {expected}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What stands there.
        found: Found,
        /// What the format wants.
        expected: &'static str,
    },
    /// A length is announced that the rest of the message does not have.
    #[error("byte {at}: {announced} bytes announced, {left} left")]
    Short {
        /// Where the announced bytes would begin.
        at: usize,
        /// How many were announced.
        announced: usize,
        /// How many there are.
        left: usize,
    },
    /// More bytes than the caller allows.
    #[error("byte {at}: a length of {length} bytes or more, at most {limit} allowed")]
    TooLong {
        /// Where the length stands, or where the bytes are.
        at: usize,
        /// As much of the length as was read.
        length: usize,
        /// The caller's limit.
        limit: usize,
    },
    /// More lists and dictionaries in one another than the caller allows.
    #[error("byte {at}: more than {limit} lists or dictionaries in one another")]
    TooDeep {
        /// Where the one too deep begins.
        at: usize,
        /// The caller's limit.
        limit: usize,
    },
    /// More ids, or more headers, than the caller allows.
    #[error("byte {at}: more than {limit} {what}")]
    TooMany {
        /// Where the one too many begins.
        at: usize,
        /// Of what there are too many.
        what: &'static str,
        /// The caller's limit.
        limit: usize,
    },
}

/// What a parser met instead of what it expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The end of the message or of the part in question.
    End,
    /// This byte.
    Byte(u8),
    /// This many bytes that do not make the value.
    Bytes(usize),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Byte(byte @ b' '..=b'~') => write!(f, "'{}'", char::from(*byte)),
            Self::Byte(byte) => write!(f, "the byte 0x{byte:02x}"),
            Self::Bytes(1) => f.write_str("1 byte"),
            Self::Bytes(count) => write!(f, "{count} bytes"),
        }
    }
}
