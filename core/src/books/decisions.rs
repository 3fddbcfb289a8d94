//! The decisions of a batch: keys, references, approvals, holds, reversals, and requests that are all or nothing.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::account::Account;
use super::account_limits::AccountLimits;
use super::approval::{Approval, MAX_PENDING_PER_PERSON};
use super::audit_event::Event;
use super::bank_event::{BankEvent, EventKind};
use super::command::{Command, DualControl, Reverses, Step};
use super::entry::{Entry, Transaction};
use super::hold::{Hold, HoldStatus};
use super::movement::Movement;
use super::notice::MovementNotice;
use super::postings::{Approved, Captured, PendingReversal, Postings, Reversal, UsedKey};
use super::refusal::Refusal;
use super::rules::{self, Book, Outcome};
use super::staged::Staged;
use super::tags::{NewTags, TaggedEntry, TakenReference};
use super::unapproved::UnapprovedTotal;
use crate::money::Money;
use crate::timestamp::Timestamp;

/// The outcome of an accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Committed just now, with the entry it made in the account that the requester acted on.
    Posted(Entry),
    /// Nothing is booked: it was stored just now as a pending approval.
    Pending(Approval),
    /// Nothing is booked: the money is held since just now.
    Held(Hold),
    /// An earlier request used the same key: this is what it booked, or what it became an approval of.
    Replay { transaction_id: Uuid },
}

/// The decision on a command.
pub type Verdict = Result<Receipt, Refusal>;

/// The decisions on the commands of a request, in the request's order.
pub type Verdicts = Vec<Verdict>;

/// The state of a batch while its requests are decided one after the other. The changes of a request are staged, and
/// join the batch when the request is accepted.
pub struct Decisions {
    book: Book,
    /// Keys that took effect, before this batch or within it.
    used_keys: Staged<[u8; 16], UsedKey>,
    /// The movements that have a reference, by requester and reference.
    references: Staged<(Uuid, String), Uuid>,
    /// The approvals named in the batch that are still pending.
    pending: Staged<Uuid, ()>,
    /// The holds that the batch captures.
    holds: Staged<Uuid, Hold>,
    /// Reversals before this batch that have one of the movements it reverses on either side.
    reversals: Vec<Reversal>,
    /// Pending reversals before this batch of the movements that it reverses.
    pending_reversals: Vec<PendingReversal>,
    /// The number of pending approvals of each requester who may ask for another.
    pending_counts: Staged<Uuid, i64>,
    /// The time of new approvals and holds.
    now: Timestamp,
    /// Whether anybody listens to events.
    with_events: bool,
    /// Whether the bank sends mail.
    with_mail: bool,
    /// The postings of the requests that were accepted.
    pub postings: Postings,
    /// The postings of the request that is being decided.
    staged: Postings,
}

/// The approvals that were pending before the batch, as far as it needs to know them.
#[derive(Default)]
pub struct PendingBefore {
    /// Pending reversals of the movements that the batch reverses.
    pub reversals: Vec<PendingReversal>,
    /// The number of pending approvals of each requester who may ask for another.
    pub counts: HashMap<Uuid, i64>,
}

impl Decisions {
    pub fn new(
        book: Book,
        used_keys: Vec<UsedKey>,
        pending: Vec<Uuid>,
        holds: Vec<Hold>,
        reversals: Vec<Reversal>,
        before: PendingBefore,
        now: Timestamp,
    ) -> Self {
        Self {
            book,
            used_keys: used_keys.into_iter().map(|used| (used.key, used)).collect(),
            pending: pending.into_iter().map(|id| (id, ())).collect(),
            references: Staged::default(),
            holds: holds.into_iter().map(|hold| (hold.id, hold)).collect(),
            reversals,
            pending_reversals: before.reversals,
            pending_counts: before.counts.into_iter().collect(),
            now,
            with_events: false,
            with_mail: false,
            postings: Postings::default(),
            staged: Postings::default(),
        }
    }

    /// With the references that the batch is to take and that are taken before.
    pub fn with_taken(mut self, taken: Vec<TakenReference>) -> Self {
        self.references = taken.into_iter().map(|it| ((it.requested_by, it.reference), it.id)).collect();
        self
    }

