//! Tnetstrings: `LENGTH ':' BYTES TYPE`, the length in decimal and in bytes, the type one byte.
//!
//! | type | value | bytes |
//! |---|---|---|
//! | `,` | string | any |
//! | `#` | integer | decimal, -2^63 to 2^63-1 |
//! | `^` | float | decimal, finite |
//! | `!` | boolean | `true` or `false` |
//! | `~` | null | none |
//! | `]` | list | values, one after the other |
//! | `}` | dictionary | a string and a value, and so on; keys may repeat |
//!
//! Source: tnetstrings.org, and what "Mongrel2's protocol" makes of it: keys are strings of any bytes.
//! A value is checked whole before it is given out, so that walking through it cannot fail.

use crate::error::{Found, MessageError};
use crate::netstring::{self, Open};
use crate::reader::Reader;

/// The longest text of a number that is looked at. The longest of a 64-bit float has some 330 bytes.
const NUMBER_BYTES: usize = 400;

/// What a value may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes between the outermost colon and type.
    pub bytes: usize,
    /// Lists and dictionaries in one another; 0 allows none.
    pub depth: usize,
}

/// A value that borrows from the message it stands in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `,`: any bytes.
    String(&'a [u8]),
    /// `#`
    Integer(i64),
    /// `^`: neither infinite nor "not a number".
    Float(f64),
    /// `!`
    Boolean(bool),
    /// `~`
    Null,
    /// `]`
    List(Items<'a>),
    /// `}`
    Dictionary(Entries<'a>),
}

/// The values of a list, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a> {
    rest: &'a [u8],
}

/// The keys and values of a dictionary, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries<'a> {
    items: Items<'a>,
}

/// The value at the start of `bytes`, and what follows it.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<(Value<'_>, &[u8]), MessageError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader, bytes, limits)?;
    Ok((value, reader.rest()))
}

/// Reads one value of `message`, at which `reader` stands.
pub(crate) fn read<'a>(
    reader: &mut Reader<'a>,
    message: &'a [u8],
    limits: Limits,
) -> Result<Value<'a>, MessageError> {
    let raw = Raw::read(reader, limits.bytes)?;
    if raw.is_container() {
        check(message, &raw, limits)?;
    }
    raw.value()
}

/// Checks what is in a list or dictionary, with a stack of its own, at most `limits.depth` high.
fn check(message: &[u8], outermost: &Raw<'_>, limits: Limits) -> Result<(), MessageError> {
    struct Level<'a> {
        reader: Reader<'a>,
        is_dictionary: bool,
        key_is_next: bool,
    }
    let open = |raw: &Raw<'_>| Level {
        reader: Reader::within(message, raw.start, raw.start + raw.bytes.len()),
        is_dictionary: raw.kind == b'}',
        key_is_next: true,
    };
    let too_deep = |at| MessageError::TooDeep { at, limit: limits.depth };
    if limits.depth == 0 {
        return Err(too_deep(outermost.start));
    }
    let mut levels = vec![open(outermost)];
    while let Some(level) = levels.last_mut() {
        if level.reader.is_at_end() {
            if level.is_dictionary && !level.key_is_next {
                return Err(level.reader.unexpected("a value for the last key"));
            }
            levels.pop();
            continue;
        }
        let start = level.reader.at();
        let raw = Raw::read(&mut level.reader, limits.bytes)?;
        if level.is_dictionary {
            if level.key_is_next && raw.kind != b',' {
                let found = Found::Byte(raw.kind);
                return Err(MessageError::Unexpected {
                    at: level.reader.at() - 1,
                    found,
                    expected: "',' after a key, which is a string",
                });
            }
            level.key_is_next = !level.key_is_next;
        }
        if raw.is_container() {
            if levels.len() >= limits.depth {
                return Err(too_deep(start));
            }
            levels.push(open(&raw));
        } else {
            raw.value()?;
        }
    }
    Ok(())
}

/// A value as it stands there: its bytes and its type.
struct Raw<'a> {
    bytes: &'a [u8],
    /// Where the bytes begin.
    start: usize,
    kind: u8,
}

