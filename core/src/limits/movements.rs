//! How many movements one caller may have booked, in a short time and in a day: books never shrink, so this bounds how
//! fast anybody makes them grow.
//!
//! A caller needs a [`MovementPermit`] before movements are queued. Afterwards those count that were written, not those
//! that were refused or repeated by their key; if the caller has hung up, all count.
//!
//! The quota of a day outlives a restart and is shared by all instances, as far as housekeeping has stored it: whatever
//! is a hundredth of it or more, twice a second. Nothing of that is on the path of money.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Exceeded, Limiter, Policy, Quota};
use crate::db::Db;
use crate::timestamp::Timestamp;

/// The largest batch: each must fit into the quota of a short time.
const MIN_BURST: u32 = 1_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Use of less than this part of a day's quota is not stored before the bank closes.
const STORED_PART: u32 = 100;
/// Callers whose use is stored in one transaction: a few milliseconds of the database's time.
const STORED_AT_ONCE: usize = 200;
/// At the end there is time for more, but not for any number.
const STORED_AT_THE_END: usize = 10_000;

/// Clones share the counts.
#[derive(Clone, Default)]
pub struct MovementLimits(Arc<Limits>);

#[derive(Default)]
struct Limits {
    soon: Option<Limiter<Uuid>>,
    day: Option<Limiter<Uuid>>,
}

/// Permits a number of movements. If it is dropped without being settled, all of them count.
pub struct MovementPermit {
    limits: MovementLimits,
    caller: Uuid,
    permitted: u32,
    used: u32,
}

impl MovementLimits {
    /// 0 stands for any number.
    pub fn new(per_second: u32, per_day: u32) -> Self {
        let soon = Quota::per_second(per_second).map(|quota| Quota { burst: quota.burst.max(MIN_BURST), ..quota });
        Self(Arc::new(Limits { soon: soon.map(Limiter::new), day: Quota::per(DAY, per_day).map(Limiter::new) }))
    }

    /// Permits so many movements of a caller, or refuses all of them.
    pub fn permit(&self, caller: Uuid, count: usize) -> Result<MovementPermit, Exceeded> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let now = Instant::now();
        let Limits { soon, day } = &*self.0;
        if let Some(soon) = soon {
            let acquired = soon.acquire(caller, count, now);
            acquired.map_err(|allowance| Exceeded { policy: Policy::Movements, allowance })?;
        }
        if let Some(day) = day
            && let Err(allowance) = day.acquire(caller, count, now)
        {
            if let Some(soon) = soon {
                soon.settle(&caller, count, 0, now);
            }
            return Err(Exceeded { policy: Policy::MovementsOfDay, allowance });
        }
        Ok(MovementPermit { limits: self.clone(), caller, permitted: count, used: count })
    }

    pub fn drop_idle(&self, now: Instant) {
        for limiter in [&self.0.soon, &self.0.day].into_iter().flatten() {
            limiter.drop_idle(now);
        }
    }

    /// Loads what was stored before the bank opened, here or by other instances.
    pub async fn load(&self, db: &Db) -> sqlx::Result<()> {
        let Some(day) = &self.0.day else { return Ok(()) };
        let (now, instant) = (Timestamp::now(), Instant::now());
        for (caller, full_at) in db.movement_quotas_used(now, day.quota.capacity()).await? {
            day.set_full_at(caller, as_instant(full_at, now, instant, day.quota));
        }
        Ok(())
    }

    /// Stores what callers have used of their day, and hears what they have used at other instances.
    pub async fn store(&self, db: &Db) -> sqlx::Result<()> {
        let Some(day) = &self.0.day else { return Ok(()) };
        store(day, db, day.quota.burst / STORED_PART, STORED_AT_ONCE).await
    }

    /// The same for the last time, with everything that counts.
    pub async fn store_all(&self, db: &Db) -> sqlx::Result<()> {
        let Some(day) = &self.0.day else { return Ok(()) };
        day.drop_idle(Instant::now());
        store(day, db, 1, STORED_AT_THE_END).await
    }
}

