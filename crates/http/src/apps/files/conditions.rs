//! Conditional requests, RFC 9110 section 13.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were none.
    Go,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// What a representation is known by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validators<'a> {
    /// Strong: in quotes, without `W/`.
    pub(super) etag: &'a [u8],
    /// As the client is told, in whole seconds.
    pub(super) last_modified: Option<SystemTime>,
}

/// Whether a request asks for the whole, whatever it has: no condition and no range. One look at each header costs
/// less than to look for each of these.
pub(super) fn are_none(headers: &HeaderMap) -> bool {
    !headers.keys().any(|name| {
        matches!(
            *name,
            header::IF_MATCH
                | header::IF_NONE_MATCH
                | header::IF_MODIFIED_SINCE
                | header::IF_UNMODIFIED_SINCE
                | header::RANGE
        )
    })
}

impl Validators<'_> {
    /// Asks the conditions of a `GET` or `HEAD` in the order of RFC 9110 13.2.2. `If-Range` is for
    /// [`is_whole_wanted`](Self::is_whole_wanted).
    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(header::IF_MATCH) {
            if !self.is_listed(headers, header::IF_MATCH, is_strongly) {
                return Verdict::Failed;
            }
        } else if let Some(date) = date(headers.get(header::IF_UNMODIFIED_SINCE))
            && self.last_modified.is_some_and(|modified| modified > date)
        {
            return Verdict::Failed;
        }
        if headers.contains_key(header::IF_NONE_MATCH) {
            if self.is_listed(headers, header::IF_NONE_MATCH, is_weakly) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = date(headers.get(header::IF_MODIFIED_SINCE))
            && self.last_modified.is_some_and(|modified| modified <= date)
        {
            return Verdict::NotModified;
        }
        Verdict::Go
    }

    /// Whether `If-Range` says that a part is of no use: the client has parts of something else.
    /// A date counts only where it is exactly ours (RFC 9110 13.1.5), and old enough to be strong
    /// (8.8.2.2).
    pub(super) fn is_whole_wanted(&self, headers: &HeaderMap, now: SystemTime) -> bool {
        let mut values = headers.get_all(header::IF_RANGE).iter();
        let (value, more) = (values.next(), values.next());
        match value {
            None => false,
            Some(_) if more.is_some() => true,
            Some(value) if is_strongly(value.as_bytes(), self.etag) => false,
            Some(value) => {
                let ours = self.last_modified.filter(|modified| {
                    now.duration_since(*modified).is_ok_and(|age| age.as_secs() >= 1)
                });
                ours.is_none() || date(Some(value)) != ours
            }
        }
    }

    fn is_listed(
        &self,
        headers: &HeaderMap,
        name: header::HeaderName,
        is_equal: fn(&[u8], &[u8]) -> bool,
    ) -> bool {
        headers.get_all(name).iter().any(|value| {
            value.as_bytes().trim_ascii() == b"*"
                || tags(value.as_bytes()).any(|tag| is_equal(tag, self.etag))
        })
    }
}

/// The entity tags of a list, with their quotes. What is no tag ends the list.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let separator = |byte: &u8| !matches!(byte, b',' | b' ' | b'\t');
        let start = rest.iter().position(separator)?;
        rest = rest.get(start..)?;
        let opening = if rest.starts_with(b"W/\"") { 3 } else { 1 };
        if opening == 1 && rest.first() != Some(&b'"') {
            return None;
        }
        let closing = rest.get(opening..)?.iter().position(|byte| *byte == b'"')?;
        let (tag, after) = rest.split_at_checked(opening + closing + 1)?;
        rest = after;
        Some(tag)
    })
}

fn is_strongly(tag: &[u8], etag: &[u8]) -> bool {
    tag == etag
}

fn is_weakly(tag: &[u8], etag: &[u8]) -> bool {
    tag.strip_prefix(b"W/").unwrap_or(tag) == etag
}

/// A date in any of the three forms of RFC 9110 5.6.7; what is none counts as not there.
fn date(value: Option<&HeaderValue>) -> Option<SystemTime> {
    let date = httpdate::parse_http_date(value?.to_str().ok()?).ok()?;
    (date >= UNIX_EPOCH).then_some(date)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn validators() -> Validators<'static> {
        let last_modified = httpdate::parse_http_date(MODIFIED).ok();
        Validators { etag: b"\"a,b\"", last_modified }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn judge(lines: &[(&'static str, &'static str)]) -> Verdict {
        validators().judge(&headers(lines))
    }

    #[test]
    fn conditions_are_asked_in_the_order_of_the_rfc() {
        use Verdict::{Failed, Go, NotModified};
        for (lines, verdict) in [
            (&[][..], Go),
            (&[("if-match", "\"a,b\"")], Go),
            (&[("if-match", "*")], Go),
            (&[("if-match", "\"x\", \"a,b\"")], Go),
            (&[("if-match", "\"x\"")], Failed),
            (&[("if-match", "W/\"a,b\"")], Failed),
            (&[("if-match", "a,b")], Failed),
            (&[("if-none-match", "\"a,b\"")], NotModified),
            (&[("if-none-match", " , \"x\" ,W/\"a,b\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"a\", \"b\"")], Go),
            (&[("if-none-match", "\"a,b")], Go),
            (&[("if-modified-since", MODIFIED)], NotModified),
            (&[("if-modified-since", BEFORE)], Go),
            (&[("if-modified-since", "yesterday")], Go),
            (&[("if-unmodified-since", MODIFIED)], Go),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", "yesterday")], Go),
            // The tag counts, and the date beside it does not.
            (&[("if-none-match", "\"x\""), ("if-modified-since", MODIFIED)], Go),
            (&[("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)], Go),
            (&[("if-match", "\"x\""), ("if-none-match", "\"a,b\"")], Failed),
            (&[("if-match", "\"a,b\""), ("if-none-match", "\"a,b\"")], NotModified),
            (&[("if-unmodified-since", MODIFIED), ("if-modified-since", MODIFIED)], NotModified),
            (&[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], NotModified),
        ] {
            assert_eq!(judge(lines), verdict, "{lines:?}");
        }
    }

    #[test]
    fn dates_have_three_forms() {
        for form in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(judge(&[("if-modified-since", form)]), Verdict::NotModified, "{form}");
        }
    }

    #[test]
    fn a_part_is_wanted_of_the_same_thing_only() {
        let now = validators().last_modified.unwrap() + Duration::from_secs(60);
        let whole = |lines: &[_]| validators().is_whole_wanted(&headers(lines), now);
        assert!(!whole(&[]));
        assert!(!whole(&[("if-range", "\"a,b\"")]));
        assert!(!whole(&[("if-range", MODIFIED)]));
        for other in ["\"x\"", "W/\"a,b\"", BEFORE, "Sun, 06 Nov 1994 08:49:38 GMT", "nonsense"] {
            assert!(whole(&[("if-range", other)]), "{other}");
        }
        let at_once = validators().last_modified.unwrap();
        assert!(validators().is_whole_wanted(&headers(&[("if-range", MODIFIED)]), at_once));
    }
}
