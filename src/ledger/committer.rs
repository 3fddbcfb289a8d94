//! Group commit: many commands, one durable transaction.
//!
//! Handlers never open a transaction for money. They [`submit`](Committer::submit) a [`Command`] and wait. A *lane* takes
//! everything that is waiting and, in one database transaction, locks the accounts named, looks up idempotency keys,
//! [decides](rules::decide) each command in the order of arrival, writes, commits, and only then answers. There is no
//! timer: a batch is what arrived while the last commit was in flight, so one lone request waits for nothing and a thousand
//! share one fsync.
//!
//! What holds:
//! - An accepted command is on disk before its caller hears of it, whole or not at all.
//! - A refused command leaves no trace and does not disturb its neighbours.
//! - A batch that fails for a passing reason is tried again whole, for some seconds; for another reason, one by one, so
//!   that only the culprit fails.
//! - A command carries its transaction id from the start. When a COMMIT has no answer, the lane looks the ids up in the
//!   journal until it knows: nobody is told "failed" about money that moved. Meanwhile it takes no other command.
//! - Nobody waits without end. A command that is not being committed within [`BOOKED_WITHIN`] is given up by its caller, and
//!   never booked afterwards; one whose COMMIT has no answer within [`VERDICT_WITHIN`] is reported as unknown.
//! - A client that hangs up cancels nothing: its command is in the queue, not in its request.
//! - An order that needs a second person's word is kept as an approval by the same transaction that would have booked it,
//!   under the id that its own will have, and with its key: a key stands for one thing, whatever arrives at once.
//! - An order that waited for approval is booked once, and never when it was rejected: the approval's row is locked,
//!   found pending and marked approved in the transaction that books it, which also puts it on record, so that all of
//!   it is there or nothing, whenever the process ends. Two who approve, or one who rejects, wait for that lock and find
//!   the row no longer pending. And the approval has the transaction's id, which the journal takes once.
//! - A movement is reversed once: its row in `reversals` is written by the transaction that books the reversal, and looked
//!   for once the accounts are locked, which are the same for all who would reverse it. And what is reversed is the key.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::rules::{self, Book, Command, Outcome, Refusal, Reverses, SecondPerson};
use crate::account_number::AccountNumber;
use crate::clock::Clock;
use crate::db::Db;
use crate::db::accounts::Account;
use crate::db::approvals::Approval;
use crate::db::audit::Event;
use crate::db::errors::{self, Failure};
use crate::db::ledger::{Approved, Entry, LaneConnection, Postings, Reversal, Transaction, UsedKey};
use crate::error::{Error, Result};
use crate::money::Money;
use crate::timestamp::Timestamp;

/// Commands in one database transaction, give or take one order. More would only lengthen the wait of the first.
const MAX_BATCH: usize = 1_024;
/// Commands that may wait, over all lanes. When there is no room, the answer is 503 at once instead of ever more memory.
const MAX_WAITING: usize = 65_536;
/// How long a batch that fails for a passing reason is tried again, before its callers are told to come back.
const RETRY_FOR: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a caller waits for its commit to begin: with what comes before and after, less than the 10 seconds within which
/// every request has its answer.
const BOOKED_WITHIN: Duration = Duration::from_secs(8);
/// What has waited longer is no longer begun.
const BEGUN_WITHIN: Duration = Duration::from_secs(7);
/// How long a caller waits to hear what became of a commit that has begun.
const VERDICT_WITHIN: Duration = Duration::from_secs(30);
/// How long one look-up of a commit may take. A connection that was merely cut is replaced in less, and nobody notices.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(1);
/// The same when the bank closes.
const CLOSING_RETRY_FOR: Duration = Duration::from_secs(1);
/// When the bank closes, how long a lane goes on looking up what became of a commit.
const CLOSING_VERDICT_WITHIN: Duration = Duration::from_secs(2);
/// What a lane has shown so lately is taken as how it is.
const PULSE_LIFETIME: Duration = Duration::from_secs(1);
/// How long [`Committer::readiness`] waits for a lane to show that it can write.
const PULSE_WITHIN: Duration = Duration::from_millis(700);

