//! Group commit: many commands, one durable transaction.
//!
//! Handlers never open a transaction for money. They [`submit`](Committer::submit) a [`Command`] and wait in a queue. A
//! *writer* takes every request that waits and carries them out together. There is no timer: a batch is what arrived
//! while the last commit was in flight, so one lone request waits for nothing and a thousand share one `fsync`.
//!
//! The phases of a batch, all in one database transaction: `load.rs` locks and loads, `writer.rs` does the rest. A
//! round trip is one to PostgreSQL; on SQLite each statement runs on the writer's own thread, once for each row.
//!
//! | phase | what happens | round trips | what bounds it |
//! |---|---|---|---|
//! | take | requests leave the queue | 0 | 1,024 commands and the rest of one request |
//! | lock | `begin`; the accounts are locked in the order of their numbers, and loaded | 2 | 2 s for a lock |
//! | load | keys, references, approvals, holds, reversals, reservations, limits, unapproved totals: if needed | 0 to 11 | the batch |
//! | decide | [`Decisions`](crate::books::decisions::Decisions): pure | 0 | some microseconds a command |
//! | write | one statement for each of up to fourteen changes, one for mail that tells of them, then six for the audit log, and two for events if anybody listens | 3 to 23 | the batch |
//! | commit | durable, or not at all | 1 | one `fsync`; 2 s, then others are told to come back |
//! | answer | each request gets its verdicts | 0 | |
//!
//! Guarantees:
//! - An accepted command is on disk before its request is answered, whole or not at all.
//! - A refused command leaves no trace and does not disturb its neighbours.
//! - A batch that fails for a passing reason is tried again whole, for some seconds; for another reason, one by one, so
//!   that only the culprit fails.
//! - A command carries its transaction id from the start. When a COMMIT has no answer, the writer looks the ids up in
//!   the journal until it knows: nobody is told "failed" about money that moved. Meanwhile it takes no other command.
//! - Nobody waits without end. A request whose commit has not begun within [`BOOKED_WITHIN`] is given up, and never
//!   booked afterwards; one whose COMMIT has no answer within [`VERDICT_WITHIN`] is reported as unknown.
//! - A preview is decided among the commands of a batch, by the same code, and then dropped: it writes nothing, and its
//!   neighbours are decided as if it had not been there.
//! - A client that hangs up cancels nothing: its command is in the queue, not in its request.
//! - A command that needs a second approver is stored as a pending approval by the transaction that would have booked
//!   it, under the id of the transaction to come, and with its key: a key stands for one thing, whatever arrives at
//!   once.
//! - A command that waited for approval is booked once, and never when it was rejected: the approval's row is locked,
//!   found pending and marked approved in the transaction that books it, which also puts it on record. Two who approve,
//!   or one who rejects, wait for that lock and find the row no longer pending. And the journal takes each id once.
//! - A hold is captured once, or released, never both: its row is locked, found held and marked captured in the transaction
//!   that books it, and whoever releases it changes the same row. And the journal takes each id once.
//! - A reference names one movement of its requester: it is looked up once the accounts are locked, and a unique index
//!   refuses it to all but one of those who take it at the same time on other accounts. The others are tried again, find it
//!   taken and are told by what.
//! - A movement is reversed once: the transaction that books the reversal writes its row in `reversals`, and looks for
//!   one once the accounts are locked, which are the same for all who would reverse it. What is reversed is that
//!   table's key.

mod figures;
mod load;
mod writer;

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use self::figures::Figures;
use self::writer::{Writer, on_its_own_thread};
use crate::books::calendar::Calendar;
use crate::books::command::Command;
use crate::books::decisions::{Receipt, Verdict, Verdicts};
use crate::clock::Clock;
use crate::db::Db;
use crate::db::errors::{self, Failure};
use crate::db::ledger::WriterConnection;
use crate::disk::{DiskFull, DiskReserve};
use crate::limits::Exceeded;
use crate::limits::movements::MovementLimits;
use crate::listening::Listening;
use crate::request_ids;
use crate::traces::RequestTrace;
use crate::watches::Watches;

