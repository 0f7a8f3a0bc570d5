//! The transaction id: names one request in every log line about it.

use http::{HeaderMap, HeaderName};

/// The request header that brings one along.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-txn");
/// Longest id that a client may bring, in bytes.
const LONGEST: usize = 128;

/// The client's own id if it brings a printable one, else 32 random hex digits.
pub(crate) fn of(headers: &HeaderMap) -> Box<str> {
    let brought = headers.get(HEADER).and_then(|value| value.to_str().ok());
    match brought {
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
    let mut bits = fastrand::u128(..);
    let mut txn = String::with_capacity(32);
    for _ in 0..32 {
        txn.push(char::from(DIGITS[(bits & 15) as usize]));
        bits >>= 4;
    }
    txn.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &[u8]) -> Box<str> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.try_into().unwrap());
        of(&headers)
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
