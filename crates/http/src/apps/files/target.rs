use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The one name with a dot in front that is always served (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// What a request's path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// The path is not below the prefix.
    Elsewhere,
    /// The path is the prefix, without a slash behind it.
    Prefix,
    /// No file has such a name, or none that is served.
    Nothing,
    /// A path below the root: segments with one slash between them, without `.` and `..`. Ends with a
    /// slash (or is empty) where a directory is asked for.
    Path(Cow<'a, [u8]>),
}

impl<'a> Target<'a> {
    /// Maps a path as it came. `prefix` begins with a slash and does not end with one, or is empty;
    /// `hidden`: whether names with a dot in front are served.
    pub(super) fn of(path: &'a str, prefix: &str, hidden: bool) -> Self {
        let decoded: Cow<'a, [u8]> = percent_decode_str(path).into();
        match decoded {
            Cow::Borrowed(path) => match below(path, prefix) {
                Some([]) => Self::Prefix,
                Some(rest) => Self::map(Cow::Borrowed(rest), hidden),
                None => Self::Elsewhere,
            },
            Cow::Owned(path) => match below(&path, prefix) {
                Some([]) => Self::Prefix,
                Some(rest) => Self::map(Cow::Owned(rest.to_vec()), hidden),
                None => Self::Elsewhere,
            },
        }
    }

    fn map(rest: Cow<'a, [u8]>, hidden: bool) -> Self {
        let mut segments = rest.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty());
        if !segments.all(|segment| is_served(segment, hidden)) {
            return Self::Nothing;
        }
        // Nearly always the path is as it should be but for the slash in front.
        match rest {
            rest if rest.windows(2).any(|pair| pair == b"//") => {
                Self::Path(Cow::Owned(merge(&rest)))
            }
            Cow::Borrowed(rest) => {
                Self::Path(Cow::Borrowed(rest.strip_prefix(b"/").unwrap_or(rest)))
            }
            Cow::Owned(mut rest) => {
                if rest.first() == Some(&b'/') {
                    rest.remove(0);
                }
                Self::Path(Cow::Owned(rest))
            }
        }
    }
}

/// What follows the prefix: begins with a slash, or is empty.
fn below<'a>(path: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix.as_bytes())?;
    (rest.first() == Some(&b'/') || (rest.is_empty() && !prefix.is_empty())).then_some(rest)
}

fn is_served(segment: &[u8], hidden: bool) -> bool {
    match segment {
        b"." | b".." => false,
        [b'.', ..] if !hidden && segment != WELL_KNOWN => false,
        _ => !segment.contains(&0),
    }
}

/// Takes several slashes for one, as file systems do.
fn merge(path: &[u8]) -> Vec<u8> {
    let mut merged = Vec::with_capacity(path.len());
    for segment in path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
        merged.extend_from_slice(segment);
        merged.push(b'/');
    }
    if !path.ends_with(b"/") {
        merged.pop();
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Target<'_> {
        Target::Path(Cow::Borrowed(path.as_bytes()))
    }

    #[test]
    fn paths_are_decoded_and_their_slashes_merged() {
        for (asked, mapped) in [
            ("/", ""),
            ("/a", "a"),
            ("/a/", "a/"),
            ("//a///b//", "a/b/"),
            ("/%61%2Fb", "a/b"),
            ("/a%20b/%C3%A4", "a b/ä"),
            ("/a\\..\\b", "a\\..\\b"),
            ("/...", "..."),
            ("/.well-known/x", ".well-known/x"),
            ("/100%", "100%"),
        ] {
            assert_eq!(Target::of(asked, "", asked == "/..."), path(mapped), "{asked}");
        }
    }

    #[test]
    fn what_no_file_is_called_is_nothing() {
        for asked in ["/..", "/a/../b", "/%2e%2e/b", "/.%2E", "/.", "/a/./b", "/a%00.html", "/%00"]
        {
            assert_eq!(Target::of(asked, "", true), Target::Nothing, "{asked}");
        }
        for asked in ["/.git/config", "/a/.htpasswd", "/.well-known/.x", "/.well-knownx"] {
            assert_eq!(Target::of(asked, "", false), Target::Nothing, "{asked}");
            assert_ne!(Target::of(asked, "", true), Target::Nothing, "{asked}");
        }
    }

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        assert_eq!(Target::of("/fs", "/fs", false), Target::Prefix);
        assert_eq!(Target::of("/%66s", "/fs", false), Target::Prefix);
        assert_eq!(Target::of("/fs/", "/fs", false), path(""));
        assert_eq!(Target::of("/%66s/a", "/fs", false), path("a"));
        for asked in ["/fsx", "/", "/f", "/fs2/../fs/a", "*", "x"] {
            assert_eq!(Target::of(asked, "/fs", false), Target::Elsewhere, "{asked}");
        }
        assert_eq!(Target::of("*", "", false), Target::Elsewhere);
    }
}
