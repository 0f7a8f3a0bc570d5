use std::fmt;
use std::net::Ipv6Addr;

/// A host that an app is for: a name, an address, or `*.example.com` for all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// A name or an IPv4 address, in lower case.
    Exact(Box<str>),
    /// What names end with: a dot and a name, in lower case.
    Below(Box<str>),
    /// An IPv6 address, in whatever form it comes.
    V6(Ipv6Addr),
}

/// The rule that a host breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// There is a port.
    #[error("the port does not count here, leave it out")]
    Port,
    /// An address in brackets that is none.
    #[error("an IPv6 address in brackets is expected, as [2001:db8::1]")]
    Address,
    /// A star in another place than the first.
    #[error("a star stands only in front, as in *.example.com")]
    Star,
    /// Bytes beyond ASCII.
    #[error("names beyond ASCII are written as browsers send them, xn--...")]
    Wide,
    /// Other characters than names have.
    #[error("letters, digits, - _ and dots between them are accepted")]
    Character,
    /// Longer than names can be.
    #[error("at most 253 characters are accepted")]
    TooLong,
}

impl HostPattern {
    /// Reads a host.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        if let Some(inner) = text.strip_prefix('[') {
            let Some((address, rest)) = inner.split_once(']') else { return Err(BadHost::Address) };
            return match (address.parse(), rest) {
                (Ok(address), "") => Ok(Self::V6(address)),
                (Ok(_), rest) if rest.starts_with(':') => Err(BadHost::Port),
                _ => Err(BadHost::Address),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(BadHost::Address);
        }
        if !text.is_ascii() {
            return Err(BadHost::Wide);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let below = name.strip_prefix('*');
        let labels = below.map_or(Some(name.as_str()), |rest| rest.strip_prefix('.'));
        let labels = labels.ok_or(BadHost::Star)?;
        check(labels)?;
        Ok(match below {
            Some(suffix) => Self::Below(suffix.into()),
            None => Self::Exact(name.into()),
        })
    }

    /// Whether a request's host is this one, or one of these.
    pub fn matches(&self, host: &HostName<'_>) -> bool {
        match (self, host) {
            (Self::Exact(name), HostName::Name(host)) => name.eq_ignore_ascii_case(host),
            (Self::Below(suffix), HostName::Name(host)) => {
                let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
                let front = host.len().saturating_sub(suffix.len());
                front > 0 && host.get(front..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            (Self::V6(address), HostName::V6(host)) => address == host,
            _ => false,
        }
    }

    /// Whether this one matches every host that another one matches.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(suffix), Self::Below(other)) => other.ends_with(&**suffix),
            (Self::Below(_), Self::Exact(name)) => self.matches(&HostName::Name(name)),
            _ => self == other,
        }
    }
}

fn check(name: &str) -> Result<(), BadHost> {
    if name.contains('*') {
        return Err(BadHost::Star);
    }
    if let Some((_, port)) = name.split_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(BadHost::Port);
    }
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.split('.').any(|label| label.is_empty() || !label.bytes().all(letter)) {
        return Err(BadHost::Character);
    }
    if name.len() > 253 { Err(BadHost::TooLong) } else { Ok(()) }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// The host that a request is for, without its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostName<'a> {
    /// A name or an IPv4 address, as it came, without the root's dot at its end.
    Name(&'a str),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

impl<'a> HostName<'a> {
    /// Reads a `Host` header or an authority. `None` where it names nobody.
    pub fn parse(authority: &'a str) -> Option<Self> {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).trim();
        if let Some(inner) = host.strip_prefix('[') {
            let (address, _) = inner.split_once(']')?;
            return address.parse().ok().map(Self::V6);
        }
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        (!name.is_empty()).then_some(Self::Name(name))
    }
}

impl fmt::Display for HostName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}
