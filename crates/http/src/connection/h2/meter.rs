use std::time::Instant;

/// The bytes before the first frame.
const PREFACE: usize = 24;
/// The head of a frame.
const HEAD: usize = 9;
/// What a frame without use costs, in bytes that have to be written for it to be earned.
const COST: i64 = 32;
/// Frames without use that are earned per second, by doing nothing.
const PER_SECOND: i64 = 100;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// Counts the frames of a client that ask for nothing: PING, SETTINGS, WINDOW_UPDATE and so on.
/// Each costs us work and the client none. A few are part of the protocol, and of a busy connection
/// more than a few: responses earn them.
#[derive(Debug)]
pub(crate) struct Meter {
    head: [u8; HEAD],
    /// Bytes of a head that have come.
    filled: usize,
    /// Bytes to pass over until the next head.
    skip: usize,
    /// What the client may still spend.
    budget: i64,
    most: i64,
    since: Instant,
}

impl Meter {
    /// A client may send so many frames without use at once.
    pub(crate) fn new(frames: u32, now: Instant) -> Self {
        let most = i64::from(frames) * COST;
        Self { head: [0; HEAD], filled: 0, skip: PREFACE, budget: most, most, since: now }
    }

    /// Bytes came; false when there were too many frames without use.
    pub(crate) fn read(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let mut cost = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = (HEAD - self.filled).min(bytes.len());
            let (head, rest) = bytes.split_at(wanted);
            if let Some(room) = self.head.get_mut(self.filled..self.filled + wanted) {
                room.copy_from_slice(head);
            }
            self.filled += wanted;
            bytes = rest;
            if self.filled == HEAD {
                let [high, middle, low, kind, flags, ..] = self.head;
                self.filled = 0;
                self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
                let useful = match kind {
                    DATA => self.skip > 0 || flags & END_STREAM != 0,
                    kind => kind == HEADERS,
                };
                cost += if useful { 0 } else { COST };
            }
        }
        self.earn(now);
        self.budget -= cost;
        self.budget >= 0
    }

    /// Bytes went to the client.
    pub(crate) fn wrote(&mut self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.budget = self.budget.saturating_add(count).min(self.most);
    }

    fn earn(&mut self, now: Instant) {
        let millis = now.saturating_duration_since(self.since).as_millis();
        if millis >= 100 {
            self.since = now;
            let earned =
                i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(PER_SECOND * COST);
            self.budget = self.budget.saturating_add(earned / 1000).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 0];
        frame.resize(HEAD + usize::from(length), 0);
        frame
    }

    fn meter(now: Instant) -> Meter {
        let mut meter = Meter::new(10, now);
        assert!(meter.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now));
        meter
    }

    #[test]
    fn one_frame_without_use_more_than_the_limit_is_too_many() {
        let now = Instant::now();
        for (kind, flags, length) in
            [(6, 0, 8), (4, 0, 0), (8, 0, 4), (0, 0, 0), (9, 4, 100), (200, 0, 3)]
        {
            let mut meter = meter(now);
            let all = frame(kind, flags, length).repeat(10);
            // In pieces of every size the count is the same.
            for piece in all.chunks(1 + usize::from(kind % 7)) {
                assert!(meter.read(piece, now));
            }
            assert!(!meter.read(&frame(kind, flags, length), now), "{kind}");
        }
    }

    #[test]
    fn requests_and_bodies_are_of_use() {
        let now = Instant::now();
        let mut meter = meter(now);
        for _ in 0..1000 {
            assert!(meter.read(&frame(1, 4, 30), now));
            assert!(meter.read(&frame(0, 0, 1), now));
            assert!(meter.read(&frame(0, 1, 0), now));
        }
    }

    #[test]
    fn responses_and_time_earn_more() {
        let now = Instant::now();
        let mut meter = meter(now);
        assert!(meter.read(&frame(6, 0, 8).repeat(10), now));
        meter.wrote(3 * 32);
        assert!(meter.read(&frame(6, 0, 8).repeat(3), now));
        let later = now + Duration::from_millis(100);
        assert!(meter.read(&frame(6, 0, 8).repeat(10), later));
        assert!(!meter.read(&frame(6, 0, 8), later));
        let mut rich = super::tests::meter(now);
        rich.wrote(usize::MAX);
        assert!(!rich.read(&frame(6, 0, 8).repeat(11), now));
    }
}
