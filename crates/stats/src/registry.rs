use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::{Layout, RollUp};
use crate::snapshot::{Series, Snapshot};

/// One value of one worker, alone on its cache line: two workers never write to the same one.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

/// A handle to one worker's value of one name.
///
/// Only that worker writes; hence load and store instead of a locked addition. All operations wrap
/// at 2^64.
#[derive(Clone, Debug)]
pub struct Counter(Arc<Cell>);

impl Counter {
    /// Adds 1.
    pub fn incr(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.0.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }
}

/// One worker's cells, by name.
#[derive(Clone, Debug, Default)]
pub struct WorkerStats {
    cells: Arc<BTreeMap<String, Counter>>,
}

impl WorkerStats {
    /// The counter of this name; one that nobody reads where the name was never declared.
    pub fn counter(&self, name: &str) -> Counter {
        self.cells.get(name).cloned().unwrap_or_else(|| Counter(Arc::default()))
    }
}

/// All cells of an instance: the names of its layout times its workers.
#[derive(Clone, Debug)]
pub struct Registry {
    layout: Layout,
    workers: Vec<WorkerStats>,
}

impl Registry {
    /// Zeroed cells for this many workers, named "0", "1", ...
    pub fn new(layout: Layout, workers: usize) -> Self {
        Self::default_for(layout, vec![WorkerStats::default(); workers])
    }

    /// A registry with another layout that goes on with the cells of the names both have, so that
    /// those who still hold a counter of the old one (requests that outlive a reload) are counted.
    pub fn with_layout(&self, layout: Layout) -> Self {
        Self::default_for(layout, self.workers.clone())
    }

    fn default_for(layout: Layout, old: Vec<WorkerStats>) -> Self {
        let workers = old
            .into_iter()
            .map(|old| WorkerStats {
                cells: Arc::new(
                    layout.iter().map(|(name, _)| (name.to_owned(), old.counter(name))).collect(),
                ),
            })
            .collect();
        Self { layout, workers }
    }

    /// The cells of one worker; cells that nobody reads for a worker that does not exist.
    pub fn worker(&self, index: usize) -> WorkerStats {
        self.workers.get(index).cloned().unwrap_or_default()
    }

    /// The names and types.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What all cells say now.
    pub fn snapshot(&self) -> Snapshot {
        let series = self.layout.iter().map(|(name, roll_up)| Series {
            name: name.to_owned(),
            roll_up,
            values: self.workers.iter().map(|worker| worker.counter(name).get()).collect(),
        });
        Snapshot::new(series.collect())
    }

    /// Puts the values of an earlier life into the cells, where name and type are the same.
    ///
    /// Values of workers that no longer exist are folded into worker 0, so that totals stay;
    /// values of type `worker` are left alone, since they speak of a process that is gone.
    pub fn restore(&self, earlier: &Snapshot) {
        for series in earlier.series() {
            let known = self.layout.iter().any(|(name, roll_up)| {
                name == series.name && roll_up == series.roll_up && roll_up != RollUp::Worker
            });
            if !known || self.workers.is_empty() {
                continue;
            }
            let kept = series.values.len().min(self.workers.len());
            let (own, gone) = series.values.split_at(kept);
            for (worker, value) in self.workers.iter().zip(own) {
                worker.counter(&series.name).set(*value);
            }
            if !gone.is_empty() {
                let first = self.worker(0).counter(&series.name);
                let values = gone.iter().copied().chain([first.get()]);
                first.set(series.roll_up.total(values).unwrap_or_default());
            }
        }
    }
}
