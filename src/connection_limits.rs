//! Limits on connections, in all and of one network, so that nobody who takes all that they can get keeps others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::limits::network_of;

/// This part of the places is reserved for networks that have next to none.
const KEPT_FOR_OTHERS: usize = 4;
/// A network takes at most this part of the other places that are free, whatever its limit: the more greedy networks
/// there are, the less each gets.
const SHARE_OF_WHAT_IS_FREE: usize = 4;
/// What is next to none: this part of all places, 8 by default. So it takes hundreds of networks to keep others out.
const NEXT_TO_NONE: usize = 2_048;
/// The last part of the whole that is free, which no trusted proxy takes from the others.
const KEPT_FROM_PROXIES: usize = 16;

/// Clones share the count.
#[derive(Clone)]
pub struct ConnectionLimits(Arc<Inner>);

struct Inner {
    /// The most of all networks together.
    whole: usize,
    /// The most of one network; None for any number.
    per_network: Option<usize>,
    /// Trusted proxies, each with many clients behind it.
    proxies: Vec<IpNet>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A connection's place, until it is dropped.
pub struct Place {
    limits: ConnectionLimits,
    network: IpAddr,
}

impl ConnectionLimits {
    /// 0 for one network stands for any number.
    pub fn new(whole: usize, per_network: usize, proxies: Vec<IpNet>) -> Self {
        let per_network = (per_network > 0).then_some(per_network);
        Self(Arc::new(Inner { whole, per_network, proxies, taken: Mutex::default() }))
    }

    /// None when there are enough already.
    pub fn take(&self, peer: IpAddr) -> Option<Place> {
        let network = network_of(peer);
        let mut taken = self.taken();
        let of_network = taken.by_network.get(&network).copied().unwrap_or_default();
        let free = self.0.whole.saturating_sub(taken.all);
        if free == 0 || of_network >= self.most_of_a_network(peer, free) {
            return None;
        }
        taken.all += 1;
        *taken.by_network.entry(network).or_default() += 1;
        Some(Place { limits: self.clone(), network })
    }

    fn most_of_a_network(&self, peer: IpAddr, free: usize) -> usize {
        let Inner { whole, per_network, proxies, .. } = &*self.0;
        let Some(per_network) = *per_network else { return usize::MAX };
        if proxies.iter().any(|proxy| proxy.contains(&peer.to_canonical())) {
            return if free > whole / KEPT_FROM_PROXIES { usize::MAX } else { 0 };
        }
        let share = free.saturating_sub(whole / KEPT_FOR_OTHERS) / SHARE_OF_WHAT_IS_FREE;
        per_network.min(share.max(whole / NEXT_TO_NONE).max(1))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.limits.taken();
        taken.all -= 1;
        if let Some(of_network) = taken.by_network.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                taken.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn take_all(limits: &ConnectionLimits, peer: &str) -> Vec<Place> {
        std::iter::from_fn(|| limits.take(address(peer))).collect()
    }

    #[test]
    fn a_greedy_network_leaves_places_for_others() {
        let limits = ConnectionLimits::new(1_000, 100, Vec::new());
        let taken = take_all(&limits, "192.0.2.1");
        assert_eq!(taken.len(), 100);
        assert!(limits.take(address("192.0.2.2")).is_some());
        drop(taken);
        assert!(limits.taken().by_network.is_empty() && limits.taken().all == 0);
        // One customer of an IPv6 provider has many addresses.
        let taken: Vec<_> = (0..200).filter_map(|n| limits.take(address(&format!("2001:db8::{n:x}")))).collect();
        assert_eq!(taken.len(), 100);
    }

    #[test]
    fn a_proxy_has_many_clients_and_leaves_some_places_all_the_same() {
        let limits = ConnectionLimits::new(160, 10, vec!["10.0.0.0/8".parse().expect("a network")]);
        assert_eq!(take_all(&limits, "10.0.0.1").len(), 150);
        let taken = take_all(&limits, "::ffff:10.0.0.1");
        assert_eq!(taken.len(), 150);
        assert!(limits.take(address("192.0.2.1")).is_some());
        assert!(limits.take(address("10.0.0.2")).is_none());
    }

    #[test]
    fn a_proxy_and_some_networks_leave_places_together() {
        let limits = ConnectionLimits::new(400, 300, vec!["10.0.0.1/32".parse().expect("a network")]);
        let mut taken: Vec<Place> = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "10.0.0.1"]
            .into_iter()
            .flat_map(|peer| take_all(&limits, peer))
            .collect();
        for other in 10..30 {
            taken.push(limits.take(address(&format!("192.0.2.{other}"))).expect("a place for another network"));
        }
    }

    #[test]
    fn any_number_is_all_there_are() {
        let limits = ConnectionLimits::new(30, 0, Vec::new());
        let taken = take_all(&limits, "192.0.2.1");
        assert_eq!(taken.len(), 30);
        assert!(limits.take(address("192.0.2.2")).is_none());
    }

    proptest! {
        /// However many networks take all that they can get, there is a place for one that has none yet.
        #[test]
        fn there_is_a_place_for_who_has_none(whole in 256usize..5_000, greedy in 1u8..60) {
            let limits = ConnectionLimits::new(whole, 1_024, Vec::new());
            let mut taken = Vec::new();
            for round in 0..2 {
                for number in 0..greedy {
                    taken.extend(take_all(&limits, &format!("192.0.2.{number}")));
                }
                prop_assert!(limits.take(address("198.51.100.1")).is_some(), "in round {round}, {} taken", taken.len());
            }
        }
    }
}
