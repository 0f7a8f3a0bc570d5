//! Mongrel2's pattern language, without what only worked by accident: from text to items.

use super::fault::RouteFault;

/// Items of one pattern at most: a set of states then fits into four words.
pub(super) const ITEMS: usize = 255;

/// Where in the text, and what.
type Faulty<T> = Result<T, (usize, RouteFault)>;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) items: Box<[Item]>,
    /// What the `\bxy` of the items are about, each once.
    pub(super) pairs: Box<[(u8, u8)]>,
    /// `$` stands at the end.
    pub(super) anchored: bool,
}

/// One link of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// One byte of a set, so many times.
    Byte(ByteSet, Repeat),
    /// From an opening byte to the closing one that belongs to it; which pair it is.
    Balanced(usize),
    /// Nothing, where a byte outside of the set is followed by one of it.
    Frontier(ByteSet),
}

/// How often a byte may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Once,
    /// `?`
    Maybe,
    /// `*` and `-`: they differ in what they would capture, not in what they match.
    Any,
    /// `+`
    Some,
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) fn has(&self, byte: u8) -> bool {
        let word = self.0.get(usize::from(byte >> 6)).copied().unwrap_or_default();
        word >> (byte & 63) & 1 == 1
    }

    fn of(wanted: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        (0..=u8::MAX).filter(|byte| wanted(*byte)).for_each(|byte| set.add(byte));
        set
    }

    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn extend(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    fn complement(self) -> Self {
        Self(self.0.map(|word| !word))
    }
}

/// The literal part of a route, decoded. `whole`: no pattern follows.
pub(super) fn prefix(literal: &str, whole: bool) -> Faulty<String> {
    if !literal.starts_with(['/', '@', '<']) {
        return Err((0, RouteFault::NoSlash));
    }
    if let Some((at, found)) = literal.char_indices().find(|(_, c)| r"*[]\^|{}?)".contains(*c)) {
        let query = found == '?';
        return Err((at, if query { RouteFault::Query } else { RouteFault::LiteralSpecial }));
    }
    let bytes = literal.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escape = escape(bytes.get(at..).unwrap_or_default());
        decoded.push(escape.unwrap_or(*byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    let decoded = String::from_utf8(decoded).map_err(|_| (0, RouteFault::NotText))?;
    if decoded.contains('\0') {
        return Err((0, RouteFault::NotText));
    }
    if let Some(at) = literal.find("//") {
        return Err((at, RouteFault::DoubleSlash));
    }
    if decoded.contains("//") {
        return Err((0, RouteFault::DoubleSlash));
    }
    let mut segments = decoded.split('/').collect::<Vec<_>>();
    if !whole {
        // The pattern goes on with the last one.
        segments.pop();
    }
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Err((literal.find("/.").unwrap_or(0), RouteFault::DotSegment));
    }
    Ok(decoded)
}

/// The byte that `%XX` stands for.
pub(super) fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

impl Pattern {
    /// Compiles the text from the first `(` on.
    pub(super) fn compile(text: &[u8]) -> Faulty<Self> {
        let mut compiler = Compiler { text, at: 0, items: Vec::new(), pairs: Vec::new() };
        let anchored = compiler.run()?;
        let Compiler { items, pairs, .. } = compiler;
        Ok(Self { items: items.into(), pairs: pairs.into(), anchored })
    }
}

struct Compiler<'a> {
    text: &'a [u8],
    at: usize,
    items: Vec<Item>,
    pairs: Vec<(u8, u8)>,
}

