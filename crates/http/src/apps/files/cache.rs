use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::resource::Resource;

/// What nobody has asked for in this time is given up, so that files which were deleted are not kept
/// open for ever.
const UNUSED: Duration = Duration::from_secs(10);

/// How much a worker keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of all files together.
    pub(super) bytes: u64,
    /// How many files, kept open or in memory.
    pub(super) files: usize,
}

/// A worker's files, by the paths that led to them.
#[derive(Clone, Debug)]
pub(super) struct Cache(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    limits: Limits,
    entries: HashMap<Rc<[u8]>, Entry, RandomState>,
    /// The paths again: the next to go is in front, unless it was used meanwhile.
    order: VecDeque<Rc<[u8]>>,
    bytes: u64,
    swept: bool,
}

#[derive(Debug)]
struct Entry {
    resource: Rc<Resource>,
    /// When it was last compared with what is on the disk.
    checked: Cell<Instant>,
    used: Cell<bool>,
}

impl Cache {
    pub(super) fn new(limits: Limits) -> Self {
        let kept = Kept {
            limits,
            entries: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
            swept: false,
        };
        Self(Rc::new(RefCell::new(kept)))
    }

    /// What was kept of a path, and when it was checked.
    pub(super) fn get(&self, path: &[u8]) -> Option<(Rc<Resource>, Instant)> {
        let kept = self.0.borrow();
        let entry = kept.entries.get(path)?;
        entry.used.set(true);
        Some((entry.resource.clone(), entry.checked.get()))
    }

    /// The same is still on the disk.
    pub(super) fn is_fresh(&self, path: &[u8], now: Instant) {
        if let Some(entry) = self.0.borrow().entries.get(path) {
            entry.checked.set(now);
        }
    }

    /// Keeps a file, in the place of what the path led to before.
    pub(super) fn put(&self, path: &[u8], resource: Rc<Resource>, now: Instant) {
        let mut kept = self.0.borrow_mut();
        kept.remove(path);
        if resource.bytes() > kept.limits.bytes || kept.limits.files == 0 {
            return;
        }
        let key: Rc<[u8]> = path.into();
        kept.bytes += resource.bytes();
        let entry = Entry { resource, checked: Cell::new(now), used: Cell::new(false) };
        kept.entries.insert(key.clone(), entry);
        kept.order.push_back(key);
        kept.shrink();
        if !std::mem::replace(&mut kept.swept, true) {
            tokio::task::spawn_local(self.clone().sweep());
        }
    }

    pub(super) fn remove(&self, path: &[u8]) {
        self.0.borrow_mut().remove(path);
    }

    pub(super) fn clear(&self) {
        let mut kept = self.0.borrow_mut();
        kept.entries.clear();
        kept.order.clear();
        kept.bytes = 0;
    }

    async fn sweep(self) {
        let cache = Rc::downgrade(&self.0);
        drop(self);
        loop {
            tokio::time::sleep(UNUSED).await;
            let Some(cache) = cache.upgrade() else { return };
            let mut kept = cache.borrow_mut();
            kept.drop_unused();
            if kept.entries.is_empty() {
                kept.swept = false;
                return;
            }
        }
    }
}

impl Kept {
    fn remove(&mut self, path: &[u8]) {
        if let Some(entry) = self.entries.remove(path) {
            self.bytes -= entry.resource.bytes();
            self.order.retain(|key| **key != *path);
        }
    }

    /// Gives up what goes beyond the limits; what was used since its last turn has one more.
    fn shrink(&mut self) {
        while self.bytes > self.limits.bytes || self.entries.len() > self.limits.files {
            let Some(key) = self.order.pop_front() else { return };
            match self.entries.get(&key) {
                Some(entry) if entry.used.replace(false) => self.order.push_back(key),
                Some(entry) => {
                    self.bytes -= entry.resource.bytes();
                    self.entries.remove(&key);
                }
                None => {}
            }
        }
    }

    fn drop_unused(&mut self) {
        self.entries.retain(|_, entry| entry.used.replace(false));
        let entries = &self.entries;
        self.order.retain(|key| entries.contains_key(key));
        self.bytes = self.entries.values().map(|entry| entry.resource.bytes()).sum();
    }
}
