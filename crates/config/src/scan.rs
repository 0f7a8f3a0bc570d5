//! One file's bytes to sections and entries with line numbers.
//!
//! The scanner makes logical lines: it knows lines, comments, section headers and
//! continuations, and where each began. What an entry is, `rust-ini` decides, one entry at a
//! time, with quotes and escapes off.

use std::path::Path;
use std::sync::Arc;

use ini::{Ini, ParseOption};

use crate::address::parse_ip;
use crate::bounded::Bounded;
use crate::name::{NAME_MAX, canonical};
use crate::problem::{Cause, Origin, Problem, Severity};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A section header or an entry, in the order of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `[name]`, in the canonical spelling.
    Section { name: String, line: u32 },
    /// `key = value`, the key in lower case, continuations joined with line feeds.
    Entry { key: String, value: String, line: u32 },
}

/// Notes the problems of one file.
pub(crate) struct FileProblems {
    file: Arc<Path>,
    noted: Bounded,
}

impl FileProblems {
    pub(crate) fn new(file: Arc<Path>) -> Self {
        Self { file, noted: Bounded::new() }
    }

    pub(crate) fn origin(&self, line: u32) -> Origin {
        Origin { file: Arc::clone(&self.file), line }
    }

    pub(crate) fn note(
        &mut self,
        line: u32,
        (section, key): (Option<&str>, Option<&str>),
        severity: Severity,
        cause: Cause,
    ) {
        self.noted.add(Problem {
            origin: Some(self.origin(line)),
            section: section.map(str::to_owned),
            key: key.map(str::to_owned),
            severity,
            cause,
        });
    }

    pub(crate) fn finish(self) -> Vec<Problem> {
        self.noted.finish()
    }
}

/// Reads one file.
pub(crate) fn scan(bytes: &[u8], problems: &mut FileProblems) -> Vec<Item> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let mut scanner =
        Scanner { items: Vec::new(), section: Place::Before, open: Open::Nothing, problems };
    for (number, line) in (1_u32..).zip(bytes.split(|byte| *byte == b'\n')) {
        scanner.line(number, line.strip_suffix(b"\r").unwrap_or(line));
    }
    scanner.close();
    scanner.items
}

struct Scanner<'a> {
    items: Vec<Item>,
    section: Place,
    open: Open,
    problems: &'a mut FileProblems,
}

/// Which section the scanner is in.
enum Place {
    /// Before the first header.
    Before,
    /// After a header that is no good: its entries belong nowhere.
    Lost,
    In(String),
}

/// What an indented line continues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    /// The last item, an entry.
    Entry,
    /// An entry that was no good.
    Broken,
}

