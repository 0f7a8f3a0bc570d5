use std::time::SystemTime;

use brim_wire::link::Numbered;

use super::Key;

/// Clients' connections that have an id of their own at a time, `conn_id = connection`. Requests of further ones
/// have an id each.
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
    of_connections: Numbered<(Key, u64), u32>,
    /// The same ids, and what is known of them.
    kept: Numbered<u32, Kept>,
    /// The same ids, by link and the exchange whose cancel says that the connection is gone.
    watched: Numbered<(Key, u64), u32>,
}

/// The id of a client's connection.
#[derive(Debug)]
struct Kept {
    connection: (Key, u64),
    watch: Option<u64>,
    /// Who has to hear of its end: of each section, the handler that got something last.
    met: Vec<Met>,
}

/// A section's place, and the handler of it that got something for an id last.
pub(crate) type Met = (usize, Key);

/// An id for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// Of the exchange alone.
    Own(u32),
    /// Of the client's connection, which has none until now.
    First(u32),
    /// Of the client's connection.
    Known(u32),
}

impl Given {
    pub(crate) fn id(self) -> u32 {
        let (Self::Own(id) | Self::First(id) | Self::Known(id)) = self;
        id
    }
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
        let (of_connections, kept, watched) = Default::default();
        Self { next, of_connections, kept, watched }
    }

    /// An id that nobody has: a new one, or that of the client's connection unless it is in use.
    pub(crate) fn give(
        &mut self,
        connection: Option<(Key, u64)>,
        is_used: impl Fn(u32) -> bool,
    ) -> Given {
        let Some(connection) = connection else { return Given::Own(self.next(is_used)) };
        match self.of_connections.get(&connection) {
            Some(known) if !is_used(*known) => return Given::Known(*known),
            None if self.kept.len() < KEPT => {}
            _ => return Given::Own(self.next(is_used)),
        }
        let id = self.next(is_used);
        self.of_connections.insert(connection, id);
        self.kept.insert(id, Kept { connection, watch: None, met: Vec::new() });
        Given::First(id)
    }

    /// A cancel of this exchange says that the connection is gone which has this id.
    pub(crate) fn watch(&mut self, id: u32, exchange: u64) {
        if let Some(kept) = self.kept.get_mut(&id) {
            kept.watch = Some(exchange);
            self.watched.insert((kept.connection.0, exchange), id);
        }
    }

    /// The id of a connection that is gone if this exchange is cancelled.
    pub(crate) fn watched_by(&self, link: Key, exchange: u64) -> Option<u32> {
        self.watched.get(&(link, exchange)).copied()
    }

    /// Whether it is that of a connection.
    pub(crate) fn is_kept(&self, id: u32) -> bool {
        self.kept.contains_key(&id)
    }

    /// Whether it is that of a connection of whose end we shall hear.
    pub(crate) fn is_watched(&self, id: u32) -> bool {
        self.kept.get(&id).is_some_and(|kept| kept.watch.is_some())
    }

    /// A handler got something for an id.
    pub(crate) fn meet(&mut self, id: u32, (place, peer): Met) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        match kept.met.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => *known = peer,
            None => kept.met.push((place, peer)),
        }
    }

    /// The handlers of this section have ended it themselves, and do not have to hear of it.
    pub(crate) fn part(&mut self, id: u32, place: usize) {
        if let Some(kept) = self.kept.get_mut(&id) {
            kept.met.retain(|(known, _)| *known != place);
        }
    }

    /// The id is one of nobody any more; who has to hear of it.
    pub(crate) fn release(&mut self, id: u32) -> Vec<Met> {
        let Some(kept) = self.kept.remove(&id) else { return Vec::new() };
        self.of_connections.remove(&kept.connection);
        if let Some(exchange) = kept.watch {
            self.watched.remove(&(kept.connection.0, exchange));
        }
        kept.met
    }

    /// The ids of a front end's clients.
    pub(crate) fn of_link(&self, link: Key) -> Vec<u32> {
        let of_link = self.kept.iter().filter(|(_, kept)| kept.connection.0 == link);
        of_link.map(|(id, _)| *id).collect()
    }

    fn next(&mut self, is_used: impl Fn(u32) -> bool) -> u32 {
        loop {
            let id = self.next;
            self.next = self.next.wrapping_add(1);
            if id != 0 && id != u32::MAX && !is_used(id) && !self.kept.contains_key(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    impl Ids {
        /// The books agree; how many ids are kept.
        pub(crate) fn check(&self) -> usize {
            for (id, kept) in &self.kept {
                assert_eq!(self.of_connections.get(&kept.connection), Some(id));
                let watched =
                    kept.watch.map(|exchange| self.watched_by(kept.connection.0, exchange));
                assert_eq!(watched.flatten(), kept.watch.map(|_| *id));
            }
            let watched = self.kept.values().filter(|kept| kept.watch.is_some()).count();
            assert_eq!(self.kept.len(), self.of_connections.len());
            assert_eq!(self.watched.len(), watched);
            self.kept.len()
        }
    }

    #[test]
    fn ids_in_use_are_skipped_and_zero_is_none() {
        let mut ids = Ids::from(u32::MAX - 1);
        assert_eq!(ids.give(None, |_| false), Given::Own(u32::MAX - 1));
        assert_eq!(ids.give(None, |id| id == 1), Given::Own(2));
    }

    #[test]
    fn a_connection_keeps_its_id_until_that_is_released() {
        let mut ids = Ids::from(1);
        let (one, two) = (Some((1, 7)), Some((2, 7)));
        assert_eq!(ids.give(one, |_| false), Given::First(1));
        assert_eq!(ids.give(two, |_| false), Given::First(2));
        assert_eq!(ids.give(one, |_| false), Given::Known(1));
        ids.next = 1;
        assert_eq!(ids.give(None, |_| false), Given::Own(3));
        assert_eq!(ids.give(one, |id| id == 1), Given::Own(4));
        assert_eq!(ids.give(one, |_| false), Given::Known(1));
        assert_eq!((ids.of_link(1), ids.of_link(2)), (vec![1], vec![2]));
        assert_eq!(ids.release(2), []);
        assert!(!ids.is_kept(2));
        assert_eq!(ids.give(one, |_| false), Given::Known(1));
        assert_eq!(ids.give(two, |_| false), Given::First(5));
    }

    #[test]
    fn an_id_knows_who_has_to_hear_of_its_end() {
        let mut ids = Ids::from(1);
        ids.meet(1, (0, 10));
        assert_eq!(ids.give(Some((1, 7)), |_| false), Given::First(1));
        assert!(!ids.is_watched(1));
        ids.watch(1, 30);
        assert!(ids.is_watched(1));
        assert_eq!((ids.watched_by(1, 30), ids.watched_by(2, 30)), (Some(1), None));
        [(0, 10), (1, 11), (2, 12), (0, 13)].into_iter().for_each(|met| ids.meet(1, met));
        ids.part(1, 1);
        assert_eq!(ids.release(1), [(0, 13), (2, 12)]);
        assert_eq!(ids.watched_by(1, 30), None);
    }

    #[test]
    fn connections_beyond_the_limit_have_an_id_for_each_request() {
        let mut ids = Ids::from(1);
        for connection in 0..KEPT as u64 {
            assert!(matches!(ids.give(Some((1, connection)), |_| false), Given::First(_)));
        }
        assert!(matches!(ids.give(Some((2, 0)), |_| false), Given::Own(_)));
        assert_eq!(ids.give(Some((1, 0)), |_| false), Given::Known(1));
    }

    #[test]
    fn a_later_process_begins_further_on() {
        let begin = |seconds| Ids::new(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).next;
        assert_eq!(begin(1_001).wrapping_sub(begin(1_000)), 128_000);
    }
}
