//! A writer: takes every request that waits, and carries them out together in one database transaction.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Release;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::figures::{Figures, Stopwatch};
use super::load::load;
use super::{QueuedRequest, SubmitError, WriterState, not_booked_because};
use crate::account_number::AccountNumber;
use crate::books::calendar::Calendar;
use crate::books::command::{Command, accounts_named};
use crate::books::decisions::Verdicts;
use crate::books::postings::Postings;
use crate::clock::Clock;
use crate::db::errors::{self, Failure};
use crate::db::ledger::{EntryKey, WriterConnection};
use crate::listening::Listening;
use crate::traces::BatchTrace;
use crate::watches::Watches;

/// Commands in one database transaction, give or take one request. More would only lengthen the wait of the first.
const MAX_BATCH: usize = 1_024;
/// How long a batch that fails for a passing reason is tried again, before its requests are refused.
const RETRY_FOR: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A request that has waited longer is not begun any more.
const BEGUN_WITHIN: Duration = Duration::from_secs(7);
/// How long accounts that somebody else has locked are not asked for again: as long as `Retry-After` advises.
const LOCKED_FOR: Duration = Duration::from_secs(1);
/// How long one look-up of a commit may take. A connection that was merely cut is replaced in less, and nobody notices.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(1);
/// How long a batch is tried again when the bank closes.
const CLOSING_RETRY_FOR: Duration = Duration::from_secs(1);
/// When the bank closes, how long a writer goes on looking up what became of a commit.
const CLOSING_VERDICT_WITHIN: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    pub connection: WriterConnection,
    pub queue: mpsc::UnboundedReceiver<QueuedRequest>,
    pub state: Arc<WriterState>,
    pub closing_since: Arc<OnceLock<Instant>>,
    pub clock: Arc<Clock>,
    pub watches: Watches,
    pub listening: Listening,
    pub maximum_major_units: i64,
    pub calendar: Calendar,
    /// Whether the bank sends mail.
    pub with_mail: bool,
    pub figures: Figures,
    /// Accounts that somebody else had locked, and when that was found.
    pub locked: Vec<(BTreeSet<AccountNumber>, Instant)>,
}

/// A batch that was not committed, as far as is known.
struct Failed {
    error: sqlx::Error,
    /// The answer to COMMIT is missing.
    doubt: Option<Doubt>,
}

/// A COMMIT whose answer is missing: it took effect whole or not at all.
struct Doubt {
    /// The transactions that were to be committed.
    transaction_ids: Vec<Uuid>,
    /// Their entries, by account and sequence, with the hash of each. What was approved or captured has had its id for long,
    /// and may be in the journal because another instance booked it: the hash tells whose it is.
    entries: Vec<EntryKey>,
    /// The pending approvals that were to be stored.
    approval_ids: Vec<Uuid>,
    hold_ids: Vec<Uuid>,
    /// The accounts of the batch, which a COMMIT that is still under way holds.
    accounts: Vec<AccountNumber>,
    /// The answers if it took effect.
    verdicts: Vec<Verdicts>,
}

