//! Which requests wait for which account to change (`Prefer: wait`), and who tells them.
//!
//! The committer and whoever changes an account otherwise call [`Watches::changed`] once it is committed. What this
//! process does not do itself, another instance's movements and holds that expire, is found by looking: housekeeping
//! compares the accounts that are watched with the database once a second. A watch only wakes: what has changed, and
//! whether its request may still see it, is found out by making the answer anew.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use uuid::Uuid;

use crate::account_number::AccountNumber;
use crate::books::account::Account;

/// The most requests of one caller that wait at once: each tab and each program of theirs has some.
pub const MAX_OF_A_CALLER: usize = 100;
/// The most requests that wait at once, of all callers. Each costs some twenty kilobytes, almost all of them for its connection.
const MAX_WATCHES: usize = 20_000;
/// Answers that are made anew at once. A crowd that watches one account wakes together, and must not take every
/// connection to the database.
const ANSWERS_AT_ONCE: usize = 32;

/// The requests that wait for an account to change. Clones share them.
#[derive(Clone)]
pub struct Watches(Arc<Shared>);

struct Shared {
    /// How many there are: whoever has changed an account reads this first, and mostly nothing else.
    count: AtomicUsize,
    state: Mutex<State>,
    answers: Semaphore,
    is_closing: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    accounts: HashMap<AccountNumber, Watched>,
    of_caller: HashMap<Uuid, usize>,
}

/// An account that somebody watches.
struct Watched {
    change: Arc<Notify>,
    watches: usize,
    /// What was seen of it last, by whomever.
    seen: Option<u64>,
}

/// One request that waits, until it is dropped.
pub struct Watch {
    watches: Watches,
    account_number: AccountNumber,
    caller: Uuid,
    change: Arc<Notify>,
}

/// Why a request cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    OfCaller,
    OfAll,
}

/// Differs when an account does, as far as any answer about it tells; but for its metadata, which is not loaded with it.
pub fn state_of(account: &Account) -> u64 {
    let Account { status, label, overdraft_limit, sequence, reserved, alert_below, notify_above, .. } = account;
    let mut hasher = DefaultHasher::new();
    (*status as u8, label, overdraft_limit, sequence, reserved, alert_below, notify_above).hash(&mut hasher);
    hasher.finish()
}

impl Default for Watches {
    fn default() -> Self {
        Self(Arc::new(Shared {
            count: AtomicUsize::new(0),
            state: Mutex::default(),
            answers: Semaphore::new(ANSWERS_AT_ONCE),
            is_closing: watch::Sender::new(false),
        }))
    }
}

impl Watches {
    pub fn begin(&self, account_number: AccountNumber, caller: Uuid) -> Result<Watch, NoRoom> {
        let mut state = self.state();
        if self.0.count.load(SeqCst) >= MAX_WATCHES {
            return Err(NoRoom::OfAll);
        }
        let of_caller = state.of_caller.entry(caller).or_default();
        if *of_caller >= MAX_OF_A_CALLER {
            return Err(NoRoom::OfCaller);
        }
        *of_caller += 1;
        self.0.count.fetch_add(1, SeqCst);
        let new = || Watched { change: Arc::default(), watches: 0, seen: None };
        let watched = state.accounts.entry(account_number).or_insert_with(new);
        watched.watches += 1;
        let change = watched.change.clone();
        drop(state);
        Ok(Watch { watches: self.clone(), account_number, caller, change })
    }

    /// Wakes those who watch these accounts. Call it once the change is committed. Asks for the accounts only if there are
    /// watches: `SeqCst`, here and in [`begin`](Self::begin), because each side writes first and then reads what the other
    /// one has written; whichever comes second sees it.
    pub fn changed<I: IntoIterator<Item = AccountNumber>>(&self, accounts: impl FnOnce() -> I) {
        if self.0.count.load(SeqCst) == 0 {
            return;
        }
        let accounts = accounts();
        let state = self.state();
        let change_of = |number| state.accounts.get(&number).map(|watched| watched.change.clone());
        let woken: Vec<_> = accounts.into_iter().filter_map(change_of).collect();
        drop(state);
        woken.iter().for_each(|change| change.notify_waiters());
    }

    /// The accounts that are watched, each once.
    pub fn accounts(&self) -> Vec<AccountNumber> {
        match self.0.count.load(SeqCst) {
            0 => Vec::new(),
            _ => self.state().accounts.keys().copied().collect(),
        }
    }

