//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::program::Source;

/// How to use the program.
pub const HELP: &str = "\
Usage: brim-launch [--reload] [--root DIR] INSTANCE

Becomes the program that serves a section of Brim's configuration. INSTANCE is
what stands between `brim@` and `.service`: wsgi for [wsgi], wsgi:NAME for
[wsgi#NAME]. Executed by brim@.service; see brim(7).

  --reload    check the section instead, then have its running server reload it;
              without a bus, SIGHUP is sent to $MAINPID
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
}

/// Reads the arguments after the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut arguments = arguments.into_iter();
    let (mut reload, mut root, mut instance) = (false, PathBuf::from("/"), None);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--version" | "-V") => return Ok(Request::Version),
            Some("--reload") => reload = true,
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
    Ok(if reload { Request::Reload(target) } else { Request::Start(target) })
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
    }

    #[test]
    fn every_option_is_in_the_help() {
        for option in ["--reload", "--root", "--help", "--version"] {
            assert!(HELP.contains(option), "{option}");
        }
    }
}
