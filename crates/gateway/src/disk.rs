//! Files of exchanges: a task for each does what is ordered, one order after the other, where it may block.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, fchown, fstat, openat, openat2};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::core::{FileEvent, FileOrder};
use crate::worker::Shell;

/// The files that are open.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    tasks: RefCell<HashMap<u64, UnboundedSender<FileOrder>>>,
}

impl Disk {
    /// Has something done.
    pub(crate) fn order(&self, shell: &Rc<Shell>, order: FileOrder) {
        let mut tasks = self.tasks.borrow_mut();
        match order {
            FileOrder::Create { ticket, .. } | FileOrder::Open { ticket, .. } => {
                let (orders, received) = unbounded_channel();
                tokio::task::spawn_local(run(ticket, received, shell.clone()));
                let _ = orders.send(order);
                tasks.insert(ticket, orders);
            }
            FileOrder::Write { ticket, .. } | FileOrder::Read { ticket, .. } => {
                if let Some(task) = tasks.get(&ticket) {
                    let _ = task.send(order);
                }
            }
            FileOrder::Close { ticket, .. } => {
                if let Some(task) = tasks.remove(&ticket) {
                    let _ = task.send(order);
                }
            }
        }
    }
}

/// A file, and where it is if we have made it.
#[derive(Clone)]
struct Opened {
    file: Arc<File>,
    path: Option<PathBuf>,
}

async fn run(ticket: u64, mut orders: UnboundedReceiver<FileOrder>, shell: Rc<Shell>) {
    let mut opened: Option<Opened> = None;
    while let Some(order) = orders.recv().await {
        let known = opened.clone();
        let done = tokio::task::spawn_blocking(move || act(order, known)).await;
        let Ok(done) = done else { return };
        match done {
            Ok((now, event)) => {
                opened = now;
                if let Some(event) = event {
                    shell.file_event(ticket, event);
                }
            }
            Err(error) => shell.file_event(ticket, FileEvent::Failed(error)),
        }
    }
}

fn act(
    order: FileOrder,
    opened: Option<Opened>,
) -> io::Result<(Option<Opened>, Option<FileEvent>)> {
    let is_open = || io::Error::other("the file was not opened");
    match order {
        FileOrder::Create { path, mode, group, .. } => {
            let file = Arc::new(create(Path::new(&path), mode, group.as_deref())?);
            let opened = Opened { file, path: Some(path.into()) };
            Ok((Some(opened), Some(FileEvent::Created)))
        }
        FileOrder::Write { bytes, .. } => {
            let opened = opened.ok_or_else(is_open)?;
            (&*opened.file).write_all(&bytes)?;
            Ok((Some(opened), Some(FileEvent::Written(bytes.len()))))
        }
        FileOrder::Open { root, path, .. } => {
            let file = Arc::new(open_below(&root, &path)?);
            Ok((Some(Opened { file, path: None }), None))
        }
        FileOrder::Read { bytes, .. } => {
            let opened = opened.ok_or_else(is_open)?;
            let mut read = vec![0; bytes];
            let count = (&*opened.file).read(&mut read)?;
            read.truncate(count);
            Ok((Some(opened), Some(FileEvent::Read(read))))
        }
        FileOrder::Close { remove, .. } => {
            if let Some(path) = opened.and_then(|opened| opened.path).filter(|_| remove) {
                // Not there means that the handler has moved it: it is his.
                let _ = std::fs::remove_file(path);
            }
            Ok((None, None))
        }
    }
}

/// A new file with these permissions, whatever the umask is.
fn create(path: &Path, mode: u32, group: Option<&str>) -> io::Result<File> {
    let gid = group.map(gid_of).transpose()?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path)?;
    if let Err(error) = open_to(&file, mode, gid) {
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

fn open_to(file: &File, mode: u32, gid: Option<Gid>) -> io::Result<()> {
    if let Some(gid) = gid {
        // A folder with the set-group-ID bit has seen to it.
        if fstat(file)?.st_gid != gid.as_raw() {
            fchown(file, None, Some(gid))?;
        }
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// A group's number, by the machine's own list.
fn gid_of(group: &str) -> io::Result<Gid> {
    let list = std::fs::read_to_string("/etc/group")?;
    let gid = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
    });
    gid.map(Gid::from_raw).ok_or_else(|| io::Error::other(format!("there is no group {group}")))
}

/// A regular file below a folder, which no link leads out of.
fn open_below(root: &Path, path: &[u8]) -> io::Result<File> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let relative = match path.is_absolute() {
        true => path.strip_prefix(root).map_err(|_| {
            io::Error::other(format!("{} is not below {}", path.display(), root.display()))
        })?,
        false => path,
    };
    let folder =
        openat(CWD, root, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(&folder, relative, flags, Mode::empty(), resolve)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use rustix::process::{getegid, getgroups};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::*;

    /// A group that this process is not in.
    fn foreign_group() -> String {
        let mut own = getgroups().expect("groups");
        own.push(getegid());
        let list = std::fs::read_to_string("/etc/group").expect("a list of groups");
        let mut names = list.lines().filter_map(|line| line.split(':').next());
        let foreign = names.find(|name| gid_of(name).is_ok_and(|gid| !own.contains(&gid)));
        foreign.expect("a group of others").to_owned()
    }

    #[test]
    fn a_file_whose_group_cannot_be_set_is_not_left_over() {
        // For root, who may give files to everybody. It is the right of this thread alone.
        let mut rights = capabilities(None).expect("rights");
        rights.effective.remove(CapabilitySet::CHOWN);
        set_capabilities(None, rights).expect("fewer rights");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("upload");
        for group in [foreign_group(), "no-group-of-this-name".to_owned()] {
            assert!(create(&path, 0o640, Some(&group)).is_err(), "{group}");
            assert!(!path.exists(), "{group}");
        }
        assert!(create(&path, 0o640, None).is_ok());
    }
}