    /// With events for those who listen, if anybody does.
    pub fn with_events(self, with_events: bool) -> Self {
        Self { with_events, ..self }
    }

    /// With movements to tell of by mail, if the bank sends any.
    pub fn with_mail(self, with_mail: bool) -> Self {
        Self { with_mail, ..self }
    }

    /// Decides the commands of one request. If they are `atomic` and one is refused, all are.
    pub fn decide_request(&mut self, commands: &[Command], atomic: bool) -> Verdicts {
        self.decide_and(commands, atomic, false)
    }

    /// The same decision, of which nothing is left but the verdicts.
    pub fn preview_request(&mut self, commands: &[Command], atomic: bool) -> Verdicts {
        self.decide_and(commands, atomic, true)
    }

    fn decide_and(&mut self, commands: &[Command], atomic: bool, is_preview: bool) -> Verdicts {
        let used_keys = &self.used_keys;
        let is_new = |command: &&Command| command.idempotency_key.is_none_or(|key| !used_keys.contains(&key));
        let supervised = commands.iter().filter(|command| command.requester.approval_above.is_some());
        self.book.begin_request(supervised.filter(is_new));
        let mut verdicts: Verdicts = commands.iter().map(|command| self.decide(command)).collect();
        if atomic {
            refuse_what_is_new_beside_replays(&mut verdicts);
        }
        let is_refused = atomic && verdicts.iter().any(Result::is_err);
        if is_refused || is_preview {
            self.discard();
        } else {
            self.accept();
        }
        match is_refused {
            true => verdicts.into_iter().map(|verdict| verdict.and(Err(Refusal::BatchRefused))).collect(),
            false => verdicts,
        }
    }

    /// Moves what the request has staged to the batch.
    fn accept(&mut self) {
        self.book.accept();
        self.used_keys.accept();
        self.references.accept();
        self.pending.accept();
        self.holds.accept();
        self.pending_counts.accept();
        self.postings.append(&mut self.staged);
    }

    /// Discards what the request has staged, because it was refused.
    fn discard(&mut self) {
        self.book.discard();
        self.used_keys.discard();
        self.references.discard();
        self.pending.discard();
        self.holds.discard();
        self.pending_counts.discard();
        self.staged = Postings::default();
    }

    fn decide(&mut self, command: &Command) -> Result<Receipt, Refusal> {
        if let Some(used) = command.idempotency_key.and_then(|key| self.used_keys.get(&key)) {
            return if used.fingerprint == command.fingerprint() {
                Ok(Receipt::Replay { transaction_id: used.transaction_id })
            } else {
                Err(Refusal::IdempotencyKeyReused)
            };
        }
        self.refuse_taken_reference(command)?;
        if let DualControl::Approved { .. } = command.dual_control
            && !self.pending.contains(&command.id)
        {
            return Err(Refusal::ApprovalNotPending);
        }
        if let Some(reverses) = &command.reverses {
            self.refuse_second_reversal(reverses.transaction_id)?;
            self.refuse_while_another_waits(command.id, reverses.transaction_id)?;
        }
        let receipt = match command.step {
            Step::Post => self.post(command),
            Step::Capture => self.refuse_unless_held(command).and_then(|()| self.post(command)),
            Step::Hold { expires_at } => rules::hold(&mut self.book, command, expires_at)
                .map(|hold| Receipt::Held(self.stage_hold(command, hold))),
        };
        match (receipt, &command.dual_control) {
            (Err(Refusal::ApprovalRequired { requested, .. }), DualControl::Request { record }) => {
                Ok(Receipt::Pending(self.stage_approval(command, requested, record)?))
            }
            (receipt, _) => receipt,
        }
    }

    fn post(&mut self, command: &Command) -> Result<Receipt, Refusal> {
        let outcome = rules::decide(&mut self.book, command)?;
        Ok(Receipt::Posted(self.stage_transaction(command, outcome)))
    }

    /// A reference names one movement of its requester for good, whatever becomes of it.
    fn refuse_taken_reference(&self, command: &Command) -> Result<(), Refusal> {
        let Some(reference) = command.new_reference() else { return Ok(()) };
        match self.references.get(&(command.requester.user_id, reference.to_owned())) {
            Some(&by) if self.staged.tags.iter().any(|tags| tags.id == by) => Err(Refusal::ReferenceRepeated),
            Some(&by) => Err(Refusal::ReferenceTaken { by }),
            None => Ok(()),
        }
    }

