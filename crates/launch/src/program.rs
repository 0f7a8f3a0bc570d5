//! Which program serves a section, and where the configuration lies that it is to read.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use brim_config::{AbsolutePath, Kind, Origin, Problem, Reader, SectionName, Tree};

/// Where the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The files of the machine, or of an image, below this directory.
    Root(PathBuf),
    /// One file, and the drop-ins beside it.
    File(PathBuf),
}

impl Source {
    /// Reads the configuration.
    pub fn load(&self) -> (Tree, Vec<Problem>) {
        match self {
            Self::Root(root) => Tree::load(root),
            Self::File(file) => Tree::load_file(file),
        }
    }

    fn tell(&self, command: &mut Command) {
        match self {
            Self::Root(root) if root.as_os_str() == "/" => {}
            Self::Root(root) => drop(command.arg("--root").arg(root)),
            Self::File(file) => drop(command.arg("--config").arg(file)),
        }
    }
}

/// Where the programs that come with Brim lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// The programs in a directory.
    pub fn within(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The programs in the directory of this one.
    pub fn beside_this_one() -> io::Result<Self> {
        let mut directory = std::env::current_exe()?;
        directory.pop();
        Ok(Self { directory })
    }

    /// The program of a section: its `program`, or that of its kind.
    pub fn of(&self, tree: &Tree, name: &SectionName) -> Program {
        let of_kind = match name.kind {
            Kind::Wsgi => "brim-http",
            Kind::Gateway => "brim-gateway",
            Kind::Tcp => "brim-tcp",
            Kind::Udp => "brim-udp",
            Kind::Daemons => "brim-daemon",
        };
        let section = name.section();
        let mut reader = Reader::new(tree, &section);
        match reader.own("program") {
            Some(AbsolutePath(path)) => {
                Program { path, name: name.clone(), origin: reader.origin("program") }
            }
            None => {
                Program { path: self.directory.join(of_kind), name: name.clone(), origin: None }
            }
        }
    }
}

/// The program of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// The section it serves.
    pub name: SectionName,
    /// Where the section names it; none for a program that comes with Brim.
    pub origin: Option<Origin>,
}

/// A program that cannot be executed.
#[derive(Debug, thiserror::Error)]
#[error("{}{} cannot be executed", at(program), program.path.display())]
pub struct NotExecutable {
    /// The program.
    pub program: Program,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

impl Program {
    /// The command that serves the section.
    pub fn command(&self, source: &Source) -> Command {
        let mut command = Command::new(&self.path);
        source.tell(&mut command);
        command.arg(self.name.instance());
        command
    }

    /// The command that runs one of the section's daemons.
    pub fn daemon_command(&self, source: &Source, daemon: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--run");
        source.tell(&mut command);
        command.arg(daemon);
        command
    }

    /// The command that prints which part of the section would answer a request.
    pub fn routes_command(&self, source: &Source, method: &str, url: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.args(["--routes", method, url]);
        source.tell(&mut command);
        command.arg(self.name.instance());
        command
    }

    /// The command that prints what is wrong with the section.
    pub fn check_command(&self, source: &Source) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--check");
        source.tell(&mut command);
        command.arg(self.name.instance());
        command
    }
}

fn at(program: &Program) -> String {
    program
        .origin
        .as_ref()
        .map_or_else(String::new, |origin| format!("{origin}: [{}] program: ", program.name))
}
