//! Loads everything from the books that the decisions of a batch depend on.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::account_number::AccountNumber;
use crate::books::account::Account;
use crate::books::account_limits::AccountLimits;
use crate::books::approval::Reservation;
use crate::books::calendar::Calendar;
use crate::books::command::{Command, DualControl, Step, accounts_named};
use crate::books::decisions::{Decisions, PendingBefore};
use crate::books::hold::Hold;
use crate::books::postings::{Reversal, UsedKey};
use crate::books::rules::Book;
use crate::books::tags::TakenReference;
use crate::books::unapproved::{Unapproved, window};
use crate::clock::Clock;
use crate::db::ledger::Batch;
use crate::timestamp::Timestamp;

/// As locked and loaded for the commands of one batch.
pub struct Loaded {
    /// When the accounts were locked: what had ended by then does not count any more.
    pub now: Timestamp,
    accounts: Vec<Account>,
    used_keys: Vec<UsedKey>,
    taken: Vec<TakenReference>,
    pending: Vec<Uuid>,
    holds: Vec<Hold>,
    reversals: Vec<Reversal>,
    pending_before: PendingBefore,
    reservations: Vec<Reservation>,
    limits: Vec<AccountLimits>,
    unapproved: Unapproved,
}

impl Loaded {
    pub fn decisions(self, maximum_major_units: i64, calendar: Calendar) -> Decisions {
        let book = Book::new(self.accounts, self.now, maximum_major_units).with(self.reservations, self.unapproved);
        let book = book.limited(self.limits, calendar);
        Decisions::new(book, self.used_keys, self.pending, self.holds, self.reversals, self.pending_before, self.now)
            .with_taken(self.taken)
    }
}

/// Locks the accounts that the commands name and loads what else they name: the round trips of the table in
/// [`crate::committer`], each only if a command needs it.
pub async fn load(tx: &mut Batch<'_>, commands: &[&Command], clock: &Clock) -> sqlx::Result<Loaded> {
    let numbers: Vec<AccountNumber> = accounts_named(commands.iter().copied()).into_iter().collect();
    let accounts = tx.lock_accounts(&numbers).await?;
    let now = Timestamp::now();
    // Keys are looked up after the lock: whoever held an account before us has written its keys by now.
    let keys: Vec<_> = commands.iter().filter_map(|command| command.idempotency_key).collect();
    let used_keys = if keys.is_empty() { Vec::new() } else { tx.used_keys(&keys).await? };
    let references: Vec<_> = commands.iter().filter_map(|c| Some((c.requester.user_id, c.new_reference()?))).collect();
    let taken = if references.is_empty() { Vec::new() } else { tx.taken_references(&references).await? };
    let is_approved = |c: &&&Command| matches!(c.dual_control, DualControl::Approved { .. });
    let approved: Vec<_> = commands.iter().filter(is_approved).map(|command| command.id).collect();
    let pending = if approved.is_empty() { Vec::new() } else { tx.lock_pending(&approved, now).await? };
    let to_capture: Vec<_> = commands.iter().filter(|c| c.step == Step::Capture).map(|command| command.id).collect();
    let holds = if to_capture.is_empty() { Vec::new() } else { tx.lock_holds(&to_capture).await? };
    let to_reverse: Vec<_> = commands.iter().filter_map(|c| c.reverses.as_ref()).map(|r| r.transaction_id).collect();
    let reversals = if to_reverse.is_empty() { Vec::new() } else { tx.reversals(&to_reverse).await? };
    let with_reservations = accounts.iter().filter(|account| account.held_until > now);
    let with_reservations: Vec<_> = with_reservations.map(|account| account.account_number).collect();
    let reservations = match with_reservations.is_empty() {
        true => Vec::new(),
        false => tx.reservations(&with_reservations, now).await?,
    };
    let limited: Vec<_> = accounts.iter().filter(|it| it.has_limits).map(|account| account.account_number).collect();
    let limits = if limited.is_empty() { Vec::new() } else { tx.limits(&limited).await? };
    let supervised = supervised(commands.iter().copied());
    let pending_before = load_pending(tx, &to_reverse, &supervised, now).await?;
    let unapproved = load_unapproved(tx, commands, &supervised, window(now, clock.certain(now))).await?;
    Ok(Loaded {
        now,
        accounts,
        used_keys,
        taken,
        pending,
        holds,
        reversals,
        pending_before,
        reservations,
        limits,
        unapproved,
    })
}

/// Loads what waits for approval, as far as the batch has to do with it. Asks nothing for a batch of customers.
async fn load_pending(
    tx: &mut Batch<'_>,
    to_reverse: &[Uuid],
    supervised: &[Uuid],
    now: Timestamp,
) -> sqlx::Result<PendingBefore> {
    let mut pending = PendingBefore::default();
    if !to_reverse.is_empty() {
        pending.reversals = tx.pending_reversals(to_reverse, now).await?;
    }
    if !supervised.is_empty() {
        pending.counts = tx.count_pending(supervised, now).await?;
    }
    Ok(pending)
}

/// Loads what the supervised requesters and the keys with a limit have moved between two moments. Asks nothing for a batch
/// without either.
async fn load_unapproved(
    tx: &mut Batch<'_>,
    commands: &[&Command],
    supervised: &[Uuid],
    (since, until): (Timestamp, Timestamp),
) -> sqlx::Result<Unapproved> {
    let limited = commands.iter().filter_map(|command| Some((command.requester.user_id, command.limited_key()?)));
    let (of_keys, keys): (BTreeSet<_>, BTreeSet<_>) = limited.map(|(user_id, key)| (user_id, key.key_id)).unzip();
    let together = |more: BTreeSet<Uuid>| supervised.iter().copied().chain(more).collect::<BTreeSet<_>>();
    let (users, movers): (Vec<_>, Vec<_>) =
        (together(of_keys).into_iter().collect(), together(keys).into_iter().collect());
    match movers.is_empty() {
        true => Ok(Unapproved::default()),
        false => Ok(Unapproved::new(tx.lock_unapproved_totals(&users, &movers, since, until).await?)),
    }
}

/// The requesters whose movements may need a second approver, each once.
fn supervised<'a>(commands: impl Iterator<Item = &'a Command>) -> Vec<Uuid> {
    let requesters = commands.map(|command| command.requester).filter(|requester| requester.approval_above.is_some());
    requesters.map(|requester| requester.user_id).collect::<BTreeSet<_>>().into_iter().collect()
}