    /// A hold is captured once, in time, and for no more than it keeps.
    fn refuse_unless_held(&self, command: &Command) -> Result<(), Refusal> {
        let hold = self.holds.get(&command.id).ok_or(Refusal::HoldNotFound)?;
        match hold.status_at(self.now) {
            HoldStatus::Held => {}
            HoldStatus::Captured => return Err(Refusal::HoldCaptured),
            HoldStatus::Released => return Err(Refusal::HoldReleased),
            HoldStatus::Expired => return Err(Refusal::HoldExpired),
        }
        let asked = command.amount.to_money(hold.currency, i64::MAX)?;
        match asked.minor_units > hold.amount {
            true => Err(Refusal::CaptureExceedsHold { held: hold.money() }),
            false => Ok(()),
        }
    }

    /// Stages a hold, and that what it waited for is approved, if it did.
    fn stage_hold(&mut self, command: &Command, hold: Hold) -> Hold {
        self.stage_names(command);
        self.stage_approved(command);
        let owner = self.book.account(hold.from_account).and_then(|account| account.owner_id);
        if let Some(record) = self.record_by_staff(command, owner) {
            let record = record.on(hold.from_account).detail(format!("{}, {}", hold.in_words(), hold.id));
            let record = hold.to_account.into_iter().fold(record, Event::about);
            self.staged.records.push(owner.into_iter().fold(record, Event::about));
        }
        self.stage_event(|| BankEvent::of_account(EventKind::HoldCreated, hold.from_account, owner).about(hold.id));
        self.staged.holds.push(hold.clone());
        hold
    }

    /// Stages that the approval is carried out that the command waited for, if it did.
    fn stage_approved(&mut self, command: &Command) {
        if let DualControl::Approved { by, record } = &command.dual_control {
            self.pending.remove(&command.id);
            self.staged.approved.push(Approved { id: command.id, by: *by });
            self.staged.records.push(Event::clone(record));
            let account = command.movement.accounts().next();
            self.stage_event(|| BankEvent::of_approval(EventKind::ApprovalApproved, command.id, account));
        }
    }

    /// Stages that the hold is captured whose money the transaction moves, if it is one's.
    fn stage_captured(&mut self, command: &Command, amount: i64) {
        if command.step == Step::Capture
            && let Some(hold) = self.holds.get_mut(&command.id)
        {
            hold.status = HoldStatus::Captured;
            let from_account = hold.from_account;
            self.staged.captured.push(Captured { id: command.id, by: command.given_by(), amount });
            let owner = self.book.account(from_account).and_then(|account| account.owner_id);
            self.stage_event(|| BankEvent::of_account(EventKind::HoldCaptured, from_account, owner).about(command.id));
        }
    }

    /// A movement is reversed once, and a reversal never: before this batch and within it.
    fn refuse_second_reversal(&self, transaction_id: Uuid) -> Result<(), Refusal> {
        let mut known = self.reversals.iter().chain(&self.postings.reversals).chain(&self.staged.reversals);
        match known.find(|known| known.transaction_id == transaction_id || known.reversal_id == transaction_id) {
            None => Ok(()),
            Some(known) if known.transaction_id == transaction_id => {
                Err(Refusal::AlreadyReversed { by: known.reversal_id })
            }
            Some(known) => Err(Refusal::IsAReversal { of: known.transaction_id }),
        }
    }

    /// A movement has one pending reversal at a time: otherwise its money would have to be reserved twice.
    fn refuse_while_another_waits(&self, command_id: Uuid, transaction_id: Uuid) -> Result<(), Refusal> {
        let before = self.pending_reversals.iter().map(|waiting| (waiting.approval_id, Some(waiting.transaction_id)));
        let since = self.postings.approvals.iter().chain(&self.staged.approvals);
        let mut all = before.chain(since.map(|approval| (approval.id, approval.reverses)));
        match all.find(|&(id, reverses)| id != command_id && reverses == Some(transaction_id)) {
            Some((approval_id, _)) => Err(Refusal::ReversalPending { approval_id }),
            None => Ok(()),
        }
    }