impl Compiler<'_> {
    /// Whether the pattern is anchored at its end.
    fn run(&mut self) -> Faulty<bool> {
        let mut open = Vec::new();
        let mut anchored = false;
        let mut behind_parenthesis = false;
        while let Some(byte) = self.peek() {
            let at = self.at;
            let parenthesis = matches!(byte, b'(' | b')');
            match byte {
                b'(' => open.push(at),
                b')' if open.pop().is_none() => return Err((at, RouteFault::NoParenthesis)),
                b')' => {}
                b'$' => {
                    let rest = self.text.get(at + 1..).unwrap_or_default();
                    if rest.iter().any(|byte| *byte != b')') {
                        return Err((at, RouteFault::EarlyEnd));
                    }
                    anchored = true;
                }
                b'*' | b'+' | b'?' | b'-' => {
                    return Err((
                        at,
                        match behind_parenthesis && !self.items.is_empty() {
                            true => RouteFault::RepeatedParenthesis,
                            false => RouteFault::NothingToRepeat,
                        },
                    ));
                }
                b'|' => return Err((at, RouteFault::Alternative)),
                b'^' => return Err((at, RouteFault::Caret)),
                b']' => return Err((at, RouteFault::NoSet)),
                _ => self.item()?,
            }
            if parenthesis || byte == b'$' {
                self.at += 1;
            }
            behind_parenthesis = parenthesis;
            if self.items.len() > ITEMS {
                return Err((at, RouteFault::TooLong));
            }
        }
        match open.pop() {
            Some(at) => Err((at, RouteFault::OpenParenthesis)),
            None => Ok(anchored),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// One item that is more than punctuation.
    fn item(&mut self) -> Faulty<()> {
        let at = self.at;
        let set = match self.next() {
            Some(b'.') => ByteSet::of(|_| true),
            Some(b'[') => self.set(at)?,
            Some(b'\\') => match self.next().ok_or((at, RouteFault::TrailingBackslash))? {
                b'b' => return self.balanced(at),
                b'f' => return self.frontier(at),
                escaped => class(escaped).ok_or((at, RouteFault::UnknownClass))?,
            },
            Some(first) if first.is_ascii() => {
                match escape(self.text.get(at..).unwrap_or_default()) {
                    Some(byte) => {
                        self.at += 2;
                        ByteSet::of(|other| other == byte)
                    }
                    None => ByteSet::of(|other| other == first),
                }
            }
            Some(first) => return self.wide(at, first),
            None => return Ok(()),
        };
        let repeat = match self.peek() {
            Some(b'*' | b'-') => Repeat::Any,
            Some(b'+') => Repeat::Some,
            Some(b'?') => Repeat::Maybe,
            _ => Repeat::Once,
        };
        self.at += usize::from(repeat != Repeat::Once);
        self.items.push(Item::Byte(set, repeat));
        Ok(())
    }

    /// A character beyond ASCII: its bytes one after the other.
    fn wide(&mut self, at: usize, first: u8) -> Faulty<()> {
        let mut byte = Some(first);
        while let Some(this) = byte {
            self.items.push(Item::Byte(ByteSet::of(|other| other == this), Repeat::Once));
            byte = self.peek().filter(|next| next & 0xC0 == 0x80);
            self.at += usize::from(byte.is_some());
        }
        match self.peek() {
            Some(b'*' | b'-' | b'+' | b'?') => Err((at, RouteFault::WideRepeat)),
            _ => Ok(()),
        }
    }

    fn balanced(&mut self, at: usize) -> Faulty<()> {
        let pair = self.next().zip(self.next());
        let pair = pair.filter(|(open, close)| open.is_ascii() && close.is_ascii());
        let pair = pair.ok_or((at, RouteFault::NoPair))?;
        let known = self.pairs.iter().position(|known| *known == pair);
        let index = known.unwrap_or(self.pairs.len());
        if known.is_none() {
            self.pairs.push(pair);
        }
        self.items.push(Item::Balanced(index));
        Ok(())
    }

    fn frontier(&mut self, at: usize) -> Faulty<()> {
        let start = self.at;
        match self.next() {
            Some(b'[') => {
                let set = self.set(start)?;
                self.items.push(Item::Frontier(set));
                Ok(())
            }
            _ => Err((at, RouteFault::NoFrontierSet)),
        }
    }

    /// A set, behind its `[`, which stands at `start`.
    fn set(&mut self, start: usize) -> Faulty<ByteSet> {
        let complement = self.peek() == Some(b'^');
        self.at += usize::from(complement);
        let first = self.at;
        let mut set = ByteSet::default();
        loop {
            let at = self.at;
            match self.peek() {
                None => return Err((start, RouteFault::OpenSet)),
                Some(b']') if at > first => break,
                Some(b'-') if at > first && self.text.get(at + 1) != Some(&b']') => {
                    return Err((at, RouteFault::BadRange));
                }
                _ => {}
            }
            let low = self.atom(start)?;
            let range = self.peek() == Some(b'-') && self.text.get(self.at + 1) != Some(&b']');
            if !range {
                set.extend(low.set());
                continue;
            }
            self.at += 1;
            match (low, self.atom(start)?) {
                (Atom::One(low), Atom::One(high)) if low <= high => {
                    set.extend(ByteSet::of(|byte| (low..=high).contains(&byte)));
                }
                (Atom::One(_), Atom::One(_)) => return Err((at, RouteFault::ReversedRange)),
                _ => return Err((at, RouteFault::BadRange)),
            }
        }
        self.at += 1;
        Ok(if complement { set.complement() } else { set })
    }

    /// A character or a class in a set.
    fn atom(&mut self, start: usize) -> Faulty<Atom> {
        let at = self.at;
        match self.next() {
            None => Err((start, RouteFault::OpenSet)),
            Some(b'\\') => {
                let escaped = self.next().ok_or((start, RouteFault::OpenSet))?;
                let class = class(escaped).ok_or((at, RouteFault::UnknownClass))?;
                Ok(if escaped.is_ascii_alphabetic() {
                    Atom::Class(class)
                } else {
                    Atom::One(escaped)
                })
            }
            Some(byte) if byte.is_ascii() => {
                match escape(self.text.get(at..).unwrap_or_default()) {
                    Some(escaped) => {
                        self.at += 2;
                        Ok(Atom::One(escaped))
                    }
                    None => Ok(Atom::One(byte)),
                }
            }
            Some(_) => Err((at, RouteFault::WideInSet)),
        }
    }
}

/// What a set is made of.
enum Atom {
    One(u8),
    Class(ByteSet),
}

impl Atom {
    fn set(&self) -> ByteSet {
        match self {
            Self::One(byte) => ByteSet::of(|other| other == *byte),
            Self::Class(set) => *set,
        }
    }
}

/// What stands for what behind a backslash; `None` for letters and digits without a meaning.
fn class(escaped: u8) -> Option<ByteSet> {
    let lower = match escaped.to_ascii_lowercase() {
        b'a' => ByteSet::of(|byte| byte.is_ascii_alphabetic()),
        b'c' => ByteSet::of(|byte| byte.is_ascii_control()),
        b'd' => ByteSet::of(|byte| byte.is_ascii_digit()),
        b'l' => ByteSet::of(|byte| byte.is_ascii_lowercase()),
        b'p' => ByteSet::of(|byte| byte.is_ascii_punctuation()),
        // As C has it: with the vertical tab.
        b's' => ByteSet::of(|byte| matches!(byte, b' ' | b'\t'..=b'\r')),
        b'u' => ByteSet::of(|byte| byte.is_ascii_uppercase()),
        b'w' => ByteSet::of(|byte| byte.is_ascii_alphanumeric()),
        b'x' => ByteSet::of(|byte| byte.is_ascii_hexdigit()),
        b'z' => ByteSet::of(|byte| byte == 0),
        byte if byte.is_ascii_alphanumeric() || !byte.is_ascii() => return None,
        _ => return Some(ByteSet::of(|byte| byte == escaped)),
    };
    Some(if escaped.is_ascii_uppercase() { lower.complement() } else { lower })
}
