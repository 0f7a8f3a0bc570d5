//! A gateway, front ends and handlers.

mod front;
mod gateway;
mod puppet;

use std::time::{Duration, Instant};

pub(crate) use front::{Answer, Ask, Front, Got};
pub(crate) use gateway::Gateway;
pub(crate) use puppet::{Puppet, Seen};

/// How long something may take that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway, a front end and a handler that are ready for each other.
pub(crate) fn start(keys: &str) -> (Gateway, Front, Puppet) {
    let gateway = Gateway::start(&format!("handler_wait = 10s\n{keys}"));
    let puppet = gateway.puppet(&[]);
    let front = Front::connect(&gateway);
    (gateway, front, puppet)
}

/// Waits for something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
