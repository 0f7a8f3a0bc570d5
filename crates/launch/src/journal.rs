//! Lines on standard error; where that is the journal, each with its priority (sd-daemon(3)).

use std::io::{Write as _, stderr};
use std::os::fd::AsFd as _;

use brim_config::Severity;

/// Someone must act.
pub(crate) fn error(text: &str) {
    write(3, text);
}

/// A finding about the configuration.
pub(crate) fn finding(severity: Severity, text: &str) {
    match severity {
        Severity::Error => write(3, text),
        Severity::Warning => write(4, text),
    }
}

/// We coped.
pub(crate) fn warning(text: &str) {
    write(4, text);
}

/// What was done.
pub(crate) fn notice(text: &str) {
    write(5, text);
}

fn write(priority: u8, text: &str) {
    let prefix = if is_journal() { format!("<{priority}>") } else { String::new() };
    let lines: String = text.lines().map(|line| format!("{prefix}{line}\n")).collect();
    // Whoever closed it does not want to know.
    let _ = stderr().write_all(lines.as_bytes());
}

/// Whether standard error is what `JOURNAL_STREAM` (systemd.exec(5)) names by device and inode.
pub(crate) fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(stderr().as_fd())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
