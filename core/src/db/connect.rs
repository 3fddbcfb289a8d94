//! Opening either database: connecting, checking what the books depend on, and bringing the schema up to date.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection, PgConnection, Row, SqlitePool};
use tokio::time::{sleep, timeout};

use super::claim::Claim;
use super::errors::POSTGRES_LOCK_TIMEOUT;
use super::open_file::OpenFile;
use super::ownership::{self, Owner};
use super::pools::{Care, Use};
use super::primary::Primary;
use super::refusals::{self, ConnectError};
use super::server_sessions::Sessions;
use super::servers::{GREETING_TIMEOUT, Servers};
use super::wait::{PAUSE, Wait};
use super::{
    Checkpoints, Db, DbOptions, DbTarget, POSTGRES_WRITERS, PostgresSettings, READER_CACHE_KIB, SQLITE_BUSY_TIMEOUT,
    SQLITE_PRAGMAS, SQLITE_READERS, SQLITE_ROW_BUFFER, SQLITE_WRITERS, durability, gathered, on_reader, serving,
    sqlite, sqlite_pool,
};
use crate::files;

/// How long another process may be opening or migrating the same database.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(60);
/// How long two processes that migrate without a lock may run into each other.
const RACE_PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for SQLite's own lock, which is held for moments while another process opens or closes the file.
const BUSY_PATIENCE: Duration = Duration::from_secs(10);
/// The oldest PostgreSQL that understands every statement and setting: 12 has `as materialized` and `tcp_user_timeout`.
const POSTGRES_OLDEST: i64 = 120_000;

pub(super) static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");
pub(super) static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// The tables of a database beside those that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    Current,
    /// Some migrations are still to come, or all of them.
    Older,
    /// It has this migration, of a newer program.
    Newer(i64),
    /// Its migrations were others, before the first release.
    Unreleased,
    /// A copy was begun here, and not all of the books have come.
    HalfCopied,
}

impl Db {
    /// Connects. Does not migrate.
    pub async fn connect(options: &DbOptions) -> Result<Self, ConnectError> {
        match &options.target {
            DbTarget::Sqlite(sqlite) => Self::connect_sqlite(sqlite.clone(), options.checkpoints).await,
            DbTarget::Postgres(postgres) => Self::connect_postgres(postgres.clone(), options).await,
        }
    }

    /// Connects to a bank that is there already, to look at it. Opens a SQLite file for reading alone where it cannot be written:
    /// on a medium that is read-only, or when it is somebody else's.
    pub async fn connect_to_examine(options: &DbOptions) -> Result<Self, ConnectError> {
        let DbTarget::Sqlite(sqlite) = &options.target else { return Self::connect(options).await };
        let path = sqlite.get_filename();
        refuse_no_bank(path)?;
        if ownership::can_be_written(path) {
            return Self::connect(options).await;
        }
        // Without a log, SQLite would want to make one.
        let is_alone = !serving::has_log(path) && !Claim::is_held_on(path);
        let file = sqlite.clone().read_only(true).immutable(is_alone).busy_timeout(SQLITE_BUSY_TIMEOUT);
        let pool = sqlite_pool(SQLITE_READERS).connect_with(file).await.map_err(|error| refuse_sqlite(path, &error))?;
        let open_file = Arc::new(OpenFile::of(path));
        Ok(Self::Sqlite {
            file: path.to_owned(),
            write_pool: pool.clone(),
            checkpoint_pool: pool.clone(),
            read_pool: pool,
            look_ups: Arc::new(sqlite::LookUps::new(open_file.clone())),
            write_lock: Arc::default(),
            checkpoints: options.checkpoints,
            open_file,
            had_log: false,
        })
    }

