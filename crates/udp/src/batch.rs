use crate::socket::From;

/// Datagrams that are received at once.
pub(crate) const AT_ONCE: usize = 64;

/// What came at once, and the buffers for it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) buffers: Vec<Vec<u8>>,
    /// Of the first buffers, what is in them.
    pub(crate) came: Vec<Came>,
}

/// One datagram: its length, and whence.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) buffer: usize,
    pub(crate) length: usize,
    pub(crate) from: From,
}

impl Batch {
    /// For datagrams of this size at most. The memory is taken as they come.
    pub(crate) fn new(size: usize) -> Self {
        // One byte more tells what is too long.
        Self { buffers: (0..AT_ONCE).map(|_| vec![0; size + 1]).collect(), came: Vec::new() }
    }

    pub(crate) fn size(&self) -> usize {
        self.buffers.first().map_or(0, |buffer| buffer.len() - 1)
    }

    /// Drops those that are too long; returns how many.
    pub(crate) fn drop_long(&mut self) -> usize {
        let (size, count) = (self.size(), self.came.len());
        self.came.retain(|came| came.length <= size);
        count - self.came.len()
    }

    pub(crate) fn bytes(&self, came: &Came) -> &[u8] {
        let buffer = self.buffers.get(came.buffer).map_or(&[][..], Vec::as_slice);
        buffer.get(..came.length).unwrap_or_default()
    }
}
