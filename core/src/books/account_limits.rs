//! Limits of an account: how much may leave it at once, in a day and in a month, and how often. Pure: the counters are
//! loaded before a batch and written with it.
//!
//! What counts is money that leaves the account for somebody else: withdrawals, transfers and new holds, whoever asks
//! for them. Not transfers between accounts of one owner, nor reversals, nor captures, whose hold has counted. Nothing
//! gives back what has counted.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::calendar::{Calendar, Period};
use super::refusal::Refusal;
use crate::account_number::AccountNumber;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// How long it takes until a raise of the owner's own limits counts: long enough to notice that somebody else has asked
/// for it.
pub const RAISE_WAITS: Duration = Duration::from_secs(24 * 60 * 60);
/// Limits are less than so many whole units: far above what one movement may be, and sums of it can still be counted.
pub const MAX_MAJOR_UNITS: i64 = 1_000_000_000_000;
/// The largest limit of movements in a day.
pub const MAX_MOVEMENTS: i64 = 1_000_000;

/// How much may leave an account. None for what is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Minor units, as the next two.
    pub per_movement: Option<i64>,
    pub per_day: Option<i64>,
    pub per_month: Option<i64>,
    pub movements_per_day: Option<i64>,
}

/// What has left an account in the day and in the month of the last movement that counted, or since its limits were
/// first set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub day: Period,
    /// Minor units.
    pub spent_today: i64,
    pub movements_today: i64,
    pub month: Period,
    /// Minor units.
    pub spent_this_month: i64,
}

/// The limits of an account, and what is used of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimits {
    pub account_number: AccountNumber,
    /// Set by staff.
    pub bank: Limits,
    /// Set by the owner. What counts is the smaller one of both.
    pub own: Limits,
    /// The owner's limits from a moment on. It may have passed: ask [`AccountLimits::own_at`].
    pub next_own: Option<NextLimits>,
    pub used: Used,
}

/// Limits that count from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextLimits {
    pub limits: Limits,
    pub effective_at: Timestamp,
}

/// The kind of a limit. `per_movement`: of one movement. `per_day`, `per_month`: of a calendar day or month in the
/// bank's zone. `movements_per_day`: how many in such a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    PerMovement,
    PerDay,
    PerMonth,
    MovementsPerDay,
}

/// A limit that a movement would exceed. The numbers are minor units, or a count of movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    pub limit: LimitKind,
    pub allowed: i64,
    pub requested: i64,
    pub currency: Currency,
    /// None for a limit of one movement.
    pub period: Option<ExcessOfPeriod>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExcessOfPeriod {
    pub used: i64,
    pub resets_at: Timestamp,
}

impl Limits {
    /// The smaller one of each.
    pub fn and(self, other: Self) -> Self {
        let smaller = |one: Option<i64>, other: Option<i64>| one.into_iter().chain(other).min();
        Self {
            per_movement: smaller(self.per_movement, other.per_movement),
            per_day: smaller(self.per_day, other.per_day),
            per_month: smaller(self.per_month, other.per_month),
            movements_per_day: smaller(self.movements_per_day, other.movements_per_day),
        }
    }

    /// Whether none of them allows more than `other` does.
    pub fn is_within(self, other: Self) -> bool {
        self.and(other) == self
    }

    /// For the audit log, in one way only, because `coffer doctor` compares it: `movement 50.00, day none, month none,
    /// count 5`.
    pub fn in_words(self, currency: Currency) -> String {
        let money = |minor_units: Option<i64>| {
            minor_units.map_or_else(|| "none".to_owned(), |it| Money::new(it, currency).to_string())
        };
        let count = self.movements_per_day.map_or_else(|| "none".to_owned(), |count| count.to_string());
        let [movement, day, month] = [self.per_movement, self.per_day, self.per_month].map(money);
        format!("movement {movement}, day {day}, month {month}, count {count}")
    }

    /// The same with the bank's overdraft, in minor units, ahead: `overdraft 100.00, movement 50.00, …`.
    pub fn of_bank_in_words(self, overdraft: i64, currency: Currency) -> String {
        format!("overdraft {}, {}", Money::new(overdraft, currency), self.in_words(currency))
    }
}

impl Used {
    /// Nothing, in the day and the month of this moment.
    pub fn nothing(at: Timestamp, calendar: &Calendar) -> Self {
        let (day, month) = (calendar.day_of(at), calendar.month_of(at));
        Self { day, spent_today: 0, movements_today: 0, month, spent_this_month: 0 }
    }

    /// The counters at this moment: a day or month that has ended makes place for the next one. A period never begins
    /// before the last one has ended, even if the bank has moved to another zone: so nothing counts twice.
    pub fn at(self, at: Timestamp, calendar: &Calendar) -> Self {
        let after = |last: Period, next: Period| Period { starts: next.starts.max(last.ends), ..next };
        let mut used = self;
        if at >= self.day.ends {
            (used.spent_today, used.movements_today) = (0, 0);
            used.day = after(self.day, calendar.day_of(at));
        }
        if at >= self.month.ends {
            used.spent_this_month = 0;
            used.month = after(self.month, calendar.month_of(at));
        }
        used
    }

    /// What counts happens no earlier, even when the clock goes back: otherwise it would belong to a period that has
    /// ended.
    pub fn not_before(&self) -> Timestamp {
        self.day.starts.max(self.month.starts)
    }

