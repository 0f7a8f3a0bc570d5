use std::fmt;
use std::io;
use std::path::PathBuf;

use brim_config::{Cause, DaemonsSection, Problem, SectionName, Tree};

use crate::exit::Exit;
use crate::program::NotExecutable;

/// Why there is no program to become.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `#` in a unit's name, which systemd escapes.
    #[error("the unit of [{}] is {}; start that one, a unit's name cannot hold a #", name.section(), short_unit(name))]
    Escaped {
        /// The section that was meant.
        name: SectionName,
    },
    /// An instance that is no section's.
    #[error(transparent)]
    BadName(Cause),
    /// No such section.
    #[error("{missing}")]
    NoSection {
        /// What was sought, and where.
        missing: NoSection,
        /// What is wrong with the files that were read.
        problems: Vec<Problem>,
    },
    /// A daemon that no group lists.
    #[error("no group lists a daemon {daemon}; {}", listed(.groups))]
    NoDaemon {
        /// The daemon.
        daemon: String,
        /// What groups there are, with their daemons.
        groups: Vec<DaemonsSection>,
    },
    /// The program cannot be executed.
    #[error("{}: {}", .0, .0.source)]
    NotExecutable(#[from] NotExecutable),
    /// It is not known where this program lies, so neither where the others do.
    #[error("the directory of this program cannot be found: {0}")]
    Nowhere(#[source] io::Error),
}

impl Error {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Escaped { .. } | Self::BadName(_) => Exit::Usage,
            Self::NoSection { .. } | Self::NoDaemon { .. } => Exit::Config,
            // What comes with Brim is there, unless the installation is broken.
            Self::NotExecutable(NotExecutable { program, .. }) if program.origin.is_some() => {
                Exit::Config
            }
            Self::NotExecutable(_) | Self::Nowhere(_) => Exit::System,
        }
    }
}

fn listed(groups: &[DaemonsSection]) -> String {
    if groups.is_empty() {
        return "there is no section [daemons]".to_owned();
    }
    let listed = groups.iter().map(|group| {
        let daemons = if group.daemons.is_empty() { "none" } else { &group.daemons.join(" ") };
        format!("[{}] lists {daemons}", group.server.name)
    });
    listed.collect::<Vec<_>>().join(", ")
}

/// A section that the configuration does not have: says which ones it has, and where it looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSection {
    wanted: String,
    sections: Vec<SectionName>,
    searched: Vec<PathBuf>,
}

impl NoSection {
    /// `wanted` is missing in this configuration.
    pub fn new(wanted: impl Into<String>, tree: &Tree) -> Self {
        Self {
            wanted: wanted.into(),
            sections: tree.instances().collect(),
            searched: tree.searched().to_vec(),
        }
    }
}

impl fmt::Display for NoSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no section [{}]", self.wanted)?;
        if self.sections.is_empty() {
            write!(f, ", and no other that has a server")?;
        } else {
            let units: Vec<_> = self
                .sections
                .iter()
                .map(|name| format!("[{name}] ({})", short_unit(name)))
                .collect();
            write!(f, "; there is {}", units.join(", "))?;
        }
        let searched: Vec<_> =
            self.searched.iter().map(|path| path.display().to_string()).collect();
        write!(f, "; looked at {}", searched.join(" "))
    }
}

/// The unit as people write it.
fn short_unit(name: &SectionName) -> String {
    format!("brim@{}", name.instance())
}
