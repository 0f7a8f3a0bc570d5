//! Which files make up the configuration, in the order in which they are read: the main file, then
//! the drop-ins, as systemd does it.
//!
//! The main file is the first that exists in `/etc/brim`, `/run/brim` and `/usr/lib/brim`. Drop-ins
//! are the `*.conf` of the `brim.conf.d` of all three; of several with the same name the first counts,
//! and they are read in the order of their names. A link to `/dev/null` takes part in the
//! choice and is then left out, which is how a file is removed. Nothing else is left out without
//! a problem that says so.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::{Cause, Origin, Problem, Severity};
use crate::resolve::{Root, Target, unreadable};

/// The directories below the root, the most important first.
const DIRECTORIES: [&str; 3] = ["/etc/brim", "/run/brim", "/usr/lib/brim"];

/// The largest file that is read, in bytes.
pub(crate) const FILE_MAX: u64 = 1 << 20;

/// The files of a configuration.
pub(crate) struct Files {
    root: Root,
    /// The places that were looked at, whether there was something or not.
    pub(crate) searched: Vec<PathBuf>,
    /// The files to read, in order.
    pub(crate) found: Vec<Found>,
    /// What is there and will not be read.
    pub(crate) problems: Vec<Problem>,
    untrusted: HashSet<PathBuf>,
}

/// One file to read.
pub(crate) struct Found {
    /// Its name for users, below the root.
    pub(crate) shown: Arc<Path>,
    real: PathBuf,
}

impl Files {
    /// The files below a root.
    pub(crate) fn below(root: &Path) -> Self {
        let mut files = Self::new(Root::strict(root));
        let directories = DIRECTORIES.map(Path::new);
        files.main(directories.map(|directory| directory.join("brim.conf")));
        files.drop_ins(directories.map(|directory| directory.join("brim.conf.d")));
        files
    }

    /// One file, which must exist, and the drop-ins in `FILE.d`.
    pub(crate) fn of(file: &Path) -> Self {
        let mut files = Self::new(Root::trusting());
        let mut directory = file.as_os_str().to_owned();
        directory.push(".d");
        files.main([file.to_owned()]);
        if files.found.is_empty() && files.problems.is_empty() {
            let missing = std::io::Error::from_raw_os_error(2);
            files.refuse(file, unreadable(missing));
        }
        files.drop_ins([PathBuf::from(directory)]);
        files
    }

    fn new(root: Root) -> Self {
        Self {
            root,
            searched: Vec::new(),
            found: Vec::new(),
            problems: Vec::new(),
            untrusted: HashSet::new(),
        }
    }

    fn main<const N: usize>(&mut self, places: [PathBuf; N]) {
        self.searched.extend(places.iter().cloned());
        for place in places {
            match self.resolve(&place) {
                Ok(Target::Missing) => continue,
                Ok(target) => self.take(place, target),
                Err(cause) => self.refuse(&place, cause),
            }
            return;
        }
    }

    fn drop_ins<const N: usize>(&mut self, directories: [PathBuf; N]) {
        let mut chosen: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for directory in directories {
            match self.names(&directory) {
                Ok(names) => {
                    for name in names {
                        let place = directory.join(&name);
                        chosen.entry(name).or_insert(place);
                    }
                }
                Err(cause) => self.refuse(&directory, cause),
            }
            self.searched.push(directory);
        }
        for place in chosen.into_values() {
            match self.resolve(&place) {
                // Removed since the directory was listed.
                Ok(Target::Missing) => {}
                Ok(target) => self.take(place, target),
                Err(cause) => self.refuse(&place, cause),
            }
        }
    }

    /// The names in a directory that end in `.conf`.
    fn names(&mut self, directory: &Path) -> Result<Vec<OsString>, Cause> {
        let real = match self.resolve(directory)? {
            Target::Missing | Target::Null => return Ok(Vec::new()),
            Target::Exists(real, metadata) if metadata.is_dir() => real,
            Target::Exists(_, metadata) => {
                return Err(Cause::WrongFileType {
                    found: kind(&metadata),
                    expected: "a directory",
                });
            }
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(real).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            if !name.as_bytes().ends_with(b".conf") {
                continue;
            }
            if name.as_bytes().starts_with(b".") {
                self.note(&directory.join(name), Severity::Warning, Cause::Hidden);
            } else {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn resolve(&self, place: &Path) -> Result<Target, Cause> {
        match self.root.resolve(&std::path::absolute(place).map_err(unreadable)?) {
            Err(
                Cause::WritableByOthers { path: Some(path), .. }
                | Cause::WrongOwner { path: Some(path), .. },
            ) if self.untrusted.contains(&path) => Ok(Target::Missing),
            result => result,
        }
    }

    fn take(&mut self, place: PathBuf, target: Target) {
        match target {
            Target::Missing | Target::Null => {}
            Target::Exists(real, metadata) if metadata.is_file() => {
                if metadata.len() > FILE_MAX {
                    self.refuse(&place, Cause::TooLarge { size: metadata.len(), limit: FILE_MAX });
                } else {
                    self.found.push(Found { shown: place.into(), real });
                }
            }
            Target::Exists(_, metadata) => {
                let cause = Cause::WrongFileType { found: kind(&metadata), expected: "a file" };
                self.refuse(&place, cause);
            }
        }
    }

    fn refuse(&mut self, place: &Path, cause: Cause) {
        // A directory that many files share is reported once.
        if let Cause::WritableByOthers { path: Some(path), .. }
        | Cause::WrongOwner { path: Some(path), .. } = &cause
        {
            self.untrusted.insert(path.clone());
        }
        self.note(place, Severity::Error, cause);
    }

    fn note(&mut self, place: &Path, severity: Severity, cause: Cause) {
        let origin = Some(Origin { file: place.into(), line: 0 });
        self.problems.push(Problem { origin, section: None, key: None, severity, cause });
    }
}

impl Found {
    /// The content of the file.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Cause> {
        let mut bytes = Vec::new();
        let file = File::open(&self.real).map_err(unreadable)?;
        file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let size = bytes.len() as u64;
        if size > FILE_MAX {
            return Err(Cause::TooLarge { size, limit: FILE_MAX });
        }
        Ok(bytes)
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a file"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