/// Commands that may wait, over all writers. When there is no room, the answer is 503 at once instead of ever more
/// memory.
const MAX_WAITING: usize = 65_536;
/// How long a request waits for its commit to begin: with what comes before and after, less than the 10 seconds within
/// which every request has its answer.
const BOOKED_WITHIN: Duration = Duration::from_secs(8);
/// How often a waiting request checks whether it is still worth waiting.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A COMMIT that takes longer is taken for one that hangs.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// When the bank closes, how long a request waits for a COMMIT that hangs.
const CLOSING_WITHIN: Duration = Duration::from_secs(3);
/// How long a request waits for the outcome of a commit that has begun.
const VERDICT_WITHIN: Duration = Duration::from_secs(30);
/// For how long the outcome of a writer's last write counts.
const LAST_WRITE_LIFETIME: Duration = Duration::from_secs(1);
/// How long [`Committer::readiness`] waits for the writers' heartbeats.
const HEARTBEAT_WITHIN: Duration = Duration::from_millis(700);

/// Where commands wait for their writer. Clones feed the same writers.
#[derive(Clone)]
pub struct Committer {
    writers: Vec<WriterHandle>,
    /// Bounds the queues: a permit for each command that waits.
    room: Arc<Semaphore>,
    closing_since: Arc<OnceLock<Instant>>,
    limits: MovementLimits,
    disk: DiskReserve,
    /// Whether nobody but this process and its disk can keep the database from answering, as on SQLite.
    has_own_database: bool,
}

/// The writers at work, each on a thread of its own. They end when the last [`Committer`] is gone and the queue is
/// empty.
pub struct Writers {
    tasks: JoinSet<()>,
    closing_since: Arc<OnceLock<Instant>>,
}

/// The end of a writer at which requests are queued.
#[derive(Clone)]
struct WriterHandle {
    queue: mpsc::UnboundedSender<QueuedRequest>,
    state: Arc<WriterState>,
}

/// The state of a writer that other tasks may read.
struct WriterState {
    /// Whether a COMMIT has no answer yet.
    is_in_doubt: AtomicBool,
    /// Whether a request that only asks for a heartbeat is in the queue.
    is_asked: AtomicBool,
    /// When the COMMIT that is under way began, in milliseconds after `started`; 0 when none is.
    commit_began: AtomicU64,
    /// When the last durable write was done, in milliseconds after `started`.
    durable: AtomicU64,
    started: Instant,
    last_write: watch::Sender<LastWrite>,
}

/// The last time that a writer wrote something durable, or failed to.
#[derive(Clone, Copy)]
struct LastWrite {
    at: Instant,
    outcome: Result<(), Failure>,
}

/// How busy the writers are.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Commands that wait or are being carried out, and the most that may.
    pub commands: usize,
    pub commands_max: usize,
    /// Writers that do not know whether their last commit took effect.
    pub in_doubt: usize,
    /// Since the last durable write of the writer that has written nothing for longest.
    pub last_write_age: Duration,
}

