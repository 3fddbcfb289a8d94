//! Unapproved totals: the money that a user of the staff has moved in 24 hours without a second approver, in each
//! currency; and what an API key with a limit has moved. Pure: stored totals are loaded before a batch, and the additions
//! of the batch are written with it.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// Everything within this time counts against the approval amount, so that nobody evades it by small movements.
pub const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// From when to when what was moved counts at `now`, of which `certain` has certainly passed. What is dated more than a day ahead
/// was moved while the clock was wrong, and would count for as long as it was ahead.
pub fn window(now: Timestamp, certain: Timestamp) -> (Timestamp, Timestamp) {
    (certain.minus(WINDOW), now.plus(WINDOW))
}

/// The money that was moved without a second approver, in one currency and one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnapprovedTotal {
    /// A user of the staff, or an API key: no two of them have one id.
    pub mover: Uuid,
    pub money: Money,
    pub moved_at: Timestamp,
}

type Sums = HashMap<(Uuid, Currency), i64>;

/// Sums in minor units.
#[derive(Clone, Debug, Default)]
pub struct Unapproved {
    /// Before the request that is being decided.
    before: Sums,
    /// The sum of the request's commands, if all of them were accepted.
    planned: Sums,
    /// The sum of the commands of the request that were accepted so far.
    accepted: Sums,
    /// The additions of the batch to the stored totals.
    added: Sums,
}

impl Unapproved {
    pub fn new(stored: impl IntoIterator<Item = (Uuid, Money)>) -> Self {
        let mut before = Sums::new();
        stored.into_iter().for_each(|(mover, money)| increase(&mut before, mover, money));
        Self { before, ..Self::default() }
    }

    pub fn begin_request(&mut self, amounts: Vec<(Uuid, Money)>) {
        self.planned.clear();
        self.accepted.clear();
        amounts.into_iter().for_each(|(mover, money)| increase(&mut self.planned, mover, money));
    }

    pub fn add(&mut self, mover: Uuid, money: Money) {
        increase(&mut self.accepted, mover, money);
    }

    /// Discards what the request would add.
    pub fn discard(&mut self) {
        self.planned.clear();
        self.accepted.clear();
    }

    /// Adds what was accepted of the request.
    pub fn accept(&mut self) {
        self.planned.clear();
        for ((mover, currency), amount) in self.accepted.drain() {
            increase(&mut self.before, mover, Money::new(amount, currency));
            increase(&mut self.added, mover, Money::new(amount, currency));
        }
    }

    /// The mover's total with `money`, which is part of a request that counts as a whole.
    pub fn total_with(&self, mover: Uuid, money: Money) -> i64 {
        let of = |sums: &Sums| sums.get(&(mover, money.currency)).copied().unwrap_or_default();
        let request = of(&self.planned).max(of(&self.accepted).saturating_add(money.minor_units));
        of(&self.before).saturating_add(request)
    }

    /// The additions of the batch, in no order.
    pub fn added(&self) -> impl Iterator<Item = (Uuid, Money)> {
        self.added.iter().map(|(&(mover, currency), &amount)| (mover, Money::new(amount, currency)))
    }
}

/// A sum that is too large to count stays the largest, which is above every limit.
fn increase(sums: &mut Sums, mover: Uuid, money: Money) {
    let sum = sums.entry((mover, money.currency)).or_default();
    *sum = sum.saturating_add(money.minor_units);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(minor_units: i64) -> Money {
        Money::new(minor_units, Currency::from_code("USD").expect("a currency"))
    }

    proptest! {
        /// Requests of any commands never move more than the limit within the window.
        #[test]
        fn the_sum_of_what_is_accepted_stays_within_the_limit(
            stored in 0..1_000i64,
            requests in prop::collection::vec((prop::collection::vec(1..600i64, 1..5), any::<bool>()), 1..20),
        ) {
            const LIMIT: i64 = 1_000;
            let mover = Uuid::from_u128(1);
            let mut unapproved = Unapproved::new([(mover, usd(stored))]);
            let mut sum = stored;
            for (amounts, is_taken_back) in requests {
                unapproved.begin_request(amounts.iter().map(|&amount| (mover, usd(amount))).collect());
                let as_a_whole = sum + amounts.iter().sum::<i64>() <= LIMIT;
                for &amount in &amounts {
                    let is_accepted = unapproved.total_with(mover, usd(amount)) <= LIMIT;
                    prop_assert_eq!(is_accepted, as_a_whole);
                    if is_accepted {
                        unapproved.add(mover, usd(amount));
                    }
                }
                if is_taken_back {
                    unapproved.discard();
                } else {
                    unapproved.accept();
                    sum += if as_a_whole { amounts.iter().sum::<i64>() } else { 0 };
                }
                prop_assert!(sum <= LIMIT);
            }
            prop_assert_eq!(unapproved.added().map(|(_, money)| money.minor_units).sum::<i64>(), sum - stored);
        }
    }
}
