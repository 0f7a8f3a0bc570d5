/// Room that an empty buffer keeps.
const KEPT: usize = 64 * 1024;

/// What waits to be written to a connection.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// How much of `bytes` is written.
    start: usize,
    /// Where `bytes` begins in the stream.
    base: u64,
    /// How much of it was counted last.
    counted: usize,
    /// Whether the shell knows that there is something.
    pub(crate) is_listed: bool,
    /// To be closed as soon as this is written.
    pub(crate) is_closing: bool,
}

impl Outgoing {
    /// To append to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What is not written yet.
    pub(crate) fn unwritten(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// How much that is.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Brings a count of what waits everywhere up to date.
    pub(crate) fn count(&mut self, total: &mut usize) {
        let now = self.waiting();
        *total = (*total + now).saturating_sub(std::mem::replace(&mut self.counted, now));
    }

    /// Where the stream ends, counted from its first byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Up to where the stream is written.
    pub(crate) fn written(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Bytes of the stream that are not written, none if a part of them is.
    pub(crate) fn slice(&self, start: u64, end: u64) -> Option<&[u8]> {
        let index = |at: u64| usize::try_from(at.checked_sub(self.base)?).ok();
        let start = index(start).filter(|start| *start >= self.start)?;
        self.bytes.get(start..index(end)?)
    }

    /// Counts bytes as written.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.base += self.start as u64;
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
        } else if self.start > self.bytes.len() / 2 && self.start > KEPT {
            self.base += self.start as u64;
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

/// Counts bytes of one kind in what is to be written. It never counts too few; too many by those that were written
/// since it looked.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Bytes before and after the place where the stream ended then.
    old: usize,
    new: usize,
    end: u64,
}

impl Unread {
    /// How many wait, with these that were just appended.
    pub(crate) fn count(&mut self, out: &Outgoing, appended: usize) -> usize {
        if out.written() >= self.end {
            self.old = std::mem::take(&mut self.new);
            self.end = out.end();
        }
        self.new += appended;
        self.old + self.new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_positions_hold() {
        let mut out = Outgoing::default();
        out.buffer().extend_from_slice(&vec![1; 200_000]);
        let start = out.end();
        out.buffer().extend_from_slice(b"later");
        out.wrote(150_000);
        assert_eq!((out.written(), out.waiting()), (150_000, 50_005));
        assert_eq!(out.slice(start, out.end()), Some(&b"later"[..]));
        out.wrote(50_001);
        assert_eq!(out.slice(start, out.end()), None);
        assert_eq!(out.unwritten(), b"ater");
        out.wrote(4);
        assert_eq!((out.written(), out.waiting(), out.end()), (200_005, 0, 200_005));
    }

    #[test]
    fn what_is_unread_is_counted_until_it_was_written() {
        let (mut out, mut unread) = (Outgoing::default(), Unread::default());
        let mut append = |out: &mut Outgoing, bytes: usize| {
            out.buffer().extend_from_slice(&vec![1; bytes]);
            unread.count(out, bytes)
        };
        assert_eq!(append(&mut out, 1000), 1000);
        out.wrote(900);
        // Something else goes the same way.
        out.buffer().extend_from_slice(&[2; 5000]);
        assert_eq!(append(&mut out, 1000), 2000);
        out.wrote(100);
        assert_eq!(append(&mut out, 1000), 3000);
        out.wrote(6000);
        assert!((1000..=3000).contains(&append(&mut out, 0)));
        out.wrote(1000);
        append(&mut out, 0);
        assert_eq!(append(&mut out, 0), 0);
    }
}