/// Why commands got no verdict.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue has no room. Nothing was booked.
    #[error("too many movements wait")]
    QueueFull,
    /// The bank is shutting down. Nothing was booked.
    #[error("the ledger is closing")]
    Closing,
    /// Somebody else has locked a row that the commands need. Nothing was booked.
    #[error("an account is locked by somebody else")]
    AccountBusy,
    /// The database takes no writes now. Nothing was booked.
    #[error("nothing was booked: {}", .0.in_words())]
    NotBooked(Failure),
    /// Nothing was booked.
    #[error(transparent)]
    DiskFull(#[from] DiskFull),
    /// The caller has had too many movements booked. Nothing was booked now.
    #[error(transparent)]
    TooMany(#[from] Exceeded),
    /// The database has not said whether these were booked.
    #[error("it is unknown whether {transactions:?} were booked")]
    OutcomeUnknown { transactions: Vec<Uuid> },
    /// A fault of the bank. Nothing was booked.
    #[error("{0}")]
    Internal(String),
}

/// The commands of one request, and who waits for them. Without commands, it asks for a heartbeat: the writer then
/// writes something even if nothing else is to be written.
struct QueuedRequest {
    commands: Vec<Command>,
    /// All of the commands, or none.
    atomic: bool,
    /// None of the commands: only the verdicts are wanted.
    preview: bool,
    asked_at: Instant,
    trace: RequestTrace,
    progress: Arc<Progress>,
    answer: oneshot::Sender<Result<Verdicts, SubmitError>>,
    _room: OwnedSemaphorePermit,
}

/// How far a request has come: it may be given up until the writer begins to commit it.
#[derive(Default)]
struct Progress(AtomicU8);

impl Progress {
    const OPEN: u8 = 0;
    const COMMITTING: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// False when the writer is committing it already.
    fn give_up(&self) -> bool {
        self.0.compare_exchange(Self::OPEN, Self::GIVEN_UP, AcqRel, Acquire).is_ok()
    }

    fn is_given_up(&self) -> bool {
        self.0.load(Acquire) == Self::GIVEN_UP
    }

    /// False when it has been given up.
    fn begin_commit(&self) -> bool {
        match self.0.compare_exchange(Self::OPEN, Self::COMMITTING, AcqRel, Acquire) {
            Ok(_) => true,
            Err(progress) => progress != Self::GIVEN_UP,
        }
    }

    /// The commit is known not to have taken effect.
    fn reopen(&self) {
        let _ = self.0.compare_exchange(Self::COMMITTING, Self::OPEN, AcqRel, Acquire);
    }
}

impl Committer {
    /// Starts as many writers as the database can use. `maximum_major_units` is the most one movement may be, in whole
    /// units of its currency; the days and months of limits are those of the calendar.
    ///
    /// Whoever `watches` an account that is moved is woken after the commit.
    pub fn start(
        db: &Db,
        maximum_major_units: i64,
        calendar: &Calendar,
        clock: &Arc<Clock>,
        watches: &Watches,
        listening: &Listening,
        with_mail: bool,
    ) -> (Self, Writers) {
        let closing_since = Arc::new(OnceLock::new());
        let mut tasks = JoinSet::new();
        let writers = (0..db.ledger_writers())
            .map(|_| {
                let (sender, queue) = mpsc::unbounded_channel();
                let state = Arc::new(WriterState::new());
                let writer = Writer {
                    connection: WriterConnection::new(db),
                    queue,
                    state: state.clone(),
                    closing_since: closing_since.clone(),
                    clock: clock.clone(),
                    watches: watches.clone(),
                    listening: listening.clone(),
                    maximum_major_units,
                    calendar: calendar.clone(),
                    with_mail,
                    figures: Figures::new(),
                    locked: Vec::new(),
                };
                tasks.spawn(on_its_own_thread(writer.run()));
                WriterHandle { queue: sender, state }
            })
            .collect();
        let room = Arc::new(Semaphore::new(MAX_WAITING));
        let (limits, disk) = Default::default();
        let has_own_database = db.file().is_some();
        let this = Self { writers, room, closing_since: closing_since.clone(), limits, disk, has_own_database };
        (this, Writers { tasks, closing_since })
    }

    /// The same writers, with limits on the movements of each caller, and with a reserve on the disk.
    pub fn within(self, limits: MovementLimits, disk: DiskReserve) -> Self {
        Self { limits, disk, ..self }
    }

    /// Has one command carried out, and returns once it is durable, or refused. Dropping the future does not take the
    /// command back.
    pub async fn submit(&self, command: Command) -> Result<Verdict, SubmitError> {
        let verdict = self.submit_all(vec![command], false).await?.pop();
        verdict.ok_or_else(|| SubmitError::Internal("a command got no verdict".to_owned()))
    }

    /// The same for many commands, in one database transaction. If they are `atomic` and one is refused, all are: those
    /// that would have been accepted with [`Refusal::BatchRefused`](crate::books::refusal::Refusal::BatchRefused).
    ///
    /// Everything that is ever booked comes this way, so this is where the caller's quota of movements counts, and the
    /// disk's reserve.
    pub async fn submit_all(&self, commands: Vec<Command>, atomic: bool) -> Result<Verdicts, SubmitError> {
        self.enqueue(commands, atomic, false).await
    }

    /// The verdicts that the commands would have now. Nothing is written, and none of the caller's quota is used.
    pub async fn preview_all(&self, commands: Vec<Command>, atomic: bool) -> Result<Verdicts, SubmitError> {
        self.enqueue(commands, atomic, true).await
    }

    async fn enqueue(&self, commands: Vec<Command>, atomic: bool, preview: bool) -> Result<Verdicts, SubmitError> {
        self.disk.refuse_if_reached()?;
        let room =
            self.room.clone().try_acquire_many_owned(commands.len() as u32).map_err(|_| SubmitError::QueueFull)?;
        // One account, one writer: a crowd at one account shares batches instead of waiting for each other's lock.
        let first = commands.iter().flat_map(|command| command.movement.accounts()).next();
        let writer = &self.writers[first.map_or(0, |number| number.as_i64() / 100) as usize % self.writers.len()];
        if writer.state.is_in_doubt.load(Acquire) || writer.state.commit_is_stuck() {
            return Err(SubmitError::NotBooked(Failure::InDoubt));
        }
        let payer = commands.first().map(Command::given_by).unwrap_or_default();
        let permit = if preview { None } else { Some(self.limits.permit(payer, commands.len())?) };
        let ids = commands.iter().map(|command| command.id).collect();
        let (progress, answered) = writer.send(commands, atomic, preview, room);
        let answer = self.wait(writer, &progress, answered, ids).await;
        let Some(permit) = permit else { return answer };
        match &answer {
            Ok(verdicts) => permit.settle(verdicts.iter().filter(|verdict| is_written(verdict)).count()),
            // All of it may have been written.
            Err(SubmitError::OutcomeUnknown { .. }) => drop(permit),
            Err(_) => permit.settle(0),
        }
        answer
    }

    /// Waits for the answer, and looks now and then whether it is still worth waiting.
    async fn wait(
        &self,
        writer: &WriterHandle,
        progress: &Progress,
        mut answered: oneshot::Receiver<Result<Verdicts, SubmitError>>,
        ids: Vec<Uuid>,
    ) -> Result<Verdicts, SubmitError> {
        let asked_at = Instant::now();
        loop {
            if let Ok(answer) = timeout(LOOK_EVERY, &mut answered).await {
                // Without an answer the writer has ended, with its end of the channel.
                return answer.unwrap_or_else(|_| match progress.give_up() {
                    true => Err(SubmitError::Closing),
                    false => Err(SubmitError::OutcomeUnknown { transactions: ids }),
                });
            }
            let is_stuck = writer.state.commit_is_stuck();
            if (is_stuck || asked_at.elapsed() >= BOOKED_WITHIN) && progress.give_up() {
                return Err(SubmitError::NotBooked(if is_stuck { Failure::InDoubt } else { Failure::Unavailable }));
            }
            let is_closing = self.closing_since.get().is_some_and(|since| since.elapsed() >= CLOSING_WITHIN);
            if asked_at.elapsed() >= VERDICT_WITHIN || is_closing && is_stuck {
                return Err(SubmitError::OutcomeUnknown { transactions: ids });
            }
        }
    }

    /// For the metrics.
    pub fn load(&self) -> Load {
        let states = || self.writers.iter().map(|writer| &writer.state);
        Load {
            commands: MAX_WAITING - self.room.available_permits(),
            commands_max: MAX_WAITING,
            in_doubt: states().filter(|state| state.is_in_doubt.load(Acquire)).count(),
            last_write_age: states().map(|state| state.last_write_age()).max().unwrap_or_default(),
        }
    }

    /// Whether every writer could write a moment ago. What they have booked tells; only a writer that has written
    /// nothing for [`LAST_WRITE_LIFETIME`] is asked for a heartbeat, once for all who ask. Answers within
    /// [`HEARTBEAT_WITHIN`].
    pub async fn readiness(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + HEARTBEAT_WITHIN;
        try_join_all(self.writers.iter().map(|writer| writer.readiness(&self.room, deadline))).await.map(drop)
    }

    /// Whether every writer answers a heartbeat within `patience`. That a database refuses it (a full disk) or is away (a
    /// PostgreSQL that restarts) says nothing against the writer, and another start of the bank would change nothing. A
    /// SQLite file that does not answer is different: what holds it up is this process, or its disk.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        let is_alive = async |writer: &WriterHandle| {
            let Ok(no_room) = self.room.clone().try_acquire_many_owned(0) else { return false };
            let (_, answered) = writer.send(Vec::new(), false, false, no_room);
            match timeout(patience, answered).await {
                Ok(Ok(Err(SubmitError::NotBooked(Failure::Unavailable | Failure::InDoubt)))) => !self.has_own_database,
                Ok(Ok(_)) => true,
                // It has ended, or is stuck.
                Ok(Err(_)) | Err(_) => false,
            }
        };
        join_all(self.writers.iter().map(is_alive)).await.into_iter().all(|is_alive| is_alive)
    }
}

