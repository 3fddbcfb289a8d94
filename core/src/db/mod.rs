//! The two databases behind one type.
//!
//! A query is written once: `on_reader!` and `in_transaction!` expand the same sqlx body for SQLite and for PostgreSQL,
//! so types stay concrete and no SQL is written twice. `$1` placeholders, `returning` and `on conflict` mean the same
//! on both. Only [`ledger`] and what asks a catalogue have SQL in two dialects. Each other file here is one table family: row
//! structs, then queries.
//!
//! Mind on SQLite: a parameter that is not bound is silently NULL, and violations have no constraint name.

pub mod access_changes;
pub mod account_limits;
pub mod accounts;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod audit_search;
pub mod backlog;
pub mod bank_accounts;
pub mod bank_events;
pub mod bank_totals;
pub mod claim;
mod clock;
mod connect;
pub mod copying;
mod durability;
pub mod erasure;
pub mod errors;
mod gathered;
pub mod heads;
pub mod history;
pub mod holds;
pub mod ledger;
pub mod limit_changes;
pub mod mailed_links;
pub mod mails;
mod movement_quotas;
mod open_file;
mod ownership;
pub mod password_links;
pub mod payees;
mod pools;
mod primary;
mod refusals;
pub mod second_factors;
mod server_sessions;
mod servers;
pub mod serving;
pub mod sessions;
pub mod snapshot_file;
mod sqlite;
pub mod tags;
mod tls_relay;
mod units;
pub mod user_notes;
pub mod users;
pub mod verify;
mod wait;
pub mod webhook_deliveries;
pub mod webhooks;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection, FromRow, PgPool, Postgres, Sqlite, SqlitePool};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::request_ids;

pub use connect::{Schema, refuse_no_bank};
pub use open_file::OpenFile;
pub use refusals::{ConnectError, of_query};
pub use servers::Servers;
pub use units::DefineUnitsError;

/// How long a request may wait for a connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long any statement may take, with the wait for its connection. A database that hangs, or whose packets are
/// silently lost, must not hold up a request: every one has its answer within 10 seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process (`sqlite3`, say) to release its lock on the file.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// For everything but money: the ledger's writer has its own, and so have checkpoints of the WAL, which take their
/// time.
const SQLITE_WRITERS: u32 = 1;
/// Each SQLite connection is a thread of its own; more of them than cores only adds switching.
const SQLITE_READERS: u32 = 4;

/// For everything but money: each of the ledger's writers has its own.
const POSTGRES_WRITERS: u32 = 4;

/// The settings of every SQLite connection.
const SQLITE_PRAGMAS: [(&str, &str); 4] = [
    // A commit is on disk before it is acknowledged. NORMAL could lose the last ones in a power cut.
    ("synchronous", "full"),
    ("foreign_keys", "on"),
    // A statement of many rows keeps what it overwrites, to undo itself: in memory, not in a temporary file.
    ("temp_store", "memory"),
    // What is deleted is overwritten with zeros: nobody reads in the file who was erased.
    ("secure_delete", "on"),
];
/// Page cache of a reader, negative for KiB: a page of a history at a time needs little of it.
const READER_CACHE_KIB: &str = "-512";
const SQLITE_ROW_BUFFER: usize = 1_024;
/// Pages in the WAL before a checkpoint copies them to the file: 32 MiB. A hot page is written many times to the WAL,
/// but copied once, so rare checkpoints copy less.
const SQLITE_CHECKPOINT_PAGES: i64 = 8_192;
/// Checkpoints beside the running ledger, before the last one, for which it waits. Each leaves the pages that were
/// written during it, which are ever fewer.
const SQLITE_CHECKPOINT_PASSES: usize = 3;
/// How long a checkpoint waits for those who read the WAL, so that the next writer starts it anew: 10 ms. Everybody who writes
/// waits behind it, and where somebody reads for long it is in vain, five times a second.
const SQLITE_RESTART_PATIENCE: &str = "pragma busy_timeout = 10";

/// Who checkpoints SQLite's WAL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoints {
    /// This program: [`Db::checkpoint_wal`], and the last resort.
    #[default]
    Coffer,
    /// Another process, such as Litestream, which has to see every page of the WAL before it starts anew.
    External,
}

impl Checkpoints {
    /// The pages in the WAL at which a commit checkpoints it: 256 MiB. A last resort, because money would wait for it.
    fn pragma(self) -> (&'static str, &'static str) {
        ("wal_autocheckpoint", if self == Self::Coffer { "65536" } else { "0" })
    }
}

/// Where the rows of the tables lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    #[default]
    OneMachine,
    /// On several machines, as Citus spreads them: `select ... for update` is refused over more than one of them, and so is a
    /// join whose rows are not on the same one.
    Sharded,
}

