//! A program that runs, until its end.

use std::io;
use std::process::{self, Command};
use std::time::Duration;

use brim_stats::Counter;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::conf::Place;

/// How long a program may take to end: by itself, when it has closed its output, and then when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How often one looks whether it has ended, where the kernel does not tell.
const AGAIN: Duration = Duration::from_millis(100);

/// The program of a connection. When this is dropped, the program is ended.
pub(super) struct Child {
    running: Option<Running>,
    may_end: bool,
}

impl Child {
    /// Starts it; that may block.
    pub(super) async fn start(
        mut command: Command,
        place: Place,
        bad: Counter,
    ) -> io::Result<Self> {
        let spawned = tokio::task::spawn_blocking(move || command.spawn()).await;
        let child = spawned.map_err(io::Error::other)??;
        let running = Running { child, bad, _place: place, over: false };
        Ok(Self { running: Some(running), may_end: false })
    }

    /// It need not be asked to end at once, since it does so by itself.
    pub(super) fn may_end(&mut self) {
        self.may_end = true;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            tokio::task::spawn_local(running.end(self.may_end));
        }
    }
}

/// A program that was not waited for yet. Should nobody do that, it is killed.
struct Running {
    child: process::Child,
    bad: Counter,
    _place: Place,
    over: bool,
}

impl Running {
    /// Sees to its end: it gets time, is asked, is killed.
    async fn end(mut self, may_end: bool) {
        if may_end && self.ends().await {
            return;
        }
        self.signal(Signal::TERM);
        if !self.ends().await {
            self.signal(Signal::KILL);
            self.ends().await;
        }
    }

    /// Whether it ends in time.
    async fn ends(&mut self) -> bool {
        timeout(GRACE, self.over()).await.is_ok()
    }

    async fn over(&mut self) {
        // From here on no end is missed.
        let mut ends = signal(SignalKind::child());
        loop {
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) if status.success() => break,
                Ok(Some(_)) | Err(_) => {
                    self.bad.incr();
                    break;
                }
            }
            match &mut ends {
                Ok(ends) => drop(ends.recv().await),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
        self.over = true;
    }

    fn signal(&self, signal: Signal) {
        // Not waited for yet, so the number is still its own, even if it has just ended.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
