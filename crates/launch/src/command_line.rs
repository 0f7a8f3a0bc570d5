//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use brim_config::{Span, parse_value};

use crate::program::Source;

/// How to use the program.
pub const HELP: &str = "\
Usage: brim-launch [--reload] [--root DIR] INSTANCE
       brim-launch --daemon [--root DIR] DAEMON
       brim-launch --backoff TIME DAEMON
       brim-launch --wait-listening DAEMON

Becomes the program that serves a section of Brim's configuration. INSTANCE is
what stands between `brim@` and `.service`: wsgi for [wsgi], wsgi:NAME for
[wsgi#NAME]. Executed by brim@.service; see brim(7).

  --reload    check the section instead, then have its running server reload it;
              without a bus, SIGHUP is sent to $MAINPID
  --daemon    become the program that runs a daemon, which `daemons` of a group
              lists. Executed by brim-daemon@.service, as are the next two
  --backoff TIME
              wait before a daemon is started again that has ended several times
              in a row: each time twice as long, at most TIME
  --wait-listening
              wait until a process of a daemon listens
  --root DIR  read the configuration below DIR (default /)
  --help, --version
";

/// What the program was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Become the program of a section.
    Start(Target),
    /// Have the server of a section take over a changed configuration.
    Reload(Target),
    /// Become the program that runs a daemon.
    Daemon(Target),
    /// Wait before a daemon is started again.
    Backoff {
        /// The daemon's name.
        daemon: String,
        /// The longest time.
        max: Duration,
    },
    /// Wait until a daemon listens.
    WaitListening {
        /// The daemon's name.
        daemon: String,
    },
    /// Print the version.
    Version,
    /// Print how to use the program.
    Help,
}

/// An instance, and where its configuration lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance as systemd has it, not yet understood.
    pub instance: String,
    /// Where the configuration is read.
    pub source: Source,
}

/// Why a command line was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No instance was named.
    #[error("no instance was named, expected one such as wsgi or wsgi:NAME")]
    NoInstance,
    /// More than one instance was named.
    #[error("one instance at a time, found also {}", .0.display())]
    TwoInstances(OsString),
    /// An instance that is no text.
    #[error("{} is not UTF-8", .0.display())]
    NotText(OsString),
    /// An option nobody knows.
    #[error("unknown option {}", .0.display())]
    UnknownOption(OsString),
    /// An option that needs a value.
    #[error("option {0} needs a value")]
    NoValue(&'static str),
    /// A time that is none.
    #[error("option --backoff needs a time, such as 5min, and found {}", .0.display())]
    NotATime(OsString),
    /// Two options that each say what to do.
    #[error("one of --reload, --daemon, --backoff and --wait-listening at a time")]
    TwoTasks,
}

/// What is to be done with the instance.
enum Task {
    Reload,
    Daemon,
    Backoff(Duration),
    WaitListening,
}

/// Reads the arguments after the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut arguments = arguments.into_iter();
    let (mut tasks, mut root, mut instance) = (Vec::new(), PathBuf::from("/"), None);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--version" | "-V") => return Ok(Request::Version),
            Some("--reload") => tasks.push(Task::Reload),
            Some("--daemon") => tasks.push(Task::Daemon),
            Some("--wait-listening") => tasks.push(Task::WaitListening),
            Some("--backoff") => {
                let text = arguments.next().ok_or(UsageError::NoValue("--backoff"))?;
                let time = text.to_str().and_then(|text| parse_value(text).ok());
                let Span(time) = time.ok_or(UsageError::NotATime(text))?;
                tasks.push(Task::Backoff(time));
            }
            Some("--root") => {
                root = arguments.next().ok_or(UsageError::NoValue("--root"))?.into();
            }
            Some(option) if option.starts_with('-') => {
                return Err(UsageError::UnknownOption(argument));
            }
            _ if instance.is_some() => return Err(UsageError::TwoInstances(argument)),
            Some(text) => instance = Some(text.to_owned()),
            None => return Err(UsageError::NotText(argument)),
        }
    }
    let instance = instance.ok_or(UsageError::NoInstance)?;
    let target = Target { instance, source: Source::Root(root) };
    let task = tasks.pop();
    if !tasks.is_empty() {
        return Err(UsageError::TwoTasks);
    }
    Ok(match task {
        None => Request::Start(target),
        Some(Task::Reload) => Request::Reload(target),
        Some(Task::Daemon) => Request::Daemon(target),
        Some(Task::Backoff(max)) => Request::Backoff { daemon: target.instance, max },
        Some(Task::WaitListening) => Request::WaitListening { daemon: target.instance },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Request, UsageError> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn an_instance_is_started_or_reloaded() {
        let target = |root: &str| Target {
            instance: "wsgi:x".to_owned(),
            source: Source::Root(PathBuf::from(root)),
        };
        assert_eq!(parsed(&["wsgi:x"]), Ok(Request::Start(target("/"))));
        assert_eq!(parsed(&["--daemon", "wsgi:x"]), Ok(Request::Daemon(target("/"))));
        let backoff = Request::Backoff { daemon: "x".to_owned(), max: Duration::from_millis(1500) };
        assert_eq!(parsed(&["--backoff", "1500ms", "x"]), Ok(backoff));
        let wait = Request::WaitListening { daemon: "x".to_owned() };
        assert_eq!(parsed(&["--wait-listening", "x"]), Ok(wait));
        assert_eq!(
            parsed(&["--reload", "wsgi:x", "--root", "/srv"]),
            Ok(Request::Reload(target("/srv")))
        );
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let said = |arguments: &[&str]| parsed(arguments).unwrap_err().to_string();
        assert_eq!(said(&[]), "no instance was named, expected one such as wsgi or wsgi:NAME");
        assert_eq!(said(&["wsgi", "x"]), "one instance at a time, found also x");
        assert_eq!(said(&["--fast", "wsgi"]), "unknown option --fast");
        assert_eq!(said(&["--root"]), "option --root needs a value");
        assert_eq!(said(&["--daemon", "--reload", "x"]), UsageError::TwoTasks.to_string());
        let no_time = "option --backoff needs a time, such as 5min, and found x";
        assert_eq!(said(&["--backoff", "x"]), no_time);
    }

    #[test]
    fn every_option_is_in_the_help() {
        for option in [
            "--reload",
            "--daemon",
            "--backoff",
            "--wait-listening",
            "--root",
            "--help",
            "--version",
        ] {
            assert!(HELP.contains(option), "{option}");
        }
    }
}
