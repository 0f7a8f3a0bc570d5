//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` says.
pub(crate) const HELP: &str = "\
Usage: brim-generator [--root DIR] NORMAL [EARLY LATE]

Turns Brim's configuration into drop-ins for brim@.service and brim-listen@.socket. systemd runs it at
boot and at each `systemctl daemon-reload`; all units go to the directory NORMAL.

  --root DIR    read the configuration below DIR, and log to standard error
  --help        show this help
  --version     show the version";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Run(Run),
}

/// How to generate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The directory that stands for `/`.
    pub(crate) root: PathBuf,
    /// Where the units go.
    pub(crate) directory: PathBuf,
    /// Whether problems are shown to a person, instead of going to the system's log.
    pub(crate) to_stderr: bool,
}

/// A wrong command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("unknown option {}, see --help", .0.display())]
    UnknownOption(OsString),
    #[error("--root needs a directory")]
    NoRoot,
    #[error("{0} directories given, 1 or 3 expected, see --help")]
    Directories(usize),
}

pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut root = None;
    let mut directories: Vec<OsString> = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--version") => return Ok(Command::Version),
            Some("--root") => root = Some(arguments.next().ok_or(UsageError::NoRoot)?),
            Some(text) if text.starts_with("--root=") => {
                root = Some(text.trim_start_matches("--root=").into());
            }
            Some(text) if text.starts_with('-') => {
                return Err(UsageError::UnknownOption(argument));
            }
            _ => directories.push(argument),
        }
    }
    let count = directories.len();
    match directories.into_iter().next() {
        Some(directory) if matches!(count, 1 | 3) => Ok(Command::Run(Run {
            to_stderr: root.is_some(),
            root: root.unwrap_or_else(|| "/".into()).into(),
            directory: directory.into(),
        })),
        _ => Err(UsageError::Directories(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn systemd_gives_three_directories_of_which_the_first_is_used() {
        let run = Run { root: "/".into(), directory: "/run/normal".into(), to_stderr: false };
        assert_eq!(parsed("/run/normal /run/early /run/late"), Ok(Command::Run(run)));
    }

    #[test]
    fn a_root_is_for_people() {
        let run = || Run { root: "/x".into(), directory: "out".into(), to_stderr: true };
        assert_eq!(parsed("--root /x out"), Ok(Command::Run(run())));
        assert_eq!(parsed("out --root=/x"), Ok(Command::Run(run())));
    }

    #[test]
    fn anything_else_is_wrong_usage() {
        assert_eq!(parsed(""), Err(UsageError::Directories(0)));
        assert_eq!(parsed("a b"), Err(UsageError::Directories(2)));
        assert_eq!(parsed("a --root"), Err(UsageError::NoRoot));
        assert_eq!(parsed("a --rot b"), Err(UsageError::UnknownOption("--rot".into())));
    }

    #[test]
    fn every_option_is_in_the_help() {
        for option in ["--root", "--help", "--version"] {
            assert!(HELP.contains(option));
        }
    }
}