/// Where the books are, and how to connect.
#[derive(Clone, Debug)]
pub struct DbOptions {
    pub target: DbTarget,
    /// SQLite only.
    pub checkpoints: Checkpoints,
    /// PostgreSQL connections for reading; writing has its own, one for each of the ledger's writers and a few more.
    pub max_connections: u32,
    /// PostgreSQL only: how many batches may be in flight at once.
    pub ledger_writers: u32,
    /// SQLite has one machine.
    pub layout: Layout,
    /// PostgreSQL only: prepared statements kept per connection. 0 behind a pooler that shares sessions.
    pub statement_cache: usize,
    /// PostgreSQL only: whether migrations take an advisory lock. Off for poolers and databases that have none.
    pub migration_lock: bool,
}

impl DbOptions {
    /// For a SQLite file that no other process has anything to do with.
    pub fn of_file(file: SqliteConnectOptions) -> Self {
        Self {
            target: DbTarget::Sqlite(file),
            checkpoints: Checkpoints::Coffer,
            max_connections: 1,
            ledger_writers: 1,
            layout: Layout::OneMachine,
            statement_cache: 0,
            migration_lock: false,
        }
    }
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a program has a few of them, and none in a list")]
pub enum DbTarget {
    Sqlite(SqliteConnectOptions),
    Postgres(Servers),
}

/// A connected database. Clones share the same pools.
#[derive(Clone, Debug)]
pub enum Db {
    /// SQLite has one writer at a time: whoever writes waits for its `write_lock`, in a queue that is fairer than
    /// SQLite's busy loop.
    Sqlite {
        file: PathBuf,
        write_pool: SqlitePool,
        read_pool: SqlitePool,
        checkpoint_pool: SqlitePool,
        look_ups: Arc<sqlite::LookUps>,
        write_lock: Arc<Mutex<()>>,
        checkpoints: Checkpoints,
        open_file: Arc<OpenFile>,
        /// Whether there was something in its log when this process opened it.
        had_log: bool,
    },
    /// Writers have a pool of their own, so that a crowd of readers never keeps money waiting.
    Postgres {
        write_pool: PgPool,
        read_pool: PgPool,
        /// The same one, unless a pooler shares sessions.
        snapshot_pool: PgPool,
        look_ups: gathered::AccountLookUps,
        settings: Arc<PostgresSettings>,
    },
}

#[derive(Debug)]
pub struct PostgresSettings {
    primary: Arc<primary::Primary>,
    sessions: server_sessions::Sessions,
    ledger_writers: u32,
    layout: Layout,
    migration_lock: bool,
}

/// How many connections of a pool are open.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    pub pool: &'static str,
    pub idle: usize,
    pub used: usize,
    pub max: u32,
}

impl PoolUse {
    fn of<D: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<D>) -> Self {
        let (idle, open) = (pool.num_idle(), pool.size() as usize);
        Self { pool: name, idle, used: open.saturating_sub(idle), max: pool.options().get_max_connections() }
    }
}

/// A transaction. Rolls back when dropped.
pub enum Tx<'a> {
    /// With the write lock, unless it only reads.
    Sqlite(sqlx::Transaction<'a, Sqlite>, Option<OwnedMutexGuard<()>>),
    Postgres(sqlx::Transaction<'a, Postgres>),
}

/// What both databases have rows of.
trait Readable: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Readable for T {}

/// Runs the same body with `$conn` bound to the reading pool of either database, for as long as an answer may take.
macro_rules! on_reader {
    ($db:expr, $conn:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite { read_pool: $conn, .. } => $crate::db::in_time(async { $body }).await,
            $crate::db::Db::Postgres { read_pool: $conn, .. } => $crate::db::in_time(async { $body }).await,
        }
    };
}

/// Runs the same body with `$conn` bound to the connection of either database's transaction, for as long as an answer
/// may take.
macro_rules! in_transaction {
    ($tx:expr, $conn:ident => $body:expr) => {
        $crate::db::in_time(async { $crate::db::in_snapshot!($tx, $conn => $body) }).await
    };
}

/// The same without a limit: the doctor reads whole tables, however long they are.
macro_rules! in_snapshot {
    ($tx:expr, $conn:ident => $body:expr) => {
        match $tx {
            $crate::db::Tx::Sqlite(tx, _) => {
                let $conn = &mut **tx;
                $body
            }
            $crate::db::Tx::Postgres(tx) => {
                let $conn = &mut **tx;
                $body
            }
        }
    };
}

/// The id of the bank's own account with this number, as [`crate::account_number::AccountNumber::of_bank`] makes it.
macro_rules! bank_account_id_of {
    ($number:literal) => {
        concat!("(", $number, ") / 10000000")
    };
}

