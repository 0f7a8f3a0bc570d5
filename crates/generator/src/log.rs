//! Where a generator can be heard: its standard output and error go nowhere, and at boot there is no
//! journal yet.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;

use brim_config::Severity;

const JOURNAL: &str = "/run/systemd/journal/socket";
const KERNEL: &str = "/dev/kmsg";
const NAME: &str = "brim-generator";

/// How many messages are sent; the kernel's log takes few at a time.
const MESSAGES_MAX: usize = 50;

/// The longest message in the kernel's log, in bytes; beyond 1024 the kernel refuses it.
const KERNEL_MAX: usize = 900;

/// Takes messages, and never fails.
pub(crate) struct Log {
    sink: Sink,
    sent: usize,
    dropped: usize,
}

enum Sink {
    Stderr,
    System { journal: Option<UnixDatagram>, kernel: Option<File> },
}

impl Log {
    /// For people and tests.
    pub(crate) fn to_stderr() -> Self {
        Self { sink: Sink::Stderr, sent: 0, dropped: 0 }
    }

    /// To the journal; where there is none, to the kernel's log.
    pub(crate) fn to_system() -> Self {
        Self { sink: Sink::System { journal: journal().ok(), kernel: None }, sent: 0, dropped: 0 }
    }

    pub(crate) fn note(&mut self, severity: Severity, message: &str) {
        if self.sent == MESSAGES_MAX {
            self.dropped += 1;
            return;
        }
        self.sent += 1;
        self.send(severity, message);
    }

    /// Tells how many messages there was no room for.
    pub(crate) fn finish(mut self) {
        if self.dropped > 0 {
            let message = format!("{} more problems, `brimctl check` shows all", self.dropped);
            self.send(Severity::Warning, &message);
        }
    }

    fn send(&mut self, severity: Severity, message: &str) {
        let Sink::System { journal, kernel } = &mut self.sink else {
            eprintln!("{NAME}: {message}");
            return;
        };
        let sent = journal.as_ref().map(|journal| journal.send(&record(severity, message)));
        if matches!(sent, Some(Ok(_))) {
            return;
        }
        if kernel.is_none() {
            *kernel = OpenOptions::new().write(true).open(KERNEL).ok();
        }
        let line = kernel_line(severity, message);
        // There is nobody else to tell.
        let _ = kernel.as_mut().map(|kernel| kernel.write_all(line.as_bytes()));
    }
}

fn journal() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A journal that does not read must not hold up a boot.
    socket.set_nonblocking(true)?;
    socket.connect(JOURNAL)?;
    Ok(socket)
}

/// The priority of syslog(3).
fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
    }
}

/// A record of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
fn record(severity: Severity, message: &str) -> Vec<u8> {
    let mut record =
        format!("PRIORITY={}\nSYSLOG_IDENTIFIER={NAME}\n", priority(severity)).into_bytes();
    // The form with a length takes any text, with line feeds too.
    record.extend_from_slice(b"MESSAGE\n");
    record.extend_from_slice(&(message.len() as u64).to_le_bytes());
    record.extend_from_slice(message.as_bytes());
    record.push(b'\n');
    record
}

fn kernel_line(severity: Severity, message: &str) -> String {
    let message = message.replace(char::is_control, " ");
    let end = message.floor_char_boundary(KERNEL_MAX);
    format!("<{}>{NAME}: {}\n", priority(severity), message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_the_program_and_holds_the_message_whole() {
        let record = record(Severity::Error, "a\nPRIORITY=0");
        let expected = b"PRIORITY=3\nSYSLOG_IDENTIFIER=brim-generator\nMESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n";
        assert_eq!(record, expected);
    }

    #[test]
    fn a_line_for_the_kernel_is_one_line_of_bounded_length() {
        let line = kernel_line(Severity::Warning, &format!("a\nb{}", "é".repeat(1000)));
        assert!(line.starts_with("<4>brim-generator: a b"));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() < 1000);
    }
}
