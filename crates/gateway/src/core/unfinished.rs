//! Messages that are not whole yet. The shell has their bytes, we have their count and its bound.

use brim_wire::link::Numbered;

use super::link::BrokenLink;
use super::{Core, Key};

/// Bytes of unfinished messages.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    of: Numbered<Key, usize>,
    pub(super) sum: usize,
}

impl Unfinished {
    fn set(&mut self, key: Key, bytes: usize) {
        let before = if bytes == 0 { self.of.remove(&key) } else { self.of.insert(key, bytes) };
        self.sum = self.sum.saturating_sub(before.unwrap_or_default()) + bytes;
    }

    fn longest(&self) -> Option<Key> {
        self.of.iter().max_by_key(|(_, bytes)| **bytes).map(|(key, _)| *key)
    }
}

impl Core {
    /// So much of a message is kept whose end has not come. All of them may take half of `max_memory`, that others
    /// are served beside strangers; beyond it the connection with the longest goes, unless it is the only one.
    pub(crate) fn kept(&mut self, key: Key, bytes: usize) {
        self.unfinished.set(key, bytes);
        while self.unfinished.sum > self.section.max_memory / 2
            && self.unfinished.of.len() > 1
            && let Some(longest) = self.unfinished.longest()
        {
            self.unfinished.set(longest, 0);
            if self.links.contains_key(&longest) {
                self.break_link(longest, &BrokenLink::Unfinished);
            } else if let Some(peer) = self.peers.get(&longest) {
                let what = "a handler is disconnected: too much waits for the ends of messages";
                self.turn_away(peer.handler, &what);
                self.cut(longest);
            }
        }
        self.gauge();
    }
}