/// Where commands wait for their lane. Clones feed the same lanes.
#[derive(Clone)]
pub struct Committer {
    lanes: Vec<LaneHandle>,
    /// What bounds the queues: a permit for each command that waits.
    room: Arc<Semaphore>,
}

/// The lanes at work, each on a thread of its own. They end when the last [`Committer`] is gone and the queue is empty.
pub struct Lanes {
    tasks: JoinSet<()>,
    is_closing: Arc<AtomicBool>,
}

/// The callers' end of a lane.
#[derive(Clone)]
struct LaneHandle {
    queue: mpsc::UnboundedSender<Waiting>,
    state: Arc<LaneState>,
}

/// What others may know of a lane.
struct LaneState {
    /// Whether a COMMIT has no answer yet.
    is_in_doubt: AtomicBool,
    /// Whether a request that only asks for a sign of life is in the queue.
    is_asked: AtomicBool,
    pulse: watch::Sender<Pulse>,
}

/// The last time that a lane wrote something durable, or failed to.
#[derive(Clone, Copy)]
struct Pulse {
    at: Instant,
    outcome: Result<(), Failure>,
}

/// What became of an accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Committed just now, with the line it made in the passbook of the account the caller acted on.
    Posted(Entry),
    /// Nothing is booked: it was kept just now, until a second person decides.
    Kept(Approval),
    /// An earlier request used the same key: this is what it booked, or what it became an approval of.
    Replay { transaction_id: Uuid },
}

/// What became of each command of an order, in its order.
pub type Verdicts = Vec<Result<Receipt, Refusal>>;

/// The commands of one request, and who waits for them. Without commands, it asks for a sign of life: the lane then writes
/// something even if nothing else is to be written.
struct Waiting {
    commands: Vec<Command>,
    /// All of the commands, or none.
    atomic: bool,
    asked_at: Instant,
    stage: Arc<Stage>,
    answer: oneshot::Sender<Result<Verdicts>>,
    _room: OwnedSemaphorePermit,
}

/// Who has the say over a request: its caller, who may give it up, until the lane begins to commit it.
#[derive(Default)]
struct Stage(AtomicU8);

impl Stage {
    const OPEN: u8 = 0;
    const COMMITTING: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// False when the lane is committing it already.
    fn give_up(&self) -> bool {
        self.0.compare_exchange(Self::OPEN, Self::GIVEN_UP, AcqRel, Acquire).is_ok()
    }

    fn is_given_up(&self) -> bool {
        self.0.load(Acquire) == Self::GIVEN_UP
    }

    /// False when its caller has given it up.
    fn begin_commit(&self) -> bool {
        match self.0.compare_exchange(Self::OPEN, Self::COMMITTING, AcqRel, Acquire) {
            Ok(_) => true,
            Err(stage) => stage != Self::GIVEN_UP,
        }
    }

    /// The commit is known not to have taken effect.
    fn reopen(&self) {
        let _ = self.0.compare_exchange(Self::COMMITTING, Self::OPEN, AcqRel, Acquire);
    }
}

impl Committer {
    /// Starts as many lanes as the database can use. `maximum_major_units` is the most one movement may be, in whole
    /// units of its currency.
    pub fn start(db: &Db, maximum_major_units: i64, clock: &Arc<Clock>) -> (Self, Lanes) {
        let is_closing = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let lanes = (0..db.lanes())
            .map(|_| {
                let (sender, queue) = mpsc::unbounded_channel();
                let (connection, state, is_closing) =
                    (LaneConnection::new(db), Arc::new(LaneState::new()), is_closing.clone());
                let clock = clock.clone();
                let lane = Lane { connection, queue, state: state.clone(), is_closing, clock, maximum_major_units };
                tasks.spawn(on_its_own_thread(lane.run()));
                LaneHandle { queue: sender, state }
            })
            .collect();
        (Self { lanes, room: Arc::new(Semaphore::new(MAX_WAITING)) }, Lanes { tasks, is_closing })
    }

