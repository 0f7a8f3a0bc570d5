//! Paths below a root: follows symbolic links as if the root were `/`, and refuses to pass
//! anything that others than root may write.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::problem::Cause;

/// How many symbolic links are followed on the way to one file; the kernel's number (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// A directory that stands for `/`.
pub(crate) struct Root {
    path: PathBuf,
    owners: Option<[u32; 2]>,
}

/// What a path leads to.
pub(crate) enum Target {
    /// Nothing there.
    Missing,
    /// `/dev/null`: whoever put the link there wants the file gone.
    Null,
    /// Something, at this path of the real file system.
    Exists(PathBuf, Metadata),
}

impl Root {
    /// A root below which only files and directories of root, or of the root directory's own owner,
    /// are trusted.
    pub(crate) fn strict(path: &Path) -> Self {
        let owner = fs::metadata(path).map_or(0, |metadata| metadata.uid());
        Self { path: path.to_owned(), owners: Some([0, owner]) }
    }

    /// The whole file system, whoever owns what.
    pub(crate) fn trusting() -> Self {
        Self { path: PathBuf::from("/"), owners: None }
    }

    /// Finds out what `path`, an absolute path below this root, leads to.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Target, Cause> {
        let mut walk = Walk { done: Vec::new(), todo: Vec::new(), links: 0, dangles: false };
        walk.enter(path);
        while let Some(part) = walk.todo.pop() {
            if part == ".." {
                walk.done.pop();
                continue;
            }
            walk.done.push(part);
            // By its name: a root that is not booted has no /dev.
            if walk.done.iter().chain(walk.todo.iter().rev()).eq(["dev", "null"]) {
                return Ok(Target::Null);
            }
            let real = walk.real(&self.path);
            let metadata = match fs::symlink_metadata(&real) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return walk.missing(),
                Err(error) => return Err(unreadable(error)),
            };
            if metadata.is_symlink() {
                walk.follow(&fs::read_link(&real).map_err(unreadable)?)?;
                continue;
            }
            self.trust(&walk, path, &metadata)?;
            if walk.todo.is_empty() {
                return Ok(Target::Exists(real, metadata));
            }
        }
        // Only `/` itself has no parts.
        let metadata = fs::symlink_metadata(&self.path).map_err(unreadable)?;
        Ok(Target::Exists(self.path.clone(), metadata))
    }

    fn trust(&self, walk: &Walk, asked: &Path, metadata: &Metadata) -> Result<(), Cause> {
        let Some(owners) = self.owners else { return Ok(()) };
        let path = Some(walk.shown()).filter(|path| path != asked);
        if !owners.contains(&metadata.uid()) {
            return Err(Cause::WrongOwner { path, uid: metadata.uid() });
        }
        if metadata.mode() & OTHERS_WRITE != 0 {
            return Err(Cause::WritableByOthers { path, mode: metadata.mode() & 0o7777 });
        }
        Ok(())
    }
}

/// The parts of a path that are resolved, and those to come (last one first).
struct Walk {
    done: Vec<OsString>,
    todo: Vec<OsString>,
    links: usize,
    /// Whether the file itself, not only a directory on the way, was a link.
    dangles: bool,
}

impl Walk {
    fn enter(&mut self, path: &Path) {
        let parts = path.components().rev().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        });
        self.todo.extend(parts);
    }

    fn follow(&mut self, target: &Path) -> Result<(), Cause> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Cause::LinkLoop { limit: LINKS_MAX });
        }
        self.dangles |= self.todo.is_empty();
        self.done.pop();
        if target.is_absolute() {
            self.done.clear();
        }
        self.enter(target);
        Ok(())
    }

    fn missing(self) -> Result<Target, Cause> {
        if !self.dangles {
            return Ok(Target::Missing);
        }
        let mut target = self.shown();
        target.extend(self.todo.iter().rev());
        Err(Cause::DanglingLink { target })
    }

    /// The resolved part as the user knows it.
    fn shown(&self) -> PathBuf {
        let mut path = PathBuf::from("/");
        path.extend(&self.done);
        path
    }

    /// The resolved part in the real file system.
    fn real(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(&self.done);
        path
    }
}

pub(crate) fn unreadable(error: io::Error) -> Cause {
    Cause::Unreadable { source: Arc::new(error) }
}
