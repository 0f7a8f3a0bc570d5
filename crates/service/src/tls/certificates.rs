use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::{Files, Pair, PairError, Signature};

/// A certificate with less time than this is warned of.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

/// The certificates of a section, as they are now: files that change are picked up.
#[derive(Debug)]
pub(crate) struct Certificates {
    directory: Option<PathBuf>,
    slots: Mutex<Slots>,
    served: RwLock<Served>,
}

/// By name; the pair of `certfile` has none.
type Slots = BTreeMap<Option<Box<str>>, Slot>;

/// What handshakes choose from.
#[derive(Debug, Default)]
struct Served {
    default: Option<Arc<CertifiedKey>>,
    names: HashMap<Box<str>, Arc<CertifiedKey>>,
}

/// A pair of files and what became of it.
#[derive(Debug)]
struct Slot {
    files: Files,
    /// The state of the files that was last loaded, or tried to.
    seen: Option<Signature>,
    /// What is served, whatever the files are now.
    pair: Option<Pair>,
    /// Why the files as they are now are not, and whether somebody was told.
    failure: Option<(PairError, bool)>,
    /// Since when a warning of the expiry has been due.
    warned: Option<SystemTime>,
}

/// What a look at the files found.
#[derive(Debug)]
pub(crate) enum Event {
    /// This certificate is served from now on.
    Serves(PathBuf),
    /// This one no longer is.
    Gone(PathBuf),
    /// These files of `certfile` and `keyfile` (or else of `cert_dir`) cannot be served. What was
    /// served before goes on.
    Fails {
        /// Whether they are those of `certfile`.
        default: bool,
        /// What is wrong.
        why: String,
    },
    /// A certificate that is served has so much time left.
    Expires(PathBuf, Duration),
    /// The directory cannot be read.
    Unreadable(PathBuf, io::Error),
}

impl Certificates {
    /// The pair of `certfile` and those of a directory, of which none is loaded yet.
    pub(crate) fn new(pair: Option<(PathBuf, PathBuf)>, directory: Option<PathBuf>) -> Self {
        let default = pair.map(|(certificate, key)| (None, Slot::new(Files { certificate, key })));
        let slots = Mutex::new(default.into_iter().collect());
        Self { directory, slots, served: RwLock::default() }
    }

    /// Looks at all files, loads what has changed, and serves it if it is good. A pair that is not
    /// may be half written, so that is told at once only when the caller is in a `hurry`, else when it
    /// is found so twice.
    pub(crate) fn look(&self, now: SystemTime, hurry: bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut slots = self.slots();
        if let Some(directory) = &self.directory {
            match names(directory) {
                Ok(names) => fit(&mut slots, directory, names, &mut events),
                Err(error) => events.push(Event::Unreadable(directory.clone(), error)),
            }
        }
        for (name, slot) in &mut *slots {
            slot.look(name.is_none(), hurry, &mut events);
            slot.watch_expiry(now, &mut events);
        }
        if events.iter().any(|event| matches!(event, Event::Serves(_) | Event::Gone(_))) {
            *self.served.write().unwrap_or_else(PoisonError::into_inner) = Served::of(&slots);
        }
        events
    }

    /// Whether there is nothing to serve.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots().values().all(|slot| slot.pair.is_none())
    }

    /// Takes over what another one serves, where the files as they are now cannot be.
    pub(crate) fn inherit(&self, other: &Self) {
        let mut slots = self.slots();
        let old = other.slots();
        for (name, slot) in slots.iter_mut().filter(|(_, slot)| slot.pair.is_none()) {
            let same = old.get(name).filter(|old| old.files == slot.files);
            slot.pair = same.and_then(|old| old.pair.clone());
        }
        drop(old);
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Served::of(&slots);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let named = hello.server_name().and_then(|name| served.find(name));
        named.or(served.default.as_ref()).cloned()
    }
}

impl Served {
    fn of(slots: &Slots) -> Self {
        let mut served = Self::default();
        for (name, slot) in slots {
            match (name, &slot.pair) {
                (None, Some(pair)) => served.default = Some(pair.key.clone()),
                (Some(name), Some(pair)) => {
                    drop(served.names.insert(name.clone(), pair.key.clone()))
                }
                (_, None) => {}
            }
        }
        served
    }

    /// The name's own, or that of all names that differ in the first label.
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        if self.names.is_empty() {
            return None;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.names.get(name.as_str()).or_else(|| {
            let (_, rest) = name.split_once('.')?;
            self.names.get(format!("_.{rest}").as_str())
        })
    }
}

impl Slot {
    fn new(files: Files) -> Self {
        Self { files, seen: None, pair: None, failure: None, warned: None }
    }

    fn look(&mut self, default: bool, hurry: bool, events: &mut Vec<Event>) {
        // Before reading: a change in between is seen the next time.
        let signature = self.files.signature();
        let changed = self.seen.replace(signature) != Some(signature);
        let told = self.failure.as_ref().is_none_or(|(_, told)| *told);
        if !changed && told {
            return;
        }
        match self.files.load() {
            Ok(pair) => {
                self.pair = Some(pair);
                self.failure = None;
                self.warned = None;
                events.push(Event::Serves(self.files.certificate.clone()));
            }
            Err(error) => {
                let tell = hurry || !changed;
                if tell {
                    events.push(Event::Fails { default, why: error.to_string() });
                }
                self.failure = Some((error, tell));
            }
        }
    }

    fn watch_expiry(&mut self, now: SystemTime, events: &mut Vec<Event>) {
        let Some(pair) = &self.pair else { return };
        let expires = UNIX_EPOCH + Duration::from_secs(u64::try_from(pair.expires).unwrap_or(0));
        let left = expires.duration_since(now).unwrap_or_default();
        let quiet = |since: SystemTime| now.duration_since(since).is_ok_and(|time| time < AGAIN);
        if left < SOON && !self.warned.is_some_and(quiet) {
            self.warned = Some(now);
            events.push(Event::Expires(self.files.certificate.clone(), left));
        }
    }
}

/// The names that a directory has files for, `NAME.crt` and `NAME.key`.
fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let file = entry?.file_name();
        let Some(file) = file.to_str().filter(|file| !file.starts_with('.')) else { continue };
        let name = file.strip_suffix(".crt").or_else(|| file.strip_suffix(".key"));
        names.extend(name.map(str::to_owned));
    }
    Ok(names)
}

/// Makes slots for names that are new, and drops those of names without any file.
fn fit(slots: &mut Slots, directory: &Path, names: BTreeSet<String>, events: &mut Vec<Event>) {
    slots.retain(|name, slot| {
        let stem = slot.files.certificate.file_stem().and_then(|stem| stem.to_str());
        let stays = name.is_none() || stem.is_some_and(|stem| names.contains(stem));
        if !stays {
            events.push(Event::Gone(slot.files.certificate.clone()));
        }
        stays
    });
    for name in names {
        let file = |kind: &str| directory.join(format!("{name}.{kind}"));
        let files = Files { certificate: file("crt"), key: file("key") };
        let slot = slots.entry(Some(name.to_ascii_lowercase().into()));
        slot.or_insert_with(|| Slot::new(files));
    }
}
