//! The transaction id: names one request in every log line about it.

use http::{HeaderName, HeaderValue};

/// The request header that brings one along.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-txn");
/// Longest id that a client may bring, in bytes.
const LONGEST: usize = 128;

/// The client's own id if it brings a printable one, else 32 random hex digits.
pub(crate) fn of(brought: Option<&HeaderValue>) -> Box<str> {
    match brought.and_then(|value| value.to_str().ok()) {
        Some(txn)
            if (1..=LONGEST).contains(&txn.len()) && txn.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            txn.into()
        }
        _ => random(),
    }
}

/// 32 random hex digits.
pub(crate) fn random() -> Box<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut txn = [0; 32];
    for (pair, byte) in txn.chunks_exact_mut(2).zip(fastrand::u128(..).to_le_bytes()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    str::from_utf8(&txn).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &[u8]) -> Box<str> {
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
        assert_ne!(random(), random());
    }
}
