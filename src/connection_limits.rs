//! Limits on connections, in all and of one network, so that nobody who takes all that they can get keeps others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use metrics::Gauge;

use coffer_core::limits::network_of;

/// A quarter of the slots is reserved for networks that hold almost none.
const RESERVED_FOR_OTHERS: usize = 4;
/// A network takes at most a quarter of the other slots that are free, whatever its limit: the more greedy networks
/// there are, the less each gets.
const SHARE_OF_FREE: usize = 4;
/// Each network may hold one slot in 2,048 (8 by default) from the reserved part, too. So it takes hundreds of networks
/// to keep others out.
const MIN_PER_NETWORK: usize = 2_048;
/// A trusted proxy takes no slot while less than one in 16 is free.
const RESERVED_FROM_PROXIES: usize = 16;

/// Connections to the listener of those who run the bank: some probes and scrapers, each with a few.
const ADMIN_CONNECTIONS: usize = 64;

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
    /// How many are taken, for the metrics: of the public, whose limit is there, too.
    gauge: Gauge,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A connection's slot. Dropping it frees the slot.
pub struct Slot {
    limits: ConnectionLimits,
    network: IpAddr,
}

impl ConnectionLimits {
    /// 0 for one network stands for any number.
    pub fn new(whole: usize, per_network: usize, proxies: Vec<IpNet>) -> Self {
        let per_network = (per_network > 0).then_some(per_network);
        let gauge = metrics::gauge!("coffer_connections");
        Self(Arc::new(Inner { whole, per_network, proxies, taken: Mutex::default(), gauge }))
    }

    /// For the listener of those who run the bank.
    pub fn of_admin() -> Self {
        let (whole, per_network) = (ADMIN_CONNECTIONS, None);
        Self(Arc::new(Inner { whole, per_network, proxies: Vec::new(), taken: Mutex::default(), gauge: Gauge::noop() }))
    }

    /// None when the network, or all networks together, may have no more.
    pub fn take_slot(&self, peer: IpAddr) -> Option<Slot> {
        let network = network_of(peer);
        let mut taken = self.taken();
        let of_network = taken.by_network.get(&network).copied().unwrap_or_default();
        let free = self.0.whole.saturating_sub(taken.all);
        if free == 0 || of_network >= self.most_of_a_network(peer, free) {
            return None;
        }
        taken.all += 1;
        self.0.gauge.increment(1);
        *taken.by_network.entry(network).or_default() += 1;
        Some(Slot { limits: self.clone(), network })
    }

    fn most_of_a_network(&self, peer: IpAddr, free: usize) -> usize {
        let Inner { whole, per_network, proxies, .. } = &*self.0;
        let Some(per_network) = *per_network else { return usize::MAX };
        if proxies.iter().any(|proxy| proxy.contains(&peer.to_canonical())) {
            return if free > whole / RESERVED_FROM_PROXIES { usize::MAX } else { 0 };
        }
        let share = free.saturating_sub(whole / RESERVED_FOR_OTHERS) / SHARE_OF_FREE;
        per_network.min(share.max(whole / MIN_PER_NETWORK).max(1))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.limits.taken();
        taken.all -= 1;
        self.limits.0.gauge.decrement(1);
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

    fn take_all_slots(limits: &ConnectionLimits, peer: &str) -> Vec<Slot> {
        std::iter::from_fn(|| limits.take_slot(address(peer))).collect()
    }

    #[test]
    fn a_greedy_network_leaves_slots_for_others() {
        let limits = ConnectionLimits::new(1_000, 100, Vec::new());
        let taken = take_all_slots(&limits, "192.0.2.1");
        assert_eq!(taken.len(), 100);
        assert!(limits.take_slot(address("192.0.2.2")).is_some());
        drop(taken);
        assert!(limits.taken().by_network.is_empty() && limits.taken().all == 0);
        // One customer of an IPv6 provider has many addresses.
        let taken: Vec<_> = (0..200).filter_map(|n| limits.take_slot(address(&format!("2001:db8::{n:x}")))).collect();
        assert_eq!(taken.len(), 100);
    }

    #[test]
    fn a_proxy_has_many_clients_and_leaves_some_slots_all_the_same() {
        let limits = ConnectionLimits::new(160, 10, vec!["10.0.0.0/8".parse().expect("a network")]);
        assert_eq!(take_all_slots(&limits, "10.0.0.1").len(), 150);
        let taken = take_all_slots(&limits, "::ffff:10.0.0.1");
        assert_eq!(taken.len(), 150);
        assert!(limits.take_slot(address("192.0.2.1")).is_some());
        assert!(limits.take_slot(address("10.0.0.2")).is_none());
    }

    #[test]
    fn a_proxy_and_some_networks_leave_slots_together() {
        let limits = ConnectionLimits::new(400, 300, vec!["10.0.0.1/32".parse().expect("a network")]);
        let mut taken: Vec<Slot> = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "10.0.0.1"]
            .into_iter()
            .flat_map(|peer| take_all_slots(&limits, peer))
            .collect();
        for other in 10..30 {
            taken.push(limits.take_slot(address(&format!("192.0.2.{other}"))).expect("a slot for another network"));
        }
    }

    #[test]
    fn any_number_is_all_there_are() {
        let limits = ConnectionLimits::new(30, 0, Vec::new());
        let taken = take_all_slots(&limits, "192.0.2.1");
        assert_eq!(taken.len(), 30);
        assert!(limits.take_slot(address("192.0.2.2")).is_none());
    }

    proptest! {
        /// However many networks take all that they can get, there is a slot for one that has none yet.
        #[test]
        fn there_is_a_slot_for_who_has_none(whole in 256usize..5_000, greedy in 1u8..60) {
            let limits = ConnectionLimits::new(whole, 1_024, Vec::new());
            let mut taken = Vec::new();
            for round in 0..2 {
                for number in 0..greedy {
                    taken.extend(take_all_slots(&limits, &format!("192.0.2.{number}")));
                }
                let other = limits.take_slot(address("198.51.100.1"));
                prop_assert!(other.is_some(), "in round {round}, {} taken", taken.len());
            }
        }
    }
}
