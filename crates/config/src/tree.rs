//! The merged configuration: sections and entries, each with the file and line it comes from.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bounded::Bounded;
use crate::files::{Files, Found};
use crate::name::{SectionName, canonical};
use crate::problem::{Cause, Origin, Problem, Severity};
use crate::scan::{FileProblems, Item, scan};

/// The section that holds defaults for the sections of a kind.
pub(crate) const DEFAULTS: &str = "brim";

/// The merged configuration.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    sections: Vec<Section>,
    index: HashMap<String, usize>,
    files: Vec<PathBuf>,
    searched: Vec<PathBuf>,
    any_port: bool,
}

/// One section, merged from all files.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name in the canonical spelling, `wsgi#NAME`.
    pub name: String,
    /// Its first header.
    pub origin: Origin,
    /// Its entries, in the order in which their keys first came; each key once.
    pub entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

/// One key and the value that won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, in lower case.
    pub key: String,
    /// The value to the letter; lines are joined with line feeds. Empty means unset.
    pub value: String,
    /// The first line of the value that won.
    pub origin: Origin,
}

impl Tree {
    /// Reads `{etc,run,usr/lib}/brim/{brim.conf,brim.conf.d/*.conf}` below `root`.
    ///
    /// Files and directories that anybody but root (or the owner of `root`) may write are refused.
    /// There is always a tree: what cannot be read is missing in it and stands in the problems.
    pub fn load(root: &Path) -> (Self, Vec<Problem>) {
        Self::read(Files::below(root))
    }

    /// Reads one file and `FILE.d/*.conf`, whoever owns them, as `brimctl run -c` does. Port 0 is
    /// accepted.
    pub fn load_file(file: &Path) -> (Self, Vec<Problem>) {
        let (mut tree, problems) = Self::read(Files::of(file));
        tree.accept_any_port();
        (tree, problems)
    }

    /// From here on port 0, any free port, is accepted.
    pub fn accept_any_port(&mut self) {
        self.any_port = true;
    }

    /// The files that were read, in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The places that were looked at.
    pub fn searched(&self) -> &[PathBuf] {
        &self.searched
    }

    /// All sections, `[brim]` too, in the order in which they first came.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter()
    }

    /// A section by its name, in either spelling.
    pub fn section(&self, name: &str) -> Option<&Section> {
        let name = canonical(name).ok()?;
        self.index.get(&name).and_then(|index| self.sections.get(*index))
    }

    /// The sections of a kind, in the order in which they first came.
    pub fn instances(&self) -> impl Iterator<Item = SectionName> {
        self.sections.iter().filter_map(|section| SectionName::parse(&section.name).ok())
    }

    /// The merged result as text: `[section]` and `key = value  # file:line`, further lines of
    /// a value indented below.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            if !text.is_empty() {
                text.push('\n');
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "[{}]", section.name);
            for entry in &section.entries {
                let _ = writeln!(text, "{entry}");
            }
        }
        text
    }

    /// Puts problems, from wherever they come, into the order of files and lines, drops
    /// repetitions, and tells at most a hundred errors and a hundred warnings of each file.
    pub fn arrange(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        let rank = |problem: &Problem| {
            let origin = problem.origin.as_ref();
            let file = origin.map(|origin| {
                let place = self.files.iter().position(|file| **file == *origin.file);
                (place.unwrap_or(usize::MAX), Arc::clone(&origin.file))
            });
            // What is said of a whole file comes before its lines, what was cut off after them.
            let cut = matches!(problem.cause, Cause::More { .. });
            (file, cut, origin.map(|origin| origin.line))
        };
        problems.sort_by_cached_key(rank);
        problems.dedup_by(|b, a| a.origin == b.origin && a.to_string() == b.to_string());
        bound(problems)
    }

    pub(crate) fn any_port(&self) -> bool {
        self.any_port
    }

    fn read(files: Files) -> (Self, Vec<Problem>) {
        let mut tree = Self { searched: files.searched, ..Self::default() };
        let mut problems = files.problems;
        for found in &files.found {
            problems.extend(tree.add(found));
        }
        let problems = tree.arrange(problems);
        (tree, problems)
    }

    fn add(&mut self, found: &Found) -> Vec<Problem> {
        let mut problems = FileProblems::new(Arc::clone(&found.shown));
        match found.read() {
            Ok(bytes) => {
                self.files.push(found.shown.to_path_buf());
                let items = scan(&bytes, &mut problems);
                self.merge(items, &mut problems);
            }
            Err(cause) => problems.note(0, (None, None), Severity::Error, cause),
        }
        problems.finish()
    }

    fn merge(&mut self, items: Vec<Item>, problems: &mut FileProblems) {
        let mut current: Option<&mut Section> = None;
        for item in items {
            match item {
                Item::Section { name, line } => {
                    current = self.enter(name, problems.origin(line));
                }
                Item::Entry { key, value, line } => {
                    let Some(section) = current.as_deref_mut() else { continue };
                    let entry = Entry { key, value, origin: problems.origin(line) };
                    if let Some(earlier) = section.set(entry) {
                        let place = (Some(section.name.as_str()), Some(earlier.key.as_str()));
                        let cause = Cause::DuplicateKey { line: earlier.origin.line };
                        problems.note(line, place, Severity::Warning, cause);
                    }
                }
            }
        }
    }

    fn enter(&mut self, name: String, origin: Origin) -> Option<&mut Section> {
        let next = self.sections.len();
        let place = *self.index.entry(name.clone()).or_insert(next);
        if place == next {
            self.sections.push(Section {
                name,
                origin,
                entries: Vec::new(),
                index: HashMap::new(),
            });
        }
        self.sections.get_mut(place)
    }
}

impl Section {
    /// The entry of a key, empty or not.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).and_then(|index| self.entries.get(*index))
    }

    /// Sets a key; gives back an earlier entry of the same file.
    fn set(&mut self, entry: Entry) -> Option<Entry> {
        let next = self.entries.len();
        let place = *self.index.entry(entry.key.clone()).or_insert(next);
        match self.entries.get_mut(place) {
            Some(earlier) => {
                let same_file = Arc::ptr_eq(&earlier.origin.file, &entry.origin.file);
                let earlier = std::mem::replace(earlier, entry);
                same_file.then_some(earlier)
            }
            None => {
                self.entries.push(entry);
                None
            }
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut lines = self.value.lines();
        let first = lines.next().unwrap_or_default();
        write!(
            f,
            "{} ={}{first}  # {}",
            self.key,
            if first.is_empty() { "" } else { " " },
            self.origin
        )?;
        lines.try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Bounds the problems of each file; they are sorted by file.
fn bound(problems: Vec<Problem>) -> Vec<Problem> {
    let file = |problem: &Problem| problem.origin.as_ref().map(|origin| Arc::clone(&origin.file));
    let mut told = Vec::with_capacity(problems.len());
    let mut current = (None, Bounded::new());
    for problem in problems {
        let its = file(&problem);
        if its != current.0 {
            let (_, done) = std::mem::replace(&mut current, (its, Bounded::new()));
            told.extend(done.finish());
        }
        current.1.add(problem);
    }
    told.extend(current.1.finish());
    told
}