    /// Has one command carried out, and returns once it is durable, or refused. Dropping the future does not take the
    /// command back.
    pub async fn submit(&self, command: Command) -> Result<Receipt> {
        let verdict = self.submit_all(vec![command], false).await?.pop();
        Ok(verdict.ok_or_else(|| Error::Internal("a command got no verdict".to_owned()))??)
    }

    /// The same for many commands, in one database transaction. If they are `atomic` and one is refused, all are: those
    /// that would have been accepted with [`Refusal::BatchRefused`].
    ///
    /// [`Error::Busy`] means that nothing was booked or will be, [`Error::OutcomeUnknown`] that the database has not said.
    pub async fn submit_all(&self, commands: Vec<Command>, atomic: bool) -> Result<Verdicts> {
        let room = self.room.clone().try_acquire_many_owned(commands.len() as u32).map_err(|_| ledger_busy())?;
        // One account, one lane: a crowd at one account shares batches instead of waiting for each other's lock.
        let first = commands.iter().flat_map(|command| command.movement.accounts()).next();
        let lane = &self.lanes[first.map_or(0, |number| number.as_i64() / 100) as usize % self.lanes.len()];
        if lane.state.is_in_doubt.load(Acquire) {
            return Err(not_booked(Failure::InDoubt));
        }
        let ids = commands.iter().map(|command| command.id).collect();
        let (stage, mut answered) = lane.send(commands, atomic, room);
        let asked_at = Instant::now();
        if let Ok(answer) = timeout_at(asked_at + BOOKED_WITHIN, &mut answered).await {
            // The lane has ended with its end of the channel.
            return answer.unwrap_or_else(|_| match stage.give_up() {
                true => Err(shutting_down()),
                false => Err(Error::OutcomeUnknown { transactions: ids }),
            });
        }
        if stage.give_up() {
            return Err(not_booked(Failure::Unavailable));
        }
        match timeout_at(asked_at + VERDICT_WITHIN, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(Error::OutcomeUnknown { transactions: ids })),
            // It may be known by now that nothing was committed.
            Err(_) if stage.give_up() => Err(not_booked(Failure::Unavailable)),
            Err(_) => Err(Error::OutcomeUnknown { transactions: ids }),
        }
    }

    /// Whether every lane could write a moment ago. Known from what they have booked; only a lane that has shown nothing
    /// for [`PULSE_LIFETIME`] is asked, by however many at once, to write something. Answers within [`PULSE_WITHIN`].
    pub async fn readiness(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PULSE_WITHIN;
        try_join_all(self.lanes.iter().map(|lane| lane.pulse(&self.room, deadline))).await.map(drop)
    }
}

impl LaneHandle {
    fn send(
        &self,
        commands: Vec<Command>,
        atomic: bool,
        room: OwnedSemaphorePermit,
    ) -> (Arc<Stage>, oneshot::Receiver<Result<Verdicts>>) {
        let stage = Arc::new(Stage::default());
        let (answer, answered) = oneshot::channel();
        let asked_at = Instant::now();
        let _ = self.queue.send(Waiting { commands, atomic, asked_at, stage: stage.clone(), answer, _room: room });
        (stage, answered)
    }

    async fn pulse(&self, room: &Arc<Semaphore>, deadline: Instant) -> Result<(), Failure> {
        let mut pulse = self.state.pulse.subscribe();
        let asked_at = Instant::now();
        let is_recent = |pulse: &Pulse| pulse.at + PULSE_LIFETIME > asked_at;
        let known = *pulse.borrow();
        if self.state.is_in_doubt.load(Acquire) {
            return Err(Failure::InDoubt);
        }
        if is_recent(&known) {
            return known.outcome;
        }
        if !self.state.is_asked.swap(true, AcqRel)
            && let Ok(no_room) = room.clone().try_acquire_many_owned(0)
        {
            self.send(Vec::new(), false, no_room);
        }
        match timeout_at(deadline, pulse.wait_for(is_recent)).await {
            Ok(Ok(pulse)) => pulse.outcome,
            _ => Err(Failure::Unavailable),
        }
    }
}

