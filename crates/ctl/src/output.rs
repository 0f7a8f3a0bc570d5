//! What is printed.

use std::io::{ErrorKind, Write as _, stderr, stdout};

use brim_config::Tree;
use brim_launch::check::Findings;

use crate::error::Error;

/// Prints text that ends with a new line. Whoever closed the other end (`| head`) has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(()),
    }
}

/// Prints a line to standard error.
pub(crate) fn complain(line: &str) {
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints findings to standard error, in the order of files and lines.
pub(crate) fn findings(findings: Findings, tree: &Tree) {
    for finding in findings.arranged(tree.files()) {
        complain(&finding.text);
    }
}

/// "1 section", "2 sections".
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Lays lines of cells out in columns, two blanks apart; `below` stands indented under its line.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<(Vec<String>, String)>,
}

impl Table {
    pub(crate) fn line(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.line_with(cells, String::new());
    }

    pub(crate) fn line_with(
        &mut self,
        cells: impl IntoIterator<Item = impl Into<String>>,
        below: String,
    ) {
        self.lines.push((cells.into_iter().map(Into::into).collect(), below));
    }

    pub(crate) fn text(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for (cells, _) in &self.lines {
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for (cells, below) in &self.lines {
            let line: String =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
            text.push_str(line.trim_end());
            text.push('\n');
            if !below.is_empty() {
                text.push_str(&format!("    {below}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::default();
        table.line(["A", "BB", "C"]);
        table.line_with(["long", "b", ""], "below".to_owned());
        assert_eq!(table.text(), "A     BB  C\nlong  b\n    below\n");
    }
}
