//! How many connections each client has open, and how many it may have.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brim_config::TrustedProxies;

use crate::client::ClientKey;
use crate::sockets::PeerAddress;

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;
/// Clients that are told at the same time that they have too many connections.
const TOLD_AT_ONCE: usize = 256;

/// The open connections by client. There are no more entries than connections.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    shards: [Mutex<HashMap<ClientKey, usize>>; SHARDS],
    hash: RandomState,
    policy: Mutex<Policy>,
    told: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Policy {
    limit: Option<usize>,
    exempt: TrustedProxies,
}

/// Somebody is being told that there are too many of his connections, as long as this lives.
#[derive(Debug)]
pub struct RefusalTurn(Arc<AtomicUsize>);

impl Drop for RefusalTurn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clients {
    pub(crate) fn set_limit(&self, limit: Option<usize>, exempt: TrustedProxies) {
        *lock(&self.policy) = Policy { limit, exempt };
    }

    fn shard(&self, client: ClientKey) -> MutexGuard<'_, HashMap<ClientKey, usize>> {
        let hash = usize::try_from(self.hash.hash_one(client) % SHARDS as u64).unwrap_or_default();
        lock(&self.shards[hash])
    }

    /// Counts a connection in; for whom, unless that does not matter. `Err`: the client has as many
    /// as it may have, and may be told so if there is a turn.
    pub(super) fn enter(
        &self,
        peer: PeerAddress,
    ) -> Result<Option<ClientKey>, Option<RefusalTurn>> {
        let Some(ip) = peer.map(|peer| peer.ip()) else { return Ok(None) };
        let limit = {
            let policy = lock(&self.policy);
            policy.limit.filter(|_| !policy.exempt.trusts(Some(ip)))
        };
        let client = ClientKey::from(ip);
        let mut shard = self.shard(client);
        let open = shard.entry(client).or_default();
        if limit.is_some_and(|limit| *open >= limit) {
            return Err(self.turn());
        }
        // Counted without a limit, too: a reload may bring one.
        *open += 1;
        Ok(Some(client))
    }

    pub(super) fn leave(&self, client: ClientKey) {
        let mut shard = self.shard(client);
        if let Some(open) = shard.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                shard.remove(&client);
            }
        }
    }

    /// Only the acceptor takes turns, so looking first is safe.
    fn turn(&self) -> Option<RefusalTurn> {
        (self.told.load(Ordering::Relaxed) < TOLD_AT_ONCE).then(|| {
            self.told.fetch_add(1, Ordering::Relaxed);
            RefusalTurn(self.told.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> PeerAddress {
        Some((ip.parse::<std::net::IpAddr>().unwrap(), 1).into())
    }

    fn trusted(network: &str) -> TrustedProxies {
        TrustedProxies { networks: vec![network.parse().unwrap()], unix: false }
    }

    #[test]
    fn one_more_than_the_limit_is_refused_until_one_leaves() {
        let clients = Clients::default();
        clients.set_limit(Some(2), TrustedProxies::default());
        let first = clients.enter(peer("192.0.2.1")).unwrap().unwrap();
        clients.enter(peer("::ffff:192.0.2.1")).unwrap().unwrap();
        assert!(clients.enter(peer("192.0.2.1")).is_err());
        assert!(clients.enter(peer("192.0.2.2")).is_ok());
        clients.leave(first);
        assert!(clients.enter(peer("192.0.2.1")).is_ok());
        for host in ["2001:db8::1", "2001:db8::2"] {
            assert!(clients.enter(peer(host)).is_ok());
        }
        assert!(clients.enter(peer("2001:db8::3")).is_err());
    }

    #[test]
    fn unix_peers_and_trusted_proxies_have_no_limit() {
        let clients = Clients::default();
        clients.set_limit(Some(1), trusted("10.0.0.0/8"));
        for _ in 0..3 {
            assert!(clients.enter(None).unwrap().is_none());
            assert!(clients.enter(peer("10.1.2.3")).is_ok());
        }
        clients.set_limit(Some(1), TrustedProxies::default());
        assert!(clients.enter(peer("10.1.2.3")).is_err(), "they were counted all the same");
    }

    #[test]
    fn nothing_is_left_of_those_who_left_and_turns_are_bounded() {
        let clients = Clients::default();
        let keys: Vec<_> =
            (0..100).map(|n| clients.enter(peer(&format!("192.0.2.{n}"))).unwrap()).collect();
        keys.into_iter().flatten().for_each(|client| clients.leave(client));
        assert!(clients.shards.iter().all(|shard| lock(shard).is_empty()));
        let turns: Vec<_> = (0..TOLD_AT_ONCE).map(|_| clients.turn()).collect();
        assert!(turns.iter().all(Option::is_some) && clients.turn().is_none());
        drop(turns);
        assert!(clients.turn().is_some());
    }
}