    /// Notes what an account is like now, and wakes those who watch it if somebody has seen it otherwise.
    pub fn see(&self, account_number: AccountNumber, seen: u64) {
        let mut state = self.state();
        let Some(watched) = state.accounts.get_mut(&account_number) else { return };
        let before = watched.seen.replace(seen);
        let change = before.is_some_and(|before| before != seen).then(|| watched.change.clone());
        drop(state);
        if let Some(change) = change {
            change.notify_waiters();
        }
    }

    /// Leave to make an answer anew; keep it until the answer is made.
    pub async fn answer_permit(&self) -> Option<SemaphorePermit<'_>> {
        // None only if it were closed, which nobody does.
        self.0.answers.acquire().await.ok()
    }

    /// The bank closes: nobody waits any longer.
    pub fn close(&self) {
        self.0.is_closing.send_replace(true);
    }

    /// Completes when the bank closes.
    pub async fn closing(&self) {
        let _ = self.0.is_closing.subscribe().wait_for(|is_closing| *is_closing).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Completes when the account changes after this call, whether it is polled by then or not.
    pub fn change(&self) -> Notified<'_> {
        self.change.notified()
    }

    /// Notes what the request has seen of the account.
    pub fn see(&self, seen: u64) {
        self.watches.see(self.account_number, seen);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.watches.state();
        if let Some(watched) = state.accounts.get_mut(&self.account_number) {
            watched.watches -= 1;
            if watched.watches == 0 {
                state.accounts.remove(&self.account_number);
            }
        }
        if let Some(of_caller) = state.of_caller.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                state.of_caller.remove(&self.caller);
            }
        }
        self.watches.0.count.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn number(index: i64) -> AccountNumber {
        AccountNumber::from_i64(index)
    }

    #[test]
    fn those_are_woken_whose_account_has_changed() {
        let watches = Watches::default();
        let [one, other] = [1, 2].map(|index| watches.begin(number(index), Uuid::nil()).expect("room"));
        // Before it is polled for the first time.
        let (mut of_one, mut of_other) = (Box::pin(one.change()), Box::pin(other.change()));
        watches.changed(|| [number(1), number(3)]);
        assert!(of_one.as_mut().now_or_never().is_some() && of_other.as_mut().now_or_never().is_none());
        assert!(one.change().now_or_never().is_none());
    }

    #[test]
    fn what_somebody_has_seen_otherwise_wakes() {
        let watches = Watches::default();
        let [early, late] = [1, 1].map(|index| watches.begin(number(index), Uuid::nil()).expect("room"));
        early.see(7);
        let change = early.change();
        late.see(7);
        watches.see(number(1), 7);
        watches.see(number(2), 8);
        let mut change = Box::pin(change);
        assert!(change.as_mut().now_or_never().is_none());
        late.see(8);
        assert!(change.now_or_never().is_some());
    }

    #[test]
    fn nothing_is_left_of_a_watch_that_has_ended() {
        let watches = Watches::default();
        let all: Vec<_> = (0..3).map(|_| watches.begin(number(1), Uuid::nil()).expect("room")).collect();
        assert_eq!(watches.accounts(), [number(1)]);
        drop(all);
        assert_eq!(watches.accounts(), []);
        let state = watches.state();
        assert!(state.accounts.is_empty() && state.of_caller.is_empty());
        assert_eq!(watches.0.count.load(SeqCst), 0);
    }

    #[test]
    fn so_many_watch_and_few_of_one_caller() {
        let watches = Watches::default();
        let begin = |caller: usize| watches.begin(number(1), Uuid::from_u128(caller as u128));
        let mut all: Vec<_> = (0..MAX_OF_A_CALLER).map(|_| begin(0).expect("room")).collect();
        assert_eq!(begin(0).err(), Some(NoRoom::OfCaller));
        all.extend((MAX_OF_A_CALLER..MAX_WATCHES).map(|caller| begin(caller).expect("room")));
        assert_eq!(begin(1).err(), Some(NoRoom::OfAll));
        all.pop();
        assert!(begin(1).is_ok());
    }

    #[test]
    fn nobody_waits_when_the_bank_closes() {
        let watches = Watches::default();
        assert!(watches.closing().now_or_never().is_none());
        watches.close();
        assert!(watches.closing().now_or_never().is_some());
    }
}
