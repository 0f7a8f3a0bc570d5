//! Which parts of which files were in memory a moment ago: those that everybody asks for are not looked for
//! page by page each time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a part counts as being in memory. The kernel gives up what was just used last of all.
const LATELY: Duration = Duration::from_secs(1);
/// Files that a worker remembers.
const FILES: usize = 32;

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// The last ones first.
#[derive(Debug, Default)]
struct Seen(VecDeque<Part>);

#[derive(Debug)]
struct Part {
    /// Not its number: that may be another file's by now.
    file: Weak<File>,
    range: Range<u64>,
    /// When the oldest of it was looked for.
    at: Instant,
}

/// Whether all of a part was in memory lately.
pub(super) fn is_seen(file: &Arc<File>, range: &Range<u64>, now: Instant) -> bool {
    SEEN.with_borrow(|seen| seen.has(file, range, now))
}

/// This part is in memory.
pub(super) fn note(file: &Arc<File>, range: Range<u64>, now: Instant) {
    SEEN.with_borrow_mut(|seen| seen.add(file, range, now));
}

impl Seen {
    fn has(&self, file: &Arc<File>, range: &Range<u64>, now: Instant) -> bool {
        self.0.iter().any(|part| {
            part.is_of(file)
                && part.is_fresh(now)
                && part.range.start <= range.start
                && range.end <= part.range.end
        })
    }

    fn add(&mut self, file: &Arc<File>, range: Range<u64>, now: Instant) {
        let known = self.0.iter().position(|part| part.is_of(file));
        let known = known.and_then(|known| self.0.remove(known));
        let part = match known.filter(|part| part.is_fresh(now)) {
            // It goes on where the last one has ended.
            Some(part) if part.range.contains(&range.start) || part.range.end == range.start => {
                let end = part.range.end.max(range.end);
                Part { range: part.range.start..end, ..part }
            }
            _ => Part { file: Arc::downgrade(file), range, at: now },
        };
        self.0.push_front(part);
        self.0.truncate(FILES);
    }
}

impl Part {
    fn is_of(&self, file: &Arc<File>) -> bool {
        std::ptr::eq(self.file.as_ptr(), Arc::as_ptr(file))
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < LATELY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(File::open("/dev/null").unwrap())
    }

    #[test]
    fn a_part_is_remembered_for_a_moment_and_grows() {
        let (mut seen, file, other, now) = (Seen::default(), file(), file(), Instant::now());
        seen.add(&file, 10..20, now);
        assert!(seen.has(&file, &(12..20), now) && !seen.has(&other, &(12..20), now));
        assert!(!seen.has(&file, &(9..20), now) && !seen.has(&file, &(10..21), now));
        let later = now + LATELY / 2;
        seen.add(&file, 20..30, later);
        assert!(seen.has(&file, &(10..30), later));
        assert!(!seen.has(&file, &(10..30), now + LATELY), "the beginning is too old");
        seen.add(&file, 40..50, later);
        assert!(seen.has(&file, &(40..50), later) && !seen.has(&file, &(10..30), later));
    }

    #[test]
    fn no_more_files_than_so_many_are_remembered() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let files: Vec<_> = (0..=FILES).map(|_| file()).collect();
        files.iter().for_each(|file| seen.add(file, 0..1, now));
        assert_eq!(seen.0.len(), FILES);
        assert!(!seen.has(&files[0], &(0..1), now) && seen.has(&files[FILES], &(0..1), now));
    }
}
