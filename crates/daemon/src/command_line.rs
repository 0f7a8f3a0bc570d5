//! The command line, as far as it is not that of all servers.

use std::ffi::OsString;
use std::path::PathBuf;

use brim_config::{Kind, Problem, Tree};

/// What is asked of this program alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Run one daemon.
    Run(Target),
    Help,
}

/// A daemon, and where its configuration lies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) daemon: String,
    root: PathBuf,
    file: Option<PathBuf>,
}

impl Target {
    pub(crate) fn load(&self) -> (Tree, Vec<Problem>) {
        match &self.file {
            Some(file) => Tree::load_file(file),
            None => Tree::load(&self.root),
        }
    }
}

/// Why a command line was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("--run needs the name of one daemon")]
    NoDaemon,
    #[error("option {0:?} does not go with --run")]
    UnknownOption(OsString),
    #[error("option {0} needs a value")]
    NoValue(&'static str),
}

pub(crate) fn help() -> String {
    let servers = brim_service::command_line::help("brim-daemon", Kind::Daemons);
    format!(
        "Usage: brim-daemon --run [--root DIR | --config FILE] DAEMON\n\n\
         Runs one daemon of a group, whose section has `call`; normally started by systemd\n\
         as brim-daemon@DAEMON.service. The group itself is started in this way:\n\n{servers}"
    )
}

/// What is meant for this program alone; `None` for what all servers understand.
pub(crate) fn parse(arguments: &[OsString]) -> Option<Result<Request, UsageError>> {
    let is =
        |argument: &OsString, options: &[&str]| options.iter().any(|option| argument == option);
    if arguments.iter().any(|argument| is(argument, &["--help", "-h"])) {
        return Some(Ok(Request::Help));
    }
    arguments.iter().any(|argument| is(argument, &["--run"])).then(|| run(arguments))
}

fn run(arguments: &[OsString]) -> Result<Request, UsageError> {
    let (mut root, mut file, mut daemon) = (PathBuf::from("/"), None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--run") => {}
            Some("--root") => {
                root = arguments.next().ok_or(UsageError::NoValue("--root"))?.into();
            }
            Some("--config") => {
                file = Some(arguments.next().ok_or(UsageError::NoValue("--config"))?.into());
            }
            Some(option) if option.starts_with('-') => {
                return Err(UsageError::UnknownOption(argument.clone()));
            }
            Some(name) if daemon.is_none() => daemon = Some(name.to_owned()),
            _ => return Err(UsageError::NoDaemon),
        }
    }
    let daemon = daemon.ok_or(UsageError::NoDaemon)?;
    Ok(Request::Run(Target { daemon, root, file }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Result<Request, UsageError>> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_group_is_for_the_command_line_of_all_servers() {
        for line in ["daemons", "--check daemons:x --root /x", "--version", ""] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn a_daemon_is_run_by_its_name() {
        let target = Target { daemon: "x".into(), root: "/".into(), file: Some("c".into()) };
        assert_eq!(parsed("--run --config c x"), Some(Ok(Request::Run(target))));
        assert_eq!(parsed("--run"), Some(Err(UsageError::NoDaemon)));
        assert_eq!(parsed("--run a b"), Some(Err(UsageError::NoDaemon)));
        assert_eq!(parsed("--run a --root"), Some(Err(UsageError::NoValue("--root"))));
        let unknown = UsageError::UnknownOption("--check".into());
        assert_eq!(parsed("--run a --check"), Some(Err(unknown)));
    }

    #[test]
    fn every_option_is_in_the_help() {
        for option in ["--run", "--root", "--config", "--check"] {
            assert!(help().contains(option), "{option}");
        }
    }
}
