//! A rate limit for what is logged: a client that repeats itself costs no journal.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Records per window.
const RECORDS: u32 = 10;
/// The window.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts what it lets through and what it holds back.
#[derive(Debug)]
pub struct LogLimit {
    since: Cell<Instant>,
    passed: Cell<u32>,
    held: Cell<u64>,
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl LogLimit {
    /// A limit of ten records in ten seconds.
    pub fn new() -> Self {
        Self { since: Cell::new(Instant::now()), passed: Cell::new(0), held: Cell::new(0) }
    }

    /// Whether to log now; with how many were held back before this one.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since.get()) >= WINDOW {
            self.since.set(now);
            self.passed.set(0);
        }
        if self.passed.get() < RECORDS {
            self.passed.set(self.passed.get() + 1);
            Some(self.held.replace(0))
        } else {
            self.held.set(self.held.get() + 1);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_pass_and_the_next_window_says_how_many_did_not() {
        let limit = LogLimit::new();
        let start = Instant::now();
        for _ in 0..RECORDS {
            assert_eq!(limit.pass(start), Some(0));
        }
        assert_eq!(limit.pass(start), None);
        assert_eq!(limit.pass(start), None);
        assert_eq!(limit.pass(start + WINDOW), Some(2));
    }
}