impl Doubt {
    fn about(postings: &Postings, commands: &[&Command], verdicts: Vec<Verdicts>) -> Self {
        let Postings { transactions, entries, approvals, holds, .. } = postings;
        Self {
            transaction_ids: transactions.iter().map(|booked| booked.id).collect(),
            entries: entries.iter().map(|entry| (entry.account_number, entry.sequence, entry.hash)).collect(),
            approval_ids: approvals.iter().map(|approval| approval.id).collect(),
            hold_ids: holds.iter().map(|hold| hold.id).collect(),
            accounts: accounts_named(commands.iter().copied()).into_iter().collect(),
            verdicts,
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self { error, doubt: None }
    }
}

impl Writer {
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(first) = self.queue.recv().await {
            // Requests that are about to join come first: on a busy machine the batch grows, on an idle one it costs
            // nothing.
            std::thread::yield_now();
            let (mut size, asked_at) = (first.commands.len(), first.asked_at);
            batch.push(first);
            while size < MAX_BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                size += next.commands.len();
                batch.push(next);
            }
            self.refuse_locked(&mut batch);
            if size > 0 {
                self.figures.batch_commands.record(size as f64);
                self.figures.wait.record(asked_at.elapsed());
            }
            if let Err(error) = self.carry_out(&mut batch).await {
                self.carry_out_one_by_one(&mut batch, error).await;
            }
        }
        self.connection.close().await;
    }

    /// Carries out the batch, trying again while the reason for failing may pass. On success the batch is empty and
    /// answered; otherwise it is as it was, and nothing of it is booked.
    async fn carry_out(&mut self, batch: &mut Vec<QueuedRequest>) -> sqlx::Result<()> {
        let started = Instant::now();
        let (mut pause, mut is_to_bury) = (FIRST_PAUSE, false);
        loop {
            refuse_late(batch);
            if batch.is_empty() {
                return Ok(());
            }
            let Failed { error, doubt } = match self.try_once(batch).await {
                Ok(verdicts) => {
                    self.answer(batch, verdicts);
                    return Ok(());
                }
                Err(failed) => failed,
            };
            self.connection.replace();
            is_to_bury |= doubt.is_some();
            if let Some(doubt) = doubt
                && let Some(verdicts) = self.resolve(doubt, batch, &error).await
            {
                self.answer(batch, verdicts);
                return Ok(());
            }
            // Nothing was booked. That is only certain once nothing of a failed commit can come back: see
            // `bury_failed_commit`.
            if !is_to_bury {
                batch.iter().for_each(|request| request.progress.reopen());
            }
            let may_pass = errors::is_transient(&error) || errors::is_unique_violation(&error);
            let waits_for_a_stranger = errors::is_lock_timeout(&error);
            let retry_for = if self.closing_since.get().is_some() { CLOSING_RETRY_FOR } else { RETRY_FOR };
            let no_time_left = started.elapsed() >= retry_for;
            if !may_pass || waits_for_a_stranger || no_time_left {
                if is_to_bury && !self.connection.bury_failed_commit().await {
                    leave_unknown(batch);
                }
                batch.iter().for_each(|request| request.progress.reopen());
                return Err(error);
            }
            if batch.iter().any(|request| !request.commands.is_empty()) {
                self.figures.batch_retries.increment(1);
                tracing::warn!(%error, "a batch will be tried again");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// After the batch has failed: refuses everybody if the database is at fault. Otherwise carries out each request by
    /// itself, so that only the one at fault fails.
    async fn carry_out_one_by_one(&mut self, batch: &mut Vec<QueuedRequest>, error: sqlx::Error) {
        let is_everyones = errors::is_transient(&error) && !errors::is_lock_timeout(&error);
        if is_everyones {
            // Requests that came meanwhile would fail, too, and they have waited as long.
            self.give_up(batch, &error);
            self.refuse_queue(errors::failure(&error));
            return;
        }
        if batch.len() <= 1 {
            self.give_up(batch, &error);
            return;
        }
        for request in std::mem::take(batch) {
            let mut alone = vec![request];
            self.refuse_locked(&mut alone);
            if let Err(error) = self.carry_out(&mut alone).await {
                self.give_up(&mut alone, &error);
            }
        }
    }

    /// Refuses requests that name accounts which somebody else had locked a moment ago: one request waits for the lock,
    /// not each.
    fn refuse_locked(&mut self, batch: &mut Vec<QueuedRequest>) {
        self.locked.retain(|(_, found_at)| found_at.elapsed() < LOCKED_FOR);
        if self.locked.is_empty() {
            return;
        }
        let is_locked = |request: &QueuedRequest| {
            let accounts = accounts_named(&request.commands);
            self.locked.iter().any(|(locked, _)| locked.is_subset(&accounts))
        };
        for request in batch.extract_if(.., |request| is_locked(request)) {
            let _ = request.answer.send(Err(SubmitError::AccountBusy));
        }
    }

    /// Empties the batch and tells everyone that nothing of it was booked. A request that met a lock alone tells whose.
    fn give_up(&mut self, batch: &mut Vec<QueuedRequest>, error: &sqlx::Error) {
        tracing::error!(%error, requests = batch.len(), "movements could not be booked");
        let is_asked = batch.iter().any(|request| request.commands.is_empty());
        if is_asked || errors::is_transient(error) && !errors::is_lock_timeout(error) {
            self.state.note(Err(errors::failure(error)));
        }
        if let [request] = &batch[..]
            && errors::is_lock_timeout(error)
            && !request.commands.is_empty()
        {
            self.locked.push((accounts_named(&request.commands), Instant::now()));
        }
        for request in batch.drain(..) {
            let _ = request.answer.send(Err(not_booked_because(error)));
        }
    }

    /// Looks up whether a COMMIT without an answer took effect, for as long as that takes: to say "failed" of money
    /// that may have moved would be worse than to say nothing yet. Waiting requests give up by themselves. When the
    /// first look-up gives no answer, everybody behind is refused. Returns the verdicts that stand, or None when
    /// nothing was committed.
    async fn resolve(
        &mut self,
        doubt: Doubt,
        batch: &mut Vec<QueuedRequest>,
        cause: &sqlx::Error,
    ) -> Option<Vec<Verdicts>> {
        self.figures.commits_without_answer.increment(1);
        tracing::warn!(error = %cause, "a commit has no answer; it will be looked up");
        let mut pause = FIRST_PAUSE;
        let took_effect = loop {
            let look_up = tokio::time::timeout(LOOK_UP_WITHIN, self.took_effect(&doubt));
            match look_up.await.unwrap_or_else(|_| Err(errors::no_answer())) {
                Ok(took_effect) => break took_effect,
                Err(error) => tracing::warn!(%error, "a commit is still in doubt"),
            }
            self.connection.replace();
            self.state.is_in_doubt.store(true, Release);
            self.refuse_queue(Failure::InDoubt);
            if self.closing_since.get().is_some_and(|since| since.elapsed() >= CLOSING_VERDICT_WITHIN) {
                tracing::error!(transactions = ?doubt.transaction_ids, "closing without knowing whether these were booked");
                leave_unknown(batch);
                break false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.state.is_in_doubt.store(false, Release);
        if took_effect {
            self.watches.changed(|| doubt.accounts);
            self.listening.tell();
        }
        took_effect.then_some(doubt.verdicts)
    }

    /// Empties the batch. A client that has hung up hears nothing, but its commands took effect.
    fn answer(&self, batch: &mut Vec<QueuedRequest>, verdicts: Vec<Verdicts>) {
        for (request, verdicts) in batch.drain(..).zip(verdicts) {
            if !request.preview {
                self.figures.count(&request.commands, &verdicts);
            }
            let _ = request.answer.send(Ok(verdicts));
        }
    }

    async fn took_effect(&mut self, doubt: &Doubt) -> sqlx::Result<bool> {
        let mut tx = self.connection.begin().await?;
        // An earlier COMMIT that is still under way holds these accounts: after this it is over, one way or the other.
        tx.lock_accounts(&doubt.accounts).await?;
        let took_effect = tx.are_written(&doubt.entries, &doubt.approval_ids, &doubt.hold_ids).await?;
        tx.rollback().await?;
        Ok(took_effect)
    }

    /// Refuses every request in the queue: nothing of it was booked.
    fn refuse_queue(&mut self, failure: Failure) {
        while let Ok(request) = self.queue.try_recv() {
            let _ = request.answer.send(Err(SubmitError::NotBooked(failure)));
        }
        self.state.note(Err(failure));
    }

    /// One database transaction from lock to commit.
    async fn try_once(&mut self, batch: &[QueuedRequest]) -> Result<Vec<Verdicts>, Failed> {
        let commands: Vec<&Command> = batch.iter().flat_map(|request| &request.commands).collect();
        let writer = self.connection.id();
        let trace = BatchTrace::begin(batch.iter().map(|request| &request.trace));
        let mut stopwatch = Stopwatch::start(trace, commands.is_empty());
        let mut tx = self.connection.begin().await?;
        let loaded = load(&mut tx, &commands, &self.clock).await?;
        stopwatch.lap(&self.figures.load);
        let now = loaded.now;
        let decisions = loaded.decisions(self.maximum_major_units, self.calendar.clone());
        let mut decisions = decisions.with_events(self.listening.is_wanted(now)).with_mail(self.with_mail);
        let decide = |request: &QueuedRequest| match request.preview {
            true => decisions.preview_request(&request.commands, request.atomic),
            false => decisions.decide_request(&request.commands, request.atomic),
        };
        let verdicts = batch.iter().map(decide).collect();
        decisions.add_unapproved(self.clock.stamp(now));
        stopwatch.lap(&self.figures.decide);
        let Postings { transactions, approvals, holds, .. } = &decisions.postings;
        let is_nothing = transactions.is_empty() && approvals.is_empty() && holds.is_empty();
        if !is_nothing {
            let key_stamp = self.clock.stamp(now);
            tx.write(&decisions.postings, &decisions.heads(), &decisions.limits(), now, key_stamp).await?;
        } else if batch.iter().any(|request| request.commands.is_empty()) {
            tx.write_heartbeat(writer, now).await?;
        } else {
            // Nothing to write, so nothing can be lost: how the transaction ends does not matter.
            let _ = tx.rollback().await;
            return Ok(verdicts);
        }
        // Whoever only asks may stop waiting at any time.
        if !batch.iter().all(|request| request.preview || request.progress.begin_commit()) {
            // Somebody has just stopped waiting: the rest is done without them.
            let _ = tx.rollback().await;
            batch.iter().for_each(|request| request.progress.reopen());
            return Err(errors::no_answer().into());
        }
        stopwatch.lap(&self.figures.write);
        self.state.begin_commit();
        let committed = tx.commit().await;
        self.state.end_commit();
        stopwatch.lap(&self.figures.commit);
        match committed {
            Ok(()) => {
                stopwatch.end(batch.iter().map(|request| (&request.trace, request.asked_at.elapsed())));
                self.note_committed(&decisions.postings);
                Ok(verdicts)
            }
            Err(error) => {
                // A heartbeat that is missing matters to nobody.
                let is_in_doubt = !is_nothing && errors::leaves_doubt(&error);
                let doubt = is_in_doubt.then(|| Doubt::about(&decisions.postings, &commands, verdicts));
                Err(Failed { error, doubt })
            }
        }
    }

    fn note_committed(&self, postings: &Postings) {
        self.state.note(Ok(()));
        if let Some(latest) = postings.transactions.iter().map(|booked| booked.created_at).max() {
            self.clock.note_booked(latest);
        }
        self.watches.changed(|| postings.accounts_changed());
        if !postings.events.is_empty() {
            self.listening.tell();
        }
    }
}

/// Runs a writer on a thread that serves no requests: SQLite is called without leaving it, and PostgreSQL's answers are
/// not left waiting behind requests. Completes when the writer ends, even if that is by a panic.
pub(super) async fn on_its_own_thread(writer: impl Future<Output = ()> + Send + 'static) {
    let (ended, has_ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let thread = runtime.and_then(|runtime| {
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let _ended = ended;
            runtime.block_on(writer);
        })
    });
    if let Err(error) = thread {
        tracing::error!(%error, "the ledger's thread cannot start");
    }
    let _ = has_ended.await;
}

/// Drops requests that have been given up, and refuses those that are about to be: they would fail the batch. A heartbeat is
/// never late: nobody asks for another one until it has shown something.
fn refuse_late(batch: &mut Vec<QueuedRequest>) {
    let is_late = |request: &QueuedRequest| {
        let is_given_up = || request.progress.is_given_up();
        let is_about_to_be = || request.asked_at.elapsed() >= BEGUN_WITHIN && request.progress.give_up();
        !request.commands.is_empty() && (is_given_up() || is_about_to_be())
    };
    for late in batch.extract_if(.., |request| is_late(request)) {
        let _ = late.answer.send(Err(SubmitError::NotBooked(Failure::Unavailable)));
    }
}

/// Empties the batch and tells everyone that it is unknown whether it was booked.
fn leave_unknown(batch: &mut Vec<QueuedRequest>) {
    for request in batch.drain(..) {
        let transactions = request.commands.iter().map(|command| command.id).collect();
        let _ = request.answer.send(Err(SubmitError::OutcomeUnknown { transactions }));
    }
}
