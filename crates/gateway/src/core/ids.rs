use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use super::Key;

/// Clients' connections whose ids are kept while they have no request, `conn_id = connection`.
const KEPT: usize = 65_536;
/// How many ids the place where a process begins moves on in a millisecond.
const PER_MILLISECOND: u64 = 128;

/// Ids below 2^32, as handlers get them.
///
/// A process begins where none before it can have come within nine hours, unless they gave out more than
/// 128,000 a second: a reply to somebody before a restart does not reach anybody after it.
#[derive(Debug)]
pub(crate) struct Ids {
    next: u32,
    /// The ids of clients' connections, by link and connection.
    kept: HashMap<(Key, u64), u32>,
    /// The same ids.
    taken: HashSet<u32>,
}

impl Ids {
    /// For a process that begins now.
    pub(crate) fn new(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or_default();
        let [_, _, _, _, a, b, c, d] = milliseconds.wrapping_mul(PER_MILLISECOND).to_be_bytes();
        Self::from(u32::from_be_bytes([a, b, c, d]))
    }

    fn from(next: u32) -> Self {
        Self { next, kept: HashMap::new(), taken: HashSet::new() }
    }

    /// An id that nobody has: a new one, or that of the client's connection unless it is in use.
    pub(crate) fn give(
        &mut self,
        connection: Option<(Key, u64)>,
        is_used: impl Fn(u32) -> bool,
    ) -> u32 {
        let Some(connection) = connection else { return self.next(is_used) };
        if let Some(known) = self.kept.get(&connection).filter(|known| !is_used(**known)) {
            return *known;
        }
        if self.kept.len() >= KEPT {
            self.kept.retain(|_, id| is_used(*id));
            self.taken.retain(|id| is_used(*id));
        }
        let id = self.next(is_used);
        if let Some(before) = self.kept.insert(connection, id) {
            self.taken.remove(&before);
        }
        self.taken.insert(id);
        id
    }

    /// A front end's connection is gone, and with it its clients.
    pub(crate) fn forget(&mut self, link: Key) {
        let taken = &mut self.taken;
        self.kept.retain(|(of, _), id| *of != link || !taken.remove(id));
    }

    fn next(&mut self, is_used: impl Fn(u32) -> bool) -> u32 {
        loop {
            let id = self.next;
            self.next = self.next.wrapping_add(1);
            if id != 0 && id != u32::MAX && !is_used(id) && !self.taken.contains(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_in_use_are_skipped_and_zero_is_none() {
        let mut ids = Ids::from(u32::MAX - 1);
        assert_eq!(ids.give(None, |_| false), u32::MAX - 1);
        assert_eq!(ids.give(None, |id| id == 1), 2);
    }

    #[test]
    fn a_connection_keeps_its_id_until_its_link_is_gone() {
        let mut ids = Ids::from(1);
        let (one, two) = (Some((1, 7)), Some((2, 7)));
        assert_eq!(ids.give(one, |_| false), 1);
        assert_eq!(ids.give(two, |_| false), 2);
        assert_eq!(ids.give(one, |_| false), 1);
        ids.next = 1;
        assert_eq!(ids.give(None, |_| false), 3);
        assert_eq!(ids.give(one, |id| id == 1), 4);
        ids.forget(2);
        assert_eq!(ids.give(one, |_| false), 4);
        assert_eq!(ids.give(two, |_| false), 5);
    }

    #[test]
    fn a_later_process_begins_further_on() {
        let begin = |seconds| Ids::new(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).next;
        assert_eq!(begin(1_001).wrapping_sub(begin(1_000)), 128_000);
    }
}
