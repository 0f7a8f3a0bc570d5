//! Section names, and the names of units and on the bus that follow from them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::problem::{Cause, NameRule};

/// The longest section name, in characters; after a kind, the longest NAME.
pub const NAME_MAX: usize = 64;

/// What a section describes, and so which program serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An HTTP front end, served by `brim-http`.
    Wsgi,
    /// A TCP server.
    Tcp,
    /// A UDP server.
    Udp,
    /// A gateway to handlers.
    Gateway,
    /// A group of background daemons.
    Daemons,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Wsgi, Self::Tcp, Self::Udp, Self::Gateway, Self::Daemons];

    /// The kind as section names begin with it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wsgi => "wsgi",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Gateway => "gateway",
            Self::Daemons => "daemons",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Cause;

    fn from_str(text: &str) -> Result<Self, Cause> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| bad(text, NameRule::Kind))
    }
}

/// The name of a section of a kind: `wsgi`, or `wsgi#NAME`, which is the same as `wsgi:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionName {
    /// What the section describes.
    pub kind: Kind,
    /// NAME, 1 to 64 of `A-Z a-z 0-9 _ . -`, not beginning with `-` or `.`.
    pub name: Option<String>,
}

impl SectionName {
    /// Reads a section name in either spelling.
    ///
    /// # Errors
    ///
    /// [`Cause::BadSectionName`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        let (kind, name) = match text.split_once(['#', ':']) {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        let kind = kind.parse().map_err(|_: Cause| bad(text, NameRule::Kind))?;
        if let Some(name) = name {
            check_name(name).map_err(|rule| bad(text, rule))?;
        }
        Ok(Self { kind, name: name.map(str::to_owned) })
    }

    /// The canonical section spelling: `wsgi#NAME`.
    pub fn section(&self) -> String {
        self.joined('#')
    }

    /// The instance of the unit: `wsgi:NAME`.
    pub fn instance(&self) -> String {
        self.joined(':')
    }

    /// The service unit: `brim@wsgi:NAME.service`.
    pub fn unit(&self) -> String {
        format!("brim@{}.service", self.instance())
    }

    /// The last part of the bus name: the instance with each byte outside `A-Z a-z 0-9` as `_xx`.
    pub fn bus_label(&self) -> String {
        escape(&self.instance(), |byte| byte.is_ascii_alphanumeric())
    }

    /// The name that the daemon owns on the bus: `net.brim.Brim1.LABEL`.
    pub fn bus_name(&self) -> String {
        format!("net.brim.Brim1.{}", self.bus_label())
    }

    fn joined(&self, separator: char) -> String {
        match &self.name {
            Some(name) => format!("{}{separator}{name}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.section())
    }
}

impl FromStr for SectionName {
    type Err = Cause;

    fn from_str(text: &str) -> Result<Self, Cause> {
        Self::parse(text)
    }
}

/// The canonical spelling of any section's name, of a kind or not.
///
/// A name that has a kind in front of `#` or `:` must be a good [`SectionName`]; all others are
/// sections of apps, or `[brim]`.
pub(crate) fn canonical(text: &str) -> Result<String, Cause> {
    let head = text.split(['#', ':']).next().unwrap_or(text);
    if head.parse::<Kind>().is_ok() {
        return SectionName::parse(text).map(|name| name.section());
    }
    if text.is_empty() {
        return Err(bad(text, NameRule::Empty));
    }
    if text.chars().nth(NAME_MAX).is_some() {
        return Err(bad(text, NameRule::TooLong));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']')) {
        return Err(bad(text, NameRule::Blank));
    }
    Ok(text.to_owned())
}

/// The object that systemd has on the bus for a unit.
pub fn unit_object(unit: &str) -> String {
    let label = escape(unit, |byte| byte.is_ascii_alphanumeric());
    format!("/org/freedesktop/systemd1/unit/{label}")
}

/// Escapes every byte that is not `plain` as `_` and two lower-case hexadecimal digits.
pub(crate) fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "_{byte:02x}");
        }
    }
    escaped
}

pub(crate) fn check_name(name: &str) -> Result<(), NameRule> {
    let accepted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() {
        return Err(NameRule::Empty);
    }
    if !name.chars().all(accepted) {
        return Err(NameRule::Character);
    }
    if name.len() > NAME_MAX {
        return Err(NameRule::TooLong);
    }
    if name.starts_with(['-', '.']) {
        return Err(NameRule::Start);
    }
    Ok(())
}

fn bad(name: &str, reason: NameRule) -> Cause {
    Cause::BadSectionName { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_the_same_section() {
        let one = SectionName::parse("wsgi#my-app.v2").unwrap();
        assert_eq!(one, SectionName::parse("wsgi:my-app.v2").unwrap());
        assert_eq!(one.section(), "wsgi#my-app.v2");
        assert_eq!(one.instance(), "wsgi:my-app.v2");
        assert_eq!(one.unit(), "brim@wsgi:my-app.v2.service");
        assert_eq!(one.bus_name(), "net.brim.Brim1.wsgi_3amy_2dapp_2ev2");
    }

    #[test]
    fn a_kind_alone_is_a_section() {
        let name = SectionName::parse("daemons").unwrap();
        assert_eq!((name.kind, name.name.as_deref()), (Kind::Daemons, None));
        assert_eq!(name.unit(), "brim@daemons.service");
        assert_eq!(name.bus_label(), "daemons");
    }

    #[test]
    fn names_that_make_no_unit_name_are_refused() {
        let long = format!("wsgi#{}", "x".repeat(65));
        for (text, rule) in [
            ("wsgi#", NameRule::Empty),
            ("wsgi:-x", NameRule::Start),
            ("wsgi#.x", NameRule::Start),
            ("wsgi#a b", NameRule::Character),
            ("wsgi#a/b", NameRule::Character),
            ("wsgi#a:b", NameRule::Character),
            ("wsgi#a@b", NameRule::Character),
            ("wsgi#ä", NameRule::Character),
            (long.as_str(), NameRule::TooLong),
            ("echo", NameRule::Kind),
            ("", NameRule::Kind),
        ] {
            match SectionName::parse(text) {
                Err(Cause::BadSectionName { reason, .. }) => assert_eq!(reason, rule, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn sections_of_apps_may_be_called_almost_anything() {
        for name in ["brim", "echo", "wsgi2", "app#one", "Größe", "a:b:c"] {
            assert_eq!(canonical(name).unwrap(), name);
        }
        assert_eq!(canonical("wsgi:x").unwrap(), "wsgi#x");
        for name in ["", "a b", "wsgi#", "a[b"] {
            assert!(canonical(name).is_err(), "{name}");
        }
    }
}
