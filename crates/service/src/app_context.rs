use std::sync::Arc;

use brim_stats::{Counter, WorkerStats};

use crate::gather::Gather;
use crate::worker::WorkerContext;

/// What an app gets from its worker.
#[derive(Clone, Debug)]
pub struct AppContext {
    stats: WorkerStats,
    gather: Gather,
    worker: usize,
    section: Arc<str>,
}

impl AppContext {
    /// That of a worker's apps.
    pub fn new(context: &WorkerContext) -> Self {
        let WorkerContext { stats, gather, index, section, .. } = context;
        let (stats, gather, section) = (stats.clone(), gather.clone(), section.clone());
        Self { stats, gather, worker: *index, section }
    }

    /// This worker's counter of that name, as declared by the app's `stats_conf`.
    pub fn counter(&self, name: &str) -> Counter {
        self.stats.counter(name)
    }

    /// The stats of all instances.
    pub fn gather(&self) -> &Gather {
        &self.gather
    }

    /// The worker's number, from 0.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The server's section.
    pub fn section(&self) -> &str {
        &self.section
    }
}
