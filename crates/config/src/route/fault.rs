use std::fmt;

use crate::problem::Shown;

/// What is wrong with a route, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRoute {
    route: String,
    /// The byte at which the fault begins.
    at: usize,
    fault: RouteFault,
}

impl BadRoute {
    pub(super) fn new(route: &str, at: usize, fault: RouteFault) -> Self {
        Self { route: route.to_owned(), at, fault }
    }

    /// What is wrong.
    pub fn fault(&self) -> RouteFault {
        self.fault
    }
}

impl std::error::Error for BadRoute {}

/// `"/x/([a-z" is not a route: at "[a-z": the set is not closed by ]`.
impl fmt::Display for BadRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a route: ", Shown(&self.route))?;
        match self.route.get(self.at..) {
            None | Some("") => f.write_str("at its end: ")?,
            Some(_) if self.at == 0 => {}
            Some(rest) => write!(f, "at {}: ", Shown(rest))?,
        }
        self.fault.fmt(f)
    }
}

/// The rule that a route breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// It does not begin with `/`, or for socket messages with `@` or `<`.
    #[error("a route begins with /, or with @ or < if it is for socket messages")]
    NoSlash,
    /// A character of patterns before the first parenthesis.
    #[error(
        "before the first ( all is literal, so this would not do what it does in a pattern; put the pattern in parentheses, as in /x/(.*), or write the character as %XX"
    )]
    LiteralSpecial,
    /// A query.
    #[error("the query is not part of the path; a question mark in a path is written %3F")]
    Query,
    /// Two slashes.
    #[error("several slashes count as one in paths, so nothing would match")]
    DoubleSlash,
    /// `.` or `..` as a segment.
    #[error(
        "the segments . and .. are taken out of paths before they are matched, so nothing would match"
    )]
    DotSegment,
    /// The prefix is no UTF-8 text, or holds a NUL.
    #[error("the percent escapes of the literal part are not UTF-8 text")]
    NotText,
    /// A backslash at the end.
    #[error("the backslash has nothing behind it; one that is meant is written \\\\")]
    TrailingBackslash,
    /// A letter or digit that has no meaning behind a backslash.
    #[error(
        "no such class; there are \\a \\c \\d \\l \\p \\s \\u \\w \\x \\z, the same in capitals for all other bytes, and \\bxy and \\f[set]"
    )]
    UnknownClass,
    /// A set without its end.
    #[error("the set is not closed by ]")]
    OpenSet,
    /// A range whose end comes before its beginning.
    #[error("the range ends before it begins")]
    ReversedRange,
    /// A range from or to a class, or a stray `-`.
    #[error(
        "a - between others in a set makes a range of two characters; one that is meant stands first or last, or is written \\-"
    )]
    BadRange,
    /// A character beyond ASCII in a set.
    #[error("sets hold single bytes, and this character has several; . matches any byte")]
    WideInSet,
    /// A quantifier behind a character beyond ASCII.
    #[error("this character has several bytes, and only single ones can be repeated")]
    WideRepeat,
    /// `]` without `[`.
    #[error("this ] closes no set; one that is meant is written \\]")]
    NoSet,
    /// `\b` without its two characters.
    #[error("\\b needs two characters, as in \\b<>")]
    NoPair,
    /// `\f` without a set.
    #[error("\\f needs a set, as in \\f[a-z]")]
    NoFrontierSet,
    /// A quantifier with nothing in front.
    #[error(
        "there is nothing that this could repeat; a literal one is written with a backslash in front"
    )]
    NothingToRepeat,
    /// A quantifier behind a parenthesis.
    #[error(
        "parentheses only set off, and cannot be repeated; a literal one is written with a backslash in front"
    )]
    RepeatedParenthesis,
    /// A `|`.
    #[error("there are no alternatives; write several routes, or \\| for the character")]
    Alternative,
    /// A `^`.
    #[error("patterns begin where the literal part ends anyway; the character is written \\^")]
    Caret,
    /// A `$` that is not the last.
    #[error("$ stands for the end of the path, so it comes last; the character is written \\$")]
    EarlyEnd,
    /// A `(` without its `)`.
    #[error("the parenthesis is not closed")]
    OpenParenthesis,
    /// A `)` without its `(`.
    #[error("this parenthesis closes none; the character is written \\)")]
    NoParenthesis,
    /// Too many items.
    #[error("a pattern has at most 255 characters, sets and classes")]
    TooLong,
}