    /// Stages a pending approval.
    fn stage_approval(&mut self, command: &Command, money: Money, record: &Event) -> Result<Approval, Refusal> {
        let requester = command.requester.user_id;
        let count = self.pending_counts.get(&requester).copied().unwrap_or_default();
        if count >= MAX_PENDING_PER_PERSON {
            return Err(Refusal::TooManyPending { most: MAX_PENDING_PER_PERSON });
        }
        self.pending_counts.insert(requester, count + 1);
        self.stage_names(command);
        let approval = command.approval(money, self.now);
        if let Some(reservation) = approval.reservation() {
            self.book.reserve(reservation);
        }
        let record = record.clone().on(approval.id).detail(approval.in_words());
        self.staged.records.push(approval.accounts().fold(record, Event::about));
        let account = approval.accounts().next();
        self.stage_event(|| BankEvent::of_approval(EventKind::ApprovalRequested, approval.id, account));
        self.staged.approvals.push(approval.clone());
        Ok(approval)
    }

    /// Stages what an accepted command takes for good, whatever it becomes: its key and its reference.
    fn stage_names(&mut self, command: &Command) {
        if let Some(key) = command.idempotency_key {
            let used = UsedKey { key, fingerprint: command.fingerprint(), transaction_id: command.id };
            self.used_keys.insert(key, used);
            self.staged.used_keys.push(used);
        }
        let requested_by = command.requester.user_id;
        if let Some(reference) = command.new_reference() {
            self.references.insert((requested_by, reference.to_owned()), command.id);
        }
        if command.brings_tags() {
            self.staged.tags.push(NewTags { id: command.id, requested_by, tags: command.texts.tags.clone() });
        }
    }

    /// Stages that the entry is found by the tags of its movement.
    fn stage_tagged(&mut self, entry: &Entry) {
        let Entry { account_number, sequence, transaction_id, .. } = *entry;
        let found_by = |tag| TaggedEntry { account_number, sequence, transaction_id, tag };
        self.staged.tagged_entries.extend(entry.texts.tags.each().map(found_by));
    }

    /// Stages the transaction and its entries. Returns the entry of the account that the requester acted on.
    fn stage_transaction(&mut self, command: &Command, outcome: Outcome) -> Entry {
        self.stage_names(command);
        self.stage_approved(command);
        self.stage_captured(command, outcome.transaction.amount);
        if let Some(reverses) = &command.reverses {
            self.stage_reversal(reverses, command.movement, &outcome.transaction);
        }
        self.stage_record(command, &outcome);
        self.stage_tagged(&outcome.entry);
        self.stage_events_of_entries(command, &outcome);
        self.stage_notices(&outcome);
        self.staged.transactions.push(outcome.transaction);
        self.staged.entries.push(outcome.entry.clone());
        self.staged.entries.extend(outcome.counter_entry);
        outcome.entry
    }

    /// Stages an event, if anybody listens.
    fn stage_event(&mut self, event: impl FnOnce() -> BankEvent) {
        if self.with_events {
            self.staged.events.push(event());
        }
    }

    /// Stages what has happened to each account of a transaction.
    fn stage_events_of_entries(&mut self, command: &Command, outcome: &Outcome) {
        for entry in [Some(&outcome.entry), outcome.counter_entry.as_ref()].into_iter().flatten() {
            let (number, sequence) = (entry.account_number, Some(entry.sequence));
            let owner = self.book.account(number).and_then(|account| account.owner_id);
            let of_kind =
                |kind, subject| BankEvent { sequence, ..BankEvent::of_account(kind, number, owner).about(subject) };
            self.stage_event(|| of_kind(EventKind::TransactionPosted, entry.transaction_id));
            if let Some(reverses) = &command.reverses {
                self.stage_event(|| of_kind(EventKind::TransactionReversed, reverses.transaction_id));
            }
            let threshold = self.book.account(number).and_then(|account| account.alert_below);
            let before = entry.balance.saturating_sub(entry.amount);
            if threshold.is_some_and(|threshold| before >= threshold && entry.balance < threshold) {
                self.stage_event(|| of_kind(EventKind::BalanceBelow, entry.transaction_id));
            }
        }
    }