impl<'a> Raw<'a> {
    fn read(reader: &mut Reader<'a>, limit: usize) -> Result<Self, MessageError> {
        let length = reader.length(limit)?;
        let start = reader.at();
        let bytes = reader.take(length)?;
        let Some(kind @ (b',' | b'#' | b'^' | b'!' | b'~' | b']' | b'}')) = reader.peek() else {
            return Err(reader.unexpected("a type, one of ,#^!~]}"));
        };
        reader.expect(kind, "a type")?;
        Ok(Self { bytes, start, kind })
    }

    fn is_container(&self) -> bool {
        matches!(self.kind, b']' | b'}')
    }

    /// The value. What is in a list or dictionary is not looked at.
    fn value(&self) -> Result<Value<'a>, MessageError> {
        let items = Items { rest: self.bytes };
        match (self.kind, self.bytes) {
            (b',', bytes) => Ok(Value::String(bytes)),
            (b']', _) => Ok(Value::List(items)),
            (b'}', _) => Ok(Value::Dictionary(Entries { items })),
            (b'!', b"true") => Ok(Value::Boolean(true)),
            (b'!', b"false") => Ok(Value::Boolean(false)),
            (b'!', _) => Err(self.wrong("true or false")),
            (b'~', b"") => Ok(Value::Null),
            (b'~', _) => Err(self.wrong("no bytes for a null")),
            (b'#', _) => {
                let integer = self.text().and_then(|text| text.parse().ok());
                integer.map(Value::Integer).ok_or_else(|| self.wrong("an integer of 64 bits"))
            }
            _ => {
                let float = self.text().and_then(|text| text.parse().ok());
                let float = float.filter(|float: &f64| float.is_finite());
                float.map(Value::Float).ok_or_else(|| self.wrong("a finite number"))
            }
        }
    }

    fn text(&self) -> Option<&'a str> {
        let bytes = self.bytes.get(..self.bytes.len().min(NUMBER_BYTES))?;
        std::str::from_utf8(bytes).ok().filter(|_| bytes.len() == self.bytes.len())
    }

    fn wrong(&self, expected: &'static str) -> MessageError {
        let found = Found::Bytes(self.bytes.len());
        MessageError::Unexpected { at: self.start, found, expected }
    }
}

impl<'a> Value<'a> {
    /// The bytes of a string; `None` for any other type.
    pub fn as_string(&self) -> Option<&'a [u8]> {
        match self {
            Self::String(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let mut reader = Reader::new(self.rest);
        // Checked before: the only failure here is the end.
        let value = Raw::read(&mut reader, usize::MAX).and_then(|raw| raw.value());
        self.rest = reader.rest();
        value.ok()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.items.next()?.as_string()?;
        Some((key, self.items.next()?))
    }
}

impl<'a> Entries<'a> {
    /// The first value of a key.
    pub fn get(mut self, key: &[u8]) -> Option<Value<'a>> {
        self.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Appends a string of any bytes.
pub fn append_string(out: &mut Vec<u8>, bytes: &[u8]) {
    netstring::append(out, bytes);
}

/// Appends an integer.
pub fn append_integer(out: &mut Vec<u8>, integer: i64) {
    netstring::append_counted(out, itoa::Buffer::new().format(integer).as_bytes(), b'#');
}

/// Appends a float, in as few digits as make it again; one that is not finite as null.
pub fn append_float(out: &mut Vec<u8>, float: f64) {
    if float.is_finite() {
        netstring::append_counted(out, format!("{float:?}").as_bytes(), b'^');
    } else {
        append_null(out);
    }
}

/// Appends a boolean.
pub fn append_boolean(out: &mut Vec<u8>, boolean: bool) {
    out.extend_from_slice(if boolean { b"4:true!" } else { b"5:false!" });
}

/// Appends a null.
pub fn append_null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0:~");
}

/// Appends a list; `items` appends its values.
pub fn append_list(out: &mut Vec<u8>, items: impl FnOnce(&mut Vec<u8>)) {
    let open = Open::begin(out);
    items(out);
    open.close(out, b']');
}

/// Appends a dictionary; `entries` appends a string and a value, and so on.
pub fn append_dictionary(out: &mut Vec<u8>, entries: impl FnOnce(&mut Vec<u8>)) {
    let open = Open::begin(out);
    entries(out);
    open.close(out, b'}');
}

#[cfg(test)]
mod tests;
