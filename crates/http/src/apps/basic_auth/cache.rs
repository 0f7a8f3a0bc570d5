use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an outcome counts by default.
pub(super) const TIME: Duration = Duration::from_secs(300);
/// Outcomes of each kind that are kept at most, twice: the newer ones, and those before them.
const KEPT: usize = 4096;

/// A keyed hash of a user's name and password.
pub(super) type Digest = [u8; 32];

/// What verifications came to, for a bounded time and in bounded numbers. Accepted and rejected ones
/// are kept apart, so that whoever tries many passwords does not make us forget the right ones.
#[derive(Debug)]
pub(super) struct Cache {
    accepted: Generations,
    rejected: Generations,
    time: Duration,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Digest, Instant>,
    old: HashMap<Digest, Instant>,
}

impl Cache {
    pub(super) fn new(time: Duration) -> Self {
        Self { accepted: Generations::default(), rejected: Generations::default(), time }
    }

    /// What came of the same name and password.
    pub(super) fn get(&mut self, digest: &Digest, now: Instant) -> Option<bool> {
        let accepted = self.accepted.is_fresh(digest, now).then_some(true);
        accepted.or_else(|| self.rejected.is_fresh(digest, now).then_some(false))
    }

    pub(super) fn put(&mut self, digest: Digest, accepted: bool, now: Instant) {
        if !self.time.is_zero() {
            let kind = if accepted { &mut self.accepted } else { &mut self.rejected };
            kind.put(digest, now + self.time);
        }
    }

    /// The file has changed: nothing that was found before counts.
    pub(super) fn clear(&mut self) {
        (self.accepted, self.rejected) = Default::default();
    }
}

impl Generations {
    fn is_fresh(&mut self, digest: &Digest, now: Instant) -> bool {
        if let Some(until) = self.young.get(digest) {
            return now < *until;
        }
        match self.old.remove(digest) {
            Some(until) => {
                self.put(*digest, until);
                now < until
            }
            None => false,
        }
    }

    fn put(&mut self, digest: Digest, until: Instant) {
        if self.young.len() >= KEPT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn an_outcome_counts_for_its_time() {
        let (mut cache, now) = (Cache::new(TIME), Instant::now());
        cache.put(digest(1), true, now);
        cache.put(digest(2), false, now);
        let just = now + TIME - Duration::from_millis(1);
        assert_eq!(cache.get(&digest(1), just), Some(true));
        assert_eq!(cache.get(&digest(2), just), Some(false));
        assert_eq!(cache.get(&digest(3), just), None);
        assert_eq!(cache.get(&digest(1), now + TIME), None);
        cache.clear();
        assert_eq!(cache.get(&digest(2), now), None);
    }

    #[test]
    fn many_rejected_ones_neither_grow_it_nor_drive_out_accepted_ones() {
        let (mut cache, now) = (Cache::new(TIME), Instant::now());
        cache.put(digest(0), true, now);
        for number in 1..KEPT * 5 {
            cache.put(digest(number), false, now);
        }
        assert_eq!(cache.get(&digest(0), now), Some(true));
        assert_eq!(cache.get(&digest(KEPT * 5 - 1), now), Some(false));
        assert_eq!(cache.get(&digest(1), now), None);
        assert!(cache.rejected.young.len() + cache.rejected.old.len() <= 2 * KEPT);
    }

    #[test]
    fn without_time_nothing_is_kept() {
        let (mut cache, now) = (Cache::new(Duration::ZERO), Instant::now());
        cache.put(digest(1), true, now);
        assert_eq!(cache.get(&digest(1), now), None);
    }

    #[test]
    fn one_that_is_asked_for_stays() {
        let (mut cache, now) = (Cache::new(TIME), Instant::now());
        for number in 0..KEPT * 5 {
            cache.put(digest(number), true, now);
            assert_eq!(cache.get(&digest(0), now), Some(true), "{number}");
        }
    }
}