    /// Stages to whom the transaction is told by mail.
    fn stage_notices(&mut self, outcome: &Outcome) {
        if !self.with_mail {
            return;
        }
        for entry in [Some(&outcome.entry), outcome.counter_entry.as_ref()].into_iter().flatten() {
            let Entry { account_number, sequence, .. } = *entry;
            let Some(account) = self.book.account(account_number) else { continue };
            if let (Some(owner_id), Some(above)) = (account.owner_id, account.notify_above)
                && entry.amount.unsigned_abs() > above.unsigned_abs()
            {
                self.staged.notices.push(MovementNotice { owner_id, account_number, sequence });
            }
        }
    }

    fn stage_reversal(&mut self, reverses: &Reverses, movement: Movement, reversal: &Transaction) {
        let Reverses { transaction_id, record } = reverses;
        let why = reversal.texts.description.as_deref().unwrap_or_default();
        let detail = format!("{}: {why}", movement.in_words(reversal.money()));
        let record = record.clone().on(transaction_id).detail(detail);
        self.staged.records.push(movement.accounts().fold(record, Event::about));
        self.staged.reversals.push(Reversal { transaction_id: *transaction_id, reversal_id: reversal.id });
    }

    /// Records what staff do on somebody else's account by themselves. Approvals and reversals have records of their
    /// own.
    fn stage_record(&mut self, command: &Command, outcome: &Outcome) {
        let acted_on = outcome.entry.account_number;
        let owner = self.book.account(acted_on).and_then(|account| account.owner_id);
        if let Some(record) = self.record_by_staff(command, owner) {
            let moved = command.movement.in_words(outcome.transaction.money());
            let detail = format!("{moved}, transaction {}", command.id);
            let record = record.on(acted_on).detail(detail);
            let accounts = command.movement.accounts().filter(|number| *number != acted_on);
            self.staged.records.push(owner.into_iter().fold(accounts.fold(record, Event::about), Event::about));
        }
    }

    /// The record of a command that staff carry out by themselves on the account of this owner: not of what any customer
    /// may do.
    fn record_by_staff(&self, command: &Command, owner: Option<Uuid>) -> Option<Event> {
        let has_record = command.reverses.is_some() || matches!(command.dual_control, DualControl::Approved { .. });
        let is_as_customer = owner == Some(command.requester.user_id) && command.movement.is_customers();
        command.record.as_deref().filter(|_| !is_as_customer && !has_record).cloned()
    }

    /// Adds to the postings what requesters and their keys have moved without a second approver in this batch, at the time `moved_at`.
    pub fn add_unapproved(&mut self, moved_at: Timestamp) {
        let added = self.book.unapproved().added();
        self.postings.unapproved = added.map(|(mover, money)| UnapprovedTotal { mover, money, moved_at }).collect();
    }

    /// The limits of accounts that money has left, or that keep it from now on, with their counters, by number.
    pub fn limits(&self) -> Vec<&AccountLimits> {
        if self.book.has_no_limits() {
            return Vec::new();
        }
        let debited = self.postings.transactions.iter().map(|transaction| transaction.debit_account);
        let touched: BTreeSet<_> = debited.chain(self.postings.holds.iter().map(|hold| hold.from_account)).collect();
        touched.into_iter().filter_map(|number| self.book.limits(number)).collect()
    }

    /// The accounts with new entries, by number.
    pub fn heads(&self) -> Vec<&Account> {
        let touched: BTreeSet<_> = self.postings.entries.iter().map(|entry| entry.account_number).collect();
        touched.into_iter().filter_map(|number| self.book.account(number)).collect()
    }
}

/// Of commands that are all or nothing, none was carried out without the others: where some were and some were not, the same
/// keys have come with another request.
fn refuse_what_is_new_beside_replays(verdicts: &mut Verdicts) {
    let is_replay = |verdict: &Verdict| matches!(verdict, Ok(Receipt::Replay { .. }));
    if verdicts.iter().any(is_replay) {
        let new = verdicts.iter_mut().filter(|verdict| verdict.is_ok() && !is_replay(verdict));
        new.for_each(|verdict| *verdict = Err(Refusal::IdempotencyKeyReused));
    }
}
