//! Limits on how often: of requests, and of guesses at a password.
//!
//! The generic cell rate algorithm (ITU-T I.371): each key remembers one moment, the time at which its bucket is full
//! again. Written out because a guess that turns out right is given back, which the crates for this do not do.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

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

/// What is left of a quota, for the headers of draft-ietf-httpapi-ratelimit-headers.
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
    shards: [Mutex<HashMap<K, Instant>>; SHARDS],
    hasher: RandomState,
}

impl<K: Hash + Eq> Limiter<K> {
    pub fn new(quota: Quota) -> Self {
        Self { quota, shards: Default::default(), hasher: RandomState::new() }
    }

    /// Takes one of the key's quota. `Err` when there is none; then nothing is taken.
    pub fn take(&self, key: K, now: Instant) -> Result<Allowance, Allowance> {
        let mut full_at = self.shard(&key);
        let Quota { burst, interval } = self.quota;
        if full_at.len() >= MAX_KEYS && !full_at.contains_key(&key) {
            return Err(Allowance { quota: self.quota, remaining: 0, reset: interval });
        }
        let known = full_at.get(&key).copied().filter(|moment| *moment > now).unwrap_or(now);
        let used = known - now;
        let capacity = interval * burst;
        if used + interval > capacity {
            return Err(Allowance { quota: self.quota, remaining: 0, reset: used + interval - capacity });
        }
        full_at.insert(key, known + interval);
        let left = capacity - used - interval;
        let remaining = (left.as_nanos() / interval.as_nanos().max(1)) as u32;
        Ok(Allowance { quota: self.quota, remaining, reset: interval })
    }

    /// Gives back what was taken.
    pub fn give_back(&self, key: &K) {
        let mut full_at = self.shard(key);
        if let Some(moment) = full_at.get_mut(key) {
            *moment = moment.checked_sub(self.quota.interval).unwrap_or(*moment);
        }
    }

    /// Forgets the keys whose quota is whole again.
    pub fn forget_idle(&self, now: Instant) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, moment| *moment > now);
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, Instant>> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests a second for each key, `BURST_SECONDS` worth at once, or any number of them.
pub struct RequestLimit<K> {
    /// How the limit is called in the headers.
    pub policy: &'static str,
    detail: &'static str,
    limiter: Option<Limiter<K>>,
}

impl<K: Hash + Eq> RequestLimit<K> {
    /// `detail` tells the client what to do. 0 a second stands for any number.
    pub fn new(policy: &'static str, detail: &'static str, per_second: u32) -> Self {
        let quota = Duration::from_secs(1)
            .checked_div(per_second)
            .map(|interval| Quota { burst: per_second.saturating_mul(BURST_SECONDS), interval });
        Self { policy, detail, limiter: quota.map(Limiter::new) }
    }

    /// Takes one request. None when there is no limit.
    pub fn take(&self, key: K) -> Result<Option<Allowance>, Error> {
        let Some(limiter) = &self.limiter else { return Ok(None) };
        limiter.take(key, Instant::now()).map(Some).map_err(|allowance| Error::TooMany {
            code: "too_many_requests",
            detail: self.detail,
            policy: self.policy,
            allowance,
        })
    }

    pub fn forget_idle(&self, now: Instant) {
        if let Some(limiter) = &self.limiter {
            limiter.forget_idle(now);
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
    fn what_is_whole_again_is_forgotten() {
        let limiter = Limiter::new(QUOTA);
        let start = Instant::now();
        let _ = limiter.take("a", start);
        limiter.forget_idle(start + Duration::from_secs(5));
        assert_eq!(limiter.shard(&"a").len(), 1);
        limiter.forget_idle(start + Duration::from_secs(10));
        assert_eq!(limiter.shard(&"a").len(), 0);
    }

    #[test]
    fn limits_go_by_network() {
        let network = |text: &str| network_of(text.parse().expect("an address")).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    proptest! {
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