impl LaneState {
    /// Of a lane that is about to start: it has shown nothing, and is given the time to.
    fn new() -> Self {
        let (pulse, _) = watch::channel(Pulse { at: Instant::now(), outcome: Ok(()) });
        Self { is_in_doubt: AtomicBool::new(false), is_asked: AtomicBool::new(false), pulse }
    }

    fn note(&self, outcome: Result<(), Failure>) {
        self.is_asked.store(false, Release);
        self.pulse.send_replace(Pulse { at: Instant::now(), outcome });
    }
}

impl Lanes {
    /// Waits for the end of one lane. None ends while there is a [`Committer`], unless there is a bug.
    pub async fn one_ended(&mut self) {
        let _ = self.tasks.join_next().await;
    }

    /// The bank closes: what fails is not tried again, and what is in doubt is not looked up for long.
    pub fn close(&self) {
        self.is_closing.store(true, Release);
    }

    /// Waits until every command that was accepted into the queue has its answer.
    pub async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Lane {
    connection: LaneConnection,
    queue: mpsc::UnboundedReceiver<Waiting>,
    state: Arc<LaneState>,
    is_closing: Arc<AtomicBool>,
    clock: Arc<Clock>,
    maximum_major_units: i64,
}

/// A batch that was not committed, as far as is known.
struct Failed {
    error: sqlx::Error,
    /// The answer to COMMIT is missing.
    doubt: Option<Doubt>,
}

/// A COMMIT whose answer is missing: it took effect whole or not at all.
struct Doubt {
    /// The transactions that were to be committed. All of them: one that was approved has had its id for long, and may be
    /// in the journal because another instance booked it.
    transaction_ids: Vec<Uuid>,
    /// The approvals that were to be kept.
    kept_ids: Vec<Uuid>,
    /// The accounts of the batch, which a COMMIT that is still under way holds.
    accounts: Vec<AccountNumber>,
    /// What to answer if it was.
    verdicts: Vec<Verdicts>,
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self { error, doubt: None }
    }
}

