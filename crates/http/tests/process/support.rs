//! A daemon under test, and the client that talks to it.

mod certificates;
mod client;
mod daemon;
mod frames;
mod gateway;
mod home;
mod upstream;

use std::time::{Duration, Instant};

pub(crate) use certificates::{Authority, curl_tls, serve_tls};
pub(crate) use client::{Client, Response, curl, get, post};
pub(crate) use daemon::Daemon;
pub(crate) use frames::{Frames, kind, literal};
pub(crate) use gateway::{Gateway, Heard, Link, frame};
pub(crate) use home::{Home, example, finished, serve, serve_trial, trial_finished};
pub(crate) use upstream::Upstream;

/// The longest that anything may take which ought to happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Looks again and again until there is something, and says what it waited for when there is not.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
