use std::cell::Cell;
use std::fs::File;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use bytes::{Buf, Bytes};

use super::FileRange;

/// Most bytes of a file that the kernel is asked to send at once.
const SPAN: usize = 1024 * 1024;

/// What stands for the bytes of a file where hyper wants to see some. Nobody reads it, so it costs address space
/// and no memory.
static PLACEHOLDER: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; SPAN].into());

/// Whether these bytes stand for those of a file: told by their address.
pub(crate) fn is_placeholder(bytes: &[u8]) -> bool {
    PLACEHOLDER.as_ptr_range().contains(&bytes.as_ptr())
}

/// What hyper is given to write.
///
/// PLACEHOLDER: of a file hyper sees placeholders only. It writes them by `poll_write_vectored`, and the socket
/// below it, which knows them by their address, sends the file instead. For that hyper must not copy what it
/// writes: it does not as long as the socket says that it takes several slices at once.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Bytes that are there.
    Bytes(Bytes),
    /// A part of a file that the kernel sends.
    File(Rc<Window>),
}

/// A part of a file that is being sent.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) file: Arc<File>,
    offset: Cell<u64>,
    left: Cell<u64>,
    /// Up to here the file was read into memory.
    pub(crate) warm: Cell<u64>,
}

impl Window {
    pub(super) fn new(range: FileRange) -> Rc<Self> {
        let (file, offset, length) = range.into_parts();
        Rc::new(Self {
            file,
            offset: Cell::new(offset),
            left: Cell::new(length),
            warm: Cell::new(offset),
        })
    }

    /// Where in the file the next byte is.
    pub(crate) fn offset(&self) -> u64 {
        self.offset.get()
    }

    /// Bytes that are still to be sent.
    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(window) => usize::try_from(window.left()).unwrap_or(usize::MAX),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File(_) => PLACEHOLDER.get(..self.remaining()).unwrap_or(&PLACEHOLDER),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::File(window) => {
                window.offset.set(window.offset() + count as u64);
                window.left.set(window.left().saturating_sub(count as u64));
            }
        }
    }
}
