//! What the bus may ask for, kept where every thread can read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use brim_config::SectionName;
use brim_stats::{Layout, Registry, Snapshot};
use serde_json::{Map, Value};

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    /// The configuration is wrong: the sockets are held and clients are turned away.
    Holding,
    Running,
    Reloading,
    Draining,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Holding => "holding",
            Self::Running => "running",
            Self::Reloading => "reloading",
            Self::Draining => "draining",
        })
    }
}

/// What changes while the instance lives.
#[derive(Debug)]
pub(crate) struct Face {
    pub(crate) state: State,
    pub(crate) workers: u32,
    /// The addresses that are open.
    pub(crate) listeners: Vec<String>,
    /// Every section that the configuration names, for `/stats` to list the idle ones too.
    pub(crate) configured: Vec<String>,
}

/// An instance as the bus shows it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: SectionName,
    /// Epoch seconds.
    pub(crate) start_time: u64,
    face: Mutex<Face>,
    registry: RwLock<Registry>,
}

impl Shared {
    pub(crate) fn new(name: SectionName) -> Self {
        let (listeners, configured) = (Vec::new(), Vec::new());
        Self {
            name,
            start_time: crate::epoch_seconds(),
            face: Mutex::new(Face { state: State::Starting, workers: 0, listeners, configured }),
            registry: RwLock::new(Registry::new(Layout::default(), 0)),
        }
    }

    pub(crate) fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry(&self) -> Registry {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_registry(&self, registry: Registry) {
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = registry;
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.registry().snapshot()
    }

    /// Our own section of Brim's stats document.
    pub(crate) fn own_section(&self) -> BTreeMap<String, Map<String, Value>> {
        BTreeMap::from([(self.name.section(), self.snapshot().to_json())])
    }
}
