//! Which content coding a client wants: Accept-Encoding (RFC 9110, section 12.5.3).

use http::{HeaderMap, header};
use serde::Deserialize;

/// A content coding that Brim can make.
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

    fn from_token(token: &str) -> Option<Self> {
        let is = |name: &str| token.eq_ignore_ascii_case(name);
        match () {
            () if is("zstd") => Some(Self::Zstd),
            () if is("br") => Some(Self::Br),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () => None,
        }
    }

    /// The one of `offered` that the client wants most; of several, the first. `None`: as it is.
    pub(crate) fn choose(headers: &HeaderMap, offered: &[Self]) -> Option<Self> {
        let (mut named, mut others, mut identity) = ([None; 3], None, None);
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            for element in value.to_str().unwrap_or_default().split(',') {
                let (token, weight) = element.split_once(';').unwrap_or((element, ""));
                let (token, Some(weight)) = (token.trim(), weight_of(weight)) else { continue };
                if token == "*" {
                    others = Some(weight);
                } else if token.eq_ignore_ascii_case("identity") {
                    identity = Some(weight);
                } else if let Some(coding) = Self::from_token(token)
                    && let Some(place) = named.get_mut(coding as usize)
                {
                    *place = Some(weight);
                }
            }
        }
        let weight = |coding: Self| named.get(coding as usize).copied().flatten().or(others);
        // Backwards, so that the first of the offered ones wins among equals.
        let best = offered.iter().rev().map(|coding| (weight(*coding).unwrap_or(0), *coding));
        let (weight, coding) = best.max_by_key(|(weight, _)| *weight)?;
        (weight > 0 && weight >= identity.unwrap_or(0)).then_some(coding)
    }
}

/// Thousandths, from `q=0.5` or nothing; `None` where it is malformed.
fn weight_of(parameter: &str) -> Option<u16> {
    let parameter = parameter.trim();
    if parameter.is_empty() {
        return Some(1000);
    }
    let value = parameter.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim_start();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if !matches!(whole, "0" | "1") || fraction.len() > 3 {
        return None;
    }
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()).then_some(fraction)?;
    let thousandths = format!("{whole}{digits:0<3}").parse().ok()?;
    (thousandths <= 1000).then_some(thousandths)
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
        Coding::choose(&headers, &ALL).map_or("-", Coding::token)
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
