//! Brim's counters: named `u64`s, one cell per worker, rolled up when somebody asks.
//!
//! The way of a figure, each step one file:
//!
//! 1. [`layout`]: names and roll-up types, fixed before the workers start.
//! 2. [`registry`]: the cells. A worker writes its own and no other's, so nothing is locked.
//! 3. [`snapshot`]: what they say at one moment; totals, per worker, Brim's JSON.
//! 4. [`saved`]: the same as a small file that survives the process.
//!
//! No I/O, no clock: times and bytes are arguments.
#![forbid(unsafe_code)]

mod layout;
mod registry;
mod saved;
mod snapshot;

pub use layout::{Layout, RollUp, RollUpConflict, Stat, UnknownRollUp};
pub use registry::{Counter, Registry, WorkerStats};
pub use saved::{Saved, SavedError};
pub use snapshot::{Snapshot, report};
