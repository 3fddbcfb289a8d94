//! Who listens to events, so that they are written only while somebody does, and who tells the listeners that there are new
//! ones.
//!
//! A stream, a look at the log, a webhook and the setting `COFFER_EVENTS=always` each make the bank write events for a day more: whoever
//! comes back within that has missed none. Until when stands in the database; each instance reads it twice a second, and goes on
//! a little longer than it says, so that none stops while another one is just extending it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::timestamp::Timestamp;

/// How long events are written after somebody has listened.
pub const LISTENING_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Listening is extended when less than this is left.
const EXTENDED_WHEN_LEFT: Duration = Duration::from_secs(23 * 60 * 60);
/// How much longer an instance writes than it knows of: longer than it takes to hear of more.
const GRACE: Duration = Duration::from_secs(30);
/// The most streams of one caller: each of their programs has one or two.
pub const MAX_OF_A_CALLER: usize = 10;
/// The most streams of all callers. Each looks at the database for what happens to its caller.
const MAX_STREAMS: usize = 1_000;
/// Of them those that are kept for people and programs that work at the bank, however many customers listen.
const KEPT_FOR_WORK: usize = 100;

/// Clones share it.
#[derive(Clone)]
pub struct Listening(Arc<Shared>);

struct Shared {
    /// Microseconds since 1970.
    until: AtomicI64,
    /// Goes up whenever this process has written events.
    written: watch::Sender<u64>,
    /// How many each caller has.
    streams: Mutex<HashMap<Uuid, usize>>,
}

/// One stream, until it is dropped.
pub struct Listener {
    among: Listening,
    caller: Uuid,
}

impl Default for Listening {
    fn default() -> Self {
        Self(Arc::new(Shared { until: AtomicI64::new(0), written: watch::Sender::new(0), streams: Mutex::default() }))
    }
}

impl Listening {
    /// Whether events are to be written at `now`.
    pub fn is_wanted(&self, now: Timestamp) -> bool {
        now < self.until().plus(GRACE)
    }

    /// Whether the database should be told to go on for longer.
    pub fn is_to_be_extended(&self, now: Timestamp) -> bool {
        self.until() < now.plus(EXTENDED_WHEN_LEFT)
    }

    fn until(&self) -> Timestamp {
        Timestamp::from_micros(self.0.until.load(Ordering::Acquire))
    }

    /// As the database says.
    pub fn set_until(&self, until: Timestamp) {
        self.0.until.fetch_max(until.as_micros(), Ordering::AcqRel);
    }

    /// Tells the streams of this process that events are committed.
    pub fn tell(&self) {
        self.0.written.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes when this process has committed events.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.0.written.subscribe()
    }

    /// Whether there are streams.
    pub fn has_streams(&self) -> bool {
        !self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Counts one more stream; None when there is no room for it.
    pub fn begin(&self, caller: Uuid, works_here: bool) -> Option<Listener> {
        let mut streams = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = streams.values().sum();
        let of_caller = streams.get(&caller).copied().unwrap_or_default();
        let most = if works_here { MAX_STREAMS } else { MAX_STREAMS - KEPT_FOR_WORK };
        if all >= most || of_caller >= MAX_OF_A_CALLER {
            return None;
        }
        streams.insert(caller, of_caller + 1);
        Some(Listener { among: self.clone(), caller })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut streams = self.among.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_caller) = streams.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                streams.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_wanted_until_a_little_after_the_last_listener() {
        let listening = Listening::default();
        let now = Timestamp::now();
        assert!(!listening.is_wanted(now) && listening.is_to_be_extended(now));
        listening.set_until(now.plus(LISTENING_FOR));
        assert!(listening.is_wanted(now.plus(LISTENING_FOR)) && !listening.is_to_be_extended(now));
        assert!(!listening.is_wanted(now.plus(LISTENING_FOR + GRACE)));
        // What an instance has heard later of an earlier time changes nothing.
        listening.set_until(now);
        assert!(listening.is_wanted(now.plus(LISTENING_FOR)));
    }

    #[test]
    fn so_many_streams_and_few_of_one_caller() {
        let listening = Listening::default();
        let caller = |number: usize| Uuid::from_u128(number as u128);
        let begin = |number: usize, works_here| listening.begin(caller(number), works_here);
        let mut all: Vec<_> = (0..MAX_OF_A_CALLER).map(|_| begin(0, false).expect("room")).collect();
        assert!(begin(0, false).is_none() && listening.has_streams());
        let for_customers = MAX_STREAMS - KEPT_FOR_WORK;
        all.extend((MAX_OF_A_CALLER..for_customers).map(|number| begin(number, false).expect("room")));
        assert!(begin(1, false).is_none());
        all.extend((for_customers..MAX_STREAMS).map(|number| begin(number, true).expect("room")));
        assert!(begin(1, true).is_none());
        all.clear();
        assert!(!listening.has_streams() && begin(0, false).is_some());
    }
}
