//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::value::ValueError;

/// Where something was read: a file and a line in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The file as a user knows it: the path below the root, without the root.
    pub file: Arc<Path>,
    /// The line, counted from 1; 0 means the file as a whole.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(&self.file.to_string_lossy()).plain(f)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        Ok(())
    }
}

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but probably not as meant.
    Warning,
    /// Daemons refuse to start with it.
    Error,
}

/// One finding about the configuration.
///
/// Shown as `file:line: [section] key: what is wrong, what is accepted`; a warning says so after
/// the place.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The file and line, where there is one.
    pub origin: Option<Origin>,
    /// The section in its canonical spelling.
    pub section: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, and what is accepted.
    pub cause: Cause,
}

impl Problem {
    /// Whether the daemon of `section` (canonical spelling) has to mind this problem: it is about
    /// that section, about the defaults in `[brim]`, or about a file as a whole.
    pub fn concerns(&self, section: &str) -> bool {
        match &self.section {
            Some(name) => name == section || name == "brim",
            None => true,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        match (&self.section, &self.key) {
            (Some(section), Some(key)) => write!(f, "[{section}] {key}: ")?,
            (Some(section), None) => write!(f, "[{section}]: ")?,
            (None, Some(key)) => write!(f, "{key}: ")?,
            (None, None) => {}
        }
        write!(f, "{}", self.cause)?;
        match std::error::Error::source(&self.cause) {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

/// Whether any of the problems keeps a daemon from starting.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// What is wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The file or directory cannot be read.
    #[error("cannot be read")]
    Unreadable {
        /// What the kernel said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A directory, a pipe or the like where a file belongs, or the reverse.
    #[error("is {found}, expected {expected}")]
    WrongFileType {
        /// What is there.
        found: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A symbolic link whose target does not exist.
    #[error("is a link to {}, which does not exist; a link to /dev/null removes a file on purpose", target.display())]
    DanglingLink {
        /// Where the link leads, below the root.
        target: PathBuf,
    },
    /// Symbolic links that lead in a circle, or too many of them.
    #[error("leads through more than {limit} symbolic links")]
    LinkLoop {
        /// How many are followed.
        limit: usize,
    },
    /// A file beyond the size limit; it was not read.
    #[error("has {size} bytes and is not read, at most {limit} are accepted")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest size accepted.
        limit: u64,
    },
    /// Somebody else than root may write the file, or a directory on the way to it.
    #[error("{}may be written by others than root (mode {mode:04o}), so it is not read", on_the_way(.path.as_deref()))]
    WritableByOthers {
        /// The directory or link target on the way, where it is not the file itself.
        path: Option<PathBuf>,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else than root owns the file, or a directory on the way to it.
    #[error("{}belongs to user id {uid}, expected root, so it is not read", on_the_way(.path.as_deref()))]
    WrongOwner {
        /// The directory or link target on the way, where it is not the file itself.
        path: Option<PathBuf>,
        /// Its owner.
        uid: u32,
    },
    /// A drop-in whose name begins with a dot.
    #[error("hidden files are not read; a drop-in's name does not begin with a dot")]
    Hidden,
    /// There were more problems than are reported for one file.
    #[error("{count} more problems in this file")]
    More {
        /// How many are not shown.
        count: usize,
    },

    /// A line that is not UTF-8.
    #[error("the line is not UTF-8 text")]
    NotUtf8,
    /// A NUL or another control character.
    #[error("the line holds the control character U+{code:04X}; only tabs are accepted")]
    ControlCharacter {
        /// Its code point.
        code: u32,
    },
    /// A line that is neither section, entry, continuation nor comment.
    #[error("{} is neither `key = value` nor `[section]` nor a comment", Shown(.text))]
    NotAnEntry {
        /// The line.
        text: String,
    },
    /// `= value` without a key.
    #[error("a key is missing before the `=`")]
    MissingKey,
    /// A key with other characters than keys have.
    #[error("{} is not a key: letters, digits and _ . - are accepted, at most 64 of them", Shown(.text))]
    BadKey {
        /// What stands there.
        text: String,
    },
    /// An entry before the first section.
    #[error("stands before the first [section], so it belongs to none")]
    NoSection,
    /// An indented line without an entry above it.
    #[error(
        "an indented line continues the key above it, and there is none; keys begin in the first column"
    )]
    NothingToContinue,
    /// A section header without its `]`.
    #[error("{} is not closed by `]`", Shown(.text))]
    UnclosedSection {
        /// The line.
        text: String,
    },
    /// Text after the `]` of a section header.
    #[error("{} stands after the `]`; a comment needs a line of its own", Shown(.text))]
    TextAfterSection {
        /// The text.
        text: String,
    },
    /// A section name that cannot become a unit name, or that nothing could refer to.
    #[error("{} is not a section name: {reason}", Shown(.name))]
    BadSectionName {
        /// The name.
        name: String,
        /// Which rule it breaks.
        reason: NameRule,
    },
    /// An entry whose key is not in lower case.
    #[error("read as `{key}`; keys are lower-case")]
    KeySpelling {
        /// How it is read.
        key: String,
    },
    /// The same key twice in one section of one file.
    #[error("is already set in line {line} of this file; the last one counts")]
    DuplicateKey {
        /// The line of the earlier one.
        line: u32,
    },
    /// ` ;` in a value, which was a comment in files of old.
    #[error("` ;` is part of the value here, not the start of a comment")]
    InlineComment,
    /// `%(` in a value, which was an interpolation in files of old.
    #[error("`%(` is part of the value here; nothing is substituted")]
    Interpolation,
    /// A value in quotes.
    #[error("the quotes are part of the value; values are written without")]
    Quoted,
    /// A continuation that looks like an entry or a section.
    #[error("{} is indented, so it continues this value; an entry begins in the first column", Shown(.text))]
    LooksLikeEntry {
        /// The continuation.
        text: String,
    },

    /// A value that is not of the key's type.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A key that has to be set.
    #[error("must be set")]
    Missing,
    /// A key that nobody asks for.
    #[error("unknown key{}", did_you_mean(.nearest.as_deref()))]
    UnknownKey {
        /// The known key that is spelled most like it.
        nearest: Option<String>,
    },
    /// A key in `[brim]` that only counts in the section itself.
    #[error("is not taken from [brim]; set it in the section itself")]
    NotADefault,
    /// A key of the predecessor that has no meaning any more.
    #[error("has no effect any more: {instead}")]
    Retired {
        /// What does its work now.
        instead: &'static str,
    },
    /// A key of the predecessor that must not be ignored.
    #[error("is not supported: {instead}")]
    Unsupported {
        /// What does its work now.
        instead: &'static str,
    },
    /// `ip` or `port` beside `listen`.
    #[error(
        "does not go together with `listen` in the same section; write it there, as `8.8.8.8:80`"
    )]
    BesideListen,
    /// A list of addresses beyond all measure.
    #[error("at most {limit} addresses are accepted in one section")]
    TooManyAddresses {
        /// How many are.
        limit: usize,
    },
    /// Port 0.
    #[error("port 0 is only for `brimctl run`; 1 to 65535 are accepted")]
    PortZero,
    /// Two listeners that cannot be open at the same time.
    #[error("{address} is already taken by {other_address} of [{other}]{}", at(.origin.as_ref()))]
    AddressTaken {
        /// The later address.
        address: String,
        /// The earlier one.
        other_address: String,
        /// Whose the earlier one is.
        other: String,
        /// Where that stands.
        origin: Option<Origin>,
    },
    /// A section that no other refers to.
    #[error("nothing refers to this section{}", section_meant(.nearest.as_deref()))]
    Unused {
        /// The section that Brim owns and that is spelled most like it.
        nearest: Option<String>,
    },
    /// What an app finds wrong with its own section.
    #[error("{0}")]
    Refused(String),
}

/// The rule that a section name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameRule {
    /// Nothing stands between the brackets.
    #[error("it is empty")]
    Empty,
    /// Longer than 64 characters.
    #[error("at most 64 characters are accepted")]
    TooLong,
    /// After a kind, a character that a unit name does not take.
    #[error("after the kind, letters, digits and _ . - are accepted")]
    Character,
    /// After a kind, `-` or `.` in front.
    #[error("after the kind, it does not begin with - or .")]
    Start,
    /// An app's section with blanks in its name.
    #[error("blanks and brackets are not accepted")]
    Blank,
    /// A name that is of no kind, where a kind is needed.
    #[error("it begins with none of wsgi, tcp, udp, gateway, daemons")]
    Kind,
}

/// Text of a user in a message: quoted, on one line, of bounded length.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

const SHOWN_MAX: usize = 80;

impl Shown<'_> {
    fn plain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| one(c, f))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        self.0.chars().take(SHOWN_MAX).try_for_each(|c| one(c, f))?;
        if self.0.chars().nth(SHOWN_MAX).is_some() {
            f.write_str("...")?;
        }
        f.write_str("\"")
    }
}

fn one(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
}

fn on_the_way(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!("{}, which leads to it, ", path.display()))
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!(", did you mean `{key}`?"))
}

fn section_meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean [{name}]?"))
}

fn at(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |origin| format!(" ({origin})"))
}