    async fn connect_sqlite(file: SqliteConnectOptions, checkpoints: Checkpoints) -> Result<Self, ConnectError> {
        let path = file.get_filename().to_owned();
        let _lock = lock(&path).await?;
        refuse_somebody_elses(&path)?;
        files::narrow(files::of_sqlite(&path));
        let had_log = serving::has_log(&path);
        let started = Instant::now();
        let (write_pool, checkpoint_pool, read_pool) = loop {
            match open_sqlite(&file, checkpoints).await {
                Ok(pools) => break pools,
                Err(error) if is_busy(&error) && started.elapsed() < BUSY_PATIENCE => sleep(PAUSE).await,
                Err(error) => return Err(refuse_sqlite(&path, &error)),
            }
        };
        confirm_pragmas(&path, &write_pool).await?;
        let open_file = Arc::new(OpenFile::of(&path));
        let look_ups = Arc::new(sqlite::LookUps::new(open_file.clone()));
        let (file, write_lock) = (path, Arc::default());
        let db = Self::Sqlite {
            file,
            write_pool,
            read_pool,
            checkpoint_pool,
            look_ups,
            write_lock,
            checkpoints,
            open_file,
            had_log,
        };
        db.finish_mark_of_crashed_server().await;
        Ok(db)
    }

    async fn connect_postgres(servers: Servers, options: &DbOptions) -> Result<Self, ConnectError> {
        let set = |named: PgConnectOptions| {
            // Floats, which the driver would ask for by this, the bank has none of, and poolers refuse it.
            let named = named.application_name("coffer").extra_float_digits(None);
            named.statement_cache_capacity(options.statement_cache)
        };
        let servers = Servers { named: servers.named.into_iter().map(set).collect(), ..servers };
        // A pool would try again and again, and say in the end that it has timed out.
        let (primary, mut first) = Primary::find(servers).await?;
        let refuse = |error: &sqlx::Error| refuse_postgres(&primary, error);
        examine_server(&mut first, &primary).await?;
        durability::tell_of_early_answers(&mut first).await.map_err(|error| refuse(&error))?;
        let _ = first.close().await;
        let sessions = Sessions::with_statement_cache(options.statement_cache);
        let pool = |purpose, connections| Care { terms: primary.terms().clone(), sessions, purpose }.pool(connections);
        let write_pool = pool(Use::Writing, POSTGRES_WRITERS).connect_with(primary.target()).await;
        let write_pool = write_pool.map_err(|error| refuse(&error))?;
        let read_pool = pool(Use::Reading, options.max_connections).connect_lazy_with(primary.target());
        let snapshot_pool = match sessions {
            Sessions::Own => read_pool.clone(),
            Sessions::Shared => pool(Use::Snapshots, options.max_connections).connect_lazy_with(primary.target()),
        };
        primary.lead(vec![write_pool.clone(), read_pool.clone(), snapshot_pool.clone()]);
        let DbOptions { ledger_writers, layout, migration_lock, .. } = *options;
        let look_ups = gathered::AccountLookUps::start(&read_pool, sessions);
        let settings =
            Arc::new(PostgresSettings { primary: primary.clone(), sessions, ledger_writers, layout, migration_lock });
        let db = Self::Postgres { write_pool, read_pool, snapshot_pool, look_ups, settings };
        db.follow_server_time().await.map_err(|error| refuse(&error))?;
        Ok(db)
    }

    /// Brings the schema up to date. Safe to run from several processes at once: one of them migrates, and the others
    /// wait for it. Each migration is one transaction. Refuses books that have not all been copied here yet.
    pub async fn migrate(&self) -> Result<(), ConnectError> {
        // What cannot be asked, migrating will say.
        if self.has_unfinished_copy().await.unwrap_or(false) {
            return Err(ConnectError::Open { place: self.place(), reason: refusals::HALF_COPIED.to_owned() });
        }
        self.migrate_for_copy().await
    }

    /// The same for whoever copies.
    pub async fn migrate_for_copy(&self) -> Result<(), ConnectError> {
        // What cannot be asked, migrating will say.
        if let Some(reason) = self.owner().await.ok().and_then(|owner| owner.refusal()) {
            return Err(ConnectError::Open { place: self.place(), reason });
        }
        let ended = match self {
            Self::Sqlite { file, write_pool, .. } => {
                let _lock = lock(file).await?;
                match SQLITE_MIGRATIONS.run(write_pool).await {
                    Ok(()) => confirm_writable(write_pool).await.map_err(MigrateError::Execute),
                    Err(error) => Err(error),
                }
            }
            Self::Postgres { settings, .. } => migrate_postgres(settings).await,
        };
        match ended {
            Ok(()) => self.learn_first_units().await,
            Err(error) => Err(self.refuse_migration(&error).await),
        }
    }

