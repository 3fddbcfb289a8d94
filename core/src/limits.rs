//! Limits on how often something may happen: requests, movements, and guesses at a password.
//!
//! The generic cell rate algorithm (ITU-T I.371): each key remembers one moment, the time at which its bucket is full
//! again. Written out because a guess that turns out right is given back, and a movement that is refused never counts,
//! which the crates for this do not do.

pub mod movements;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keys that are looked up at the same time seldom meet in one of so many maps.
const SHARDS: usize = 16;
/// Keys that one map remembers; while it is full, new ones have to wait. Idle ones are forgotten twice a second.
const MAX_KEYS: usize = 65_536;

/// A burst of requests is this many seconds' worth of them.
const BURST_SECONDS: u32 = 4;

/// `burst` at once, then one every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub burst: u32,
    pub interval: Duration,
}

impl Quota {
    /// `count` at once, and as many again in each `period`; None for any number, which a `count` of 0 stands for.
    pub fn per(period: Duration, count: u32) -> Option<Self> {
        period.checked_div(count).map(|interval| Self { burst: count, interval })
    }

    /// So many a second, `BURST_SECONDS` worth of them at once; None for any number, which 0 stands for.
    pub fn per_second(count: u32) -> Option<Self> {
        let quota = Self::per(Duration::from_secs(1), count)?;
        Some(Self { burst: count.saturating_mul(BURST_SECONDS), ..quota })
    }

    fn capacity(self) -> Duration {
        self.interval * self.burst
    }
}

/// The rest of a quota, for the headers of draft-ietf-httpapi-ratelimit-headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub quota: Quota,
    pub remaining: u32,
    /// Until there is one more, or until the first one when none remains.
    pub reset: Duration,
}

/// A quota for each key.
pub struct Limiter<K> {
    quota: Quota,
    shards: [Mutex<HashMap<K, Cell>>; SHARDS],
    hasher: RandomState,
}

/// The state of a key.
#[derive(Clone, Copy)]
struct Cell {
    /// When the quota is whole again, apart from what is acquired.
    full_at: Instant,
    /// Acquired for work under way, until it is known how much of it counts.
    acquired: u32,
    /// The count that is not [stored](Limiter::take_unsaved) yet.
    unsaved: u32,
}

impl Cell {
    fn is_idle(&self, now: Instant) -> bool {
        self.full_at <= now && self.acquired == 0
    }
}

impl<K: Hash + Eq> Limiter<K> {
    pub fn new(quota: Quota) -> Self {
        Self { quota, shards: Default::default(), hasher: RandomState::new() }
    }

    /// Takes one of the key's quota. `Err` when there is none; then nothing is taken.
    pub fn take(&self, key: K, now: Instant) -> Result<Allowance, Allowance> {
        self.take_many(key, 1, now)
    }

    /// Takes so many of the key's quota, or nothing.
    pub fn take_many(&self, key: K, count: u32, now: Instant) -> Result<Allowance, Allowance> {
        self.change(key, count, now, |cell, interval| cell.full_at += interval * count)
    }

    /// Acquires so many of the key's quota for work under way, or nothing. Each acquisition must be
    /// [settled](Self::settle). An acquired part of the quota does not come back with time, so that no order of
    /// acquiring and settling makes more count than the quota.
    pub fn acquire(&self, key: K, count: u32, now: Instant) -> Result<Allowance, Allowance> {
        self.change(key, count, now, |cell, _| cell.acquired += count)
    }

    /// Settles `acquired`, of which `used` count.
    pub fn settle(&self, key: &K, acquired: u32, used: u32, now: Instant) {
        let mut cells = self.shard(key);
        if let Some(cell) = cells.get_mut(key) {
            cell.acquired = cell.acquired.saturating_sub(acquired);
            cell.full_at = cell.full_at.max(now) + self.quota.interval * used;
            cell.unsaved = cell.unsaved.saturating_add(used);
        }
    }

    /// Gives back what was taken.
    pub fn give_back(&self, key: &K) {
        let mut cells = self.shard(key);
        if let Some(cell) = cells.get_mut(key) {
            cell.full_at = cell.full_at.checked_sub(self.quota.interval).unwrap_or(cell.full_at);
        }
    }

