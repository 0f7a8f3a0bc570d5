//! Which of several encoded forms a client wants most, RFC 9110 section 12.5.3.

use http::{HeaderMap, header};

/// How the content of a file is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    Identity,
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// What may lie beside a file; the best first.
    pub(super) const BESIDE: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in headers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What is appended to a file's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is_called(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name().as_bytes())
            || (self == Self::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
    }
}

/// How much a client wants each coding: thousandths, 0 is not at all, `None` is not mentioned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Preferences {
    identity: Option<u16>,
    beside: [Option<u16>; 3],
    any: Option<u16>,
}

impl Preferences {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut preferences = Self::default();
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            for element in value.as_bytes().split(|byte| *byte == b',') {
                preferences.take(element);
            }
        }
        preferences
    }

    fn take(&mut self, element: &[u8]) {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
        let weight = weight.map_or(Some(1000), thousandths);
        // A weight that is none makes its element none.
        let Some(weight) = weight else { return };
        if name == b"*" {
            self.any = Some(weight);
        } else if Coding::Identity.is_called(name) {
            self.identity = Some(weight);
        } else if let Some((_, slot)) =
            Coding::BESIDE.iter().zip(&mut self.beside).find(|(coding, _)| coding.is_called(name))
        {
            *slot = Some(weight);
        }
    }

    /// The coding that is wanted most among the whole and what lies beside it; `None` where nothing
    /// is acceptable.
    pub(super) fn choose(&self, is_there: impl Fn(Coding) -> bool) -> Option<Coding> {
        let mut best = (Coding::Identity, self.identity.or(self.any.filter(|any| *any == 0)));
        // Not mentioned it is acceptable, and anything that is asked for is better.
        let mut weight = best.1.unwrap_or(1);
        for (coding, own) in Coding::BESIDE.into_iter().zip(self.beside) {
            let own = own.or(self.any).unwrap_or(0);
            let is_better = own > weight || (own == weight && best.0 == Coding::Identity);
            if own > 0 && is_better && is_there(coding) {
                (best.0, weight) = (coding, own);
            }
        }
        (weight > 0).then_some(best.0)
    }
}

/// `0.5` is 500; at most three digits behind the point.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        [whole] => (*whole, &[][..]),
        _ => return None,
    };
    let mut value = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, worth) in fraction.iter().zip([100, 10, 1]) {
        value += u16::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?) * worth;
    }
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(accept: &'static str, there: &[Coding]) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
        Preferences::of(&headers).choose(|coding| there.contains(&coding))
    }

    #[test]
    fn the_heaviest_that_is_there_wins_and_ours_among_equals() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        for (accept, choice) in [
            ("", Some(Identity)),
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZIP, Br", Some(Brotli)),
            ("gzip, zstd", Some(Zstd)),
            ("gzip;q=1.0, br;q=0.5", Some(Gzip)),
            ("gzip ; q=0.001", Some(Gzip)),
            ("gzip;q=0", Some(Identity)),
            ("identity, gzip;q=0.5", Some(Identity)),
            ("identity;q=0.5, gzip;q=0.8", Some(Gzip)),
            ("*", Some(Brotli)),
            ("*;q=0.5, br;q=0", Some(Zstd)),
            ("*;q=0", None),
            ("*;q=0, gzip", Some(Gzip)),
            ("*;q=0, identity", Some(Identity)),
            ("identity;q=0", None),
            ("identity;q=0, gzip", Some(Gzip)),
            ("identity;q=0, *", Some(Brotli)),
            ("deflate", Some(Identity)),
            ("gzip;q=2", Some(Identity)),
            ("gzip;q=0.1234", Some(Identity)),
            ("gzip;q=", Some(Identity)),
            (",,gzip,", Some(Gzip)),
        ] {
            assert_eq!(chosen(accept, &Coding::BESIDE), choice, "{accept:?}");
        }
        assert_eq!(chosen("br, gzip", &[Gzip]), Some(Gzip));
        assert_eq!(chosen("br", &[Gzip]), Some(Identity));
        assert_eq!(chosen("br, identity;q=0", &[Gzip]), None);
        assert_eq!(Preferences::of(&HeaderMap::new()).choose(|_| true), Some(Identity));
    }
}