impl Lane {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(first) = self.queue.recv().await {
            // Requests that are about to join come first: on a busy machine the batch grows, on an idle one it costs
            // nothing.
            std::thread::yield_now();
            let mut size = first.commands.len();
            batch.push(first);
            while size < MAX_BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                size += next.commands.len();
                batch.push(next);
            }
            if size > 0 {
                metrics::histogram!("coffer_batch_size").record(size as f64);
            }
            if let Err(error) = self.carry_out(&mut batch).await {
                self.carry_out_one_by_one(&mut batch, error).await;
            }
        }
        self.connection.close().await;
    }

    /// Carries out the batch, trying again while the reason for failing may pass. On success the batch is empty and
    /// answered; otherwise it is as it was, and nothing of it is booked.
    async fn carry_out(&mut self, batch: &mut Vec<Waiting>) -> sqlx::Result<()> {
        let started = Instant::now();
        let (mut pause, mut is_to_bury) = (FIRST_PAUSE, false);
        loop {
            refuse_late(batch);
            if batch.is_empty() {
                return Ok(());
            }
            let Failed { error, doubt } = match self.try_once(batch).await {
                Ok(verdicts) => {
                    answer(batch, verdicts);
                    return Ok(());
                }
                Err(failed) => failed,
            };
            self.connection.replace();
            is_to_bury |= doubt.is_some();
            if let Some(doubt) = doubt
                && let Some(verdicts) = self.resolve(doubt, batch, &error).await
            {
                answer(batch, verdicts);
                return Ok(());
            }
            // Nothing was booked. Until what a failed commit has left is buried, nobody may take that for certain.
            if !is_to_bury {
                batch.iter().for_each(|waiting| waiting.stage.reopen());
            }
            let may_pass = errors::is_transient(&error) || errors::is_unique_violation(&error);
            let waits_for_a_stranger = errors::is_lock_timeout(&error);
            let retry_for = if self.is_closing.load(Acquire) { CLOSING_RETRY_FOR } else { RETRY_FOR };
            let no_time_left = started.elapsed() >= retry_for;
            if !may_pass || waits_for_a_stranger || no_time_left {
                if is_to_bury && !self.connection.bury_failed_commit().await {
                    leave_unknown(batch);
                }
                batch.iter().for_each(|waiting| waiting.stage.reopen());
                return Err(error);
            }
            tracing::warn!(%error, "a batch will be tried again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The batch could not be carried out. Finds out whose fault it is.
    async fn carry_out_one_by_one(&mut self, batch: &mut Vec<Waiting>, error: sqlx::Error) {
        let is_everyones = errors::is_transient(&error) && !errors::is_lock_timeout(&error);
        if is_everyones {
            // So it would be for whoever came meanwhile: they have waited as long.
            self.give_up(batch, &error);
            self.refuse_queue(errors::failure(&error));
            return;
        }
        if batch.len() <= 1 {
            self.give_up(batch, &error);
            return;
        }
        // What somebody else holds is waited for once, not once a request.
        let mut held: Vec<BTreeSet<AccountNumber>> = Vec::new();
        for waiting in std::mem::take(batch) {
            let accounts = accounts_named(&waiting.commands);
            let mut alone = vec![waiting];
            if held.iter().any(|held| held.is_subset(&accounts)) {
                self.give_up(&mut alone, &error);
            } else if let Err(error) = self.carry_out(&mut alone).await {
                if errors::is_lock_timeout(&error) && !accounts.is_empty() {
                    held.push(accounts);
                }
                self.give_up(&mut alone, &error);
            }
        }
    }

    /// Empties the batch and tells everyone that nothing of it was booked.
    fn give_up(&self, batch: &mut Vec<Waiting>, error: &sqlx::Error) {
        tracing::error!(%error, requests = batch.len(), "movements could not be booked");
        let is_asked = batch.iter().any(|waiting| waiting.commands.is_empty());
        if is_asked || errors::is_transient(error) && !errors::is_lock_timeout(error) {
            self.state.note(Err(errors::failure(error)));
        }
        for waiting in batch.drain(..) {
            let _ = waiting.answer.send(Err(not_booked_because(error)));
        }
    }

    /// Looks up whether a COMMIT without an answer took effect, for as long as that takes: to say "failed" of money that
    /// may have moved would be worse than to say nothing yet. Its callers stop waiting by themselves. When the first look-up
    /// gives no answer, everybody behind is refused. Returns the verdicts that stand, or None when nothing was committed.
    async fn resolve(&mut self, doubt: Doubt, batch: &mut Vec<Waiting>, cause: &sqlx::Error) -> Option<Vec<Verdicts>> {
        tracing::warn!(error = %cause, "a commit has no answer; it will be looked up");
        let (mut pause, mut closing_since) = (FIRST_PAUSE, None);
        let took_effect = loop {
            let look_up = tokio::time::timeout(LOOK_UP_WITHIN, self.took_effect(&doubt));
            match look_up.await.unwrap_or_else(|_| Err(errors::no_answer())) {
                Ok(took_effect) => break took_effect,
                Err(error) => tracing::warn!(%error, "a commit is still in doubt"),
            }
            self.connection.replace();
            self.state.is_in_doubt.store(true, Release);
            self.refuse_queue(Failure::InDoubt);
            if self.is_closing.load(Acquire)
                && closing_since.get_or_insert_with(Instant::now).elapsed() >= CLOSING_VERDICT_WITHIN
            {
                tracing::error!(transactions = ?doubt.transaction_ids, "closing without knowing whether these were booked");
                leave_unknown(batch);
                break false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.state.is_in_doubt.store(false, Release);
        took_effect.then_some(doubt.verdicts)
    }

    async fn took_effect(&mut self, doubt: &Doubt) -> sqlx::Result<bool> {
        let mut tx = self.connection.begin().await?;
        // An earlier COMMIT that is still under way holds these accounts: after this it is over, one way or the other.
        tx.lock_accounts(&doubt.accounts).await?;
        let took_effect = tx.are_written(&doubt.transaction_ids, &doubt.kept_ids).await?;
        tx.rollback().await?;
        Ok(took_effect)
    }

    /// Tells everybody in the queue that nothing was booked.
    fn refuse_queue(&mut self, failure: Failure) {
        while let Ok(waiting) = self.queue.try_recv() {
            let _ = waiting.answer.send(Err(not_booked(failure)));
        }
        self.state.note(Err(failure));
    }

    /// One database transaction from lock to commit.
    async fn try_once(&mut self, batch: &[Waiting]) -> Result<Vec<Verdicts>, Failed> {
        let commands = || batch.iter().flat_map(|waiting| &waiting.commands);
        let lane = self.connection.id();
        let mut tx = self.connection.begin().await?;
        let numbers: Vec<AccountNumber> = accounts_named(commands()).into_iter().collect();
        let accounts = tx.lock_accounts(&numbers).await?;
        // Keys are looked up after the lock: whoever held an account before us has written its keys by now.
        let keys: Vec<_> = commands().filter_map(|command| command.idempotency_key).collect();
        let used_keys = if keys.is_empty() { Vec::new() } else { tx.used_keys(&keys).await? };
        let now = Timestamp::now();
        let is_approved = |c: &&Command| matches!(c.second_person, SecondPerson::HasApproved { .. });
        let approved: Vec<_> = commands().filter(is_approved).map(|command| command.id).collect();
        let pending = if approved.is_empty() { Vec::new() } else { tx.lock_pending(&approved, now).await? };
        let to_reverse: Vec<_> = commands().filter_map(|c| c.reverses.as_ref()).map(|r| r.transaction_id).collect();
        let reversals = if to_reverse.is_empty() { Vec::new() } else { tx.reversals(&to_reverse).await? };

        let book = Book::new(accounts, now, self.maximum_major_units);
        let mut decisions = Decisions::new(book, used_keys, pending, reversals, now);
        let verdicts = batch.iter().map(|waiting| decisions.decide_order(waiting)).collect();
        let Postings { transactions, kept, .. } = &decisions.postings;
        if !transactions.is_empty() || !kept.is_empty() {
            tx.write(&decisions.postings, &decisions.heads(), now, self.clock.stamp(now)).await?;
        } else if batch.iter().any(|waiting| waiting.commands.is_empty()) {
            tx.write_sign_of_life(lane, now).await?;
        } else {
            // Nothing to write, so nothing can be lost: how the transaction ends does not matter.
            let _ = tx.rollback().await;
            return Ok(verdicts);
        }
        if !batch.iter().all(|waiting| waiting.stage.begin_commit()) {
            // Somebody has just stopped waiting: the rest is done without them.
            let _ = tx.rollback().await;
            batch.iter().for_each(|waiting| waiting.stage.reopen());
            return Err(errors::no_answer().into());
        }
        match tx.commit().await {
            Ok(()) => {
                self.state.note(Ok(()));
                if let Some(latest) = transactions.iter().map(|booked| booked.created_at).max() {
                    self.clock.note_booked(latest);
                }
                Ok(verdicts)
            }
            Err(error) => {
                // A sign of life that is missing matters to nobody.
                let is_nothing = transactions.is_empty() && kept.is_empty();
                let doubt = (!is_nothing && errors::leaves_doubt(&error)).then(|| Doubt {
                    transaction_ids: transactions.iter().map(|booked| booked.id).collect(),
                    kept_ids: kept.iter().map(|approval| approval.id).collect(),
                    accounts: numbers,
                    verdicts,
                });
                Err(Failed { error, doubt })
            }
        }
    }
}

/// Runs a lane on a thread that serves no requests: SQLite is called without leaving it, and PostgreSQL's answers are not
/// left waiting behind requests. Completes when the lane ends, even if that is by a panic.
async fn on_its_own_thread(lane: impl Future<Output = ()> + Send + 'static) {
    let (ended, has_ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let thread = runtime.and_then(|runtime| {
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let _ended = ended;
            runtime.block_on(lane);
        })
    });
    if let Err(error) = thread {
        tracing::error!(%error, "the ledger's thread cannot start");
    }
    let _ = has_ended.await;
}

fn ledger_busy() -> Error {
    let detail = "More movements are waiting than the bank can take. Nothing was booked; try again.";
    Error::Busy { code: "ledger_busy", detail: detail.into() }
}

fn shutting_down() -> Error {
    let detail = "The bank is shutting down. Send the request again with the same Idempotency-Key.";
    Error::Busy { code: "shutting_down", detail: detail.into() }
}

/// For the caller of a command of which it is certain that nothing was booked.
fn not_booked(failure: Failure) -> Error {
    let cause = match failure {
        Failure::InDoubt => "The database has not yet answered for the movements before yours.",
        _ => failure.in_words(),
    };
    Error::Busy { code: "database_unavailable", detail: format!("{cause} Nothing was booked; try again.").into() }
}

/// The same, after an error.
fn not_booked_because(error: &sqlx::Error) -> Error {
    if errors::is_lock_timeout(error) {
        let detail = "Somebody else holds what the movement needs. Nothing was booked; try again.";
        return Error::Busy { code: "account_busy", detail: detail.into() };
    }
    match errors::failure(error) {
        failure if failure.is_transient() => not_booked(failure),
        _ => Error::Internal(error.to_string()),
    }
}

/// The state of a batch while its commands are decided one after the other.
struct Decisions {
    book: Book,
    /// Keys that took effect, before this batch or within it.
    used_keys: HashMap<[u8; 16], UsedKey>,
    /// Approvals that are still to be carried out, of those that the batch names.
    pending: HashSet<Uuid>,
    /// Reversals before this batch, of those that have to do with what it reverses.
    reversals: Vec<Reversal>,
    /// The time of new approvals.
    now: Timestamp,
    postings: Postings,
}

impl Decisions {
    fn new(book: Book, used_keys: Vec<UsedKey>, pending: Vec<Uuid>, reversals: Vec<Reversal>, now: Timestamp) -> Self {
        Self {
            book,
            used_keys: used_keys.into_iter().map(|used| (used.key, used)).collect(),
            pending: pending.into_iter().collect(),
            reversals,
            now,
            postings: Postings::default(),
        }
    }

    fn decide_order(&mut self, order: &Waiting) -> Verdicts {
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
        self.postings.records.push(record.clone().on(approval.id).detail(approval.in_words()));
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
        self.postings.records.push(record.clone().on(transaction_id).detail(detail));
        self.postings.reversals.push(Reversal { transaction_id: *transaction_id, reversal_id: reversal.id });
    }

    /// The accounts with new entries, by number.
    fn heads(&self) -> Vec<&Account> {
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
fn accounts_named<'a>(commands: impl IntoIterator<Item = &'a Command>) -> BTreeSet<AccountNumber> {
    commands.into_iter().flat_map(|command| command.movement.accounts()).collect()
}

/// Drops what its caller has given up, and refuses what its caller is about to: that would only spoil the batch.
fn refuse_late(batch: &mut Vec<Waiting>) {
    let is_late = |waiting: &Waiting| {
        waiting.stage.is_given_up() || waiting.asked_at.elapsed() >= BEGUN_WITHIN && waiting.stage.give_up()
    };
    for late in batch.extract_if(.., |waiting| is_late(waiting)) {
        let _ = late.answer.send(Err(not_booked(Failure::Unavailable)));
    }
}

/// Empties the batch and tells everyone that it is unknown whether it was booked.
fn leave_unknown(batch: &mut Vec<Waiting>) {
    for waiting in batch.drain(..) {
        let transactions = waiting.commands.iter().map(|command| command.id).collect();
        let _ = waiting.answer.send(Err(Error::OutcomeUnknown { transactions }));
    }
}

/// Empties the batch. Who has hung up is not told, but what they ordered is done.
fn answer(batch: &mut Vec<Waiting>, verdicts: Vec<Verdicts>) {
    for (waiting, verdicts) in batch.drain(..).zip(verdicts) {
        let _ = waiting.answer.send(Ok(verdicts));
    }
}