    /// Drops the keys whose quota is whole again.
    pub fn drop_idle(&self, now: Instant) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, cell| !cell.is_idle(now));
        }
    }

    /// Changes the key's cell if `count` more are in its quota.
    fn change(
        &self,
        key: K,
        count: u32,
        now: Instant,
        change: impl FnOnce(&mut Cell, Duration),
    ) -> Result<Allowance, Allowance> {
        let mut cells = self.shard(&key);
        let Quota { interval, .. } = self.quota;
        let known = cells.get(&key).copied();
        if known.is_none() && cells.len() >= MAX_KEYS {
            return Err(Allowance { quota: self.quota, remaining: 0, reset: interval });
        }
        let mut cell = known.unwrap_or(Cell { full_at: now, acquired: 0, unsaved: 0 });
        cell.full_at = cell.full_at.max(now);
        let used = (cell.full_at - now) + interval * cell.acquired;
        let remaining = |used| {
            let left = self.quota.capacity().saturating_sub(used);
            (left.as_nanos() / interval.as_nanos().max(1)) as u32
        };
        let wanted = used + interval * count;
        if wanted > self.quota.capacity() {
            let reset = wanted - self.quota.capacity();
            return Err(Allowance { quota: self.quota, remaining: remaining(used), reset });
        }
        change(&mut cell, interval);
        cells.insert(key, cell);
        Ok(Allowance { quota: self.quota, remaining: remaining(wanted), reset: interval })
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, Cell>> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// Takes the counts that are not stored yet and are at least `at_least`, of at most `limit` keys.
    pub fn take_unsaved(&self, at_least: u32, limit: usize) -> Vec<(K, u32)> {
        let mut unsaved = Vec::new();
        for shard in &self.shards {
            let mut cells = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let enough = cells.iter_mut().filter(|(_, cell)| cell.unsaved >= at_least.max(1));
            let room = limit - unsaved.len();
            unsaved.extend(enough.take(room).map(|(key, cell)| (key.clone(), std::mem::take(&mut cell.unsaved))));
        }
        unsaved
    }

    /// Sets what is known of a key from elsewhere: its quota is whole at `full_at`, but for what has counted here
    /// since.
    pub fn set_full_at(&self, key: K, full_at: Instant) {
        let mut cells = self.shard(&key);
        if cells.len() < MAX_KEYS || cells.contains_key(&key) {
            let cell = cells.entry(key).or_insert(Cell { full_at, acquired: 0, unsaved: 0 });
            cell.full_at = full_at + self.quota.interval * cell.unsaved;
        }
    }

    /// Puts back a count that was [taken](Self::take_unsaved) and could not be stored.
    pub fn put_back_unsaved(&self, key: &K, count: u32) {
        if let Some(cell) = self.shard(key).get_mut(key) {
            cell.unsaved = cell.unsaved.saturating_add(count);
        }
    }
}

/// The limits that a caller can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Requests from one network.
    Address,
    /// Requests of one caller.
    Caller,
    /// Requests for `/livez` and `/readyz` from one network.
    Probes,
    /// Requests for `/metrics` from one network.
    Metrics,
    /// Writes of one caller beside the money, in a day.
    Changes,
    /// People and accounts that one person looks at, in a day.
    Looks,
    /// Names that one person has compared with those of accounts' owners, in an hour.
    NameChecks,
    /// New customers from one network, in an hour.
    SignUps,
    /// Links to set a password that one network has asked for, in an hour.
    Resets,
    /// Links by which one user verifies an address, in an hour.
    AddressChecks,
    /// Wrong passwords at sign-in.
    Guesses,
    /// Wrong codes at sign-in.
    Codes,
    /// Complete sign-ins of one user.
    SignIns,
    /// Accounts that one owner opens, in a day.
    Openings,
    /// Movements of one caller, in a short time.
    Movements,
    /// Movements of one caller, in a day.
    MovementsOfDay,
}

/// Something was asked for too often; nothing of it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit {policy:?} is reached")]
pub struct Exceeded {
    pub policy: Policy,
    pub allowance: Allowance,
}

/// A quota for each key; or any number.
pub struct RequestLimit<K> {
    pub policy: Policy,
    limiter: Option<Limiter<K>>,
}

impl<K: Hash + Eq> RequestLimit<K> {
    /// Without a quota there may be any number.
    pub fn new(policy: Policy, quota: Option<Quota>) -> Self {
        Self { policy, limiter: quota.map(Limiter::new) }
    }

    /// Takes one. None when there is no limit.
    pub fn take(&self, key: K) -> Result<Option<Allowance>, Exceeded> {
        self.take_many(key, 1)
    }

    /// Takes as many as something costs, or nothing. What costs more than the whole quota takes that.
    pub fn take_many(&self, key: K, count: u32) -> Result<Option<Allowance>, Exceeded> {
        let Some(limiter) = &self.limiter else { return Ok(None) };
        let count = count.min(limiter.quota.burst);
        let taken = limiter.take_many(key, count, Instant::now());
        taken.map(Some).map_err(|allowance| Exceeded { policy: self.policy, allowance })
    }

    pub fn drop_idle(&self, now: Instant) {
        if let Some(limiter) = &self.limiter {
            limiter.drop_idle(now);
        }
    }
}

