//! How far the clock can be trusted. A wrong clock must harm nobody: what is old is measured by time that has certainly
//! passed, and what a clock that was ahead has left behind is noticed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::timestamp::Timestamp;

/// Clocks are taken to be right if they differ by no more.
pub const TOLERANCE: Duration = Duration::from_secs(60);

/// What is known of the clock while the bank is open.
#[derive(Debug, Default)]
pub struct Clock {
    behind_seconds: AtomicU64,
}

impl Clock {
    /// How far the clock is behind the newest movement, in seconds.
    pub fn behind_seconds(&self) -> u64 {
        self.behind_seconds.load(Ordering::Relaxed)
    }

    /// Takes in when the newest movement was booked. True when the clock has just been found to be behind it by more than
    /// the tolerance.
    pub fn compare(&self, newest: Timestamp, now: Timestamp) -> bool {
        let seconds = newest.since(now).as_secs();
        metrics::gauge!("coffer_clock_behind_seconds").set(seconds as f64);
        let before = self.behind_seconds.swap(seconds, Ordering::Relaxed);
        before <= TOLERANCE.as_secs() && seconds > TOLERANCE.as_secs()
    }
}

/// How much of the time during which the bank was closed is taken to have passed: the wall clock at a start may be wrong.
const LONGEST_ABSENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Time that has certainly passed: what is forgotten is old by it. It goes by the monotonic clock while the bank is open, and
/// is stored. Of the time that the bank was closed it takes a day at the most, however much the wall clock says. So neither
/// a clock that jumps ahead nor one that was ahead at the start makes anything old, and what waits to be forgotten lives a
/// little longer.
#[derive(Clone, Copy, Debug)]
pub struct CertainTime {
    started: Instant,
    at_start: Timestamp,
}

impl CertainTime {
    /// At a start: `stored` is what [`passed`](Self::passed) said last, or when the newest movement was booked.
    pub fn new(started: Instant, now: Timestamp, stored: Option<Timestamp>) -> Self {
        let resume = |stored: Timestamp| stored.plus(now.since(stored).min(LONGEST_ABSENCE));
        Self { started, at_start: stored.map_or(now, resume) }
    }

    /// To be stored for the next start.
    pub fn passed(&self, instant: Instant) -> Timestamp {
        self.at_start.plus(instant.saturating_duration_since(self.started))
    }

    /// What is older than this minus a retention may go. Never later than the wall clock says, nor than the newest movement.
    pub fn now(&self, instant: Instant, wall: Timestamp, newest: Option<Timestamp>) -> Timestamp {
        newest.unwrap_or(wall).min(wall).min(self.passed(instant))
    }
}

/// Compares the wall clock with the monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct Jumps {
    last: (Instant, Timestamp),
}

/// The wall clock did not go with the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    Ahead(Duration),
    Back(Duration),
}

impl Jumps {
    pub fn new(instant: Instant, wall: Timestamp) -> Self {
        Self { last: (instant, wall) }
    }

    /// The jump since the last call, if it was by more than a second.
    pub fn notice(&mut self, instant: Instant, wall: Timestamp) -> Option<Jump> {
        let (last_instant, last_wall) = std::mem::replace(&mut self.last, (instant, wall));
        let expected = last_wall.plus(instant.saturating_duration_since(last_instant));
        let (ahead, back) = (wall.since(expected), expected.since(wall));
        let is_jump = |by: &Duration| *by > Duration::from_secs(1);
        Some(ahead).filter(is_jump).map(Jump::Ahead).or_else(|| Some(back).filter(is_jump).map(Jump::Back))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn jumps_both_ways_are_noticed_and_the_passing_of_time_is_not() {
        let start = Instant::now();
        let mut jumps = Jumps::new(start, wall(1_000));
        assert_eq!(jumps.notice(start + HOUR, wall(4_600)), None);
        assert_eq!(jumps.notice(start + HOUR, wall(5_000)), Some(Jump::Ahead(Duration::from_secs(400))));
        assert_eq!(jumps.notice(start + HOUR, wall(4_600)), Some(Jump::Back(Duration::from_secs(400))));
        assert_eq!(jumps.notice(start + 2 * HOUR, wall(8_200)), None);
    }

    #[test]
    fn the_clock_is_reported_behind_once() {
        let clock = Clock::default();
        assert!(!clock.compare(wall(100), wall(200)));
        assert_eq!(clock.behind_seconds(), 0);
        assert!(clock.compare(wall(400), wall(200)));
        assert!(!clock.compare(wall(400), wall(201)));
        assert_eq!(clock.behind_seconds(), 199);
    }

    proptest! {
        /// However wrong the wall clock is, at the start or later: no more time passes than the monotonic clock has seen,
        /// and a day.
        #[test]
        fn certain_time_is_never_ahead(
            stored in 0i64..1_000_000_000,
            at_start in 0i64..1_000_000_000,
            later in 0i64..1_000_000_000,
            newest in 0i64..1_000_000_000,
            passed in 0u64..1_000_000,
        ) {
            let (start, stored) = (Instant::now(), wall(stored));
            let time = CertainTime::new(start, wall(at_start), Some(stored));
            let instant = start + Duration::from_secs(passed);
            let now = time.now(instant, wall(later), Some(wall(newest)));
            prop_assert!(now <= stored.plus(LONGEST_ABSENCE).plus(Duration::from_secs(passed)));
            prop_assert!(now <= wall(later) && now <= wall(newest));
            prop_assert!(time.passed(instant) >= stored, "what is stored never goes back");
        }
    }
}
