use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::layout::RollUp;
use crate::snapshot::{Series, Snapshot};

/// The version of the file's layout; a file of another version is not read.
const VERSION: u32 = 1;

/// Why saved counters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// Not the JSON that [`Saved::to_bytes`] writes.
    #[error("not a file of saved counters")]
    Malformed(#[from] serde_json::Error),
    /// Written by another version of Brim.
    #[error("saved counters of version {found}, expected {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
}

/// Counters as a file: names, types and values, so that a process with other names can read it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    stats: BTreeMap<String, SavedSeries>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedSeries {
    roll_up: RollUp,
    values: Vec<u64>,
}

impl Saved {
    /// The file's content for a snapshot.
    pub fn to_bytes(snapshot: &Snapshot) -> Vec<u8> {
        let stats = snapshot.series().iter().map(|series| {
            let saved = SavedSeries { roll_up: series.roll_up, values: series.values.clone() };
            (series.name.clone(), saved)
        });
        let saved = Self { version: VERSION, stats: stats.collect() };
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    /// The snapshot that such a file holds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Snapshot, SavedError> {
        let saved: Self = serde_json::from_slice(bytes)?;
        if saved.version != VERSION {
            return Err(SavedError::Version { found: saved.version });
        }
        let series = saved.stats.into_iter().map(|(name, saved)| Series {
            name,
            roll_up: saved.roll_up,
            values: saved.values,
        });
        Ok(Snapshot::new(series.collect()))
    }
}
