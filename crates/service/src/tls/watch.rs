//! The thread that looks whether certificates have changed: one per process, never a worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use super::certificates::{Certificates, Event};

/// How often.
const PERIOD: Duration = Duration::from_secs(1);

/// What is looked at; the last one is that of the newest state.
static FOLLOWED: Mutex<Followed> = Mutex::new(Followed { all: Vec::new(), runs: false });

struct Followed {
    all: Vec<Weak<Certificates>>,
    runs: bool,
}

/// Looks after these certificates for as long as somebody uses them. Those of an earlier state are
/// served on where the files as they are now cannot be.
pub(crate) fn follow(certificates: &Arc<Certificates>) {
    let mut followed = followed();
    if let Some(before) = followed.all.iter().rev().find_map(Weak::upgrade) {
        certificates.inherit(&before);
    }
    followed.all.push(Arc::downgrade(certificates));
    if !followed.runs {
        let thread = std::thread::Builder::new().name("certificates".to_owned());
        match thread.spawn(run) {
            Ok(_) => followed.runs = true,
            Err(error) => tracing::warn!(%error, "certificates are not watched: no thread"),
        }
    }
}

fn followed() -> MutexGuard<'static, Followed> {
    FOLLOWED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run() {
    let mut unreadable = false;
    loop {
        std::thread::sleep(PERIOD);
        let mut followed = followed();
        followed.all.retain(|certificates| certificates.strong_count() > 0);
        let all: Vec<_> = followed.all.iter().filter_map(Weak::upgrade).collect();
        drop(followed);
        let Some((newest, older)) = all.split_last() else { continue };
        older.iter().for_each(|certificates| drop(certificates.look(SystemTime::now(), false)));
        let events = newest.look(SystemTime::now(), false);
        let was_unreadable = unreadable;
        unreadable = events.iter().any(|event| matches!(event, Event::Unreadable(..)));
        for event in events {
            tell(event, was_unreadable);
        }
    }
}

fn tell(event: Event, was_unreadable: bool) {
    match event {
        Event::Serves(file) => {
            tracing::info!("certificate {} is served from now on", file.display())
        }
        Event::Gone(file) => tracing::info!("certificate {} is no longer there", file.display()),
        Event::Fails { why, .. } => {
            tracing::warn!("{why}; the certificate from before, if any, is served on");
        }
        Event::Expires(file, left) => {
            tracing::warn!("certificate {} {}", file.display(), expires(left))
        }
        Event::Unreadable(..) if was_unreadable => {}
        Event::Unreadable(directory, error) => {
            tracing::warn!("{}: {error}; its certificates are served on", directory.display());
        }
    }
}

/// `expires in 3 days`.
pub(crate) fn expires(left: Duration) -> String {
    match left.as_secs() {
        0 => "has expired".to_owned(),
        seconds if seconds < 2 * 24 * 3600 => format!("expires in {} hours", seconds / 3600),
        seconds => format!("expires in {} days", seconds / (24 * 3600)),
    }
}
