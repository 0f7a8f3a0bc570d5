use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::decode::Headers;
use crate::words::{capitals, each, has_any};

/// Appends bytes as a JSON string; the request's page says how those that are not UTF-8 are written.
pub(crate) fn append_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    append_rest(out, bytes);
}

/// The same behind the first quote.
pub(super) fn append_rest(out: &mut Vec<u8>, bytes: &[u8]) {
    match has_any(bytes, specials) {
        false => out.extend_from_slice(bytes),
        true => append_escaped(out, bytes),
    }
    out.push(b'"');
}

/// Appends a name without quotes, in lower case.
pub(super) fn append_name(out: &mut Vec<u8>, name: &[u8]) {
    // Most are so already.
    match has_any(name, |word| specials(word) | capitals(word)) {
        false => out.extend_from_slice(name),
        true => append_escaped(out, &name.to_ascii_lowercase()),
    }
}

/// Control characters, `"`, `\`, and what is not ASCII.
fn specials(word: u64) -> u64 {
    let equal = |byte| {
        let differences = word ^ each(byte);
        differences.wrapping_sub(each(1)) & !differences
    };
    let controls = word.wrapping_sub(each(0x20)) & !word;
    word | controls | equal(b'"') | equal(b'\\')
}

fn append_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_text = std::str::from_utf8(bytes).is_ok();
    for byte in bytes {
        match *byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte @ ..0x20 => append_code(out, byte),
            byte @ 0x80.. if !is_text => append_code(out, byte),
            byte => out.push(byte),
        }
    }
}

fn append_code(out: &mut Vec<u8>, byte: u8) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0x0f)]);
}

/// Reads an object of strings and lists of strings into `headers`.
///
/// Raw control characters and bytes that are not UTF-8 are taken as they are: Mongrel2 sends them.
pub(super) fn parse<'a>(
    text: &'a [u8],
    headers: &mut Headers<'a>,
    limit: usize,
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.deserialize_map(Object { headers, limit })?;
    deserializer.end()
}

fn full<E: de::Error>(limit: usize) -> E {
    E::custom(format_args!("more than {limit} headers"))
}

struct Object<'h, 'a> {
    headers: &'h mut Headers<'a>,
    limit: usize,
}

impl<'a> Visitor<'a> for Object<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Bytes)? {
            if !self.headers.add_name(name, self.limit) {
                return Err(full(self.limit));
            }
            map.next_value_seed(Values { headers: self.headers, limit: self.limit })?;
        }
        Ok(())
    }
}

/// The value or values of the header that was named last.
struct Values<'h, 'a> {
    headers: &'h mut Headers<'a>,
    limit: usize,
}

impl<'a> Values<'_, 'a> {
    fn add<E: de::Error>(&mut self, value: Cow<'a, [u8]>) -> Result<(), E> {
        if self.headers.add_value(value, self.limit) { Ok(()) } else { Err(full(self.limit)) }
    }
}

impl<'a> DeserializeSeed<'a> for Values<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'a> Visitor<'a> for Values<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_borrowed_bytes<E: de::Error>(mut self, value: &'a [u8]) -> Result<(), E> {
        self.add(Cow::Borrowed(value))
    }

    fn visit_bytes<E: de::Error>(mut self, value: &[u8]) -> Result<(), E> {
        self.add(Cow::Owned(value.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element_seed(Bytes)? {
            self.add(value)?;
        }
        Ok(())
    }
}

/// A string, as bytes.
struct Bytes;

impl<'a> DeserializeSeed<'a> for Bytes {
    type Value = Cow<'a, [u8]>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'a> Visitor<'a> for Bytes {
    type Value = Cow<'a, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, value: &'a [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_vec()))
    }
}
