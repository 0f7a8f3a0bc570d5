use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::error::Error;

/// Bytes read at once where the kernel cannot send the file by itself.
const PIECE: u64 = 128 * 1024;

/// A part of an open file, as a response's body.
///
/// As many bytes are sent as were promised, whatever becomes of the file meanwhile; where it has
/// become too short for that, the connection ends.
#[derive(Debug)]
pub struct FileRange {
    file: Arc<File>,
    offset: u64,
    length: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileRange {
    /// `length` bytes of a regular file from `offset` on.
    pub fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self { file, offset, length, reading: None }
    }

    pub(super) fn into_parts(self) -> (Arc<File>, u64, u64) {
        (self.file, self.offset, self.length)
    }

    /// How many bytes are still to be sent.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next piece, read without blocking the worker.
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        if self.length == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(self.length.min(PIECE)).unwrap_or_default();
        let read = match &mut self.reading {
            Some(reading) => ready!(Pin::new(reading).poll(cx)),
            None => match read_cached(&self.file, self.offset, wanted) {
                Some(read) => Ok(read),
                None => {
                    let (file, offset) = (self.file.clone(), self.offset);
                    let work = move || read(&file, offset, wanted);
                    let reading = self.reading.insert(tokio::task::spawn_blocking(work));
                    ready!(Pin::new(reading).poll(cx))
                }
            },
        };
        self.reading = None;
        let piece = match read {
            Ok(Ok(piece)) if piece.is_empty() => Err(shrunk()),
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(Error::internal(error)),
            Err(_) => Err(Error::Panic),
        };
        let taken = piece.as_ref().map_or(self.length, |piece| piece.len() as u64);
        self.offset += taken;
        self.length -= taken;
        Poll::Ready(Some(piece))
    }
}

/// Reads what is in memory already; `None` where that takes a disk. Empty at the file's end.
pub(crate) fn read_cached(file: &File, offset: u64, wanted: usize) -> Option<io::Result<Bytes>> {
    let mut bytes = vec![0; wanted];
    let into = &mut [IoSliceMut::new(&mut bytes)];
    match preadv2(file, into, offset, ReadWriteFlags::NOWAIT) {
        Ok(count) => {
            bytes.truncate(count);
            Some(Ok(bytes.into()))
        }
        // The latter from file systems that cannot tell.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Reads up to `wanted` bytes, fewer only at the file's end.
pub(crate) fn read(file: &File, offset: u64, wanted: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; wanted];
    let mut count = 0;
    while let Some(rest) = bytes.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(count);
    Ok(bytes.into())
}

/// Nobody's fault that somebody should hear of: files are replaced while they are served.
fn shrunk() -> Error {
    let text = "the file has become shorter while it was sent";
    Error::status(StatusCode::INTERNAL_SERVER_ERROR, text)
}
