//! Unit files to the generator's directory.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::plan::{Content, UnitFile};

/// A unit file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", .path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// Writes the files below a directory, which systemd has just emptied. A file that cannot be written
/// does not keep the others from it.
pub fn write(files: &[UnitFile], directory: &Path) -> Vec<WriteError> {
    files
        .iter()
        .filter_map(|file| {
            let path = directory.join(&file.path);
            write_one(&path, &file.content).err().map(|source| WriteError { path, source })
        })
        .collect()
}

fn write_one(path: &Path, content: &Content) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match content {
        Content::Text(text) => fs::write(path, text),
        Content::Link(target) => symlink(target, path),
    }
}
