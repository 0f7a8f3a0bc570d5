use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;

use rtrb::{Consumer, Producer, RingBuffer};

/// Bytes a worker may have waiting for the writer: some 1,500 access lines.
const RING: usize = 256 * 1024;

/// Wakes the writer, at most once per turn of its loop.
#[derive(Clone, Debug)]
pub(crate) struct Waker {
    pub(crate) thread: Thread,
    pub(crate) pending: Arc<AtomicBool>,
}

impl Waker {
    pub(crate) fn wake(&self) {
        // The load first: a store on every line would bounce the cache line between the workers.
        if !self.pending.load(Ordering::Relaxed) && !self.pending.swap(true, Ordering::AcqRel) {
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
        if self.ring.slots() < length.len() + line.len() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            // Both fit: this thread alone pushes, so room cannot vanish in between.
            let _ = self.ring.push_entire_slice(&length);
            let _ = self.ring.push_entire_slice(line);
        }
        self.waker.wake();
    }
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct LineSource {
    ring: Consumer<u8>,
}

impl LineSource {
    /// A ring, its ends for a worker and for the writer.
    pub(crate) fn pair(waker: Waker, dropped: Arc<AtomicU64>) -> (LineSink, Self) {
        let (producer, consumer) = RingBuffer::new(RING);
        (LineSink { ring: producer, waker, dropped }, Self { ring: consumer })
    }

    /// Takes the next line into `line`; false when there is none.
    pub(crate) fn pop(&mut self, line: &mut Vec<u8>) -> bool {
        let mut length = [0; 4];
        if self.ring.pop_entire_slice(&mut length).is_err() {
            return false;
        }
        line.clear();
        line.resize(u32::from_le_bytes(length) as usize, 0);
        // The sink pushes the length and the line one after the other: wait out that moment.
        while self.ring.pop_entire_slice(line).is_err() {
            if self.ring.is_abandoned() {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// The worker is gone and its lines are written.
    pub(crate) fn is_finished(&self) -> bool {
        self.ring.is_abandoned() && self.ring.is_empty()
    }
}
