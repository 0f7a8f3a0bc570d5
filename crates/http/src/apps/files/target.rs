/// The one name with a dot in front that is always served (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// What a request's path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// The path is not below the prefix.
    Elsewhere,
    /// The path is the prefix, without a slash behind it.
    Prefix,
    /// No file has such a name, or none that is served.
    Nothing,
    /// A path below the root: segments with a slash between them, without `.` and `..`. Ends with a slash
    /// (or is empty) where a directory is asked for.
    Path(&'a [u8]),
}

impl<'a> Target<'a> {
    /// Maps a path in its one form, decoded and without dots. `rest` is what it has behind the route;
    /// `prefix` begins with a slash and does not end with one, or is empty; `hidden`: whether names with a dot in
    /// front are served.
    pub(super) fn of(path: &[u8], rest: &'a [u8], prefix: &str, hidden: bool) -> Self {
        let below = match prefix {
            "" => Some(rest).filter(|_| path.starts_with(b"/")),
            prefix => {
                rest.strip_prefix(prefix.as_bytes()).filter(|rest| matches!(rest, [] | [b'/', ..]))
            }
        };
        let Some(rest) = below else { return Self::Elsewhere };
        if rest.is_empty() && !path.ends_with(b"/") {
            return Self::Prefix;
        }
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        let mut segments = rest.split(|byte| *byte == b'/');
        match segments.all(|segment| is_served(segment, hidden)) {
            true => Self::Path(rest),
            false => Self::Nothing,
        }
    }
}

fn is_served(segment: &[u8], hidden: bool) -> bool {
    match segment {
        b"." | b".." => false,
        [b'.', ..] if !hidden && segment != WELL_KNOWN => false,
        _ => !segment.contains(&0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(path: &'a str, prefix: &str, hidden: bool) -> Target<'a> {
        Target::of(path.as_bytes(), path.as_bytes(), prefix, hidden)
    }

    fn path(path: &str) -> Target<'_> {
        Target::Path(path.as_bytes())
    }

    #[test]
    fn paths_lose_the_slash_in_front() {
        for (asked, mapped) in
            [("/", ""), ("/a", "a"), ("/a/", "a/"), ("/a b/ä", "a b/ä"), ("/a\\b", "a\\b")]
        {
            assert_eq!(of(asked, "", false), path(mapped), "{asked}");
        }
    }

    #[test]
    fn what_no_file_is_called_is_nothing() {
        for asked in ["/..", "/a/../b", "/.", "/a/./b", "/a\0.html", "/\0"] {
            assert_eq!(of(asked, "", true), Target::Nothing, "{asked}");
        }
        for asked in ["/.git/config", "/a/.htpasswd", "/.well-known/.x", "/.well-knownx", "/..."] {
            assert_eq!(of(asked, "", false), Target::Nothing, "{asked}");
            assert_ne!(of(asked, "", true), Target::Nothing, "{asked}");
        }
        assert_eq!(of("/.well-known/x", "", false), path(".well-known/x"));
    }

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        assert_eq!(of("/fs", "/fs", false), Target::Prefix);
        assert_eq!(of("/fs/", "/fs", false), path(""));
        assert_eq!(of("/fs/a", "/fs", false), path("a"));
        for asked in ["/fsx", "/", "/f", "*", "x"] {
            assert_eq!(of(asked, "/fs", false), Target::Elsewhere, "{asked}");
        }
        assert_eq!(of("*", "", false), Target::Elsewhere);
    }

    #[test]
    fn a_route_is_taken_off() {
        for (asked, rest, target) in [
            ("/static", "", Target::Prefix),
            ("/static/", "/", path("")),
            ("/static/", "", path("")),
            ("/static/a", "/a", path("a")),
            ("/static/a", "a", path("a")),
        ] {
            assert_eq!(Target::of(asked.as_bytes(), rest.as_bytes(), "", false), target, "{asked}");
        }
    }
}
