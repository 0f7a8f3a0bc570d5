//! What servers print, each line behind the name of its section.

use std::io::{BufRead as _, BufReader, Read, Write, stderr, stdout};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Longer lines are cut into pieces, so that no server makes us remember all it prints.
const LINE_MAX: u64 = 64 * 1024;

/// How long is waited for output after the last server has ended; a process that it left behind may hold its pipe.
const REST: Duration = Duration::from_secs(1);

pub(super) struct Lines {
    width: usize,
    /// Each thread that copies has a clone: when all are gone, everything is printed.
    copying: Sender<()>,
    finished: Receiver<()>,
}

impl Lines {
    /// With a column as wide as the longest of these labels.
    pub(super) fn new(labels: &[String]) -> Self {
        let width = labels.iter().map(String::len).max().unwrap_or_default();
        let (copying, finished) = channel();
        Self { width, copying, finished }
    }

    /// A text with a label before each line.
    pub(super) fn prefixed(&self, label: &str, text: &str) -> String {
        let prefix = self.prefix(label);
        text.lines().map(|line| format!("{prefix}{line}\n")).collect()
    }

    pub(super) fn copy_stdout(&self, label: &str, from: impl Read + Send + 'static) {
        self.copy(label, from, |line| stdout().write_all(line));
    }

    pub(super) fn copy_stderr(&self, label: &str, from: impl Read + Send + 'static) {
        self.copy(label, from, |line| stderr().write_all(line));
    }

    /// Waits until everything is printed.
    pub(super) fn finish(self) {
        drop(self.copying);
        let _ = self.finished.recv_timeout(REST);
    }

    /// What stands before each line.
    pub(super) fn prefix(&self, label: &str) -> String {
        format!("{label:width$} | ", width = self.width)
    }

    fn copy(
        &self,
        label: &str,
        from: impl Read + Send + 'static,
        to: impl Fn(&[u8]) -> std::io::Result<()> + Send + 'static,
    ) {
        let (prefix, copying) = (self.prefix(label), self.copying.clone());
        thread::spawn(move || {
            let _copying = copying;
            let mut from = BufReader::new(from);
            loop {
                let mut line = prefix.clone().into_bytes();
                match from.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                if line.last() != Some(&b'\n') {
                    line.push(b'\n');
                }
                // Whoever closed our output does not want to know, and the server is to go on.
                let _ = to(&line);
            }
        });
    }
}
