//! The PROXY protocol, versions 1 and 2: a proxy in front says first whom it speaks for.

use std::net::SocketAddr;

use brim_config::TrustedProxies;
use bytes::BytesMut;
use ppp::{v1, v2};

use crate::sockets::PeerAddress;
use crate::stream::Stream;

/// The counter of connections without the header that `proxy_protocol` wants.
pub const BAD_PROXY_HEADERS: &str = "proxy_protocol_refused_count";

/// The longest header that is read, in bytes. Version 1 has at most 107; of version 2 the addresses are
/// short, and what else a proxy may append is small in practice.
const LONGEST: usize = 4096;
/// The longest of version 1, its end of line included.
const LONGEST_V1: usize = 107;
/// Version 2 before its addresses.
const FIXED_V2: usize = 16;
const BEGIN_V1: &[u8] = b"PROXY ";

/// A header that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// The client, unless the proxy speaks for itself or does not know.
    client: Option<SocketAddr>,
    /// Bytes of it.
    length: usize,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// There is something else.
    #[error("no PROXY protocol header, which proxy_protocol = yes wants first")]
    Absent,
    /// It breaks the rules.
    #[error("a malformed PROXY protocol header")]
    Malformed,
    /// It is longer than we read.
    #[error("a PROXY protocol header that is too long")]
    TooLong,
    /// It did not come in time.
    #[error("no PROXY protocol header within handshake_timeout")]
    Late,
    /// Whoever it is may not send one.
    #[error("a PROXY protocol header from somebody who is not in trusted_proxies")]
    Stranger,
}

/// Reads the header, and whom it names; `None` where the proxy speaks for itself. What comes behind the
/// header is left in `first`. Without trusted proxies, everybody is one.
///
/// # Errors
///
/// Why the connection is not to be served.
pub async fn read(
    stream: &Stream,
    first: &mut BytesMut,
    peer: PeerAddress,
    trusted: &TrustedProxies,
) -> Result<Option<SocketAddr>, BadHeader> {
    let anybody = trusted.networks.is_empty() && !trusted.unix;
    if !anybody && !trusted.trusts(peer.map(|peer| peer.ip())) {
        return Err(BadHeader::Stranger);
    }
    loop {
        if !matches!(stream.read_more(first).await, Ok(true)) {
            return Err(BadHeader::Absent);
        }
        if let Some(header) = parse(first)? {
            let _ = first.split_to(header.length);
            return Ok(header.client);
        }
    }
}

/// The header that a connection begins with; `None` while more of it has to come.
fn parse(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    if begins(bytes, v2::PROTOCOL_PREFIX) {
        parse_v2(bytes)
    } else if begins(bytes, BEGIN_V1) {
        parse_v1(bytes)
    } else {
        Err(BadHeader::Absent)
    }
}

/// Whether bytes begin so, as far as there are any.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n").map(|at| at + 2) else {
        return if bytes.len() < LONGEST_V1 { Ok(None) } else { Err(BadHeader::TooLong) };
    };
    let line =
        bytes.get(..end).filter(|line| line.len() <= LONGEST_V1).ok_or(BadHeader::TooLong)?;
    let header = v1::Header::try_from(line).map_err(|_| BadHeader::Malformed)?;
    let client = match header.addresses {
        v1::Addresses::Tcp4(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Tcp6(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Unknown => None,
    };
    Ok(Some(Header { client, length: end }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let Some(&[high, low]) = bytes.get(FIXED_V2 - 2..FIXED_V2) else { return Ok(None) };
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(BadHeader::TooLong);
    }
    let Some(whole) = bytes.get(..length) else { return Ok(None) };
    let header = v2::Header::try_from(whole).map_err(|_| BadHeader::Malformed)?;
    let client = match (header.command, header.addresses) {
        (v2::Command::Local, _) => None,
        (_, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
    };
    Ok(Some(Header { client, length }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    /// Parses it whole, and sees that no part of it is more than incomplete.
    fn whole(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end} of {bytes:?}");
        }
        parse(bytes)
    }

    fn client(address: &str, length: usize) -> Result<Option<Header>, BadHeader> {
        let client = (!address.is_empty()).then(|| address.parse().unwrap());
        Ok(Some(Header { client, length }))
    }

    #[test]
    fn version_1_is_a_line() {
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
        assert_eq!(whole(line), client("192.0.2.1:56324", line.len()));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        assert_eq!(whole(line), client("[2001:db8::1]:1", line.len()));
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), client("", 15));
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET / HTTP/1.1\r\n\xff\r\n";
        assert_eq!(parse(line), client("192.0.2.1:56324", 42));
    }

    #[test]
    fn version_2_is_binary() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];
        let bytes = v2(1, 0x11, &v4);
        assert_eq!(whole(&bytes), client("192.0.2.1:56324", 28));
        let with_more = [&v4[..], &[1, 0, 2, b'h', b'2']].concat();
        assert_eq!(whole(&v2(1, 0x11, &with_more)), client("192.0.2.1:56324", 33));
        let mut v6 = [0; 36];
        (v6[15], v6[33]) = (1, 80);
        assert_eq!(whole(&v2(1, 0x21, &v6)), client("[::1]:80", 52));
        assert_eq!(whole(&v2(0, 0x11, &v4)), client("", 28), "LOCAL");
        assert_eq!(whole(&v2(1, 0, &[])), client("", 16), "UNSPEC");
        assert_eq!(whole(&v2(1, 0x31, &[0; 216])), client("", 232), "UNIX");
    }

    #[test]
    fn what_is_longer_than_the_limit_is_refused_before_it_is_read() {
        let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 16));
        assert_eq!(whole(line.as_bytes()), client("", LONGEST_V1));
        let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 15));
        assert_eq!(parse(line.as_bytes()), Err(BadHeader::TooLong));
        assert_eq!(parse(&line.as_bytes()[..LONGEST_V1]), Err(BadHeader::TooLong));
        let most = v2(1, 0, &vec![0; LONGEST - FIXED_V2]);
        assert_eq!(parse(&most), client("", LONGEST));
        let more = v2(1, 0, &vec![0; LONGEST - FIXED_V2 + 1]);
        assert_eq!(parse(&more[..FIXED_V2]), Err(BadHeader::TooLong));
    }

    #[test]
    fn what_is_no_header_is_seen_at_once() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"PROXY\t", b"\r\n\r\n\0\r\nQUIX", b"P\0"]
        {
            assert_eq!(parse(bytes), Err(BadHeader::Absent), "{bytes:?}");
        }
        for bytes in [
            &b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"[..],
            b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            b"PROXY \xff\r\n",
            &v2(1, 0x11, &[0; 11]),
            &v2(7, 0x11, &[0; 12]),
        ] {
            assert_eq!(parse(bytes), Err(BadHeader::Malformed), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_read_beyond(bytes in prop::collection::vec(any::<u8>(), 0..300), begin in 0..3_usize) {
            let begin: &[u8] = [v2::PROTOCOL_PREFIX, BEGIN_V1, b""][begin];
            let bytes = [begin, &bytes].concat();
            if let Ok(Some(header)) = parse(&bytes) {
                prop_assert!(header.length <= bytes.len().min(LONGEST));
                // What comes behind it is nobody's business here.
                prop_assert_eq!(parse(&bytes[..header.length]), Ok(Some(header)));
            }
        }
    }
}
