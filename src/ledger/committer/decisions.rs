//! The decisions of a batch: keys, approvals, reversals, and orders that are all or nothing. No database.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::{Receipt, Verdicts, Waiting};
use crate::account_number::AccountNumber;
use crate::db::accounts::Account;
use crate::db::approvals::Approval;
use crate::db::audit::Event;
use crate::db::ledger::{Approved, Entry, Postings, Reversal, Transaction, UsedKey};
use crate::ledger::rules::{self, Book, Command, Outcome, Refusal, Reverses, SecondPerson};
use crate::money::Money;
use crate::timestamp::Timestamp;

/// The state of a batch while its commands are decided one after the other.
pub(super) struct Decisions {
    book: Book,
    /// Keys that took effect, before this batch or within it.
    used_keys: HashMap<[u8; 16], UsedKey>,
    /// Approvals that are still to be carried out, of those that the batch names.
    pending: HashSet<Uuid>,
    /// Reversals before this batch, of those that have to do with what it reverses.
    reversals: Vec<Reversal>,
    /// The time of new approvals.
    now: Timestamp,
    pub postings: Postings,
}

impl Decisions {
    pub fn new(
        book: Book,
        used_keys: Vec<UsedKey>,
        pending: Vec<Uuid>,
        reversals: Vec<Reversal>,
        now: Timestamp,
    ) -> Self {
        Self {
            book,
            used_keys: used_keys.into_iter().map(|used| (used.key, used)).collect(),
            pending: pending.into_iter().collect(),
            reversals,
            now,
            postings: Postings::default(),
        }
    }

    pub fn decide_order(&mut self, order: &Waiting) -> Verdicts {
        if !order.atomic {
            return order.commands.iter().map(|command| self.decide(command)).collect();
        }
        let before = self.savepoint(&order.commands);
        let verdicts: Verdicts = order.commands.iter().map(|command| self.decide(command)).collect();
        if verdicts.iter().all(Result::is_ok) {
            return verdicts;
        }
        self.go_back_to(before);
        verdicts.into_iter().map(|verdict| verdict.and(Err(Refusal::BatchRefused))).collect()
    }

    fn savepoint(&self, commands: &[Command]) -> Savepoint {
        let numbers = accounts_named(commands).into_iter();
        Savepoint {
            accounts: numbers.filter_map(|number| self.book.account(number)).cloned().collect(),
            transactions: self.postings.transactions.len(),
            entries: self.postings.entries.len(),
            used_keys: self.postings.used_keys.len(),
            approved: self.postings.approved.len(),
            kept: self.postings.kept.len(),
            reversals: self.postings.reversals.len(),
            records: self.postings.records.len(),
        }
    }

    fn go_back_to(&mut self, before: Savepoint) {
        self.book.put_back(before.accounts);
        self.postings.transactions.truncate(before.transactions);
        self.postings.entries.truncate(before.entries);
        self.postings.kept.truncate(before.kept);
        self.postings.reversals.truncate(before.reversals);
        self.postings.records.truncate(before.records);
        for used in self.postings.used_keys.drain(before.used_keys..) {
            self.used_keys.remove(&used.key);
        }
        self.pending.extend(self.postings.approved.drain(before.approved..).map(|approved| approved.id));
    }

    fn decide(&mut self, command: &Command) -> Result<Receipt, Refusal> {
        if let Some(used) = command.idempotency_key.and_then(|key| self.used_keys.get(&key)) {
            return if used.fingerprint == command.fingerprint() {
                Ok(Receipt::Replay { transaction_id: used.transaction_id })
            } else {
                Err(Refusal::IdempotencyKeyReused)
            };
        }
        if let SecondPerson::HasApproved { .. } = command.second_person
            && !self.pending.contains(&command.id)
        {
            return Err(Refusal::ApprovalNotPending);
        }
        if let Some(reverses) = &command.reverses {
            self.refuse_second_reversal(reverses.transaction_id)?;
        }
        match (rules::decide(&mut self.book, command), &command.second_person) {
            (Err(Refusal::ApprovalRequired { requested, .. }), SecondPerson::MayBeAsked { record }) => {
                Ok(Receipt::Kept(self.keep(command, requested, record)))
            }
            (outcome, _) => Ok(Receipt::Posted(self.take_down(command, outcome?))),
        }
    }