    /// The database in a few words, without its password.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite { file, .. } => file.display().to_string(),
            Self::Postgres { settings, .. } => settings.primary.place(),
        }
    }

    async fn refuse_migration(&self, error: &MigrateError) -> ConnectError {
        let newest = self.newest_migration().await.ok().flatten();
        let is_unreleased = matches!(self.begins_as_released().await, Ok(false));
        let place = self.place();
        let reason = match self {
            Self::Sqlite { file, .. } => {
                let of = |cause: &sqlx::Error| refusals::of_sqlite(file, cause);
                refusals::of_migration(error, newest, newest_known(), of)
            }
            Self::Postgres { .. } => refusals::of_migration(error, newest, newest_known(), refusals::of_postgres),
        };
        let reason = if is_unreleased { refusals::never_released(1) } else { reason };
        ConnectError::Migrate { place, reason }
    }

    /// Compares the schema of the database with the one that this program knows.
    pub async fn schema(&self) -> sqlx::Result<Schema> {
        let newest = self.newest_migration().await?;
        if !self.begins_as_released().await? {
            return Ok(Schema::Unreleased);
        }
        if self.has_unfinished_copy().await? {
            return Ok(Schema::HalfCopied);
        }
        Ok(match newest {
            Some(version) if version > newest_known() => Schema::Newer(version),
            Some(version) if version == newest_known() => Schema::Current,
            _ => Schema::Older,
        })
    }

    /// Why a database of before the first release is refused.
    pub fn refusal_of_unreleased() -> String {
        refusals::never_released(1)
    }

    /// Whether the first migration of the database is this program's.
    async fn begins_as_released(&self) -> sqlx::Result<bool> {
        let stored: Option<Vec<u8>> = on_reader!(self, conn => sqlx::query_scalar(
            "select checksum from _sqlx_migrations where version = 1",
        )
        .fetch_optional(conn)
        .await)?;
        let migrations = match self {
            Self::Sqlite { .. } => &SQLITE_MIGRATIONS,
            Self::Postgres { .. } => &POSTGRES_MIGRATIONS,
        };
        let first = migrations.iter().next().map(|migration| &migration.checksum[..]);
        Ok(stored.is_none_or(|stored| first == Some(&stored[..])))
    }

    /// Why a database is refused that a copy was begun in.
    pub fn refusal_of_half_copied() -> &'static str {
        refusals::HALF_COPIED
    }

    /// Why a database of a newer program is refused.
    pub fn refusal_of_newer(version: i64) -> String {
        refusals::newer(version, newest_known())
    }

    async fn newest_migration(&self) -> sqlx::Result<Option<i64>> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select max(version) from _sqlx_migrations where success",
        )
        .fetch_one(conn)
        .await)
    }
}

