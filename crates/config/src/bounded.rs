//! So many problems and no more: a file of garbage must not fill screens and memory.

use crate::problem::{Cause, Origin, Problem, Severity};

/// How many errors, and how many warnings, of one file are told one by one.
pub(crate) const PER_FILE: usize = 100;

/// The problems of one file: a hundred errors, a hundred warnings, and how many more there are.
#[derive(Debug)]
pub(crate) struct Bounded {
    noted: Vec<Problem>,
    errors: usize,
    warnings: usize,
    more: usize,
    worst: Severity,
}

impl Bounded {
    pub(crate) fn new() -> Self {
        Self { noted: Vec::new(), errors: 0, warnings: 0, more: 0, worst: Severity::Warning }
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        if let Cause::More { count } = problem.cause {
            self.hide(count, problem.severity);
            return;
        }
        let known = match problem.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if *known == PER_FILE {
            self.hide(1, problem.severity);
            return;
        }
        *known += 1;
        self.noted.push(problem);
    }

    /// The problems, the last of which stands for those that are not told.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        let file = self.noted.first().and_then(|problem| problem.origin.clone());
        if self.more > 0 {
            self.noted.push(Problem {
                origin: file.map(|origin| Origin { line: 0, ..origin }),
                section: None,
                key: None,
                severity: self.worst,
                cause: Cause::More { count: self.more },
            });
        }
        self.noted
    }

    fn hide(&mut self, count: usize, severity: Severity) {
        self.more += count;
        self.worst = self.worst.max(severity);
    }
}
