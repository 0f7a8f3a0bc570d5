use std::io;
use std::path::PathBuf;

use brim_config::{Address, Origin, Problem, SectionName};
use brim_launch::program::NotExecutable;
use brim_launch::{Exit, NoSection};

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{missing}")]
    NoSection { missing: NoSection, problems: Vec<Problem> },
    #[error("no section has a server, as [wsgi] would; looked at {}", paths(.searched))]
    NothingToServe { searched: Vec<PathBuf> },
    #[error("there is no section [{0}] in the configuration")]
    NoSuchSection(String),
    #[error("no URL was given, expected one such as /path or http://example.com/path")]
    NoUrl,
    #[error("{0:?} is no section that has a server, expected one such as wsgi or wsgi#NAME")]
    NotASection(String),
    #[error("the programs of Brim cannot be found: {0}")]
    Nowhere(#[source] io::Error),
    #[error("{}: {}", .0, .0.source)]
    NotExecutable(#[from] NotExecutable),
    #[error("{} cannot be executed: {source}", .program.display())]
    Exec { program: PathBuf, source: io::Error },
    #[error("{}[{section}]: cannot listen on {address}: {source}", at(.origin.as_ref()))]
    Listen { origin: Option<Origin>, section: SectionName, address: Address, source: io::Error },
    #[error("the system does not let a server be watched over: {0}")]
    Watch(#[source] io::Error),
    #[error("the system bus cannot be reached, so nothing is known of what runs: {0}")]
    NoBus(#[source] zbus::Error),
    #[error("the system bus does not answer: {0}")]
    Bus(#[source] zbus::Error),
    #[error("systemctl cannot be run: {0}")]
    NoSystemctl(#[source] io::Error),
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
}

impl Error {
    /// What is wrong with the files in which something is missing.
    pub(crate) fn problems(&self) -> &[Problem] {
        match self {
            Self::NoSection { problems, .. } => problems,
            _ => &[],
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoUrl | Self::NotASection(_) => Exit::Usage,
            Self::NoSection { .. } | Self::NothingToServe { .. } | Self::NoSuchSection(_) => {
                Exit::Config
            }
            Self::NotExecutable(NotExecutable { program, .. }) if program.origin.is_some() => {
                Exit::Config
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::Permission
            }
            _ => Exit::System,
        }
    }
}

fn at(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |origin| format!("{origin}: "))
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}
