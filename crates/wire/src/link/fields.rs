use super::error::LinkError;
use crate::error::Found;

/// Reads a payload field by field.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    /// Where the next field stands in its frame.
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], LinkError> {
        let Some((array, rest)) = self.bytes.split_first_chunk() else {
            return Err(self.short(expected));
        };
        self.bytes = rest;
        self.at += N;
        Ok(*array)
    }

    pub(super) fn u8(&mut self, expected: &'static str) -> Result<u8, LinkError> {
        self.array(expected).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, expected: &'static str) -> Result<u16, LinkError> {
        self.array(expected).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, expected: &'static str) -> Result<u32, LinkError> {
        self.array(expected).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, expected: &'static str) -> Result<u64, LinkError> {
        self.array(expected).map(u64::from_be_bytes)
    }

    pub(super) fn bytes(
        &mut self,
        n: usize,
        expected: &'static str,
    ) -> Result<&'a [u8], LinkError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(n) else {
            return Err(self.short(expected));
        };
        self.bytes = rest;
        self.at += n;
        Ok(taken)
    }

    /// Two bytes of length, and the bytes.
    pub(super) fn short_string(&mut self, expected: &'static str) -> Result<&'a [u8], LinkError> {
        let length = self.u16(expected)?;
        self.bytes(usize::from(length), expected)
    }

    /// Four bytes of length, and the bytes.
    pub(super) fn long_string(&mut self, expected: &'static str) -> Result<&'a [u8], LinkError> {
        let length = self.u32(expected)?;
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX), expected)
    }

    /// Goes on where `rest` begins, which is the end of what there is.
    pub(super) fn skip_to(&mut self, rest: &'a [u8]) {
        self.at += self.bytes.len() - rest.len();
        self.bytes = rest;
    }

    /// `count` bytes that mean nothing.
    pub(super) fn zeros(&mut self, count: usize) -> Result<(), LinkError> {
        for _ in 0..count {
            let at = self.at;
            if let byte @ 1.. = self.u8("0")? {
                return Err(unexpected(at, Found::Byte(byte), "0"));
            }
        }
        Ok(())
    }

    pub(super) fn end(&self) -> Result<(), LinkError> {
        match self.bytes.len() {
            0 => Ok(()),
            more => Err(unexpected(self.at, Found::Bytes(more), "the end of the frame")),
        }
    }

    fn short(&self, expected: &'static str) -> LinkError {
        let found = match self.bytes.len() {
            0 => Found::End,
            left => Found::Bytes(left),
        };
        unexpected(self.at, found, expected)
    }
}

pub(super) fn unexpected(at: usize, found: Found, expected: &'static str) -> LinkError {
    LinkError::Unexpected { at, found, expected }
}

/// Appends two bytes of length, and the bytes.
pub(super) fn append_short(
    out: &mut Vec<u8>,
    bytes: &[u8],
    what: &'static str,
) -> Result<(), LinkError> {
    append_length_of(out, bytes, what)?;
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends the two bytes of length alone.
pub(super) fn append_length_of(
    out: &mut Vec<u8>,
    bytes: &[u8],
    what: &'static str,
) -> Result<(), LinkError> {
    let limit = usize::from(u16::MAX);
    let length = u16::try_from(bytes.len());
    let length = length.map_err(|_| LinkError::Unsendable { what, length: bytes.len(), limit })?;
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Appends four bytes of length, and the bytes.
pub(super) fn append_long(
    out: &mut Vec<u8>,
    bytes: &[u8],
    what: &'static str,
) -> Result<(), LinkError> {
    let limit = u32::MAX as usize;
    let length = u32::try_from(bytes.len());
    let length = length.map_err(|_| LinkError::Unsendable { what, length: bytes.len(), limit })?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
