//! What the bus may ask for, kept where every thread can read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use brim_config::SectionName;
use brim_stats::{Layout, Registry, Snapshot};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::gather::Sections;

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
    /// What the program says of itself.
    pub(crate) said: Option<String>,
    /// Daemons whose figures are shown here, with their states in systemd's words.
    pub(crate) daemons: BTreeMap<String, String>,
}

/// An instance as the bus shows it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: SectionName,
    /// Epoch seconds.
    pub(crate) start_time: u64,
    /// The program has said something new.
    pub(crate) news: Notify,
    /// There are other daemons than before.
    pub(crate) daemons_change: Notify,
    face: Mutex<Face>,
    registry: RwLock<Registry>,
}

impl Shared {
    pub(crate) fn new(name: SectionName) -> Self {
        let (state, workers) = (State::Starting, 0);
        let (listeners, configured, daemons) = (Vec::new(), Vec::new(), BTreeMap::new());
        let face = Face { state, workers, listeners, configured, said: None, daemons };
        Self {
            name,
            start_time: crate::epoch_seconds(),
            news: Notify::new(),
            daemons_change: Notify::new(),
            face: Mutex::new(face),
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

    /// The instance's figures, or those of one of its daemons.
    pub(crate) fn snapshot(&self, daemon: Option<&str>) -> Snapshot {
        let all = self.registry().snapshot();
        let face = self.face();
        match daemon {
            Some(daemon) => all.part(daemon),
            None => face.daemons.keys().fold(all, |rest, daemon| rest.without_part(daemon)),
        }
    }

    /// Our own section of Brim's stats document. A daemon stands in it like a worker.
    pub(crate) fn own_section(&self) -> Sections {
        let mut section = self.snapshot(None).to_json();
        let daemons: Vec<_> = self.face().daemons.keys().cloned().collect();
        section.extend(daemons.into_iter().map(|daemon| {
            let figures = self.daemon_section(&daemon);
            (daemon, Value::Object(figures))
        }));
        BTreeMap::from([(self.name.section(), section)])
    }

    /// The figures of one daemon: all that are not 0.
    pub(crate) fn daemon_section(&self, daemon: &str) -> Map<String, Value> {
        let totals = self.snapshot(Some(daemon)).totals().into_iter();
        totals.filter(|(_, value)| *value != 0).map(|(name, value)| (name, value.into())).collect()
    }

    /// Takes over which daemons there are. Those that stay keep their states.
    pub(crate) fn set_daemons(&self, names: &[String]) {
        let mut face = self.face();
        let mut old = std::mem::take(&mut face.daemons);
        let kept = names.iter().map(|name| (name.clone(), old.remove(name).unwrap_or_default()));
        face.daemons = kept.collect();
        drop(face);
        self.daemons_change.notify_one();
    }
}
