//! The rights of users, where they have changed since their access tokens were made.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use uuid::Uuid;

use crate::db::users::{ChangedStanding, Standing};
use crate::timestamp::Timestamp;

/// The standings that an access token cannot know: of users that were given another role, were frozen, lost or got a
/// second factor or chose what to confirm while their tokens run, and of all that are frozen. Looked up on every
/// request: no database read, and no memory for everybody else.
#[derive(Default)]
pub struct Standings(RwLock<HashMap<Uuid, (Standing, Timestamp)>>);

impl Standings {
    /// None when what the token says still holds.
    pub fn get(&self, user_id: Uuid) -> Option<Standing> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&user_id).map(|(standing, _)| *standing)
    }

    /// Stores a decision of `changed_at`, unless a later one is known.
    pub fn set(&self, user_id: Uuid, standing: Standing, changed_at: Timestamp) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(user_id).or_insert((standing, changed_at));
        if entry.1 <= changed_at {
            *entry = (standing, changed_at);
        }
    }

    /// The same, as the database tells it.
    pub fn take_in(&self, changed: ChangedStanding) {
        self.set(changed.id, changed.standing, changed.changed_at);
    }

    /// Drops changes from before `moment`, which newer tokens know of. Freezes stay: tokens do not know them.
    pub fn drop_older_than(&self, moment: Timestamp) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (standing, changed_at)| standing.frozen || *changed_at > moment);
    }
}
