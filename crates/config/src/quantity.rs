//! The types that keys have beyond serde's own: times, sizes, numbers within bounds, paths.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// The longest time accepted: a year. Adding one to any clock cannot overflow.
const SPAN_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A time: `30` or `30s` (seconds), `500ms`, `2min`, `1h`, `1d`; from 0 to 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A time that is not zero, in the forms of [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(pub Duration);

/// A size in bytes: `4096`, `64K`, `20M`, `1G` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A size in bytes from `MIN` to `MAX`, in the forms of [`Size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeWithin<const MIN: u64, const MAX: u64>(pub u64);

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const MIN: u64, const MAX: u64>(pub u64);

/// Yes or no: `1 on t true y yes`, `0 f false n no off`, any case. Same as `bool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Flag(pub bool);

/// A path that begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsolutePath(pub PathBuf);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "a time (30, 30s, 500ms, 2min, 1h; at most 365 days)";
        span(&text)
            .map(Self)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "a time above 0 (30, 30s, 500ms, 2min, 1h; at most 365 days)";
        span(&text)
            .filter(|time| !time.is_zero())
            .map(Self)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "a size in bytes (4096, 64K, 20M, 1G)";
        size(&text)
            .map(Self)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for SizeWithin<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        size(&text).filter(|bytes| (MIN..=MAX).contains(bytes)).map(Self).ok_or_else(|| {
            let expected =
                format!("a size from {} to {} (4096, 64K, 20M, 1G)", Bytes(MIN), Bytes(MAX));
            D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str())
        })
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        number(&text).filter(|count| (MIN..=MAX).contains(count)).map(Self).ok_or_else(|| {
            let expected = format!("a whole number from {MIN} to {MAX}");
            D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str())
        })
    }
}

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with('/') {
            return Ok(Self(PathBuf::from(text)));
        }
        Err(D::Error::invalid_value(
            Unexpected::Str(&text),
            &"an absolute path (such as /usr/local/libexec/x)",
        ))
    }
}

/// A number of bytes in the unit that makes it shortest.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = UNITS
            .iter()
            .rev()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => self.0.fmt(f),
        }
    }
}

const UNITS: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

fn size(text: &str) -> Option<u64> {
    let unit = UNITS.iter().find(|(name, _)| text.ends_with([*name, name.to_ascii_lowercase()]));
    match unit {
        Some((_, factor)) => {
            let (digits, _) = text.split_at_checked(text.len() - 1)?;
            number(digits)?.checked_mul(*factor)
        }
        None => number(text),
    }
}

fn span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    let count = number(count)?;
    let seconds = |each: u64| count.checked_mul(each).map(Duration::from_secs);
    match unit {
        "" | "s" => seconds(1),
        "ms" => Some(Duration::from_millis(count)),
        "min" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(24 * 3600),
        _ => None,
    }
    .filter(|time| *time <= SPAN_MAX)
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::parse;

    #[test]
    fn times_have_these_forms() {
        for (text, millis) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("500ms", 500),
            ("2min", 120_000),
            ("1h", 3_600_000),
            ("0", 0),
            ("1d", 86_400_000),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(parse(text), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in [
            "",
            "s",
            "-1",
            "+1",
            "1.5s",
            "30 s",
            "2m",
            "30S",
            "366d",
            "18446744073709551615h",
            "99999999999999999999",
            "31536000001ms",
            "3é",
        ] {
            assert!(parse::<Span>(text).is_err(), "{text}");
        }
        assert!(parse::<Timeout>("0s").is_err());
    }

    #[test]
    fn sizes_have_these_forms() {
        for (text, bytes) in
            [("4096", 4096), ("64K", 65536), ("20M", 20 << 20), ("1G", 1 << 30), ("1k", 1024)]
        {
            assert_eq!(parse(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "K", "-1", "1.5M", "64KB", "64 K", "16777216T", "é"] {
            assert!(parse::<Size>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_named_in_the_message() {
        let refused = parse::<SizeWithin<1024, 1_048_576>>("2M").unwrap_err().to_string();
        assert_eq!(refused, r#""2M" is not a size from 1K to 1M (4096, 64K, 20M, 1G)"#);
        let refused = parse::<Count<1, 256>>("257").unwrap_err().to_string();
        assert_eq!(refused, r#""257" is not a whole number from 1 to 256"#);
        assert_eq!(parse("256"), Ok(Count::<1, 256>(256)));
    }
}
