//! The drain: first everything that was open at the signal ends, while new clients are served;
//! then nobody new is accepted, and what came meanwhile ends too.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Running;
use crate::notify;
use crate::program::Program;
use crate::shared::State;
use crate::worker::Command;

/// How often systemd hears that the drain goes on.
const REPORT: Duration = Duration::from_secs(1);
/// How much more time each report asks for.
const EXTENSION: Duration = Duration::from_secs(10);

impl<P: Program> Running<P> {
    /// Returns when everything that was open has ended, or `drain_timeout` is over.
    pub(super) async fn drain(&mut self) {
        let settings = P::settings(&self.plan);
        let (timeout, idle) = (settings.drain_timeout, settings.drain_idle);
        let deadline = Instant::now() + timeout;
        self.daemon.shared.face().state = State::Draining;
        tracing::info!(open = self.census.open(), "draining");
        notify::stopping(&format!("draining, {} connections open", self.census.open()));
        self.census.begin_drain();
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain(idle));
        }
        self.until(deadline, |running| running.census.old()).await;
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.stop();
        }
        self.until(deadline, |running| running.census.open()).await;
        let cut = self.census.open();
        if cut > 0 {
            tracing::warn!(
                connections = cut,
                ?timeout,
                "drain_timeout is over: cutting what is open"
            );
        }
        self.counters.save(&self.daemon.shared.registry());
        tracing::info!("drained");
        // systemd would go on showing the last one.
        notify::status("");
    }

    /// Waits until nothing is left, telling systemd once a second that it is worth waiting.
    async fn until(&self, deadline: Instant, left: impl Fn(&Self) -> usize) {
        let mut report = Instant::now();
        while left(self) > 0 && Instant::now() < deadline {
            if Instant::now() >= report {
                notify::extend(EXTENSION);
                notify::status(&format!("draining, {} connections open", self.census.open()));
                report += REPORT;
            }
            let closes = self.census.one_closes();
            if left(self) == 0 {
                return;
            }
            tokio::select! {
                _ = timeout_at(deadline, closes) => {}
                () = sleep_until(report) => {}
            }
        }
    }
}