async fn store(day: &Limiter<Uuid>, db: &Db, at_least: u32, limit: usize) -> sqlx::Result<()> {
    let mut unsaved = Unsaved { day, used: day.take_unsaved(at_least, limit) };
    if unsaved.used.is_empty() {
        return Ok(());
    }
    // In one order on all instances, so that they do not lock each other out.
    unsaved.used.sort_unstable();
    let (now, instant) = (Timestamp::now(), Instant::now());
    let mut tx = db.begin().await?;
    let mut known = Vec::with_capacity(unsaved.used.len());
    for (caller, count) in &unsaved.used {
        let used = day.quota.interval * *count;
        let full_at = tx.use_movement_quota(*caller, used, day.quota.capacity(), now).await?;
        known.push((*caller, as_instant(full_at, now, instant, day.quota)));
    }
    tx.commit().await?;
    unsaved.used.clear();
    known.into_iter().for_each(|(caller, full_at)| day.set_full_at(caller, full_at));
    Ok(())
}

/// Counts that are being stored. They are put back when that fails, or is given up in the middle.
struct Unsaved<'a> {
    day: &'a Limiter<Uuid>,
    used: Vec<(Uuid, u32)>,
}

impl Drop for Unsaved<'_> {
    fn drop(&mut self) {
        self.used.iter().for_each(|(caller, count)| self.day.put_back_unsaved(caller, *count));
    }
}

/// A moment of the wall clock on this process's own. Never further ahead than the whole quota, whatever clocks say.
fn as_instant(moment: Timestamp, now: Timestamp, instant: Instant, quota: Quota) -> Instant {
    let ahead = u64::try_from(moment.as_micros().saturating_sub(now.as_micros())).unwrap_or_default();
    instant + Duration::from_micros(ahead).min(quota.capacity())
}

impl MovementPermit {
    /// So many were written; the others never count.
    pub fn settle(mut self, written: usize) {
        self.used = u32::try_from(written).unwrap_or(u32::MAX).min(self.permitted);
    }
}

impl Drop for MovementPermit {
    fn drop(&mut self) {
        let now = Instant::now();
        for limiter in [&self.limits.0.soon, &self.limits.0.day].into_iter().flatten() {
            limiter.settle(&self.caller, self.permitted, self.used, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(limits: &MovementLimits, caller: Uuid, count: usize) -> Option<Policy> {
        match limits.permit(caller, count) {
            Err(exceeded) => Some(exceeded.policy),
            Ok(permit) => {
                permit.settle(0);
                None
            }
        }
    }

    #[test]
    fn what_is_refused_or_repeated_counts_for_nothing() {
        let limits = MovementLimits::new(1, 1_500);
        let ada = Uuid::from_u128(1);
        limits.permit(ada, 1_000).expect("a whole batch always fits").settle(0);
        limits.permit(ada, 1_000).expect("none of it was written").settle(600);
        assert_eq!(refused(&limits, ada, 500), Some(Policy::Movements));
        assert_eq!(refused(&limits, ada, 300), None);
        assert_eq!(refused(&limits, Uuid::from_u128(2), 1_000), None);
    }

    #[test]
    fn what_is_under_way_counts_and_what_nobody_waits_for_too() {
        let limits = MovementLimits::new(0, 10);
        let ada = Uuid::from_u128(1);
        let under_way = limits.permit(ada, 6).expect("room");
        assert_eq!(refused(&limits, ada, 5), Some(Policy::MovementsOfDay));
        drop(under_way);
        assert_eq!(refused(&limits, ada, 5), Some(Policy::MovementsOfDay));
        assert_eq!(refused(&limits, ada, 4), None);
        assert_eq!(refused(&MovementLimits::default(), ada, 1_000_000), None);
    }
}
