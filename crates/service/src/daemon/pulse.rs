//! What happens at regular times: watchdog pings, and the counters into their file.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Running;
use crate::notify;
use crate::program::Program;

/// The counters are at most this old in their file.
const SAVE: Duration = Duration::from_secs(1);

/// How often a worker has to show that its loop turns: four times per watchdog period.
pub(super) fn beat() -> Option<Duration> {
    notify::watchdog_interval().map(|interval| interval / 4)
}

/// A task that ends with its owner.
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pings while there are no workers yet.
pub(super) fn ping_alone() -> JoinHandle<()> {
    tokio::task::spawn_local(async {
        let Some(period) = beat() else { return };
        loop {
            notify::watchdog();
            tokio::time::sleep(period).await;
        }
    })
}

impl<P: Program> Running<P> {
    pub(super) fn start_pulse(&self) {
        self.start_watchdog();
        self.start_saving();
    }

    /// Pings only when every worker's loop has turned since the last ping: one that hangs costs the
    /// process its ping, and systemd replaces it. The first ping comes at once.
    fn start_watchdog(&self) {
        let Some(period) = beat() else { return };
        let workers: Vec<_> = self.workers.iter().map(|worker| worker.beats.clone()).collect();
        tokio::task::spawn_local(async move {
            notify::watchdog();
            let beats = || workers.iter().map(|beats| beats.load(Ordering::Relaxed));
            let mut last: Vec<u64> = beats().collect();
            let mut ticks = interval(period + period / 4);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let now: Vec<u64> = beats().collect();
                match now.iter().zip(&last).position(|(now, last)| now == last) {
                    None => {
                        notify::watchdog();
                        last = now;
                    }
                    Some(worker) => {
                        tracing::error!(worker, "a worker's loop does not turn; no watchdog ping");
                    }
                }
            }
        });
    }

    fn start_saving(&self) {
        let shared = self.daemon.shared.clone();
        let log = self.daemon.log.clone();
        let counters = crate::counters::CounterFile::from_environment();
        tokio::task::spawn_local(async move {
            let mut ticks = interval(SAVE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut records, mut lines) = (0, 0);
            loop {
                ticks.tick().await;
                let registry = shared.registry();
                // Nobody else writes these two of worker 0, so the addition is safe.
                let (dropped_records, dropped_lines) = log.dropped();
                let stats = registry.worker(0);
                stats.counter("log_dropped_count").add(dropped_records - records);
                stats.counter("access_log_dropped_count").add(dropped_lines - lines);
                if dropped_records > records || dropped_lines > lines {
                    tracing::warn!(
                        records = dropped_records - records,
                        lines = dropped_lines - lines,
                        "log records and access lines were dropped: their sink does not take them"
                    );
                }
                (records, lines) = (dropped_records, dropped_lines);
                counters.save(&registry);
            }
        });
    }
}
