//! The transaction id: names one request in every log line about it.

use std::fmt;
use std::ops::Deref;

use http::{HeaderName, HeaderValue};

/// The request header that brings one along.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-txn");
/// Longest id that a client may bring, in bytes.
const LONGEST: usize = 128;

/// A transaction id: printable ASCII.
#[derive(Clone, Debug)]
pub(crate) enum Txn {
    /// The client's own.
    Brought(HeaderValue),
    /// Random hex digits. Here and not on the heap: nearly every request has its own.
    Random([u8; 32]),
}

/// The client's own id if it brings a printable one, else 32 random hex digits.
pub(crate) fn of(brought: Option<&HeaderValue>) -> Txn {
    let printable = |txn: &&HeaderValue| {
        let bytes = txn.as_bytes();
        (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    brought.filter(printable).map_or_else(random, |txn| Txn::Brought(txn.clone()))
}

/// 32 random hex digits.
pub(crate) fn random() -> Txn {
    let mut txn = [0; 32];
    let number = fastrand::u128(..).to_le_bytes();
    for (digits, four) in txn.chunks_exact_mut(8).zip(number.chunks_exact(4)) {
        digits.copy_from_slice(&hex(four.try_into().unwrap_or_default()));
    }
    Txn::Random(txn)
}

/// The digits of four bytes, all at once.
fn hex(bytes: [u8; 4]) -> [u8; 8] {
    // A byte for each half of one.
    let spread = u64::from(u32::from_be_bytes(bytes));
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let halves = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One where it is a letter: from `9` it is further to `a` than to the next character.
    let letters = (halves + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let step = u64::from(b'a' - b'9' - 1);
    (halves + 0x3030_3030_3030_3030 + letters * step).to_be_bytes()
}

impl AsRef<[u8]> for Txn {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Brought(txn) => txn.as_bytes(),
            Self::Random(txn) => txn,
        }
    }
}

impl Deref for Txn {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(self.as_ref()).unwrap_or_default()
    }
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &[u8]) -> Txn {
        of(Some(&value.try_into().unwrap()))
    }

    #[test]
    fn a_printable_id_of_the_client_is_kept() {
        assert_eq!(&*with(b"passed_txn"), "passed_txn");
        assert_eq!(with("x".repeat(LONGEST).as_bytes()).len(), LONGEST);
    }

    #[test]
    fn anything_else_gets_a_random_one() {
        for bad in [&b"two words"[..], b"", b"\xc3\xa4", "x".repeat(LONGEST + 1).as_bytes()] {
            let txn = with(bad);
            assert_eq!(txn.len(), 32);
            assert!(txn.bytes().all(|b| b.is_ascii_hexdigit()));
        }
        assert_ne!(*random(), *random());
    }

    #[test]
    fn the_digits_are_the_bytes() {
        assert_eq!(&hex([0x01, 0x9a, 0xbf, 0xe0]), b"019abfe0");
        for byte in 0..=255 {
            assert_eq!(hex([byte; 4]), *format!("{byte:02x}").repeat(4).as_bytes());
        }
    }
}