/// Both databases have the same migrations.
fn newest_known() -> i64 {
    SQLITE_MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

fn refuse_sqlite(file: &Path, error: &sqlx::Error) -> ConnectError {
    ConnectError::Open { place: file.display().to_string(), reason: refusals::of_sqlite(file, error) }
}

/// Before anything is opened that SQLite would change.
fn refuse_somebody_elses(file: &Path) -> Result<Owner, ConnectError> {
    let owner = Owner::of_file(file).map_err(|error| refuse_sqlite(file, &error))?;
    match owner.refusal() {
        Some(reason) => Err(ConnectError::Open { place: file.display().to_string(), reason }),
        None => Ok(owner),
    }
}

/// Refuses a SQLite file that is no bank's, and changes nothing in it or beside it.
pub fn refuse_no_bank(file: &Path) -> Result<(), ConnectError> {
    let is_empty = refuse_somebody_elses(file)? == Owner::Nobody;
    if is_empty && file.is_file() {
        let reason = "it has no tables, and so no books. Name another one, or restore a backup".to_owned();
        return Err(ConnectError::Open { place: file.display().to_string(), reason });
    }
    Ok(())
}

fn refuse_postgres(primary: &Primary, error: &sqlx::Error) -> ConnectError {
    ConnectError::Open { place: primary.place(), reason: refusals::of_postgres(error) }
}

/// Waits until no other process opens or migrates a SQLite file of this directory. Turning a new file to WAL and
/// migrating it need locks that SQLite refuses at once when two ask for them.
///
/// The lock is on the directory: nothing is written, nothing stays behind, and it ends with the process. It must not be
/// on the file, whose own locks a process loses as soon as it closes any handle to it.
async fn lock(file: &Path) -> Result<Option<File>, ConnectError> {
    // If there is no such directory, SQLite says so.
    let Ok(directory) = File::open(files::directory_of(file)) else { return Ok(None) };
    let mut wait = Wait::new("another process opens or migrates the same database");
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(Some(directory)),
            Err(TryLockError::WouldBlock) if wait.is_within(MIGRATION_PATIENCE) => wait.pause().await,
            Err(TryLockError::WouldBlock) => {
                let seconds = MIGRATION_PATIENCE.as_secs();
                let reason = format!(
                    "another process has been opening or migrating it for {seconds} s. Wait until that has ended, or \
                     end it, and try again"
                );
                return Err(ConnectError::Open { place: file.display().to_string(), reason });
            }
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, "this file system has no locks: start one process after the other");
                return Ok(None);
            }
        }
    }
}

/// The pools for writing, for checkpoints and for reading.
async fn open_sqlite(
    file: &SqliteConnectOptions,
    checkpoints: Checkpoints,
) -> sqlx::Result<(SqlitePool, SqlitePool, SqlitePool)> {
    let pragmas = SQLITE_PRAGMAS.into_iter().chain([checkpoints.pragma()]);
    let file = pragmas.fold(file.clone(), |file, (pragma, value)| file.pragma(pragma, value));
    let file = file
        .journal_mode(SqliteJournalMode::Wal)
        // Rows of a batch come over in one go, not in many small ones.
        .row_buffer_size(SQLITE_ROW_BUFFER)
        .busy_timeout(SQLITE_BUSY_TIMEOUT);
    let write_pool = sqlite_pool(SQLITE_WRITERS).connect_with(file.clone()).await?;
    let checkpoint_pool = sqlite_pool(1).connect_with(file.clone()).await?;
    let file = file.create_if_missing(false).read_only(true).pragma("cache_size", READER_CACHE_KIB);
    // Opened at once: later there may be no file descriptor left for one.
    let read_pool = sqlite_pool(SQLITE_READERS).min_connections(SQLITE_READERS).connect_with(file).await?;
    Ok((write_pool, checkpoint_pool, read_pool))
}

fn is_busy(error: &sqlx::Error) -> bool {
    matches!(refusals::sqlite_code(error), Some(5 | 6))
}

