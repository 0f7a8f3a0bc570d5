use crate::error::{Found, MessageError};

/// The digits of the largest length that a tnetstring may announce.
const LENGTH_DIGITS: usize = 9;

/// Walks over a message and knows at which byte it is.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The same message, up to `end`, from `at` on.
    pub(crate) fn within(bytes: &'a [u8], at: usize, end: usize) -> Self {
        Self { bytes: bytes.get(..end).unwrap_or(bytes), at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn unexpected(&self, expected: &'static str) -> MessageError {
        let found = self.peek().map_or(Found::End, Found::Byte);
        MessageError::Unexpected { at: self.at, found, expected }
    }

    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), MessageError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// As many bytes as are `good`, perhaps none.
    pub(crate) fn take_while(&mut self, good: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let count = rest.iter().position(|byte| !good(*byte)).unwrap_or(rest.len());
        self.at += count;
        rest.get(..count).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let rest = self.rest();
        let taken = rest.get(..count).ok_or(MessageError::Short {
            at: self.at,
            announced: count,
            left: rest.len(),
        })?;
        self.at += count;
        Ok(taken)
    }

    /// A decimal number below 2^32, without superfluous zeros in front.
    pub(crate) fn number(&mut self, expected: &'static str) -> Result<u32, MessageError> {
        let (start, rest) = (self.at, self.rest());
        let (mut value, mut digits) = (0_u64, 0);
        for byte in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            value = value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
            digits += 1;
        }
        if digits == 0 {
            return Err(self.unexpected(expected));
        }
        self.at += digits;
        let superfluous = digits > 1 && rest.starts_with(b"0");
        u32::try_from(value).ok().filter(|_| !superfluous).ok_or(MessageError::Unexpected {
            at: start,
            found: Found::Bytes(digits),
            expected,
        })
    }

    /// A length and its colon, as in front of a netstring: at most nine digits.
    pub(crate) fn length(&mut self, limit: usize) -> Result<usize, MessageError> {
        const EXPECTED: &str = "a length without superfluous zeros";
        let start = self.at;
        let mut length = 0_usize;
        let mut digits = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if digits == 1 && length == 0 {
                return Err(self.unexpected("':' after a length of 0"));
            }
            length = length.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            digits += 1;
            if length > limit || digits > LENGTH_DIGITS {
                return Err(MessageError::TooLong { at: start, length, limit });
            }
            self.at += 1;
        }
        if digits == 0 {
            return Err(self.unexpected(EXPECTED));
        }
        self.expect(b':', "':' after a length")?;
        Ok(length)
    }
}
