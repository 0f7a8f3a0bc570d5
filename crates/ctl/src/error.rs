use std::io;
use std::path::PathBuf;

use brim_config::{Address, Origin, SectionName};
use brim_launch::program::NotExecutable;
use brim_launch::{Exit, NoSection};

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    NoSection(NoSection),
    #[error("there is nothing to serve: {0}")]
    NothingToServe(NoSection),
    #[error("there is no section [{0}] in the configuration")]
    NoSuchSection(String),
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
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoSection(_) | Self::NothingToServe(_) | Self::NoSuchSection(_) => Exit::Config,
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
