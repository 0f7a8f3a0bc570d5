//! What is wrong with a section in the eyes of its own program, which knows its apps.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Output;

use brim_config::{Problem, Severity};

use crate::exit::Exit;
use crate::program::{NotExecutable, Program, Source};

/// One line about the configuration: `file:line: [section] key: what is wrong`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// The line.
    pub text: String,
}

/// Findings from several places, each once, in the order of files and lines.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    known: HashSet<String>,
}

impl Findings {
    /// Adds problems that were found in this process.
    pub fn add_problems<'a>(&mut self, problems: impl IntoIterator<Item = &'a Problem>) {
        for problem in problems {
            self.add(problem.severity, problem.to_string());
        }
    }

    /// Adds one.
    pub fn add(&mut self, severity: Severity, text: String) {
        if self.known.insert(text.clone()) {
            self.list.push(Finding { severity, text });
        }
    }

    /// Runs `PROGRAM --check INSTANCE` and adds what it prints.
    pub fn add_program(&mut self, program: &Program, source: &Source) {
        match program.check_command(source).output() {
            Ok(output) => self.add_output(program, &output),
            Err(source) => {
                let error = NotExecutable { program: program.clone(), source };
                self.add(Severity::Error, format!("{error}: {}", error.source));
            }
        }
    }

    fn add_output(&mut self, program: &Program, output: &Output) {
        let lines = String::from_utf8_lossy(&output.stdout);
        for line in lines.lines() {
            self.add(severity(line), line.to_owned());
        }
        let config = Some(i32::from(Exit::Config.code()));
        let explained = output.status.code() == config && !lines.trim().is_empty();
        if output.status.success() || explained {
            return;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next_back().map_or(String::new(), |last| format!(": {last}"));
        let text = format!(
            "[{}]: {} --check ended with {}{said}",
            program.name,
            program.path.display(),
            output.status
        );
        self.add(Severity::Error, text);
    }

    /// Whether any of them keeps a server from starting.
    pub fn failed(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, those of one file together in the order of lines, the files in the order given
    /// and then by name; what belongs to no file comes first.
    pub fn arranged(self, files: &[PathBuf]) -> Vec<Finding> {
        let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        let mut list = self.list;
        list.sort_by_cached_key(|finding| {
            place(&finding.text).map(|(file, line)| {
                let rank = files.iter().position(|known| known == file);
                (rank.unwrap_or(usize::MAX), file.to_owned(), line)
            })
        });
        list
    }
}

/// The severity that a problem shows in its line.
fn severity(line: &str) -> Severity {
    let rest = match place(line) {
        Some(_) => line.split_once(": ").map_or("", |(_, rest)| rest),
        None => line,
    };
    if rest.starts_with("warning: ") { Severity::Warning } else { Severity::Error }
}

/// The file and line that a problem's line begins with; line 0 for a file as a whole.
fn place(line: &str) -> Option<(&str, u32)> {
    let (head, _) = line.split_once(": ")?;
    let numbered = head.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    numbered.or_else(|| head.contains('/').then_some((head, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sorted_by_file_and_line_and_each_is_there_once() {
        let mut findings = Findings::default();
        for text in [
            "/etc/b.conf:10: [wsgi] port: ten",
            "/etc/b.conf:9: warning: [wsgi] port: nine",
            "/etc/z.conf: cannot be read",
            "/etc/a.conf:1: [wsgi] x: one",
            "warning: [wsgi]: nowhere",
            "/etc/b.conf:10: [wsgi] port: ten",
        ] {
            findings.add(severity(text), text.to_owned());
        }
        assert!(findings.failed());
        let files = ["/etc/b.conf", "/etc/a.conf"].map(PathBuf::from);
        let texts: Vec<_> = findings.arranged(&files).into_iter().map(|one| one.text).collect();
        assert_eq!(
            texts,
            [
                "warning: [wsgi]: nowhere",
                "/etc/b.conf:9: warning: [wsgi] port: nine",
                "/etc/b.conf:10: [wsgi] port: ten",
                "/etc/a.conf:1: [wsgi] x: one",
                "/etc/z.conf: cannot be read",
            ]
        );
    }

    #[test]
    fn a_warning_says_so_after_the_place() {
        assert_eq!(severity("/etc/b.conf:9: warning: [a] b: c"), Severity::Warning);
        assert_eq!(severity("warning: [a]: b"), Severity::Warning);
        assert_eq!(severity("/etc/b.conf:9: [a] b: warning: c"), Severity::Error);
        assert_eq!(severity("[a] b: warning: c"), Severity::Error);
    }
}
