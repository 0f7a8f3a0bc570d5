use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::body::Window;

mod seen;

/// Between two places that are asked whether they are in memory. Whatever reads a file reads ahead
/// further than this.
const STRIDE: u64 = 64 * 1024;
/// How much of a file is read from a disk at once, in bytes.
const WARM: u64 = 1024 * 1024;
/// Bytes read in one call for that.
const PIECE: usize = 128 * 1024;

/// The parts of files that were given to hyper and are not yet sent, in their order.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    #[expect(clippy::box_collection, reason = "most connections send no file most of the time")]
    windows: RefCell<Option<Box<VecDeque<Rc<Window>>>>>,
    /// Whether the socket can send files.
    enabled: Cell<bool>,
}

impl Outgoing {
    /// From now on the socket sends files by itself.
    pub(super) fn enable(&self) {
        self.enabled.set(true);
    }

    /// Whether the socket sends files by itself.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.get()
    }

    /// Adds what hyper is given now.
    pub(crate) fn push(&self, window: Rc<Window>) {
        self.windows.borrow_mut().get_or_insert_default().push_back(window);
    }

    /// What the next placeholder stands for. Windows that hyper has dropped are left out.
    pub(super) fn next(&self) -> Option<Rc<Window>> {
        let mut windows = self.windows.borrow_mut();
        let windows = windows.as_mut()?;
        while let Some(window) = windows.front() {
            if window.left() > 0 && Rc::strong_count(window) > 1 {
                return Some(window.clone());
            }
            windows.pop_front();
        }
        None
    }

    /// Frees what a silent connection does not need.
    pub(super) fn rest(&self) {
        self.windows.take();
    }
}

/// How many of the bytes from a window's beginning, up to `wanted`, can be sent without waiting for a
/// disk.
pub(super) fn in_memory(window: &Window, wanted: u64) -> io::Result<u64> {
    let (start, end) = (window.offset(), window.offset() + wanted);
    let mut at = start.max(window.warm.get());
    let now = Instant::now();
    if at >= end || seen::is_seen(&window.file, &(start..end), now) {
        return Ok(wanted);
    }
    while at < end {
        match preadv2(&window.file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT) {
            Ok(_) => at = (at + STRIDE).min(end),
            // The second from file systems that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if at >= end {
        seen::note(&window.file, start..end, now);
    }
    Ok(at.min(end) - start)
}

/// Reads a part of a file so that it is in memory; where it ends. Blocks.
pub(super) fn warm(file: &File, offset: u64, left: u64) -> io::Result<u64> {
    let end = offset + left.min(WARM);
    let mut piece = vec![0; PIECE];
    let mut at = offset;
    while at < end {
        match file.read_at(&mut piece, at) {
            Ok(0) => break,
            Ok(count) => at += count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if left > WARM {
        // What comes next is read while this is sent.
        let _ = fadvise(file, end, NonZeroU64::new(WARM), Advice::WillNeed);
    }
    // Where the file has ended too soon, sending it will show that.
    Ok(end)
}