/// The columns of [`crate::books::entry::Entry`] that come from `entries e`, for the words and the other side from
/// `transactions t`, and for the tags from `tags g`.
macro_rules! entry_columns {
    () => {
        concat!(
            "e.account_number, e.sequence, e.transaction_id, e.type as movement_type, e.amount, e.balance, e.created_at,
         e.hash, t.description, t.text_salt, t.text_commitment, g.reference, g.group_id, g.metadata,
         case when t.debit_account <> e.account_number and t.debit_sequence is not null then t.debit_account
              when t.credit_account <> e.account_number and t.credit_sequence is not null then t.credit_account
         end as counterparty,
         case when t.debit_sequence is null or t.credit_sequence is null then
              (select b.code from bank_accounts b where b.id = ",
            $crate::db::bank_account_id_of!(
                "case when t.debit_sequence is null then t.debit_account else t.credit_account end"
            ),
            ") end as against"
        )
    };
}

/// The columns of [`crate::books::entry::Transaction`], of `transactions`.
macro_rules! transaction_columns {
    () => {
        concat!(
            "transactions.id, transactions.type as movement_type, debit_account, debit_sequence, credit_account,
             credit_sequence, amount, currency, description, text_salt, text_commitment, initiated_by, created_at, ",
            $crate::db::tags::tags_of!("transactions.id")
        )
    };
}

/// The columns of [`accounts::Account`].
macro_rules! account_columns {
    () => {
        "account_number, owner_id, currency, label, status, balance, overdraft_limit, sequence, head_hash,
         last_entry_at, opened_at, held_until, has_limits, alert_below, notify_above"
    };
}
pub(crate) use {
    account_columns, bank_account_id_of, entry_columns, in_snapshot, in_transaction, on_reader, transaction_columns,
};

/// Begins a transaction on PostgreSQL, in a task of its own: where a caller gives up while `begin` is under way, sqlx (up to
/// 0.9.0, transact-rs/sqlx#4385) leaves the connection in the pool with the transaction open.
async fn begin_whole(pool: &PgPool, begin: &'static str) -> sqlx::Result<sqlx::Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let task = request_ids::spawn(async move { pool.begin_with(begin).await });
    task.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

impl Db {
    /// Starts a transaction that may write. On SQLite it holds the write lock from the start: a transaction that reads
    /// first and then asks for the lock could be refused half-way.
    pub async fn begin(&self) -> sqlx::Result<Tx<'static>> {
        Ok(match self {
            Self::Sqlite { write_pool, write_lock, open_file, .. } => {
                open_file.refuse_if_gone()?;
                let write_lock = wait_for_write_lock(write_lock).await?;
                Tx::Sqlite(in_time(write_pool.begin_with("begin immediate")).await?, Some(write_lock))
            }
            Self::Postgres { write_pool, settings, .. } => {
                Tx::Postgres(in_time(begin_whole(write_pool, settings.sessions.begin_writing())).await?)
            }
        })
    }

    /// Starts a transaction that only reads, and sees one moment of the books however long it takes.
    pub async fn snapshot(&self) -> sqlx::Result<Tx<'static>> {
        Ok(match self {
            Self::Sqlite { read_pool, .. } => Tx::Sqlite(read_pool.begin().await?, None),
            Self::Postgres { snapshot_pool, settings, .. } => {
                Tx::Postgres(begin_whole(snapshot_pool, settings.sessions.begin_snapshot()).await?)
            }
        })
    }

    /// SQLite: checkpoints a WAL that has grown long, so that it can start anew. All but the last few pages are
    /// copied while the ledger goes on writing; only for those does it wait, and for those who read them. Does nothing where
    /// another process does that.
    pub async fn checkpoint_wal(&self) -> sqlx::Result<()> {
        let Self::Sqlite { checkpoint_pool, write_lock, checkpoints: Checkpoints::Coffer, .. } = self else {
            return Ok(());
        };
        let mut conn = checkpoint_pool.acquire().await?;
        let (_, in_wal, copied): (i64, i64, i64) =
            sqlx::query_as("pragma wal_checkpoint(noop)").fetch_one(&mut *conn).await?;
        // One that is long and copied starts anew with the next writer, unless somebody reads it just then: so that is tried again.
        if in_wal < SQLITE_CHECKPOINT_PAGES || in_wal == copied {
            return Ok(());
        }
        self.mark_before_checkpoint().await?;
        for _ in 0..SQLITE_CHECKPOINT_PASSES {
            sqlx::query(serving::PASSIVE_CHECKPOINT).execute(&mut *conn).await?;
        }
        let _write_lock = wait_for_write_lock(write_lock).await?;
        sqlx::query(SQLITE_RESTART_PATIENCE).execute(&mut *conn).await?;
        sqlx::query("pragma wal_checkpoint(restart)").execute(&mut *conn).await?;
        Ok(())
    }

    /// What tells whether the file is still where it was opened; None on PostgreSQL.
    pub fn open_file(&self) -> Option<Arc<OpenFile>> {
        match self {
            Self::Sqlite { open_file, .. } => Some(open_file.clone()),
            Self::Postgres { .. } => None,
        }
    }

    /// The file that the books are in; None on PostgreSQL.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite { file, .. } => Some(file),
            Self::Postgres { .. } => None,
        }
    }

    /// The pools that are shared, for the metrics.
    pub fn pools(&self) -> [PoolUse; 2] {
        match self {
            Self::Sqlite { read_pool, write_pool, .. } => {
                [PoolUse::of("read", read_pool), PoolUse::of("write", write_pool)]
            }
            Self::Postgres { read_pool, write_pool, .. } => {
                [PoolUse::of("read", read_pool), PoolUse::of("write", write_pool)]
            }
        }
    }

    /// How many batches of movements may be in flight at once.
    pub fn ledger_writers(&self) -> usize {
        match self {
            Self::Sqlite { .. } => 1,
            Self::Postgres { settings, .. } => settings.ledger_writers as usize,
        }
    }

    /// Where the rows of the tables lie.
    pub fn layout(&self) -> Layout {
        match self {
            Self::Sqlite { .. } => Layout::OneMachine,
            Self::Postgres { settings, .. } => settings.layout,
        }
    }

    /// `SQLite 3.50.4` or `PostgreSQL 15.18`, for the banner and for bug reports.
    pub async fn version(&self) -> sqlx::Result<String> {
        match self {
            Self::Sqlite { read_pool, .. } => {
                let version: String = sqlx::query_scalar("select sqlite_version()").fetch_one(read_pool).await?;
                Ok(format!("SQLite {version}"))
            }
            Self::Postgres { read_pool, .. } => {
                let version: String = sqlx::query_scalar("show server_version").fetch_one(read_pool).await?;
                Ok(format!("PostgreSQL {}", version.split(' ').next().unwrap_or_default()))
            }
        }
    }

    /// Closes every connection after the work in flight on it; on SQLite this also checkpoints the WAL.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { write_pool, read_pool, checkpoint_pool, look_ups, .. } => {
                self.finish_mark_of_crashed_server().await;
                look_ups.close();
                read_pool.close().await;
                checkpoint_pool.close().await;
                write_pool.close().await;
            }
            Self::Postgres { write_pool, read_pool, snapshot_pool, .. } => {
                read_pool.close().await;
                snapshot_pool.close().await;
                write_pool.close().await;
            }
        }
    }
}

