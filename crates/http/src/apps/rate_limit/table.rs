use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use brim_service::ClientKey;

/// Clients that share a place: one of them gives way when a new one comes to a full place.
const WAYS: usize = 8;
/// So many parts of the table, each with a lock of its own.
const SHARDS: usize = 64;

/// What is known about the clients, shared by all workers and bounded in size.
///
/// A client's key leads to one place of [`WAYS`] entries. An entry whose client has its full rate
/// again and nothing in progress is as good as none. In a full place the one that is nearest to
/// that gives way; who has requests in progress never does.
#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<Mutex<Vec<Place>>>,
    /// A key that no client knows, so that nobody can fill a place on purpose.
    hash: RandomState,
    epoch: Instant,
    clients: usize,
}

type Place = Vec<Entry>;

#[derive(Debug)]
struct Entry {
    client: ClientKey,
    /// When the client has its full rate again, from the epoch.
    full: Duration,
    open: u32,
}

/// What a client may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A request's share of time; `None` without a rate.
    pub(super) interval: Option<Duration>,
    pub(super) burst: u32,
    pub(super) concurrent: u32,
}

impl Limits {
    pub(super) fn counts_concurrent(&self) -> bool {
        self.concurrent != u32::MAX
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The rate is used up for this time.
    Rate(Duration),
    /// So many requests are in progress.
    Concurrent,
}

/// A request in progress; dropping it ends that.
#[derive(Debug)]
pub(super) struct Entered {
    table: Arc<Table>,
    client: ClientKey,
}

impl Table {
    pub(super) fn new(clients: usize) -> Self {
        let places = clients.div_ceil(SHARDS * WAYS);
        let shard = || Mutex::new((0..places).map(|_| Place::new()).collect());
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hash: RandomState::new(),
            epoch: Instant::now(),
            clients,
        }
    }

    /// The size that it was made for.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// Does something with a client's place. The lock is held for that, never across an await.
    fn at<T>(&self, client: ClientKey, work: impl FnOnce(&mut Place) -> T) -> Option<T> {
        let hash = usize::try_from(self.hash.hash_one(client) >> 1).unwrap_or_default();
        let shard = self.shards.get(hash % SHARDS)?;
        let mut places = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = places.len().max(1);
        places.get_mut(hash / SHARDS % count).map(work)
    }

    /// A client's request comes. `None` where nothing is to be told when it ends.
    pub(super) fn enter(
        table: &Arc<Self>,
        client: ClientKey,
        limits: &Limits,
        now: Instant,
    ) -> Result<Option<Entered>, Refusal> {
        let now = now.saturating_duration_since(table.epoch);
        let entered = table.at(client, |place| enter(place, client, limits, now));
        let counted = entered.unwrap_or(Ok(false))?;
        Ok(counted.then(|| Entered { table: table.clone(), client }))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.table.at(self.client, |place| {
            if let Some(entry) = place.iter_mut().find(|entry| entry.client == self.client) {
                entry.open = entry.open.saturating_sub(1);
            }
        });
    }
}

/// Whether the request is counted as one in progress.
fn enter(
    place: &mut Place,
    client: ClientKey,
    limits: &Limits,
    now: Duration,
) -> Result<bool, Refusal> {
    let Some(entry) = entry_of(place, client, now) else { return Ok(false) };
    if entry.open >= limits.concurrent {
        return Err(Refusal::Concurrent);
    }
    if let Some(interval) = limits.interval {
        let most = interval.saturating_mul(limits.burst);
        // After a reload the burst may be smaller than what was used of the older one.
        let full = entry.full.max(now).min(now + most) + interval;
        if let Some(wait) = (full - now).checked_sub(most).filter(|wait| !wait.is_zero()) {
            return Err(Refusal::Rate(wait));
        }
        entry.full = full;
    }
    if limits.counts_concurrent() {
        entry.open += 1;
    }
    Ok(limits.counts_concurrent())
}