    /// With one more movement. What is more than can be counted is above every limit that there can be.
    fn with(self, minor_units: i64) -> Self {
        Self {
            spent_today: self.spent_today.saturating_add(minor_units),
            movements_today: self.movements_today.saturating_add(1),
            spent_this_month: self.spent_this_month.saturating_add(minor_units),
            ..self
        }
    }
}

impl AccountLimits {
    /// No limits yet.
    pub fn none(account_number: AccountNumber, used: Used) -> Self {
        Self { account_number, bank: Limits::default(), own: Limits::default(), next_own: None, used }
    }

    /// The owner's limits at `now`.
    pub fn own_at(&self, now: Timestamp) -> Limits {
        self.next_own.filter(|next| next.effective_at <= now).map_or(self.own, |next| next.limits)
    }

    /// The owner's limits that still wait at `now`.
    pub fn waiting_at(&self, now: Timestamp) -> Option<NextLimits> {
        self.next_own.filter(|next| next.effective_at > now)
    }

    /// What counts at `now`.
    pub fn at(&self, now: Timestamp) -> Limits {
        self.bank.and(self.own_at(now))
    }

    /// Whether the owner would get more by these limits than by those that count for them at `now`.
    pub fn is_raise(&self, wanted: Limits, now: Timestamp) -> bool {
        !wanted.is_within(self.own_at(now))
    }

    /// Sets the owner's limits: what is lower counts at once, what is higher after [`RAISE_WAITS`]. A raise that waits
    /// already goes on waiting if no more is asked for than before.
    pub fn set_own(&mut self, wanted: Limits, now: Timestamp) {
        let effective_at = match self.waiting_at(now) {
            Some(next) if wanted.is_within(next.limits) => next.effective_at,
            Some(_) | None => now.plus(RAISE_WAITS),
        };
        let is_raise = self.is_raise(wanted, now);
        self.own = self.own_at(now).and(wanted);
        self.next_own = is_raise.then_some(NextLimits { limits: wanted, effective_at });
    }

    /// The owner's limits for the audit log, as [`Limits::in_words`].
    pub fn own_in_words(&self, currency: Currency) -> String {
        let own = self.own.in_words(currency);
        match self.next_own {
            None => own,
            Some(next) => format!("{own}; from {}: {}", next.effective_at, next.limits.in_words(currency)),
        }
    }

    /// The counters after a movement of `money` at `at`, if the limits that count at `now` allow it.
    pub fn count(&self, money: Money, at: Timestamp, now: Timestamp, calendar: &Calendar) -> Result<Used, Refusal> {
        let used = self.used.at(at, calendar);
        let after = used.with(money.minor_units);
        let limits = self.at(now);
        let excess = |limit, allowed: Option<i64>, requested, period: Option<ExcessOfPeriod>| {
            let would_be = period.map_or(0, |period| period.used).saturating_add(requested);
            let allowed = allowed.filter(|allowed| would_be > *allowed)?;
            Some(Excess { limit, allowed, requested, currency: money.currency, period })
        };
        let amount = money.minor_units;
        let in_period = |used, period: Period| Some(ExcessOfPeriod { used, resets_at: period.ends });
        // The one that stands longest comes first.
        let exceeded = [
            excess(LimitKind::PerMovement, limits.per_movement, amount, None),
            excess(LimitKind::PerMonth, limits.per_month, amount, in_period(used.spent_this_month, used.month)),
            excess(LimitKind::PerDay, limits.per_day, amount, in_period(used.spent_today, used.day)),
            excess(LimitKind::MovementsPerDay, limits.movements_per_day, 1, in_period(used.movements_today, used.day)),
        ];
        match exceeded.into_iter().flatten().next() {
            Some(excess) => Err(Refusal::LimitExceeded(Box::new(excess))),
            None => Ok(after),
        }
    }
}

impl LimitKind {
    /// A number of the limit as it is written: an amount, or a count.
    pub fn written(self, number: i64, currency: Currency) -> String {
        match self {
            Self::PerMovement | Self::PerDay | Self::PerMonth => Money::new(number, currency).to_string(),
            Self::MovementsPerDay => number.to_string(),
        }
    }
}

impl Excess {
    /// What is left of the limit.
    pub fn remaining(&self) -> i64 {
        self.allowed.saturating_sub(self.period.map_or(0, |period| period.used)).max(0)
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let currency = self.currency;
        let money = |minor_units| format!("{} {currency}", Money::new(minor_units, currency));
        let (allowed, left, requested) = (money(self.allowed), money(self.remaining()), money(self.requested));
        match (self.limit, self.period) {
            (LimitKind::MovementsPerDay, Some(ExcessOfPeriod { resets_at, .. })) => {
                write!(f, "This account may send money {} times a day: try again from {resets_at} on.", self.allowed)
            }
            (LimitKind::PerMonth, Some(ExcessOfPeriod { resets_at, .. })) => {
                write!(f, "{allowed} may leave this account in a month, of which {left} is left until {resets_at}; ")?;
                write!(f, "{requested} was asked for.")
            }
            (_, Some(ExcessOfPeriod { resets_at, .. })) => {
                write!(f, "{allowed} may leave this account in a day, of which {left} is left until {resets_at}; ")?;
                write!(f, "{requested} was asked for.")
            }
            (_, None) => write!(f, "{allowed} may leave this account at once; {requested} was asked for."),
        }
    }
}
