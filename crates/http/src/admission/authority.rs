//! RFC 9110 section 7.2 and RFC 3986 section 3.2: `uri-host [ ":" port ]`.

use std::cell::RefCell;
use std::net::Ipv6Addr;

thread_local! {
    /// The last one that was valid: the next request is most likely for the same.
    static LAST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whether this is a host, and perhaps a port; nothing at all is one, too. Stricter than the RFC in
/// two places: no comma, which is what two Host lines joined to one would have, and no port that no
/// socket has.
pub(super) fn is_valid(authority: &[u8]) -> bool {
    LAST.with_borrow_mut(|last| {
        if last.as_slice() == authority {
            return true;
        }
        let valid = is_authority(authority);
        if valid {
            last.clear();
            last.extend_from_slice(authority);
        }
        valid
    })
}

fn is_authority(authority: &[u8]) -> bool {
    let (host_is_valid, port) = match authority.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|byte| *byte == b']') {
            Some(end) => (is_ipv6(rest.get(..end)), rest.get(end + 1..).unwrap_or_default()),
            None => (false, [].as_slice()),
        },
        None => {
            let end = authority.iter().position(|byte| *byte == b':');
            let (host, port) = authority.split_at(end.unwrap_or(authority.len()));
            (is_name(host) && (!host.is_empty() || port.is_empty()), port)
        }
    };
    host_is_valid && is_port(port)
}

fn is_ipv6(address: Option<&[u8]>) -> bool {
    let address = address.and_then(|address| std::str::from_utf8(address).ok());
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// An IPv4 address is a name, too.
fn is_name(mut name: &[u8]) -> bool {
    while let Some(odd) = name.iter().position(|byte| !IN_NAME[usize::from(*byte)]) {
        name = match name.get(odd..) {
            Some([b'%', high, low, rest @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest
            }
            _ => return false,
        };
    }
    true
}

/// Bytes that stand for themselves in a name. A table, because every request has a name.
const IN_NAME: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        bytes[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut marks: &[u8] = b"-._~!$&'()*+;=";
    while let [mark, rest @ ..] = marks {
        bytes[*mark as usize] = true;
        marks = rest;
    }
    bytes
};

/// Nothing, or a colon with digits or none.
fn is_port(port: &[u8]) -> bool {
    match port.split_first() {
        None | Some((b':', [])) => true,
        Some((b':', digits)) if digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_with_and_without_a_port_are_valid() {
        for host in
            ["", "x", "x:", "x:80", "x:65535", "192.0.2.1", "[::1]", "[::1]:80", "%41", "x."]
        {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for host in [
            ":80", "x:65536", "x:-1", "x:+1", "x:a", "x:80:80", "::1", "[", "[]", "[::1", "[x]",
            "[::1]x", "a,b", "a b", "u@x", "x/", "x?", "x#", "%", "%4", "%4g", "\u{e4}", "x\\y",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// What is valid, other parsers of URLs take for a host, and for the same one.
        #[test]
        fn the_valid_are_authorities(host in "[a-z0-9.:%\\[\\]@,/ -]{1,12}") {
            // That parser takes no %XX in a host, which RFC 3986 section 3.2.2 has.
            if is_valid(host.as_bytes()) && !host.contains('%') {
                let authority: http::uri::Authority = host.parse().unwrap();
                prop_assert!(host.starts_with(authority.host()));
            }
        }

        #[test]
        fn any_bytes_are_judged(host in proptest::collection::vec(any::<u8>(), 0..40)) {
            is_valid(&host);
        }
    }
}
