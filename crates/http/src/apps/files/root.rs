use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use rustix::fs::{
    AtFlags, CWD, FileType, FsWord, Mode, OFlags, ResolveFlags, Stat, StatxFlags, fstat, fstatfs,
    openat2, statx,
};
use rustix::io::Errno;

use crate::error::Error;

/// How often an open is tried again that a rename next to it has disturbed.
const TRIES: usize = 4;

/// File systems that ask somebody else whenever a file is opened, even one whose name is in memory: the magic numbers
/// of FUSE, NFS, SMB (three), 9P, Ceph, AFS (two), Coda, VirtualBox, GFS2 and OCFS2 (`linux/magic.h`).
const ELSEWHERE: [FsWord; 13] = [
    0x6573_5546,
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x6b41_4653,
    0x7375_7245,
    0x786f_4256,
    0x0116_1970,
    0x7461_636f,
];

/// The directory below which everything lies that is served.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    identity: (u32, u32, u64),
    /// Nobody is known to wait for opening what the kernel has in memory of this file system.
    is_quick: bool,
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
    /// No: `EAGAIN` where it would have to, and `EXDEV` where something else is mounted.
    NotWait,
}

impl Root {
    /// Below what was opened without waiting, nothing can be opened without waiting.
    pub(super) fn open(path: &Path, may: May) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = match may {
            May::Wait => ResolveFlags::empty(),
            May::NotWait => ResolveFlags::CACHED,
        };
        let directory = openat2(CWD, path, flags, Mode::empty(), resolve)?;
        // What tells a directory from others never changes, so no server has to be asked for it.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = statx(&directory, c"", flags, StatxFlags::INO)?;
        let identity = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
        // To learn this may take a server's time.
        let is_quick = may == May::Wait && !ELSEWHERE.contains(&fstatfs(&directory)?.f_type);
        Ok(Self { directory, identity, is_quick })
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
            if !self.is_quick {
                return Err(Errno::AGAIN);
            }
            // What is mounted below may be of any kind.
            resolve |= ResolveFlags::CACHED | ResolveFlags::NO_XDEV;
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

#[cfg(test)]
mod tests {
    use std::fs::{self, canonicalize};
    use std::os::unix::fs::{MetadataExt, symlink};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::super::target::Target;
    use super::*;

    /// A root with links of all kinds in it, and secrets around it.
    fn tree() -> TempDir {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for folder in ["www/d/e", "www2"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["www/a", "www/d/a", "www/d/e/b", "secret", "www2/secret"] {
            fs::write(at(file), file).unwrap();
        }
        for (to, link) in [
            ("a", "www/in"),
            ("../a", "www/d/in"),
            ("../../www/a", "www/d/around"),
            ("..", "www/up"),
            ("../secret", "www/out"),
            ("../www2", "www/d/out"),
            (".", "www/d/self"),
            ("loop", "www/loop"),
            ("/etc", "www/etc"),
            ("/proc/self/root", "www/magic"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        symlink(at("www/a"), at("www/absolute")).unwrap();
        home
    }

    fn path() -> impl Strategy<Value = String> {
        let names = [
            "a", "b", "d", "e", "in", "around", "up", "out", "self", "loop", "etc", "magic",
            "absolute", "secret", "www", "www2", "passwd", "", ".", "..", "...", "\\", "..\\a",
            "\0", "a\0",
        ];
        proptest::collection::vec(proptest::sample::select(names.to_vec()), 0..6)
            .prop_map(|segments| format!("/{}", segments.join("/")))
    }

    #[test]
    fn whatever_is_opened_lies_below_the_root() {
        let home = tree();
        let www = canonicalize(home.path().join("www")).unwrap();
        let root = Root::open(&www, May::Wait).unwrap();
        let opened = std::cell::Cell::new(0);
        let config = ProptestConfig { cases: 5000, ..ProptestConfig::default() };
        proptest!(config, |(asked in path(), waits: bool, hidden: bool)| {
            let Target::Path(path) = Target::of(asked.as_bytes(), asked.as_bytes(), "", hidden) else {
                return Ok(());
            };
            let may = if waits { May::Wait } else { May::NotWait };
            let Ok(found) = root.open_beneath(path, may) else { return Ok(()) };
            opened.set(opened.get() + 1);
            // What the path leads to, as the system's own way of following it has it.
            let real = canonicalize(www.join(std::str::from_utf8(path).unwrap())).unwrap();
            prop_assert!(real.starts_with(&www), "{asked:?} is {real:?}");
            prop_assert_eq!(found.file.metadata().unwrap().ino(), fs::metadata(real).unwrap().ino());
        });
        assert!(opened.get() > 100, "only {} paths led anywhere", opened.get());
    }

    #[test]
    fn an_open_that_fails_has_a_status() {
        let code = |errno| failure(errno).map(|error| error.code().as_u16());
        for errno in
            [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV, Errno::NAMETOOLONG, Errno::NXIO]
        {
            assert_eq!(code(errno), None, "{errno}");
        }
        assert_eq!(code(Errno::ACCESS), Some(403));
        assert_eq!(code(Errno::MFILE), Some(503));
        assert_eq!(code(Errno::IO), Some(500));
    }
}