impl WriterHandle {
    fn send(
        &self,
        commands: Vec<Command>,
        atomic: bool,
        preview: bool,
        room: OwnedSemaphorePermit,
    ) -> (Arc<Progress>, oneshot::Receiver<Result<Verdicts, SubmitError>>) {
        let progress = Arc::new(Progress::default());
        let (answer, answered) = oneshot::channel();
        let asked_at = Instant::now();
        let _ = self.queue.send(QueuedRequest {
            commands,
            atomic,
            preview,
            asked_at,
            trace: request_ids::current_trace(),
            progress: progress.clone(),
            answer,
            _room: room,
        });
        (progress, answered)
    }

    async fn readiness(&self, room: &Arc<Semaphore>, deadline: Instant) -> Result<(), Failure> {
        let mut last_write = self.state.last_write.subscribe();
        let asked_at = Instant::now();
        let is_recent = |write: &LastWrite| write.at + LAST_WRITE_LIFETIME > asked_at;
        let known = *last_write.borrow();
        if self.state.is_in_doubt.load(Acquire) {
            return Err(Failure::InDoubt);
        }
        if is_recent(&known) {
            return known.outcome;
        }
        if !self.state.is_asked.swap(true, AcqRel)
            && let Ok(no_room) = room.clone().try_acquire_many_owned(0)
        {
            self.send(Vec::new(), false, false, no_room);
        }
        match timeout_at(deadline, last_write.wait_for(is_recent)).await {
            Ok(Ok(write)) => write.outcome,
            _ => Err(Failure::Unavailable),
        }
    }
}

