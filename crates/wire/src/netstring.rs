//! Netstrings: `LENGTH ':' BYTES ','`, the length in decimal and in bytes.
//!
//! Source: D. J. Bernstein's netstrings. The length has no superfluous zeros in front and at most
//! nine digits.

use crate::error::MessageError;
use crate::reader::Reader;

/// The netstring at the start of `bytes`, and what follows it.
///
/// Fails if there is none, if it is not whole, or if it is longer than `limit` bytes.
pub fn parse(bytes: &[u8], limit: usize) -> Result<(&[u8], &[u8]), MessageError> {
    let mut reader = Reader::new(bytes);
    let content = read(&mut reader, limit)?;
    Ok((content, reader.rest()))
}

/// Appends `bytes` as a netstring.
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    append_counted(out, bytes, b',');
}

pub(crate) fn read<'a>(reader: &mut Reader<'a>, limit: usize) -> Result<&'a [u8], MessageError> {
    let length = reader.length(limit)?;
    let content = reader.take(length)?;
    reader.expect(b',', "',' after the bytes of a netstring")?;
    Ok(content)
}

/// Length, colon, bytes, and the byte that closes them.
pub(crate) fn append_counted(out: &mut Vec<u8>, bytes: &[u8], close: u8) {
    append_length(out, bytes.len());
    out.extend_from_slice(bytes);
    out.push(close);
}

/// A length and its colon.
pub(crate) fn append_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.push(b':');
}

/// Bytes whose length is not known yet, but stands before them.
///
/// Three digits are left free, the most frequent number of them; the bytes move if it takes more
/// or fewer.
#[derive(Debug)]
pub(crate) struct Open {
    start: usize,
}

const FREE: &[u8; 4] = b"000:";

impl Open {
    pub(crate) fn begin(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(FREE);
        Self { start }
    }

    /// Where the bytes begin.
    pub(crate) fn content(&self) -> usize {
        self.start + FREE.len()
    }

    /// Writes the length of what was appended since, and the byte that closes it.
    pub(crate) fn close(self, out: &mut Vec<u8>, close: u8) {
        let content = self.content();
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(out.len().saturating_sub(content)).as_bytes();
        out.push(close);
        let place = self.start..content - 1;
        if digits.len() == place.len() {
            if let Some(place) = out.get_mut(place) {
                place.copy_from_slice(digits);
            }
        } else {
            out.splice(place, digits.iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Found;

    #[test]
    fn a_netstring_is_read_to_its_comma_and_no_further() {
        assert_eq!(parse(b"5:hello,rest", 5), Ok((&b"hello"[..], &b"rest"[..])));
        assert_eq!(parse(b"0:,", 0), Ok((&b""[..], &b""[..])));
        assert_eq!(parse(b"3:a,\0,", 9), Ok((&b"a,\0"[..], &b""[..])));
    }

    #[test]
    fn what_is_no_netstring_says_where_and_what_was_expected() {
        let refusals: [(&[u8], &str); 8] = [
            (b"", "byte 0: found the end, expected a length without superfluous zeros"),
            (b"x", "byte 0: found 'x', expected a length without superfluous zeros"),
            (b"-1:", "byte 0: found '-', expected a length without superfluous zeros"),
            (b"05:hello,", "byte 1: found '5', expected ':' after a length of 0"),
            (b"5", "byte 1: found the end, expected ':' after a length"),
            (b"5:hell", "byte 2: 5 bytes announced, 4 left"),
            (b"5:hello", "byte 7: found the end, expected ',' after the bytes of a netstring"),
            (
                b"5:hello\0",
                "byte 7: found the byte 0x00, expected ',' after the bytes of a netstring",
            ),
        ];
        for (bytes, message) in refusals {
            assert_eq!(parse(bytes, 100).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_byte_over_the_limit_is_refused_at_its_announcement() {
        assert!(parse(b"10:0123456789,", 10).is_ok());
        let refusal = MessageError::TooLong { at: 0, length: 11, limit: 10 };
        assert_eq!(parse(b"11:", 10), Err(refusal));
        let refusal = MessageError::TooLong { at: 0, length: 1_000_000_000, limit: usize::MAX };
        assert_eq!(parse(b"1000000000000000000000000:", usize::MAX), Err(refusal));
        assert_eq!(Found::Bytes(2).to_string(), "2 bytes");
    }

    #[test]
    fn a_length_that_comes_late_is_right_with_any_number_of_digits() {
        for length in [0, 1, 9, 10, 99, 100, 999, 1000, 12345] {
            let mut out = b"before ".to_vec();
            let open = Open::begin(&mut out);
            out.extend(std::iter::repeat_n(b'x', length));
            open.close(&mut out, b',');
            let mut expected = b"before ".to_vec();
            append(&mut expected, &vec![b'x'; length]);
            assert_eq!(out, expected);
        }
    }
}