/// A database's answer, still to come.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'a>>;

/// The answer, or an error if it takes too long. Boxed, so that the clock is compiled once for each type of answer and not
/// for each of hundreds of statements.
pub(crate) fn in_time<'a, T>(
    answer: impl Future<Output = sqlx::Result<T>> + Send + 'a,
) -> impl Future<Output = sqlx::Result<T>> {
    boxed_in_time(Box::pin(answer))
}

pub(crate) async fn boxed_in_time<T>(answer: Answer<'_, T>) -> sqlx::Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| Err(errors::no_answer()))
}

/// The lock on writing to a SQLite file, unless whoever has it takes too long.
async fn wait_for_write_lock(write_lock: &Arc<Mutex<()>>) -> sqlx::Result<OwnedMutexGuard<()>> {
    tokio::time::timeout(ACQUIRE_TIMEOUT, write_lock.clone().lock_owned()).await.map_err(|_| errors::no_answer())
}

impl Tx<'_> {
    /// An error that leaves open whether the commit took effect is [marked](errors::Failure::InDoubt).
    pub async fn commit(self) -> sqlx::Result<()> {
        self.release().await.map_err(errors::of_commit)
    }

    /// Ends a transaction within another one, whose commit or rollback decides.
    pub async fn release(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx, _write_lock) => in_time(tx.commit()).await,
            Self::Postgres(tx) => in_time(tx.commit()).await,
        }
    }

    pub async fn rollback(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx, _write_lock) => in_time(tx.rollback()).await,
            Self::Postgres(tx) => in_time(tx.rollback()).await,
        }
    }
}

fn sqlite_pool(connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::<Sqlite>::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A local file does not hang up: no ping per use, no reconnecting by age.
        .test_before_acquire(false)
        // A rollback that failed (the disk was full) leaves a connection that can begin nothing: it is replaced.
        .before_acquire(|conn, _| Box::pin(async move { Ok(!conn.is_in_transaction()) }))
        .idle_timeout(None)
        .max_lifetime(None)
}
