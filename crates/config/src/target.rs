//! Where something is sent: an address, or a name that is looked up.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// Longest path of a Unix socket, in bytes.
const UNIX_PATH_MAX: usize = 107;
/// Longest host name, in bytes (RFC 1035).
const NAME_MAX: usize = 253;

/// Where something is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `192.0.2.1:80`, `[::1]:80`.
    Address(SocketAddr),
    /// `host.example:80`.
    Name(String, u16),
    /// `unix:/run/x.sock`.
    Unix(PathBuf),
}

/// What is accepted as a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host:port, 192.0.2.1:port, [::1]:port or unix:/path")]
pub struct BadTarget;

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        if let Some(path) = text.strip_prefix("unix:") {
            let usable = path.starts_with('/')
                && path.len() <= UNIX_PATH_MAX
                && !path.chars().any(char::is_control);
            return usable.then(|| Self::Unix(path.into())).ok_or(BadTarget);
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadTarget)?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or(BadTarget)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match (bare, host.parse::<IpAddr>()) {
            (Some(v6), _) => {
                let v6: Ipv6Addr = v6.parse().map_err(|_| BadTarget)?;
                Ok(Self::Address(SocketAddr::new(v6.into(), port)))
            }
            (None, Ok(ip @ IpAddr::V4(_))) => Ok(Self::Address(SocketAddr::new(ip, port))),
            (None, _) if is_name(host) => Ok(Self::Name(host.to_owned(), port)),
            _ => Err(BadTarget),
        }
    }
}

/// Whether this is written as the name of a host.
pub fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // What ends in a number is meant to be an address, and is none.
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= NAME_MAX
        && host.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|bad: BadTarget| {
            let expected = bad.to_string();
            D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_a_name_or_a_path() {
        for text in [
            "192.0.2.1:80",
            "[::1]:80",
            "[2001:db8::1]:65535",
            "host.example:1",
            "localhost:25",
            "my_host-2:3",
            "unix:/run/x.sock",
        ] {
            assert_eq!(
                text.parse::<Target>().map(|target| target.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_none_of_these_is_refused() {
        for text in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:80",
            "[::1]",
            "[::1]:x",
            "1.2.3:80",
            "1.2.3.400:80",
            "a..b:1",
            "-a:1",
            "a b:1",
            "unix:x",
            "unix:",
            ":80",
            "http://a:80",
            "*:80",
        ] {
            assert_eq!(text.parse::<Target>(), Err(BadTarget), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_MAX - 1));
        assert!(long.parse::<Target>().is_ok());
        assert!(format!("{long}x").parse::<Target>().is_err());
        let label = "x".repeat(63);
        assert!(format!("{label}:1").parse::<Target>().is_ok());
        assert!(format!("{label}x:1").parse::<Target>().is_err());
    }
}
