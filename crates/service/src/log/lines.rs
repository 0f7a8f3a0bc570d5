use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;

use rtrb::{Consumer, Producer, RingBuffer};

/// Bytes a worker may have waiting for the writer.
const RING: usize = 256 * 1024;
/// So many are enough to disturb it while it rests: the rest of the ring has room for what comes until then.
const MANY: usize = RING / 4;

/// Wakes the writer, at most once per turn of its loop.
#[derive(Clone, Debug)]
pub(crate) struct Waker {
    pub(crate) thread: Thread,
    /// It knows that there is something.
    pub(crate) pending: Arc<AtomicBool>,
    /// It is not to rest now.
    pub(crate) hurry: Arc<AtomicBool>,
}

impl Waker {
    /// There is something to write.
    pub(crate) fn wake(&self) {
        self.raise(&self.pending);
    }

    /// There is much to write, or something that is not to wait.
    pub(crate) fn hurry(&self) {
        self.raise(&self.hurry);
    }

    fn raise(&self, flag: &AtomicBool) {
        // The load first: a store on every line would bounce the cache line between the workers.
        if !flag.load(Ordering::Relaxed) && !flag.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

/// A worker's end of its ring of access lines.
#[derive(Debug)]
pub struct LineSink {
    ring: Producer<u8>,
    waker: Waker,
    dropped: Arc<AtomicU64>,
}

impl LineSink {
    /// Hands a whole line (or record) on, or drops and counts it. Never waits.
    pub fn push(&mut self, line: &[u8]) {
        let length = u32::try_from(line.len()).unwrap_or(u32::MAX).to_le_bytes();
        let room = self.ring.slots();
        if room < length.len() + line.len() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            // Both fit: this thread alone pushes, so room cannot vanish in between.
            let _ = self.ring.push_entire_slice(&length);
            let _ = self.ring.push_entire_slice(line);
        }
        match RING - room >= MANY {
            true => self.waker.hurry(),
            false => self.waker.wake(),
        }
    }
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct LineSource {
    ring: Consumer<u8>,
    /// What was taken from the ring, all that was there at once; up to here it was handed on.
    held: Vec<u8>,
    gone: usize,
}

impl LineSource {
    /// A ring, its ends for a worker and for the writer.
    pub(crate) fn pair(waker: Waker, dropped: Arc<AtomicU64>) -> (LineSink, Self) {
        let (producer, consumer) = RingBuffer::new(RING);
        let source = Self { ring: consumer, held: Vec::new(), gone: 0 };
        (LineSink { ring: producer, waker, dropped }, source)
    }

    /// The next line, if there is one.
    pub(crate) fn pop(&mut self) -> Option<&[u8]> {
        let next = self.next().or_else(|| {
            self.fetch();
            self.next()
        })?;
        self.gone = next.end;
        self.held.get(next)
    }

    /// Where the next of the lines that are held is.
    fn next(&self) -> Option<Range<usize>> {
        let (length, rest) = self.held.get(self.gone..)?.split_first_chunk()?;
        // The sink pushes the length and the line one after the other.
        let line = rest.get(..u32::from_le_bytes(*length) as usize)?;
        let start = self.gone + length.len();
        Some(start..start + line.len())
    }

    fn fetch(&mut self) {
        self.held.drain(..self.gone);
        self.gone = 0;
        if let Ok(chunk) = self.ring.read_chunk(self.ring.slots()) {
            let (first, second) = chunk.as_slices();
            self.held.extend_from_slice(first);
            self.held.extend_from_slice(second);
            chunk.commit_all();
        }
    }

    /// The worker is gone and its lines are written.
    pub(crate) fn is_finished(&self) -> bool {
        self.ring.is_abandoned() && self.ring.is_empty() && self.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (LineSink, LineSource, Arc<AtomicU64>) {
        let (pending, hurry) = Default::default();
        let waker = Waker { thread: std::thread::current(), pending, hurry };
        let dropped = Arc::new(AtomicU64::new(0));
        let (sink, source) = LineSource::pair(waker, dropped.clone());
        (sink, source, dropped)
    }

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let (mut sink, mut source, dropped) = pair();
        // Often around the ring, with lengths that never meet its end twice at the same place.
        for number in 0..10_000 {
            sink.push(&vec![b'x'; number % 300]);
            // Alone, and two at once.
            if number % 3 == 1 {
                assert_eq!(source.pop().unwrap().len(), (number - 1) % 300);
            }
            if number % 3 != 0 {
                assert_eq!(source.pop().unwrap().len(), number % 300);
            }
        }
        assert_eq!(source.pop().unwrap().len(), 9_999 % 300);
        assert_eq!(source.pop(), None);
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_does_not_fit_is_dropped_whole_and_counted() {
        let (mut sink, mut source, dropped) = pair();
        sink.push(&vec![b'y'; RING]);
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        let pushed = 1000;
        (0..pushed).for_each(|_| sink.push(&[b'x'; 1020]));
        let mut popped = 0;
        while let Some(line) = source.pop() {
            assert_eq!(line, [b'x'; 1020]);
            popped += 1;
        }
        assert_eq!(popped, RING / 1024);
        assert_eq!(dropped.load(Ordering::Relaxed), 1 + pushed - popped as u64);
    }

    #[test]
    fn only_many_bytes_disturb_a_resting_writer() {
        let (mut sink, mut source, _) = pair();
        let line = [b'x'; 1020];
        (0..MANY / 1024).for_each(|_| sink.push(&line));
        let flags = |sink: &LineSink| {
            [&sink.waker.pending, &sink.waker.hurry].map(|flag| flag.load(Ordering::Relaxed))
        };
        assert_eq!(flags(&sink), [true, false]);
        sink.push(b"one more");
        assert_eq!(flags(&sink), [true, true]);
        sink.waker.hurry.store(false, Ordering::Relaxed);
        while source.pop().is_some() {}
        sink.push(&line);
        assert_eq!(flags(&sink), [true, false]);
    }

    #[test]
    fn a_source_is_finished_when_its_sink_is_gone_and_it_is_empty() {
        let (mut sink, mut source, _) = pair();
        sink.push(b"last");
        drop(sink);
        assert!(!source.is_finished());
        assert_eq!(source.pop().unwrap(), b"last");
        assert!(source.is_finished());
    }
}
