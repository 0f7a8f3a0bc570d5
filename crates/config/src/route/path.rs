use super::pattern::escape;

/// A request's path in the one form that counts, for routes and for apps alike.
///
/// Segments `.` and `..` are resolved, in whatever spelling (`%2e`); that is the path that a proxy
/// passes on ([`forward`](Self::forward)). Of it, percent escapes are decoded and slashes in a row are
/// one: that is the path that routes are matched against and that files are looked up by
/// ([`decoded`](Self::decoded)). What could still mean something else to somebody else is refused:
/// a NUL, a broken escape, a segment `..` that comes out of `%2F`, of a backslash or of `..;x`.
/// So no spelling of a path gets past an app that stands in front of it.
///
/// Most paths are in that form already; then nothing is kept, and the path itself is the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestPath {
    forward: Option<Box<str>>,
    decoded: Option<Box<[u8]>>,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum BadPath {
    /// A `%` without two hexadecimal digits.
    Escape,
    /// `%00`.
    Nul,
    /// A dot segment that only shows when slashes are decoded, or the like.
    Ambiguous,
}

impl BadPath {
    /// What is wrong.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Escape => "a % in the path is not followed by two hexadecimal digits",
            Self::Nul => "the path holds a NUL",
            Self::Ambiguous => "the path has . or .. as a segment in an ambiguous spelling",
        }
    }
}

impl RequestPath {
    /// Takes the path of a target. One that does not begin with `/` (`*`, or none) stays as it is.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn of(raw: &str) -> Result<Self, BadPath> {
        if is_plain(raw.as_bytes()) || !raw.starts_with('/') {
            return Ok(Self::default());
        }
        check_escapes(raw.as_bytes())?;
        let forward = without_dots(raw);
        let path = forward.as_deref().unwrap_or(raw);
        let decoded: Vec<u8> = Decoded::of(path).map(|(byte, _)| byte).collect();
        let mut segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
        if segments.any(is_dots) {
            return Err(BadPath::Ambiguous);
        }
        let decoded = (decoded != raw.as_bytes()).then(|| decoded.into_boxed_slice());
        Ok(Self { forward: forward.map(String::into_boxed_str), decoded })
    }

    /// The path for a proxy to pass on: `raw` (what [`of`](Self::of) was given) without dot segments, and
    /// else as it came.
    pub fn forward<'a>(&'a self, raw: &'a str) -> &'a str {
        self.forward.as_deref().unwrap_or(raw)
    }

    /// The path for routes and files: decoded, with single slashes and no dot segments.
    pub fn decoded<'a>(&'a self, raw: &'a str) -> &'a [u8] {
        self.decoded.as_deref().unwrap_or(raw.as_bytes())
    }

    /// What [`forward`](Self::forward) has behind the first `length` bytes of [`decoded`](Self::decoded).
    pub fn forward_behind<'a>(&'a self, raw: &'a str, length: usize) -> &'a str {
        let path = self.forward(raw);
        let start = Decoded::of(path).nth(length).map_or(path.len(), |(_, start)| start);
        path.get(start..).unwrap_or_default()
    }
}

/// Whether there is nothing to be done about a path.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    !path.iter().any(|byte| {
        let odd = matches!(byte, b'%' | b'\\') || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = *byte;
        odd
    })
}

fn check_escapes(path: &[u8]) -> Result<(), BadPath> {
    for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        match escape(path.get(at..).unwrap_or_default()) {
            Some(0) => return Err(BadPath::Nul),
            Some(_) => {}
            None => return Err(BadPath::Escape),
        }
    }
    Ok(())
}

/// `.` or `..`, or with a parameter behind it, which some servers take off.
fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    matches!(name, b"." | b"..")
}

/// RFC 3986 section 5.2.4, for segments in any spelling; `None` where there are none.
fn without_dots(path: &str) -> Option<String> {
    // How many dots a segment is: 0 for those that are something else.
    let dots = |segment: &str| {
        let plain = segment.bytes().all(|byte| matches!(byte, b'.' | b'%' | b'2' | b'e' | b'E'));
        if !plain || segment.is_empty() {
            return 0;
        }
        match &*Decoded::of(segment).map(|(byte, _)| byte).collect::<Vec<_>>() {
            b"." => 1,
            b".." => 2,
            _ => 0,
        }
    };
    let segments = || path.split('/').skip(1);
    if segments().all(|segment| dots(segment) == 0) {
        return None;
    }
    let mut kept = Vec::new();
    let mut last = 0;
    for segment in segments() {
        last = dots(segment);
        match last {
            0 => kept.push(segment),
            1 => {}
            _ => drop(kept.pop()),
        }
    }
    if last > 0 {
        // What it names is a folder.
        kept.push("");
    }
    Some(kept.iter().flat_map(|segment| ["/", segment]).collect())
}

/// The bytes that a path stands for, slashes in a row as one, each with where it begins in the path.
struct Decoded<'a> {
    path: &'a [u8],
    at: usize,
    before: u8,
}

impl<'a> Decoded<'a> {
    fn of(path: &'a str) -> Self {
        Self { path: path.as_bytes(), at: 0, before: 0 }
    }
}

impl Iterator for Decoded<'_> {
    type Item = (u8, usize);

    fn next(&mut self) -> Option<(u8, usize)> {
        loop {
            let start = self.at;
            let plain = *self.path.get(start)?;
            let byte = match escape(self.path.get(start..).unwrap_or_default()) {
                Some(byte) => {
                    self.at += 3;
                    byte
                }
                None => {
                    self.at += 1;
                    plain
                }
            };
            let before = std::mem::replace(&mut self.before, byte);
            if byte != b'/' || before != b'/' {
                return Some((byte, start));
            }
        }
    }
}
