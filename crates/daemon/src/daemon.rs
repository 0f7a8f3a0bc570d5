use std::future::Future;
use std::sync::Arc;

use brim_config::Reader;
use brim_stats::Stat;

use crate::report::{Counter, Reports};

/// A background daemon: what `call =` names.
///
/// Its life: [`Daemon::parse_conf`] reads its section, before anything runs; [`Daemon::stats_conf`] names its
/// figures; [`Daemon::new`] makes it; [`Daemon::call`] is what it does. It has a process of its own, with one
/// thread: what it does between two awaits must not take long, or the watchdog ends it. What blocks belongs
/// on a thread of its own, such as tokio's `spawn_blocking`.
pub trait Daemon: Sized + 'static {
    /// What the daemon's section says.
    type Conf: Send + Sync + 'static;

    /// Reads the daemon's own keys. Whatever is wrong with them is told to the reader
    /// ([`Reader::require`], [`Reader::refuse`]); then it does not start. Keys that nobody asked for are
    /// errors; those that all daemons have are asked for already.
    fn parse_conf(section: &mut Reader<'_>) -> Self::Conf;

    /// The daemon's figures, beside those that its section declares by `stats`. They have no total of
    /// several workers, so [`RollUp::Worker`](crate::RollUp::Worker) is as good as a sum.
    fn stats_conf(name: &str, conf: &Self::Conf) -> Vec<Stat> {
        let _ = (name, conf);
        Vec::new()
    }

    /// Makes the daemon.
    fn new(name: &str, conf: Arc<Self::Conf>, context: &DaemonContext) -> Self;

    /// Does the work. When it returns, systemd starts the daemon again after `restart_sec` (unless `restart`
    /// says otherwise); when the daemon is stopped, it goes no further than to its next await.
    fn call(&self) -> impl Future<Output = Result<(), Failure>>;
}

/// What a daemon gets from its process.
#[derive(Clone, Debug)]
pub struct DaemonContext {
    reports: Reports,
}

impl DaemonContext {
    pub(crate) fn new(reports: Reports) -> Self {
        Self { reports }
    }

    /// The figure of that name, as declared by [`Daemon::stats_conf`] or in the section.
    pub fn counter(&self, name: &str) -> Counter {
        self.reports.counter(name)
    }
}

/// Why a daemon ended: any error, in words.
#[derive(Debug)]
pub struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let first: Option<&dyn std::error::Error> = Some(&error);
        let chain = std::iter::successors(first, |error| error.source());
        Self(chain.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}
