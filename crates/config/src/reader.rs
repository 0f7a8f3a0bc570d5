//! Takes the keys of one section, each once, and reports what is left over.

use std::fmt::Display;

use serde::de::DeserializeOwned;

use crate::bounded::PER_FILE;
use crate::nearest::nearest;
use crate::problem::{Cause, Origin, Problem, Severity};
use crate::tree::{DEFAULTS, Entry, Section, Tree};
use crate::value;

/// Reads one section.
///
/// Every key that is asked for is a known one; [`finish`](Self::finish) reports the others. All
/// findings are collected, so that a user sees them in one run.
#[derive(Debug)]
pub struct Reader<'a> {
    tree: &'a Tree,
    name: String,
    section: Option<&'a Section>,
    defaults: Option<&'a Section>,
    known: Vec<&'static str>,
    retired: Vec<&'static str>,
    /// Keys that nobody asked for are somebody else's.
    shared: bool,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of the section alone, as for apps. A section that does not exist reads as empty.
    pub fn new(tree: &'a Tree, section: &'a str) -> Self {
        let own = tree.section(section);
        Self {
            tree,
            name: own.map_or_else(|| section.to_owned(), |section| section.name.clone()),
            section: own,
            defaults: None,
            known: Vec::new(),
            retired: Vec::new(),
            shared: false,
            problems: Vec::new(),
        }
    }

    /// A reader that looks a key up in the section and then in `[brim]`.
    pub fn with_fallback(tree: &'a Tree, section: &'a str) -> Self {
        Self { defaults: tree.section(DEFAULTS), ..Self::new(tree, section) }
    }

    /// The section's name in the canonical spelling.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key. None when it is unset, empty or bad; of a bad one a problem is noted.
    pub fn get<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.know(key);
        let entry = self.entry(key)?;
        self.parse(entry)
    }

    /// The value of a key, or `default` when it is unset, empty or bad.
    pub fn get_or<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    /// The value of a key that is never taken from `[brim]`.
    pub fn own<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let entry = self.own_entry(key)?;
        if self.name == DEFAULTS {
            self.note_at(entry, Severity::Error, Cause::NotADefault);
            return None;
        }
        self.parse(entry)
    }

    /// A list, separated by white space. Each bad element is a problem of its own, and makes the
    /// whole list None.
    pub fn list<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Vec<T>> {
        self.know(key);
        let entry = self.entry(key)?;
        self.elements(entry).into_iter().collect()
    }

    /// The value of a key that has to be set.
    pub fn require<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.know(key);
        if self.entry(key).is_none() {
            self.note(key, Severity::Error, Cause::Missing);
        }
        self.get(key)
    }

    /// All entries of another section, whose keys can be anything. Of bad values problems are noted;
    /// a section that does not exist reads as empty.
    pub fn pairs<T: DeserializeOwned>(&mut self, section: &str) -> Vec<(String, T)> {
        let Some(other) = self.tree.section(section) else { return Vec::new() };
        let mut pairs = Vec::new();
        for entry in other.entries.iter().filter(|entry| !entry.value.is_empty()) {
            match value::parse(&entry.value) {
                Ok(value) => pairs.push((entry.key.clone(), value)),
                Err(error) => self.problems.push(Problem {
                    origin: Some(entry.origin.clone()),
                    section: Some(other.name.clone()),
                    key: Some(entry.key.clone()),
                    severity: Severity::Error,
                    cause: Cause::Value(error),
                }),
            }
        }
        pairs
    }

    /// Notes what an app itself finds wrong with a key.
    pub fn refuse(&mut self, key: &str, why: impl Display) {
        self.note(key, Severity::Error, Cause::Refused(why.to_string()));
    }

    /// Notes what works, but probably not as meant.
    pub fn warn(&mut self, key: &str, why: impl Display) {
        self.note(key, Severity::Warning, Cause::Refused(why.to_string()));
    }

    /// The lines of a value that goes on in indented lines, without those that are empty.
    pub fn lines(&mut self, key: &'static str) -> Vec<&'a str> {
        self.know(key);
        let value = self.entry(key).map_or("", |entry| &entry.value);
        value.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }

    /// All that was found wrong so far; keys that nobody asked for are none of it.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The configuration that the section is part of.
    pub(crate) fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// Whether it is `[brim]` that is read.
    pub(crate) fn is_defaults(&self) -> bool {
        self.name == DEFAULTS
    }

    /// Where the value of a key stands, or else the section.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        self.entry(key)
            .map(|entry| entry.origin.clone())
            .or_else(|| self.section.map(|section| section.origin.clone()))
    }

    /// Whether an error was noted so far.
    pub fn failed(&self) -> bool {
        crate::problem::has_errors(&self.problems)
    }

    /// Leaves the keys that nobody asked for to somebody else, who knows them.
    pub fn leave_rest(&mut self) {
        self.shared = true;
    }

    /// All that is wrong, with the keys of the section that nobody asked for.
    pub fn finish(mut self) -> Vec<Problem> {
        let entries = self.section.map(|section| section.entries.as_slice()).unwrap_or_default();
        let asked = |key: &str| self.known.contains(&key) || self.retired.contains(&key);
        let unknown = entries.iter().filter(|entry| !self.shared && !asked(&entry.key));
        let unknown: Vec<Problem> = unknown
            // `Tree::arrange` shows no more of one file.
            .take(PER_FILE + 1)
            .map(|entry| {
                let nearest = nearest(&entry.key, self.known.iter().copied());
                let cause = Cause::UnknownKey { nearest: nearest.map(str::to_owned) };
                self.problem(Some(entry), &entry.key, Severity::Error, cause)
            })
            .collect();
        self.problems.extend(unknown);
        self.problems
    }

    /// The elements of a list, None for the bad ones, of which problems are noted. A list with very
    /// many bad ones is not read to its end.
    pub(crate) fn elements<T: DeserializeOwned>(&mut self, entry: &Entry) -> Vec<Option<T>> {
        let mut elements = Vec::new();
        let mut bad = 0;
        for word in entry.value.split_whitespace() {
            let element = self.parsed(entry, value::parse(word));
            bad += usize::from(element.is_none());
            elements.push(element);
            if bad > PER_FILE {
                break;
            }
        }
        elements
    }

    /// The keys that were asked for so far.
    pub(crate) fn known(&self) -> &[&'static str] {
        &self.known
    }

    pub(crate) fn parse<T: DeserializeOwned>(&mut self, entry: &Entry) -> Option<T> {
        self.parsed(entry, value::parse(&entry.value))
    }

    /// The section's own entry of a key, unless it is unset or empty.
    pub(crate) fn own_entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.know(key);
        set(self.section, key)
    }

    /// The entry of a key in `[brim]`, unless it is unset or empty.
    pub(crate) fn default_entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.know(key);
        set(self.defaults, key)
    }

    /// Accepts a key of old with a problem that says what became of it.
    pub(crate) fn retire(&mut self, key: &'static str, severity: Severity, cause: Cause) {
        self.retired.push(key);
        if let Some(entry) = set(self.section, key) {
            self.note_at(entry, severity, cause);
        }
    }

    fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    fn note(&mut self, key: &str, severity: Severity, cause: Cause) {
        let problem = self.problem(self.entry(key), key, severity, cause);
        self.problems.push(problem);
    }

    pub(crate) fn note_at(&mut self, entry: &Entry, severity: Severity, cause: Cause) {
        let problem = self.problem(Some(entry), &entry.key, severity, cause);
        self.problems.push(problem);
    }

    fn parsed<T>(&mut self, entry: &Entry, result: Result<T, value::ValueError>) -> Option<T> {
        result.map_err(|error| self.note_at(entry, Severity::Error, Cause::Value(error))).ok()
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        set(self.section, key).or_else(|| set(self.defaults, key))
    }

    fn is_default(&self, entry: &Entry) -> bool {
        self.defaults
            .and_then(|defaults| defaults.entry(&entry.key))
            .is_some_and(|default| std::ptr::eq(default, entry))
    }

    fn problem(
        &self,
        entry: Option<&Entry>,
        key: &str,
        severity: Severity,
        cause: Cause,
    ) -> Problem {
        let (section, origin) = match entry {
            Some(entry) if self.is_default(entry) => (DEFAULTS, Some(entry.origin.clone())),
            Some(entry) => (self.name.as_str(), Some(entry.origin.clone())),
            None => (self.name.as_str(), self.section.map(|section| section.origin.clone())),
        };
        let (section, key) = (Some(section.to_owned()), Some(key.to_owned()));
        Problem { origin, section, key, severity, cause }
    }
}

/// An empty value is as good as none.
fn set<'a>(section: Option<&'a Section>, key: &str) -> Option<&'a Entry> {
    section.and_then(|section| section.entry(key)).filter(|entry| !entry.value.is_empty())
}
