//! Which requests an app gets: by host and by route.
//!
//! A route is a literal prefix, and from its first `(` on a pattern, as in Mongrel2. What it is matched
//! against is one normal form of the path, which is also what apps see: see [`RequestPath`].

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::problem::Shown;
use pattern::Pattern;

mod fault;
mod host;
mod matcher;
mod path;
mod pattern;
#[cfg(test)]
mod tests;

pub use fault::{BadRoute, RouteFault};
pub use host::{BadHost, HostName, HostPattern};
pub use path::{BadPath, RequestPath};

/// A route: `/prefix`, or `/prefix(pattern)`. For socket messages, `@` or `<` stands at the beginning.
///
/// Without a pattern it matches whole segments: `/img` is for `/img` and `/img/x`, not for `/imgx`. With
/// one, the pattern is tried where the prefix ends, and need not reach the end of the path unless `$`
/// ends it. Both are matched byte by byte. A path takes time linear in its length, whatever the pattern.
#[derive(Clone, Debug)]
pub struct RoutePattern {
    text: Box<str>,
    prefix: Box<str>,
    pattern: Option<Pattern>,
}

impl RoutePattern {
    /// Reads a route.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, BadRoute> {
        let bad = |(at, fault)| BadRoute::new(text, at, fault);
        let split = text.find('(').unwrap_or(text.len());
        let (literal, rest) = text.split_at(split);
        let prefix = pattern::prefix(literal, rest.is_empty()).map_err(bad)?;
        let pattern = match rest {
            "" => None,
            rest => Some(
                Pattern::compile(rest.as_bytes())
                    .map_err(|(at, fault)| bad((split + at, fault)))?,
            ),
        };
        Ok(Self { text: text.into(), prefix: prefix.into(), pattern })
    }

    /// The route as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The literal prefix, its percent escapes decoded.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether there is a pattern behind the prefix.
    pub fn has_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// Whether it is for socket messages, whose paths begin with `@` (JSON) or `<` (XML).
    pub fn is_of_messages(&self) -> bool {
        self.prefix.starts_with(['@', '<'])
    }

    /// Whether a path ([`RequestPath::decoded`], or that of a socket message) is this route's.
    pub fn matches(&self, path: &[u8]) -> bool {
        let Some(rest) = path.strip_prefix(self.prefix.as_bytes()) else { return false };
        match &self.pattern {
            Some(pattern) => pattern.matches(rest),
            None => self.is_open() || matches!(rest.first(), None | Some(b'/')),
        }
    }

    /// Whether anything may stand behind the prefix.
    fn is_open(&self) -> bool {
        self.prefix.ends_with('/') || matches!(&*self.prefix, "@" | "<")
    }

    /// Whether this route matches everything that another one matches, as far as that can be told
    /// from their prefixes.
    pub fn covers(&self, other: &Self) -> bool {
        if self.text == other.text {
            return true;
        }
        if self.pattern.is_some() {
            return false;
        }
        // Of a prefix with a pattern it is not known what stands behind it.
        let (whole, prefix) = (other.pattern.is_none(), &*other.prefix);
        match prefix.strip_prefix(&*self.prefix) {
            Some("") => whole || other.is_open(),
            Some(rest) => self.is_open() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl PartialEq for RoutePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RoutePattern {}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RoutePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|fault| {
            de::Error::custom(format_args!("{} is not a host: {fault}", Shown(&text)))
        })
    }
}