/// SQLite silently opens a file that it may not write for reading alone.
async fn confirm_writable(write_pool: &SqlitePool) -> sqlx::Result<()> {
    match write_pool.begin_with("begin immediate").await {
        Ok(tx) => tx.rollback().await,
        // Somebody writes just now, so it can be written.
        Err(error) if is_busy(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// SQLite silently ignores a pragma that it does not like, so the ones that matter are read back.
async fn confirm_pragmas(file: &Path, write_pool: &SqlitePool) -> Result<(), ConnectError> {
    let ask = async {
        let journal_mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(write_pool).await?;
        let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(write_pool).await?;
        let foreign_keys: i64 = sqlx::query_scalar("pragma foreign_keys").fetch_one(write_pool).await?;
        Ok([journal_mode, synchronous.to_string(), foreign_keys.to_string()])
    };
    let [journal_mode, synchronous, foreign_keys] = ask.await.map_err(|error| refuse_sqlite(file, &error))?;
    for (setting, actual, expected) in
        [("journal_mode", journal_mode, "wal"), ("synchronous", synchronous, "2"), ("foreign_keys", foreign_keys, "1")]
    {
        if actual != expected {
            return Err(ConnectError::Pragma { setting, actual, expected });
        }
    }
    Ok(())
}

/// Refuses a server that would fail later: too old, or with an encoding that cannot hold every name.
async fn examine_server(conn: &mut PgConnection, primary: &Primary) -> Result<(), ConnectError> {
    let refuse = |reason| ConnectError::Open { place: primary.place(), reason };
    let ask = async {
        // By the simple protocol, which every pooler lets through. A setting that is not there is null.
        let row = sqlx::raw_sql(
            "select current_setting('server_encoding', true), current_setting('client_encoding', true),
                    current_setting('server_version_num', true), current_setting('server_version', true)",
        )
        .fetch_one(conn)
        .await?;
        let text = |column: usize| row.try_get::<Option<String>, _>(column);
        Ok([text(0)?, text(1)?, text(2)?, text(3)?])
    };
    let settings = timeout(GREETING_TIMEOUT, ask).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let [server, client, number, version] = settings.map_err(|error| refuse_postgres(primary, &error))?;
    if number.and_then(|number| number.parse::<i64>().ok()).is_some_and(|number| number < POSTGRES_OLDEST) {
        let (version, oldest) = (version.unwrap_or_default(), POSTGRES_OLDEST / 10_000);
        return Err(refuse(format!("it is PostgreSQL {version}; Coffer needs {oldest} or newer")));
    }
    let (server, client) = (server.as_deref().unwrap_or("UTF8"), client.as_deref().unwrap_or("UTF8"));
    refusals::of_encoding(server, client).map_or(Ok(()), |reason| Err(refuse(reason)))
}

/// Waits for another process that migrates. With the advisory lock it is waited for there; without it the two run into
/// each other, and the one that loses looks again.
async fn migrate_postgres(settings: &PostgresSettings) -> Result<(), MigrateError> {
    let mut migrator = Migrator { migrations: POSTGRES_MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.set_locking(settings.migration_lock);
    let mut wait = Wait::new("another process migrates the same database");
    loop {
        match migrate_once(&migrator, settings).await {
            Err(error) if patience(&error, settings).is_some_and(|patience| wait.is_within(patience)) => {
                wait.pause().await;
            }
            ended => return ended,
        }
    }
}

/// On a connection of its own: a migration that fails leaves the advisory lock to its session, which must end with it.
async fn migrate_once(migrator: &Migrator, settings: &PostgresSettings) -> Result<(), MigrateError> {
    let (mut conn, _) = settings.primary.connect().await?;
    let ended = match settings.sessions {
        Sessions::Own => {
            // Nobody's rows wait behind a migration that waits itself.
            sqlx::query("set lock_timeout = '2s'").execute(&mut conn).await?;
            migrator.run(&mut conn).await
        }
        Sessions::Shared => migrate_at_once(migrator, &mut conn).await,
    };
    let _ = conn.close().await;
    ended
}

/// In one transaction, because a pooler gives each transaction another session.
async fn migrate_at_once(migrator: &Migrator, conn: &mut PgConnection) -> Result<(), MigrateError> {
    let mut tx = conn.begin_with("begin; deallocate all; set local lock_timeout = '2s'").await?;
    migrator.run(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// How long to try again after a failure that another process which migrates may have caused.
fn patience(error: &MigrateError, settings: &PostgresSettings) -> Option<Duration> {
    let (MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) = error else { return None };
    let refusal = cause.as_database_error()?;
    let code = refusal.code()?;
    match &*code {
        POSTGRES_LOCK_TIMEOUT | "40001" | "40P01" => Some(MIGRATION_PATIENCE),
        // Made or dropped twice: a migration, table, view, type, column or function. Under the lock that is no other
        // process.
        "23505" | "42P07" | "42710" | "42701" | "42723" | "42P01" | "42703" | "42704" if !settings.migration_lock => {
            Some(RACE_PATIENCE)
        }
        "XX000" if !settings.migration_lock && refusal.message().contains("concurrently updated") => {
            Some(RACE_PATIENCE)
        }
        _ => None,
    }
}
