//! Which content coding a client wants: Accept-Encoding (RFC 9110, section 12.5.3).

use http::{HeaderMap, header};
use serde::Deserialize;

/// A content coding that Brim knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Its name in headers.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    fn from_token(token: &[u8]) -> Option<Self> {
        let is = |name: &[u8]| token.eq_ignore_ascii_case(name);
        match () {
            () if is(b"zstd") => Some(Self::Zstd),
            () if is(b"br") => Some(Self::Br),
            () if is(b"gzip") || is(b"x-gzip") => Some(Self::Gzip),
            () => None,
        }
    }
}

/// How much a client wants each coding: thousandths, 0 is not at all, `None` is not mentioned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    named: [Option<u16>; 3],
    identity: Option<u16>,
    others: Option<u16>,
}

impl Wishes {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut wishes = Self::default();
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            value.as_bytes().split(|byte| *byte == b',').for_each(|element| wishes.take(element));
        }
        wishes
    }

    /// An element that is malformed is none.
    fn take(&mut self, element: &[u8]) {
        let mut parts = element.splitn(2, |byte| *byte == b';').map(<[u8]>::trim_ascii);
        let token = parts.next().unwrap_or_default();
        let weight = parts.next().map_or(Some(1000), weight_of);
        let place = match token {
            b"*" => Some(&mut self.others),
            _ if token.eq_ignore_ascii_case(b"identity") => Some(&mut self.identity),
            _ => Coding::from_token(token).and_then(|coding| self.named.get_mut(coding as usize)),
        };
        if let (Some(place), Some(weight)) = (place, weight) {
            *place = Some(weight);
        }
    }

    /// The one of `offered` that the client wants most; of several, the first. `None`: as it is.
    pub(crate) fn choose(&self, offered: impl IntoIterator<Item = Coding>) -> Option<Coding> {
        let mut best = (self.identity(), None);
        for coding in offered {
            let named = self.named.get(coding as usize).copied().flatten();
            let weight = named.or(self.others).unwrap_or(0);
            // What was asked for is better than what is only not refused.
            let is_better = weight > best.0 || (weight == best.0 && best.1.is_none());
            if weight > 0 && is_better {
                best = (weight, Some(coding));
            }
        }
        best.1
    }

    /// Whether content without any coding will do.
    pub(crate) fn accepts_identity(&self) -> bool {
        self.identity() > 0
    }

    fn identity(&self) -> u16 {
        self.identity.or(self.others.filter(|others| *others == 0)).unwrap_or(1)
    }
}

/// Thousandths, from `q=0.5`; `None` where it is malformed.
fn weight_of(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q").or(parameter.strip_prefix(b"Q"))?;
    let value = value.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (whole, fraction) = match value {
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        [whole] => (whole, &[][..]),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, worth) in fraction.iter().zip([100, 10, 1]) {
        weight += u16::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?) * worth;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    fn chosen(values: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, value.parse().unwrap());
        }
        Wishes::of(&headers).choose(ALL).map_or("-", Coding::token)
    }

    #[test]
    fn the_best_weight_wins_and_of_equals_what_the_server_likes() {
        for (value, expected) in [
            ("gzip", "gzip"),
            ("gzip, br", "br"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip;q=1.0, br;q=0.9", "gzip"),
            ("gzip;q=0.001", "gzip"),
            ("gzip; q=0.5, br ; q=0.8", "br"),
            ("*", "zstd"),
            ("*;q=0.5, gzip", "gzip"),
            ("*, zstd;q=0", "br"),
            ("zstd;q=0, *;q=0", "-"),
            ("", "-"),
            ("deflate", "-"),
            ("identity", "-"),
            ("identity, gzip", "gzip"),
            ("identity, gzip;q=0.5", "-"),
            ("identity;q=0.5, gzip", "gzip"),
            ("gzip;q=0", "-"),
            ("gzip;q=0.000", "-"),
            ("gzip;q=1.001, br", "br"),
            ("gzip;q=2, gzip;x=1, gzip;q=, gzip;q=-1", "-"),
            ("gzip;q=0.1234", "-"),
        ] {
            assert_eq!(chosen(&[value]), expected, "{value}");
        }
        assert_eq!(chosen(&[]), "-");
        assert_eq!(chosen(&["gzip;q=0.1", "br;q=0.2"]), "br");
    }

    /// What is sent of a file with these forms beside it; `None`: nothing is acceptable.
    fn form(value: &str, beside: &[Coding]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
        let wishes = Wishes::of(&headers);
        let chosen = wishes.choose(beside.iter().copied()).map(Coding::token);
        chosen.or(wishes.accepts_identity().then_some("as it is"))
    }

    #[test]
    fn content_without_a_coding_may_be_refused() {
        let all = [Coding::Br, Coding::Zstd, Coding::Gzip];
        for (value, expected) in [
            ("", Some("as it is")),
            ("GZIP, Br", Some("br")),
            ("gzip, zstd", Some("zstd")),
            ("gzip;q=0", Some("as it is")),
            ("identity;q=0.5, gzip;q=0.8", Some("gzip")),
            ("*", Some("br")),
            ("*;q=0.5, br;q=0", Some("zstd")),
            ("*;q=0", None),
            ("*;q=0, gzip", Some("gzip")),
            ("*;q=0, identity", Some("as it is")),
            ("identity;q=0", None),
            ("identity;q=0, gzip", Some("gzip")),
            ("identity;q=0, *", Some("br")),
            ("deflate", Some("as it is")),
            ("gzip;q=2", Some("as it is")),
            (",,gzip,", Some("gzip")),
        ] {
            assert_eq!(form(value, &all), expected, "{value:?}");
        }
        assert_eq!(form("br, gzip", &[Coding::Gzip]), Some("gzip"));
        assert_eq!(form("br", &[Coding::Gzip]), Some("as it is"));
        assert_eq!(form("br, identity;q=0", &[Coding::Gzip]), None);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 2000, ..Default::default() })]
        /// Whatever is sent, what was not asked for is not chosen.
        #[test]
        fn what_is_chosen_was_asked_for(value in "[a-z*;=.,0-9 q]{0,40}|((gzip|br|zstd)(;q=[01](\\.[0-9]{0,4})?)?,? ?){0,5}") {
            match chosen(&[&value]) {
                "-" => {}
                token => proptest::prop_assert!(value.contains(token) || value.contains('*')),
            }
        }
    }
}
