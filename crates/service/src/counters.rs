//! Counters that survive the process: a small file in the instance's preserved runtime directory.

use std::path::PathBuf;

use brim_stats::{Registry, Saved};

/// Where the counters are kept; nowhere without a runtime directory.
pub(crate) struct CounterFile(Option<PathBuf>);

impl CounterFile {
    /// In the first directory of `RUNTIME_DIRECTORY`.
    pub(crate) fn from_environment() -> Self {
        let directory = crate::first_directory("RUNTIME_DIRECTORY");
        Self(directory.map(|directory| directory.join("counters")))
    }

    /// Puts what the file says into the registry. A file that is not readable costs a warning.
    pub(crate) fn restore(&self, registry: &Registry) {
        let Some(path) = &self.0 else { return };
        match std::fs::read(path) {
            Ok(bytes) => match Saved::from_bytes(&bytes) {
                Ok(snapshot) => registry.restore(&snapshot),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "counters start from zero");
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "counters start from zero");
            }
        }
    }

    /// Writes the file anew; a reader sees the old or the new one, never half of it.
    pub(crate) fn save(&self, registry: &Registry) {
        let Some(path) = &self.0 else { return };
        let next = path.with_extension("new");
        let written = std::fs::write(&next, Saved::to_bytes(&registry.snapshot()))
            .and_then(|()| std::fs::rename(&next, path));
        if let Err(error) = written {
            tracing::debug!(path = %path.display(), %error, "counters were not saved");
        }
    }
}
