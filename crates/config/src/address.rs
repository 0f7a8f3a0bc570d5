//! Addresses to listen on, and the socket unit of each.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::Error as _;

use crate::name::{SectionName, escape};
use crate::problem::Origin;

/// The longest path of a Unix socket, in bytes: `sun_path` holds 108 with the NUL (unix(7)).
const UNIX_PATH_MAX: usize = 107;

/// The longest name of a unit that is not shortened; systemd takes 255 (systemd.unit(5)).
const UNIT_MAX: usize = 240;

/// Where a listener listens. Numeric: nothing is ever looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port, `0.0.0.0:80` or `[::1]:80`.
    Tcp(SocketAddr),
    /// A Unix socket, `unix:/run/x.sock`.
    Unix(PathBuf),
}

/// What is accepted as an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address (8.8.8.8:80, [::1]:80, *:80, unix:/path; names are not looked up)")]
pub struct BadAddress;

/// Stream or datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// SOCK_STREAM: TCP, or a Unix stream.
    Stream,
    /// SOCK_DGRAM: UDP, or a Unix datagram socket.
    Datagram,
}

/// One address that a section listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// Its socket's type.
    pub socket_type: SocketType,
    /// Where it is written; none when it is the default of a section that says nothing.
    pub origin: Option<Origin>,
}

impl Address {
    /// Whether both cannot be open at the same time: the same, or the wildcard and one of its
    /// family on the same port. (`BindIPv6Only=ipv6-only` keeps the families apart.)
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                let wildcard = a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() == b.port()
                    && a.port() != 0
                    && a.is_ipv4() == b.is_ipv4()
                    && (wildcard || a.ip() == b.ip())
            }
            (Self::Unix(a), Self::Unix(b)) => a == b,
            _ => false,
        }
    }

    /// The address as part of a unit's name, without colon, backslash and slash; different
    /// addresses have different labels.
    fn label(&self) -> String {
        match self {
            Self::Tcp(SocketAddr::V4(v4)) if v4.ip().is_unspecified() => v4.port().to_string(),
            Self::Tcp(SocketAddr::V4(v4)) => format!("{}-{}", v4.ip(), v4.port()),
            Self::Tcp(SocketAddr::V6(v6)) => {
                format!("6-{}-{}", v6.ip().to_string().replace(':', "_"), v6.port())
            }
            Self::Unix(path) => {
                let path = path.to_string_lossy();
                path.split('/').fold("unix".to_owned(), |mut label, part| {
                    if !part.is_empty() {
                        label.push('-');
                        label.push_str(&escape(part, plain));
                    }
                    label
                })
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::Unix).ok_or(BadAddress);
        }
        let (ip, port) = text.rsplit_once(':').ok_or(BadAddress)?;
        if ip.contains(':') && !ip.starts_with('[') {
            return Err(BadAddress);
        }
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadAddress);
        }
        let ip = parse_ip(ip).ok_or(BadAddress)?;
        let port = port.parse().map_err(|_| BadAddress)?;
        Ok(Self::Tcp(SocketAddr::new(ip, port)))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|bad: BadAddress| {
            let expected = bad.to_string();
            D::Error::invalid_value(serde::de::Unexpected::Str(&text), &expected.as_str())
        })
    }
}

impl Listener {
    /// The socket unit of this listener in the given section, for instance
    /// `brim-listen@wsgi_x-127.0.0.1-8901.socket`.
    pub fn unit(&self, section: &SectionName) -> String {
        let mut instance = section.kind.to_string();
        if let Some(name) = &section.name {
            instance.push('_');
            instance.push_str(&escape(name, plain));
        }
        instance.push('-');
        instance.push_str(&self.address.label());
        shorten(&mut instance);
        format!("brim-listen@{instance}.socket")
    }
}

/// `*` or an IP address, in brackets or not. IPv4 in IPv6's clothes becomes IPv4.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    if text == "*" {
        return Some(IpAddr::from([0, 0, 0, 0]));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(v6) => v6.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    }
    .map(|ip: IpAddr| ip.to_canonical())
}

