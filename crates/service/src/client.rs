use std::net::IpAddr;
use std::num::NonZero;

/// One client, as limits tell them apart: an IPv4 address, or the /64 network of an IPv6 address,
/// for that is what one subscriber has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey(NonZero<u64>);

impl From<IpAddr> for ClientKey {
    fn from(ip: IpAddr) -> Self {
        // IPv4 addresses have the numbers of ::/32, where IPv6 has none but `::1`, which is 0 here.
        let key = match ip.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments().map(u64::from);
                a << 48 | b << 32 | c << 16 | d
            }
        };
        Self(NonZero::new(key).unwrap_or(NonZero::<u64>::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ip: &str) -> ClientKey {
        ip.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_each_ipv4_address_is() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("::1"), key("127.0.0.1"));
    }
}
