//! The limits that long answers share: statements, and the audit log as a file. Each holds a page in memory, and a slow
//! client holds it for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::api::http::error::{Error, Result};
use coffer_core::limits::{Limiter, Quota};
use coffer_core::problem_code::ProblemCode;

/// The most answers of more than one page at once.
const MAX_UNDER_WAY: usize = 256;
/// The most of them for one caller, so that one caller cannot keep the others from reading.
pub const MAX_OF_A_CALLER: usize = 8;
/// Pages read at once, for all statements and searches. Half of SQLite's connections for reading: the others are for
/// requests that read one page.
const READS_AT_ONCE: usize = 2;
/// Pages of long statements that one caller may read, of all that are under way: 200,000 movements at once, then 20,000 a
/// second. A caller who has read so much waits and is not refused: a statement that breaks off is worth nothing.
const PAGES_OF_A_CALLER: Quota = Quota { burst: 1_000, interval: Duration::from_millis(10) };

/// The answers of more than one page that are under way. Clones share it.
#[derive(Clone)]
pub struct LongAnswers(Arc<Shared>);

struct Shared {
    /// How many each caller has.
    under_way: Mutex<HashMap<Uuid, usize>>,
    /// Permits to read a page.
    reads: Semaphore,
    /// The permit to add up the whole books.
    sums: Arc<Semaphore>,
    /// Pages, by caller. None for any number.
    pages: Option<Limiter<Uuid>>,
}

/// Counts as under way until it is dropped.
pub struct UnderWay {
    among: LongAnswers,
    caller: Uuid,
}

impl LongAnswers {
    /// Whether one caller may read only so fast.
    pub fn new(is_limited: bool) -> Self {
        let pages = is_limited.then(|| Limiter::new(PAGES_OF_A_CALLER));
        Self(Arc::new(Shared {
            under_way: Mutex::default(),
            reads: Semaphore::new(READS_AT_ONCE),
            sums: Arc::new(Semaphore::new(1)),
            pages,
        }))
    }

    pub fn drop_idle(&self, now: Instant) {
        if let Some(pages) = &self.0.pages {
            pages.drop_idle(now);
        }
    }

    /// Counts one more, of which a caller may have a few.
    pub fn begin(&self, caller: Uuid) -> Result<UnderWay> {
        let mut under_way = self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.values().sum::<usize>() >= MAX_UNDER_WAY {
            return Err(busy("Too many long statements are being read. Try again soon, or ask for a shorter period."));
        }
        let of_caller = under_way.entry(caller).or_default();
        if *of_caller >= MAX_OF_A_CALLER {
            return Err(busy(
                "You are reading too many long statements at once. Finish one, or ask for a shorter period.",
            ));
        }
        *of_caller += 1;
        Ok(UnderWay { among: self.clone(), caller })
    }

    /// A permit to read many rows at once, for statements and searches: keep it while reading.
    pub async fn read_permit(&self) -> Option<SemaphorePermit<'_>> {
        // None only if it were closed, which nobody does.
        self.0.reads.acquire().await.ok()
    }

    /// The permit to add up the whole books, one after the other: keep it while reading. They take a while on a large bank,
    /// and nobody else's pages wait for them.
    pub async fn sums_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.0.sums.clone().acquire_owned().await.ok()
    }

    /// Waits until a caller may read another page.
    pub async fn wait_for_page(&self, caller: Uuid) {
        let Some(pages) = &self.0.pages else { return };
        while let Err(refused) = pages.take(caller, Instant::now()) {
            tokio::time::sleep(refused.reset).await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut under_way = self.among.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_caller) = under_way.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                under_way.remove(&self.caller);
            }
        }
    }
}

fn busy(detail: &'static str) -> Error {
    Error::Busy { code: ProblemCode::StatementsBusy, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_under_way_and_few_of_one() {
        let long_answers = LongAnswers::new(false);
        let greedy = Uuid::from_u128(0);
        let mut taken: Vec<_> = (0..MAX_OF_A_CALLER).map(|_| long_answers.begin(greedy).expect("room")).collect();
        assert!(long_answers.begin(greedy).is_err());
        let others = (MAX_OF_A_CALLER..MAX_UNDER_WAY).map(|n| Uuid::from_u128(n as u128));
        taken.extend(others.map(|caller| long_answers.begin(caller).expect("room")));
        assert!(matches!(
            long_answers.begin(Uuid::from_u128(1)),
            Err(Error::Busy { code: ProblemCode::StatementsBusy, .. })
        ));
        taken.clear();
        assert!(long_answers.0.under_way.lock().expect("no panic").is_empty());
        assert!(long_answers.begin(greedy).is_ok());
    }
}