    /// A movement is reversed once, and a reversal never: before this batch and within it.
    fn refuse_second_reversal(&self, transaction_id: Uuid) -> Result<(), Refusal> {
        let mut known = self.reversals.iter().chain(&self.postings.reversals);
        match known.find(|known| known.transaction_id == transaction_id || known.reversal_id == transaction_id) {
            None => Ok(()),
            Some(known) if known.transaction_id == transaction_id => {
                Err(Refusal::AlreadyReversed { by: known.reversal_id })
            }
            Some(known) => Err(Refusal::IsAReversal { of: known.transaction_id }),
        }
    }

    /// Notes what is to be kept until a second person decides.
    fn keep(&mut self, command: &Command, money: Money, record: &Event) -> Approval {
        self.use_key(command);
        let approval = command.approval(money, self.now);
        let record = record.clone().on(approval.id).detail(approval.in_words());
        self.postings.records.push(approval.accounts().fold(record, Event::about));
        self.postings.kept.push(approval.clone());
        approval
    }

    fn use_key(&mut self, command: &Command) {
        if let Some(key) = command.idempotency_key {
            let used = UsedKey { key, fingerprint: command.fingerprint(), transaction_id: command.id };
            self.used_keys.insert(key, used);
            self.postings.used_keys.push(used);
        }
    }

    /// Notes what is to be written and returns the caller's entry.
    fn take_down(&mut self, command: &Command, outcome: Outcome) -> Entry {
        self.use_key(command);
        if let SecondPerson::HasApproved { by, record } = &command.second_person {
            self.pending.remove(&command.id);
            self.postings.approved.push(Approved { id: command.id, by: *by });
            self.postings.records.push(Event::clone(record));
        }
        if let Some(reverses) = &command.reverses {
            self.reverse(reverses, &outcome.transaction);
        }
        self.postings.transactions.push(outcome.transaction);
        self.postings.entries.push(outcome.entry.clone());
        self.postings.entries.extend(outcome.counter_entry);
        outcome.entry
    }

    fn reverse(&mut self, reverses: &Reverses, reversal: &Transaction) {
        let Reverses { transaction_id, record } = reverses;
        let why = reversal.description.as_deref().unwrap_or_default();
        let detail = format!("{}: {why}", reversal.in_words());
        let record = record.clone().on(transaction_id).detail(detail);
        let (from, to) = reversal.sides();
        self.postings.records.push(from.into_iter().chain(to).fold(record, Event::about));
        self.postings.reversals.push(Reversal { transaction_id: *transaction_id, reversal_id: reversal.id });
    }

    /// The accounts with new entries, by number.
    pub fn heads(&self) -> Vec<&Account> {
        let touched: BTreeSet<_> = self.postings.entries.iter().map(|entry| entry.account_number).collect();
        touched.into_iter().filter_map(|number| self.book.account(number)).collect()
    }
}

/// Where to go back to when an atomic order is refused half-way.
struct Savepoint {
    /// The accounts that the order names.
    accounts: Vec<Account>,
    /// How many of each the batch had to write.
    transactions: usize,
    entries: usize,
    used_keys: usize,
    approved: usize,
    kept: usize,
    reversals: usize,
    records: usize,
}

/// The accounts that the commands name, each once and in order, which is also the order of their locks.
pub(super) fn accounts_named<'a>(commands: impl IntoIterator<Item = &'a Command>) -> BTreeSet<AccountNumber> {
    commands.into_iter().flat_map(|command| command.movement.accounts()).collect()
}