/// An absolute path that a socket unit can name: no `..`, nothing that a unit file reads specially.
fn unix_path(text: &str) -> Option<PathBuf> {
    if !text.starts_with('/') || text.ends_with('/') {
        return None;
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    let mut path = PathBuf::new();
    for component in std::path::Path::new(text).components() {
        match component {
            Component::RootDir | Component::Normal(_) => path.push(component),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (path.as_os_str().len() <= UNIX_PATH_MAX && path.file_name().is_some()).then_some(path)
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.'
}

/// Replaces the end of an overlong instance by a hash of the whole. `_h` begins no escape, so a
/// shortened name is never that of another listener.
fn shorten(instance: &mut String) {
    if instance.len() <= UNIT_MAX - "brim-listen@.socket".len() {
        return;
    }
    // FNV-1a, 64 bits: the same in every version of Brim and Rust.
    let hash = instance.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    instance.truncate(180);
    // Writing to a String cannot fail.
    let _ = write!(instance, "_h{hash:016x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(section: &str, address: &str) -> String {
        let listener = Listener {
            address: address.parse().unwrap(),
            socket_type: SocketType::Stream,
            origin: None,
        };
        listener.unit(&SectionName::parse(section).unwrap())
    }

    #[test]
    fn addresses_are_shown_as_they_are_read() {
        for text in ["0.0.0.0:80", "127.0.0.1:8901", "[::1]:80", "[::]:1", "unix:/run/brim/x.sock"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("*:80".parse::<Address>().unwrap().to_string(), "0.0.0.0:80");
        assert_eq!("unix://run/./x".parse::<Address>().unwrap().to_string(), "unix:/run/x");
        assert_eq!("[::ffff:1.2.3.4]:5".parse::<Address>().unwrap().to_string(), "1.2.3.4:5");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("unix:/{}", "x".repeat(107));
        for text in [
            "",
            ":",
            ":80",
            "80",
            "localhost:80",
            "1.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:+80",
            "::1:80",
            "[1.2.3.4]:80",
            "[::1]",
            "[fe80::1%1]:80",
            "unix:",
            "unix:/",
            "unix:run/x",
            "unix:/run/",
            "unix:/run/../x",
            "unix:/run/x\\",
            "*:-1",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_listener_has_a_unit_of_its_own() {
        assert_eq!(unit("wsgi", "*:8901"), "brim-listen@wsgi-8901.socket");
        assert_eq!(unit("wsgi", "127.0.0.1:8901"), "brim-listen@wsgi-127.0.0.1-8901.socket");
        assert_eq!(unit("wsgi#x", "[::1]:8901"), "brim-listen@wsgi_x-6-__1-8901.socket");
        assert_eq!(
            unit("wsgi", "unix:/run/brim/x.sock"),
            "brim-listen@wsgi-unix-run-brim-x.sock.socket"
        );
        assert_eq!(unit("wsgi#a-b", "*:1"), "brim-listen@wsgi_a_2db-1.socket");
        assert_eq!(unit("wsgi", "unix:/a-b/%c"), "brim-listen@wsgi-unix-a_2db-_25c.socket");
        assert_ne!(unit("wsgi", "unix:/a-b"), unit("wsgi", "unix:/a/b"));
        assert_ne!(unit("wsgi", "unix:/a_2db"), unit("wsgi", "unix:/a-b"));
    }

    #[test]
    fn a_unit_name_is_never_too_long_for_systemd() {
        let section = format!("wsgi#x{}", "-".repeat(63));
        let one = unit(&section, &format!("unix:/{}1", "%".repeat(105)));
        let two = unit(&section, &format!("unix:/{}2", "%".repeat(105)));
        assert!(one.len() <= 255 && two.len() <= 255);
        assert_ne!(one, two);
    }

    #[test]
    fn a_wildcard_overlaps_its_family() {
        let overlap = |a: &str, b: &str| {
            a.parse::<Address>().unwrap().overlaps(&b.parse::<Address>().unwrap())
        };
        assert!(overlap("*:80", "127.0.0.1:80"));
        assert!(overlap("[::]:80", "[::1]:80"));
        assert!(overlap("unix:/a", "unix:/a"));
        assert!(!overlap("[::]:80", "*:80"));
        assert!(!overlap("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!overlap("*:80", "*:81"));
    }
}
