//! How far the clock can be trusted. A wrong clock must harm nobody: what is old is measured by time that has certainly
//! passed, and what a clock that was ahead has left behind is noticed.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::timestamp::Timestamp;

/// Clocks are taken to be right if they differ by no more.
pub const TOLERANCE: Duration = Duration::from_secs(60);

/// Holds what the running bank has found out about its clock.
#[derive(Debug, Default)]
pub struct Clock {
    behind_seconds: AtomicU64,
    /// The latest time that was certain, in microseconds.
    certain: AtomicI64,
    /// The latest date of a movement that this process has booked, in microseconds.
    booked: AtomicI64,
}

impl Clock {
    /// How far the clock is behind the newest movement, in seconds.
    pub fn behind_seconds(&self) -> u64 {
        self.behind_seconds.load(Ordering::Relaxed)
    }

    /// The time to stamp rows with that are deleted when they are old: `now`, unless the clock is behind what is
    /// certain. A clock that was behind must not make anything look old.
    pub fn stamp(&self, now: Timestamp) -> Timestamp {
        now.max(Timestamp::from_micros(self.certain.load(Ordering::Relaxed)))
    }

    /// The time that has certainly passed, which is never later than `now`. A clock that jumps ahead must not make
    /// anything look old.
    pub fn certain(&self, now: Timestamp) -> Timestamp {
        now.min(Timestamp::from_micros(self.certain.load(Ordering::Relaxed)))
    }

    pub fn set_certain(&self, certain: Timestamp) {
        self.certain.fetch_max(certain.as_micros(), Ordering::Relaxed);
    }

    /// A movement was booked with this date.
    pub fn note_booked(&self, at: Timestamp) {
        self.booked.fetch_max(at.as_micros(), Ordering::Relaxed);
    }

    /// Compares the clock with the date of the bank's newest movement. True when it has just been found to be behind it
    /// by more than the tolerance.
    pub fn compare(&self, newest: Timestamp, now: Timestamp) -> bool {
        let newest = newest.max(Timestamp::from_micros(self.booked.load(Ordering::Relaxed)));
        let seconds = newest.since(now).as_secs();
        metrics::gauge!("coffer_clock_behind_seconds").set(seconds as f64);
        let before = self.behind_seconds.swap(seconds, Ordering::Relaxed);
        before <= TOLERANCE.as_secs() && seconds > TOLERANCE.as_secs()
    }
}

/// How much quicker than the monotonic clock certain time may run, until it has caught up with the wall clock: it
/// stands still while the bank is closed.
const CATCHING_UP: u32 = 4;

/// Time that has certainly passed: by it rows are old enough to be deleted. It follows the wall clock, but no quicker
/// than four times the monotonic one, and is stored. So neither a clock that jumps ahead nor one that was ahead at the
/// start makes anything old before it has been wrong for days, and what waits to be forgotten lives a little longer.
#[derive(Clone, Copy, Debug)]
pub struct CertainTime {
    last: Instant,
    at: Timestamp,
}

impl CertainTime {
    /// At a start. `stored` is the certain time that was stored last, or when the newest movement was booked.
    pub fn new(instant: Instant, wall: Timestamp, stored: Option<Timestamp>) -> Self {
        Self { last: instant, at: stored.map_or(wall, |stored| stored.min(wall)) }
    }

    /// Moves on to now, and returns the time that is certain: store it for the next start.
    pub fn advance(&mut self, instant: Instant, wall: Timestamp) -> Timestamp {
        let passed = instant.saturating_duration_since(self.last);
        self.last = instant;
        // A wall clock that has gone back takes certain time with it: to be late is harmless.
        self.at = self.at.plus(passed * CATCHING_UP).min(wall);
        self.at
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
        /// However wrong the wall clock is, at the start or later.
        #[test]
        fn certain_time_is_never_far_ahead(
            stored in 0i64..1_000_000_000,
            looks in proptest::collection::vec((0u64..1_000, 0i64..1_000_000_000), 1..50),
        ) {
            let start = Instant::now();
            let mut time = CertainTime::new(start, wall(looks[0].1), Some(wall(stored)));
            let mut passed = 0;
            for (seconds, clock) in looks {
                passed += seconds;
                let certain = time.advance(start + Duration::from_secs(passed), wall(clock));
                prop_assert!(certain <= wall(clock), "never later than the wall clock says");
                prop_assert!(certain <= wall(stored).plus(Duration::from_secs(passed) * CATCHING_UP));
            }
        }

        /// While the clock is right, it keeps up.
        #[test]
        fn certain_time_catches_up(closed_for in 0i64..100_000, looks in 1u64..1_000) {
            let start = Instant::now();
            let mut time = CertainTime::new(start, wall(closed_for), Some(wall(0)));
            let mut certain = wall(0);
            for second in 1..=looks {
                certain = time.advance(start + Duration::from_secs(second), wall(closed_for + second as i64));
            }
            let now = wall(closed_for + looks as i64);
            prop_assert_eq!(certain, now.min(wall(looks as i64 * i64::from(CATCHING_UP))));
        }
    }
}