impl Scanner<'_> {
    fn line(&mut self, number: u32, bytes: &[u8]) {
        let text = match text(bytes) {
            Ok(text) => text,
            Err(cause) => {
                self.error(number, cause);
                if !bytes.starts_with(b" ") && !bytes.starts_with(b"\t") {
                    self.close();
                    self.open = Open::Broken;
                }
                return;
            }
        };
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            return;
        }
        if text.starts_with([' ', '\t']) {
            self.continuation(number, trimmed);
        } else if let Some(header) = trimmed.strip_prefix('[') {
            self.close();
            self.open = Open::Nothing;
            self.header(number, trimmed, header);
        } else {
            self.close();
            self.entry(number, trimmed);
        }
    }

    fn header(&mut self, line: u32, whole: &str, header: &str) {
        self.section = Place::Lost;
        let Some((name, rest)) = header.split_once(']') else {
            self.error(line, Cause::UnclosedSection { text: whole.to_owned() });
            return;
        };
        match canonical(name.trim()) {
            Ok(name) => {
                self.items.push(Item::Section { name: name.clone(), line });
                self.section = Place::In(name);
            }
            Err(cause) => self.error(line, cause),
        }
        let rest = rest.trim();
        if !rest.is_empty() {
            self.error(line, Cause::TextAfterSection { text: rest.to_owned() });
        }
    }

    fn entry(&mut self, line: u32, text: &str) {
        self.open = Open::Broken;
        match key_and_value(text) {
            Ok((key, value)) => match &self.section {
                Place::Before => self.note(line, Some(&key), Severity::Error, Cause::NoSection),
                Place::Lost => {}
                Place::In(_) => {
                    let lower = key.to_ascii_lowercase();
                    if lower != key {
                        let cause = Cause::KeySpelling { key: lower.clone() };
                        self.note(line, Some(&key), Severity::Warning, cause);
                    }
                    self.items.push(Item::Entry { key: lower, value, line });
                    self.open = Open::Entry;
                }
            },
            Err(cause) => self.error(line, cause),
        }
    }

    fn continuation(&mut self, line: u32, text: &str) {
        match (self.open, self.items.last_mut()) {
            (Open::Entry, Some(Item::Entry { key, value, .. })) => {
                value.push('\n');
                value.push_str(text);
                if looks_like_an_entry(text) {
                    let key = key.clone();
                    let cause = Cause::LooksLikeEntry { text: text.to_owned() };
                    self.note(line, Some(&key), Severity::Warning, cause);
                }
            }
            (Open::Broken, _) => {}
            _ => {
                self.error(line, Cause::NothingToContinue);
                self.open = Open::Broken;
            }
        }
    }

    /// Ends the entry that is open: nothing will be added to its value any more.
    fn close(&mut self) {
        if self.open != Open::Entry {
            return;
        }
        let Some(Item::Entry { key, value, line }) = self.items.last_mut() else { return };
        // An empty first line is only the place of the key.
        if value.starts_with('\n') {
            value.remove(0);
        }
        let causes: Vec<Cause> = [
            (value.contains(" ;") || value.contains("\t;")).then_some(Cause::InlineComment),
            value.contains("%(").then_some(Cause::Interpolation),
            quoted(value).then_some(Cause::Quoted),
        ]
        .into_iter()
        .flatten()
        .collect();
        if causes.is_empty() {
            return;
        }
        let (key, line) = (key.clone(), *line);
        for cause in causes {
            self.note(line, Some(&key), Severity::Warning, cause);
        }
    }

    fn error(&mut self, line: u32, cause: Cause) {
        self.note(line, None, Severity::Error, cause);
    }

    fn note(&mut self, line: u32, key: Option<&str>, severity: Severity, cause: Cause) {
        let section = match &self.section {
            Place::In(name) => Some(name.as_str()),
            Place::Before | Place::Lost => None,
        };
        self.problems.note(line, (section, key), severity, cause);
    }
}

fn text(bytes: &[u8]) -> Result<&str, Cause> {
    let text = std::str::from_utf8(bytes).map_err(|_| Cause::NotUtf8)?;
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(c) => Err(Cause::ControlCharacter { code: u32::from(c) }),
        None => Ok(text),
    }
}

fn key_and_value(line: &str) -> Result<(String, String), Cause> {
    let options =
        ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
    let entry = Ini::load_from_str_opt(line, options).ok().and_then(|ini| {
        ini.general_section().iter().next().map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    match entry {
        Some((key, value)) if is_key(&key) => Ok((key, value)),
        Some((key, _)) => Err(Cause::BadKey { text: key }),
        None if line.starts_with(['=', ':']) => Err(Cause::MissingKey),
        None => Err(Cause::NotAnEntry { text: line.to_owned() }),
    }
}

fn is_key(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(plain)
}

/// Whether a continuation is probably meant to stand by itself: `key = value` or `[section]`.
fn looks_like_an_entry(text: &str) -> bool {
    if text.starts_with('[') && text.ends_with(']') {
        return parse_ip(text).is_none();
    }
    text.split_once(" =").is_some_and(|(key, _)| is_key(key.trim_end()))
}

fn quoted(value: &str) -> bool {
    let quotes = |mark: char| value.len() > 1 && value.starts_with(mark) && value.ends_with(mark);
    quotes('"') || quotes('\'')
}
