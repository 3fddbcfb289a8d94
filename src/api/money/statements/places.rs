//! Limits how many long statements are read at once, in all and by one caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::api::http::error::{Error, Result};
use crate::problem_code::ProblemCode;

/// The most statements of more than one page at once. Each holds a page in memory, and a slow client holds it for long.
const MAX_UNDER_WAY: usize = 256;
/// Of these, the most for one caller: so that no caller keeps others from theirs.
pub const MAX_OF_A_CALLER: usize = 8;

/// How many each caller has under way. Clones share it.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<Uuid, usize>>>);

/// A statement's place among those under way, until it is dropped.
pub struct Place {
    places: Places,
    caller: Uuid,
}

impl Places {
    pub fn take(&self, caller: Uuid) -> Result<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= MAX_UNDER_WAY {
            return Err(busy("Too many long statements are being read. Try again soon, or ask for a shorter period."));
        }
        let of_caller = taken.entry(caller).or_default();
        if *of_caller >= MAX_OF_A_CALLER {
            return Err(busy(
                "You are reading too many long statements at once. Finish one, or ask for a shorter period.",
            ));
        }
        *of_caller += 1;
        Ok(Place { places: self.clone(), caller })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_caller) = taken.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                taken.remove(&self.caller);
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
    fn there_are_places_for_so_many_and_few_for_one() {
        let places = Places::default();
        let greedy = Uuid::from_u128(0);
        let mut taken: Vec<_> = (0..MAX_OF_A_CALLER).map(|_| places.take(greedy).expect("a place")).collect();
        assert!(places.take(greedy).is_err());
        let others = (MAX_OF_A_CALLER..MAX_UNDER_WAY).map(|n| Uuid::from_u128(n as u128));
        taken.extend(others.map(|caller| places.take(caller).expect("a place")));
        assert!(matches!(places.take(Uuid::from_u128(1)), Err(Error::Busy { code: ProblemCode::StatementsBusy, .. })));
        taken.clear();
        assert!(places.0.lock().expect("no panic").is_empty());
        assert!(places.take(greedy).is_ok());
    }
}
