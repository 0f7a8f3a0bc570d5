//! The configuration, the sections that are meant, and their programs.

use std::path::PathBuf;

use brim_config::{Kind, Problem, SectionName, Tree};
use brim_launch::NoSection;
use brim_launch::check::Findings;
use brim_launch::program::{Programs, Source};

use crate::error::Error;

/// Where packages put the servers' programs.
const LIBEXEC: &str = "/usr/libexec/brim";

/// What lies below a root.
pub(crate) fn below(root: PathBuf) -> Source {
    Source::Root(root)
}

/// The configuration as it was read.
pub(crate) struct Loaded<'a> {
    pub(crate) source: &'a Source,
    pub(crate) tree: Tree,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Loaded<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        let (tree, problems) = source.load();
        Self { source, tree, problems }
    }

    pub(crate) fn has(&self, name: &SectionName) -> bool {
        self.tree.section(&name.section()).is_some()
    }

    /// The sections that were named, or all that have a server.
    pub(crate) fn meant(&self, named: &[SectionName]) -> Result<Vec<SectionName>, Error> {
        if named.is_empty() {
            return Ok(self.tree.instances().collect());
        }
        match named.iter().find(|name| !self.has(name)) {
            Some(missing) => Err(self.without(missing)),
            None => Ok(named.to_vec()),
        }
    }

    /// The error that a section is not there.
    pub(crate) fn without(&self, missing: &SectionName) -> Error {
        let missing = NoSection::new(missing.section(), &self.tree);
        Error::NoSection { missing, problems: self.problems.clone() }
    }

    /// The error that there is no section with a server.
    pub(crate) fn nothing_to_serve(&self) -> Error {
        Error::NothingToServe { searched: self.tree.searched().to_vec() }
    }

    /// Everything that is wrong: with the sections that were named, or with all there is.
    pub(crate) fn check(&self, named: &[SectionName]) -> Result<Findings, Error> {
        let programs = programs()?;
        let mut findings = Findings::default();
        let own = brim_config::check(&self.tree);
        findings.add_problems(self.problems.iter().chain(&own).filter(|problem| {
            named.is_empty() || named.iter().any(|name| problem.concerns(&name.section()))
        }));
        for name in self.meant(named)? {
            findings.add_program(&programs.of(&self.tree, &name), self.source);
            if name.kind == Kind::Daemons {
                let own = brim_launch::daemons::problems(&self.tree, &name, self.source);
                findings.add_problems(&own);
            }
        }
        Ok(findings)
    }
}

/// The programs of the servers: where `BRIM_LIBEXEC` says, beside this one (in a build), or where
/// packages put them.
pub(crate) fn programs() -> Result<Programs, Error> {
    if let Some(directory) = std::env::var_os("BRIM_LIBEXEC") {
        return Ok(Programs::within(directory.into()));
    }
    let mut beside = std::env::current_exe().map_err(Error::Nowhere)?;
    beside.pop();
    let built = beside.join("brim-http").exists();
    Ok(Programs::within(if built { beside } else { PathBuf::from(LIBEXEC) }))
}
