use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

use crate::error::Error;

/// How often an open is tried again that a rename next to it has disturbed.
const TRIES: usize = 4;

/// The directory below which everything lies that is served.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    identity: (u64, u64),
}

/// Something below the root that was opened: a regular file, or a directory.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) directory: bool,
    pub(super) version: Version,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    device: u64,
    inode: u64,
    pub(super) length: u64,
    /// Seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, u64),
    changed: (i64, u64),
}

/// Whether an open may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// It may.
    Wait,
    /// No: `EAGAIN` where it would have to.
    NotWait,
}

impl Root {
    pub(super) fn open(path: &Path, may: May) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = match may {
            May::Wait => ResolveFlags::empty(),
            May::NotWait => ResolveFlags::CACHED,
        };
        let directory = openat2(CWD, path, flags, Mode::empty(), resolve)?;
        let stat = fstat(&directory)?;
        Ok(Self { directory, identity: (stat.st_dev, stat.st_ino) })
    }

    /// Whether both are the same directory.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Opens what lies below the root; links that lead out of it are not followed.
    pub(super) fn open_beneath(&self, path: &[u8], may: May) -> Result<Opened, Errno> {
        // An open must neither wait for a pipe's other end nor make a terminal ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if may == May::NotWait {
            resolve |= ResolveFlags::CACHED;
        }
        let path = if path.is_empty() { b"." } else { path };
        let mut tries = 0;
        let file = loop {
            match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if may == May::Wait && tries < TRIES => tries += 1,
                opened => break opened?,
            }
        };
        let stat = fstat(&file)?;
        let directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => false,
            FileType::Directory => true,
            _ => return Err(Errno::NOENT),
        };
        Ok(Opened { file: file.into(), directory, version: Version::of(&stat) })
    }
}

impl Version {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// When it was changed last, as far as that has happened yet (RFC 9110 8.8.2.1); whole
    /// seconds. `None` before 1970.
    pub(super) fn last_modified(&self, now: SystemTime) -> Option<SystemTime> {
        let modified =
            UNIX_EPOCH + Duration::from_secs(u64::try_from(self.modified.0).ok()?.min(LATEST));
        Some(modified.min(now))
    }
}

/// Later dates have no room in a header: 9999-12-31.
const LATEST: u64 = 253_402_300_799;

/// What the client is told of an open that failed; `None` where there is nothing of that name.
pub(super) fn failure(errno: Errno) -> Option<Error> {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::XDEV => None,
        // Sockets, and devices without a driver.
        Errno::NXIO | Errno::NODEV | Errno::STALE => None,
        Errno::ACCESS | Errno::PERM => Some(Error::status(StatusCode::FORBIDDEN, "")),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => {
            let text = "503 Service Unavailable: too many open files";
            Some(Error::status(StatusCode::SERVICE_UNAVAILABLE, text))
        }
        errno => Some(Error::internal(io::Error::from(errno))),
    }
}