/// The address that limits go by: of IPv6 the first 64 bits, because one customer of a provider has all the rest.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUOTA: Quota = Quota { burst: 3, interval: Duration::from_secs(10) };

    #[test]
    fn a_burst_and_then_one_per_interval() {
        let limiter = Limiter::new(QUOTA);
        let start = Instant::now();
        for remaining in [2, 1, 0] {
            assert_eq!(limiter.take("a", start).map(|allowance| allowance.remaining), Ok(remaining));
        }
        let refused = limiter.take("a", start + Duration::from_secs(4)).expect_err("nothing left");
        assert_eq!((refused.remaining, refused.reset), (0, Duration::from_secs(6)));
        assert!(limiter.take("b", start).is_ok());
        assert!(limiter.take("a", start + Duration::from_secs(10)).is_ok());
        assert!(limiter.take("a", start + Duration::from_secs(10)).is_err());
        limiter.give_back(&"a");
        assert!(limiter.take("a", start + Duration::from_secs(10)).is_ok());
    }

    #[test]
    fn what_is_whole_again_is_dropped() {
        let limiter = Limiter::new(QUOTA);
        let start = Instant::now();
        let _ = limiter.take("a", start);
        limiter.drop_idle(start + Duration::from_secs(5));
        assert_eq!(limiter.shard(&"a").len(), 1);
        limiter.drop_idle(start + Duration::from_secs(10));
        assert_eq!(limiter.shard(&"a").len(), 0);
    }

    #[test]
    fn limits_go_by_network() {
        let network = |text: &str| network_of(text.parse().expect("an address")).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn an_acquired_part_stays_taken_until_it_is_settled() {
        let limiter = Limiter::new(QUOTA);
        let start = Instant::now();
        assert_eq!(limiter.acquire("a", 3, start).map(|allowance| allowance.remaining), Ok(0));
        // Time brings nothing back of what is acquired.
        let later = start + Duration::from_secs(60);
        assert!(limiter.take("a", later).is_err());
        limiter.drop_idle(later);
        limiter.settle(&"a", 3, 1, later);
        assert_eq!(limiter.take_many("a", 3, later).map_err(|refused| refused.remaining), Err(2));
        assert!(limiter.take_many("a", 2, later).is_ok());
        assert!(limiter.take_many("b", 4, start).is_err());
    }

    #[test]
    fn what_counts_is_handed_out_to_be_stored_once() {
        let limiter = Limiter::new(QUOTA);
        let start = Instant::now();
        for key in ["a", "b"] {
            let _ = limiter.acquire(key, 2, start);
            limiter.settle(&key, 2, 2, start);
        }
        let _ = limiter.acquire("c", 1, start);
        limiter.settle(&"c", 1, 1, start);
        let mut unsaved = limiter.take_unsaved(2, 10);
        unsaved.sort_unstable();
        assert_eq!(unsaved, [("a", 2), ("b", 2)]);
        assert_eq!(limiter.take_unsaved(1, 10), [("c", 1)]);
        // Another instance has used one, too.
        limiter.set_full_at("a", start + Duration::from_secs(30));
        assert!(limiter.take("a", start).is_err());
        limiter.set_full_at("d", start + Duration::from_secs(20));
        assert!(limiter.take("d", start).is_ok());
        assert!(limiter.take("d", start).is_err());
    }

    proptest! {
        /// At any times, any part is acquired, and any part of that counts in the end.
        #[test]
        fn what_counts_is_never_more_than_the_burst_and_the_rate(
            steps in prop::collection::vec((0u64..20_000, 1u32..4, 0u32..4, any::<bool>()), 1..200)
        ) {
            let limiter = Limiter::new(QUOTA);
            let start = Instant::now();
            let (mut now, mut counted, mut under_way) = (start, 0, Vec::new());
            for (gap, count, used, ends) in steps {
                now += Duration::from_millis(gap);
                if limiter.acquire((), count, now).is_ok() {
                    under_way.push((count, used.min(count)));
                }
                if ends && let Some((count, used)) = under_way.pop() {
                    limiter.settle(&(), count, used, now);
                    counted += u64::from(used);
                }
                let allowed = u64::from(QUOTA.burst) + (now - start).as_secs() / QUOTA.interval.as_secs();
                prop_assert!(counted <= allowed, "{counted} of {allowed}");
            }
        }

        #[test]
        fn never_more_than_the_burst_and_the_rate(gaps in prop::collection::vec(0u64..20_000, 1..200)) {
            let limiter = Limiter::new(QUOTA);
            let start = Instant::now();
            let mut now = start;
            let mut taken = 0;
            for gap in gaps {
                now += Duration::from_millis(gap);
                taken += u64::from(limiter.take((), now).is_ok());
                let allowed = u64::from(QUOTA.burst) + (now - start).as_secs() / QUOTA.interval.as_secs();
                prop_assert!(taken <= allowed, "{taken} of {allowed}");
            }
        }
    }
}