impl WriterState {
    /// The state of a writer that is about to start: it has shown nothing yet, and has the usual time to do so.
    fn new() -> Self {
        let (last_write, _) = watch::channel(LastWrite { at: Instant::now(), outcome: Ok(()) });
        Self {
            is_in_doubt: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            commit_began: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            started: Instant::now(),
            last_write,
        }
    }

    fn begin_commit(&self) {
        self.commit_began.store(self.milliseconds().max(1), Release);
    }

    fn end_commit(&self) {
        self.commit_began.store(0, Release);
    }

    /// Whether a COMMIT takes so long that requests behind it are told to come back.
    fn commit_is_stuck(&self) -> bool {
        let began = self.commit_began.load(Acquire);
        began > 0 && self.milliseconds().saturating_sub(began) >= STUCK_AFTER.as_millis() as u64
    }

    fn milliseconds(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn last_write_age(&self) -> Duration {
        Duration::from_millis(self.milliseconds().saturating_sub(self.durable.load(Acquire)))
    }

    fn note(&self, outcome: Result<(), Failure>) {
        if outcome.is_ok() {
            self.durable.store(self.milliseconds(), Release);
        }
        self.is_asked.store(false, Release);
        self.last_write.send_replace(LastWrite { at: Instant::now(), outcome });
    }
}

impl Writers {
    /// Waits for the end of one writer. None ends while there is a [`Committer`], unless there is a bug.
    pub async fn one_ended(&mut self) {
        let _ = self.tasks.join_next().await;
    }

    /// The bank closes: what fails is not tried again, and what is in doubt is not looked up for long.
    pub fn close(&self) {
        let _ = self.closing_since.set(Instant::now());
    }

    /// Waits until every command that was accepted into the queue has its answer.
    pub async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Whether the command has left something in the books: a movement, a hold, or a pending approval.
fn is_written(verdict: &Verdict) -> bool {
    match verdict {
        Ok(Receipt::Posted(_) | Receipt::Held(_) | Receipt::Pending(_)) => true,
        Ok(Receipt::Replay { .. }) | Err(_) => false,
    }
}

/// The answer to a request of which it is certain that nothing was booked.
fn not_booked_because(error: &sqlx::Error) -> SubmitError {
    if errors::is_lock_timeout(error) {
        return SubmitError::AccountBusy;
    }
    match errors::failure(error) {
        failure if failure.is_transient() => SubmitError::NotBooked(failure),
        _ => SubmitError::Internal(error.to_string()),
    }
}
