//! Waiting for something to become true, with a deadline and without sleeping longer than needed.

use std::thread;
use std::time::{Duration, Instant};

/// How long [`until`] pauses between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something, and returns it.
///
/// # Panics
///
/// After `limit`, with `what` in the message.
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        thread::sleep(PAUSE);
    }
}
