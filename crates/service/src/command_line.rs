//! The command line of every daemon program.

use std::ffi::OsString;
use std::path::PathBuf;

use brim_config::{Kind, SectionName, Tree};

/// What a program was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Serve a section.
    Serve(Target),
    /// Print every problem of a section and of what it refers to.
    Check(Target),
    /// Print which part of a section would answer a request.
    Routes {
        /// The section.
        target: Target,
        /// The request's method.
        method: String,
        /// Its URL, or the path alone.
        url: String,
    },
    /// Print the D-Bus interfaces as XML.
    Interface,
    /// Print the version.
    Version,
    /// Print how to use the program.
    Help,
}

/// A section, and where its configuration lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The section.
    pub name: SectionName,
    /// The root below which the configuration lies.
    pub root: PathBuf,
    /// One file instead of the root's.
    pub file: Option<PathBuf>,
}

impl Target {
    /// Reads the configuration.
    pub fn load(&self) -> (Tree, Vec<brim_config::Problem>) {
        match &self.file {
            Some(file) => Tree::load_file(file),
            None => Tree::load(&self.root),
        }
    }
}

/// Why a command line was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No section was named.
    #[error("no section was named")]
    NoSection,
    /// More than one section was named.
    #[error("one section at a time, found also {0:?}")]
    TwoSections(OsString),
    /// The section's name is not one.
    #[error("{name:?} is no section of this program, expected {kind} or {kind}:NAME")]
    NotASection {
        /// What was given.
        name: OsString,
        /// The program's kind.
        kind: Kind,
    },
    /// An option nobody knows.
    #[error("unknown option {0:?}")]
    UnknownOption(OsString),
    /// `--routes` without a request.
    #[error("option --routes needs a method and a URL, as in --routes GET /x")]
    NoRequest,
    /// An option that needs a value.
    #[error("option {0} needs a value")]
    NoValue(&'static str),
}

/// How to use a daemon program.
pub fn help(program: &str, kind: Kind) -> String {
    format!(
        "Usage: {program} [--check | --routes METHOD URL] [--root DIR | --config FILE] {kind}[:NAME]\n\
         \n\
         Serves one section of Brim's configuration; normally started by systemd as\n\
         brim@{kind}.service. See brim(7) and brim.conf(5).\n\
         \n\
         \x20 --check        print what is wrong with the section, and end\n\
         \x20 --routes METHOD URL\n\
         \x20                print what would answer this request, and end\n\
         \x20 --root DIR     read the configuration below DIR (default /)\n\
         \x20 --config FILE  read this file and FILE.d/*.conf instead\n\
         \x20 --interface    print the D-Bus interfaces as XML, and end\n\
         \x20 --help, --version\n"
    )
}

/// Reads the arguments after the program's name.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    kind: Kind,
) -> Result<Request, UsageError> {
    let mut arguments = arguments.into_iter();
    let (mut check, mut routes) = (false, None);
    let (mut root, mut file, mut name) = (PathBuf::from("/"), None, None);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--version" | "-V") => return Ok(Request::Version),
            Some("--interface") => return Ok(Request::Interface),
            Some("--check") => check = true,
            Some("--routes") => {
                let mut word = || arguments.next().and_then(|word| word.into_string().ok());
                routes = Some(word().zip(word()).ok_or(UsageError::NoRequest)?);
            }
            Some("--root") => {
                root = arguments.next().ok_or(UsageError::NoValue("--root"))?.into();
            }
            Some("--config") => {
                file = Some(arguments.next().ok_or(UsageError::NoValue("--config"))?.into());
            }
            Some(option) if option.starts_with('-') => {
                return Err(UsageError::UnknownOption(argument));
            }
            _ if name.is_some() => return Err(UsageError::TwoSections(argument)),
            text => {
                let parsed = text.and_then(|text| SectionName::parse(text).ok());
                let parsed = parsed.filter(|name| name.kind == kind);
                name = Some(parsed.ok_or(UsageError::NotASection { name: argument, kind })?);
            }
        }
    }
    let target = Target { name: name.ok_or(UsageError::NoSection)?, root, file };
    Ok(match routes {
        Some((method, url)) => Request::Routes { target, method, url },
        None if check => Request::Check(target),
        None => Request::Serve(target),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Request, UsageError> {
        parse(arguments.iter().map(OsString::from), Kind::Wsgi)
    }

    #[test]
    fn a_section_is_served_in_either_spelling() {
        let Ok(Request::Serve(hash)) = parsed(&["wsgi#x"]) else { panic!("not served") };
        let Ok(Request::Serve(colon)) = parsed(&["wsgi:x"]) else { panic!("not served") };
        assert_eq!(hash, colon);
        assert_eq!(hash.root, PathBuf::from("/"));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let said = |arguments: &[&str]| parsed(arguments).unwrap_err().to_string();
        assert_eq!(said(&[]), "no section was named");
        assert_eq!(said(&["wsgi", "x"]), "one section at a time, found also \"x\"");
        assert_eq!(
            said(&["tcp"]),
            "\"tcp\" is no section of this program, expected wsgi or wsgi:NAME"
        );
        assert_eq!(said(&["--fast", "wsgi"]), "unknown option \"--fast\"");
        assert_eq!(said(&["--routes", "GET"]), UsageError::NoRequest.to_string());
        assert_eq!(said(&["--root"]), "option --root needs a value");
    }

    #[test]
    fn every_option_is_in_the_help() {
        let help = help("brim-http", Kind::Wsgi);
        for option in
            ["--check", "--routes", "--root", "--config", "--interface", "--help", "--version"]
        {
            assert!(help.contains(option), "{option}");
        }
    }
}
