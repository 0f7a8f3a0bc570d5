//! The header of the PROXY protocol, versions 1 and 2.

use std::net::{IpAddr, SocketAddr};

use super::conf::ProxyHeader;
use crate::connection::Connection;

/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, a connection of a client.
const PROXY: u8 = 0x21;
/// Version 2, nothing is said of the client.
const LOCAL: u8 = 0x20;
/// TCP over IPv4.
const TCP4: u8 = 0x11;
/// TCP over IPv6.
const TCP6: u8 = 0x21;

impl ProxyHeader {
    /// What an upstream is to hear of a client.
    pub(super) fn header(self, client: &Connection) -> Vec<u8> {
        let addresses = || Some((client.client()?, client.local_address()?));
        match self {
            Self::No => Vec::new(),
            Self::V1 => v1(addresses()),
            Self::V2 => v2(addresses()),
        }
    }
}

/// The client and the address that it has connected to, both of one family.
fn of_one_family((client, local): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let canonical =
        |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, local) = (canonical(client), canonical(local));
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    match client.is_ipv4() == local.is_ipv4() {
        true => (client, local),
        false => (mapped(client), mapped(local)),
    }
}

fn v1(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((client, local)) = addresses.map(of_one_family) else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let family = if client.is_ipv4() { 4 } else { 6 };
    format!(
        "PROXY TCP{family} {} {} {} {}\r\n",
        client.ip(),
        local.ip(),
        client.port(),
        local.port()
    )
    .into_bytes()
}

fn v2(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((client, local)) = addresses.map(of_one_family) else {
        header.extend([LOCAL, 0, 0, 0]);
        return header;
    };
    match (client.ip(), local.ip()) {
        (IpAddr::V4(client), IpAddr::V4(local)) => {
            header.extend([PROXY, TCP4, 0, 12]);
            header.extend(client.octets());
            header.extend(local.octets());
        }
        (client, local) => {
            header.extend([PROXY, TCP6, 0, 36]);
            for ip in [client, local] {
                header.extend(match ip {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                });
            }
        }
    }
    header.extend(client.port().to_be_bytes());
    header.extend(local.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(client: &str, local: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((client.parse().unwrap(), local.parse().unwrap()))
    }

    #[test]
    fn version_1_is_a_line() {
        let text = |addresses| String::from_utf8(v1(addresses)).unwrap();
        assert_eq!(
            text(addresses("192.0.2.1:56324", "192.0.2.2:443")),
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"
        );
        assert_eq!(text(addresses("[::1]:1", "[::2]:2")), "PROXY TCP6 ::1 ::2 1 2\r\n");
        assert_eq!(
            text(addresses("192.0.2.1:1", "[::2]:2")),
            "PROXY TCP6 ::ffff:192.0.2.1 ::2 1 2\r\n"
        );
        assert_eq!(text(None), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_2_is_binary() {
        let four = v2(addresses("192.0.2.1:56324", "192.0.2.2:443"));
        let rest = [0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];
        assert_eq!(four, [SIGNATURE, &rest].concat());
        let six = v2(addresses("[::1]:80", "192.0.2.2:443"));
        assert_eq!((six.len(), six[13], six[31], six[47]), (52, 0x21, 1, 2));
        assert_eq!(v2(None), [SIGNATURE, &[0x20, 0, 0, 0]].concat());
    }
}