/// The client's entry, a new one if need be; `None` when all that could give way have requests in
/// progress.
fn entry_of(place: &mut Place, client: ClientKey, now: Duration) -> Option<&mut Entry> {
    let known = place.iter().position(|entry| entry.client == client);
    let index = match known {
        Some(index) => index,
        None => {
            let entry = Entry { client, full: now, open: 0 };
            let idle = place.iter().enumerate().filter(|(_, entry)| entry.open == 0);
            match idle.min_by_key(|(_, entry)| entry.full).map(|(index, entry)| (index, entry.full))
            {
                Some((index, full)) if full <= now || place.len() >= WAYS => {
                    *place.get_mut(index)? = entry;
                    index
                }
                _ if place.len() >= WAYS => return None,
                _ => {
                    place.push(entry);
                    place.len() - 1
                }
            }
        }
    };
    place.get_mut(index)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn client(number: u32) -> ClientKey {
        IpAddr::from(number.to_be_bytes()).into()
    }

    fn limits(interval: Option<Duration>, burst: u32, concurrent: u32) -> Limits {
        Limits { interval, burst, concurrent }
    }

    /// How many of so many requests at once are passed on.
    fn passed(table: &Arc<Table>, limits: &Limits, now: Instant, count: usize) -> usize {
        (0..count).filter(|_| Table::enter(table, client(1), limits, now).is_ok()).count()
    }

    #[test]
    fn a_burst_then_the_rate_and_after_a_pause_the_burst_again() {
        let table = Arc::new(Table::new(1000));
        let (limits, start) = (limits(Some(SECOND / 10), 5, u32::MAX), Instant::now());
        assert_eq!(passed(&table, &limits, start, 20), 5);
        for tenth in 1..50 {
            assert_eq!(passed(&table, &limits, start + SECOND / 10 * tenth, 3), 1, "{tenth}");
        }
        assert_eq!(passed(&table, &limits, start + SECOND * 60, 20), 5);
    }

    #[test]
    fn the_wait_is_what_it_takes_to_be_served() {
        let table = Arc::new(Table::new(1000));
        let (limits, start) = (limits(Some(SECOND * 6), 2, u32::MAX), Instant::now());
        assert_eq!(passed(&table, &limits, start, 2), 2);
        let refusal = Table::enter(&table, client(1), &limits, start).unwrap_err();
        assert_eq!(refusal, Refusal::Rate(SECOND * 6));
        let later = start + SECOND * 4;
        let refusal = Table::enter(&table, client(1), &limits, later).unwrap_err();
        assert_eq!(refusal, Refusal::Rate(SECOND * 2));
        assert_eq!(passed(&table, &limits, start + SECOND * 6, 2), 1);
        assert!(
            Table::enter(&table, client(2), &limits, start).is_ok(),
            "others are not concerned"
        );
    }

    #[test]
    fn one_more_at_the_same_time_is_refused_until_one_ends() {
        let table = Arc::new(Table::new(1000));
        let (limits, now) = (limits(None, 1, 3), Instant::now());
        let enter = |number| Table::enter(&table, client(number), &limits, now);
        let mut open: Vec<_> = (0..3).map(|_| enter(1).unwrap().unwrap()).collect();
        assert_eq!(enter(1).unwrap_err(), Refusal::Concurrent);
        assert!(enter(2).is_ok());
        drop(open.pop());
        open.push(enter(1).unwrap().unwrap());
        assert_eq!(enter(1).unwrap_err(), Refusal::Concurrent);
    }

    #[test]
    fn a_full_table_forgets_who_is_nearest_to_its_full_rate_and_nobody_in_progress() {
        // The place of a table as small as this one is known: all clients share 64 of them.
        let table = Arc::new(Table::new(1));
        let (limits, now) = (limits(Some(SECOND), 2, u32::MAX - 1), Instant::now());
        let shared: Vec<_> = (1..)
            .map(client)
            .filter(|other| {
                let shard = |client| (table.hash.hash_one(client) >> 1) % SHARDS as u64;
                shard(*other) == shard(client(0))
            })
            .take(WAYS + 1)
            .collect();
        let enter = |client| Table::enter(&table, client, &limits, now);
        // The first has used all of its rate, the second half of it, the rest are in progress.
        drop((enter(shared[0]).unwrap(), enter(shared[0]).unwrap()));
        drop(enter(shared[1]).unwrap());
        let open: Vec<_> = shared[2..WAYS].iter().map(|client| enter(*client).unwrap()).collect();
        drop(enter(shared[WAYS]).unwrap());
        assert!(enter(shared[0]).is_err(), "the one that is farther from it is still known");
        assert!(enter(shared[1]).unwrap().is_some(), "the one that is nearest was forgotten");
        drop(open);
    }

    #[test]
    fn where_everybody_is_in_progress_one_more_passes_uncounted() {
        let table = Arc::new(Table::new(1));
        let (limits, now) = (limits(None, 1, 1), Instant::now());
        let entered: Vec<_> = (0..SHARDS as u32 * 100)
            .map(|n| Table::enter(&table, client(n), &limits, now).unwrap())
            .collect();
        assert_eq!(entered.iter().flatten().count(), SHARDS * WAYS);
        let size: usize = table.shards.iter().map(|shard| shard.lock().unwrap()[0].len()).sum();
        assert_eq!(size, SHARDS * WAYS, "the table does not grow");
    }

    #[test]
    fn a_smaller_burst_after_a_reload_forgives_what_was_used_of_the_larger() {
        let table = Arc::new(Table::new(1000));
        let start = Instant::now();
        assert_eq!(passed(&table, &limits(Some(SECOND), 100, u32::MAX), start, 200), 100);
        let smaller = limits(Some(SECOND), 2, u32::MAX);
        let refusal = Table::enter(&table, client(1), &smaller, start).unwrap_err();
        assert_eq!(refusal, Refusal::Rate(SECOND));
    }
}
