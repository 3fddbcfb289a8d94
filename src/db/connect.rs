//! Opening either database: connecting, checking what the books depend on, and bringing the schema up to date.

use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection, Postgres, SqlitePool};

use super::{
    ACQUIRE_TIMEOUT, Db, DbOptions, DbTarget, POSTGRES_TRUSTED, POSTGRES_WRITERS, PostgresSettings, READER_CACHE_KIB,
    SQLITE_BUSY_TIMEOUT, SQLITE_PRAGMAS, SQLITE_READERS, SQLITE_ROW_BUFFER, SQLITE_WRITERS, gathered, on_reader,
    prepare_session, sqlite, sqlite_pool,
};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// What can go wrong before the bank is open.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot open the database: {0}")]
    Connect(#[from] sqlx::Error),
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] MigrateError),
    #[error("SQLite refused a setting that the books depend on: {setting} is {actual}, not {expected}")]
    Pragma { setting: &'static str, actual: String, expected: &'static str },
}

impl Db {
    /// Connects. Does not migrate.
    pub async fn connect(options: &DbOptions) -> Result<Self, ConnectError> {
        match &options.target {
            DbTarget::Sqlite(sqlite) => Self::connect_sqlite(sqlite.clone()).await,
            DbTarget::Postgres(postgres) => Self::connect_postgres(postgres.clone(), options).await,
        }
    }

    async fn connect_sqlite(file: SqliteConnectOptions) -> Result<Self, ConnectError> {
        let path = file.get_filename().to_owned();
        let file = SQLITE_PRAGMAS.into_iter().fold(file, |file, (pragma, value)| file.pragma(pragma, value));
        let file = file
            .journal_mode(SqliteJournalMode::Wal)
            // Rows of a batch come over in one go, not in many small ones.
            .row_buffer_size(SQLITE_ROW_BUFFER)
            .busy_timeout(SQLITE_BUSY_TIMEOUT);
        let writers = sqlite_pool(SQLITE_WRITERS).connect_with(file.clone()).await?;
        confirm_pragmas(&writers).await?;
        let folder = sqlite_pool(1).connect_with(file.clone()).await?;
        let file = file.create_if_missing(false).read_only(true).pragma("cache_size", READER_CACHE_KIB);
        // Opened at once: later there may be no file descriptor left for one.
        let readers = sqlite_pool(SQLITE_READERS).min_connections(SQLITE_READERS).connect_with(file).await?;
        let look_ups = Arc::new(sqlite::LookUps::new(path.clone()));
        Ok(Self::Sqlite { file: path, writers, readers, folder, look_ups, turn: Arc::default() })
    }

    async fn connect_postgres(target: PgConnectOptions, options: &DbOptions) -> Result<Self, ConnectError> {
        let target = target.application_name("coffer").statement_cache_capacity(options.statement_cache);
        let pool = |connections| {
            PoolOptions::<Postgres>::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .before_acquire(|conn, meta| {
                    Box::pin(async move {
                        // A round trip for each use would double the time of a look-up.
                        if meta.idle_for > POSTGRES_TRUSTED {
                            conn.ping().await?;
                        }
                        Ok(!conn.is_in_transaction())
                    })
                })
        };
        let has_own_sessions = options.statement_cache > 0;
        let writers = pool(POSTGRES_WRITERS)
            .after_connect(move |conn, _| {
                Box::pin(async move { if has_own_sessions { prepare_session(conn).await } else { Ok(()) } })
            })
            .connect_with(target.clone())
            .await?;
        let readers = pool(options.max_connections).connect_lazy_with(target.clone());
        let (lanes, migration_lock) = (options.lanes, options.migration_lock);
        let settings = Arc::new(PostgresSettings { target, has_own_sessions, lanes, migration_lock });
        let look_ups = gathered::AccountLookUps::start(&readers);
        Ok(Self::Postgres { writers, readers, look_ups, settings })
    }

    /// Brings the schema up to date. Safe to run from several instances at once; each migration is one transaction.
    pub async fn migrate(&self) -> Result<(), ConnectError> {
        match self {
            Self::Sqlite { writers, .. } => SQLITE_MIGRATIONS.run(writers).await?,
            Self::Postgres { writers, settings, .. } => {
                let mut migrator = Migrator { migrations: POSTGRES_MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
                migrator.set_locking(settings.migration_lock);
                migrator.run(writers).await?;
            }
        }
        Ok(())
    }

    /// Whether every migration that this binary knows has been applied.
    pub async fn is_migrated(&self) -> sqlx::Result<bool> {
        let latest = SQLITE_MIGRATIONS.iter().map(|m| m.version).max().unwrap_or_default();
        let applied: Option<i64> = on_reader!(self, conn => sqlx::query_scalar(
            "select max(version) from _sqlx_migrations where success",
        )
        .fetch_one(conn)
        .await)?;
        Ok(applied.is_some_and(|version| version >= latest))
    }
}

/// A pragma that SQLite does not like is ignored without a word, so the ones that matter are read back.
async fn confirm_pragmas(writers: &SqlitePool) -> Result<(), ConnectError> {
    let journal_mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(writers).await?;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(writers).await?;
    let foreign_keys: i64 = sqlx::query_scalar("pragma foreign_keys").fetch_one(writers).await?;
    for (setting, actual, expected) in [
        ("journal_mode", journal_mode, "wal"),
        ("synchronous", synchronous.to_string(), "2"),
        ("foreign_keys", foreign_keys.to_string(), "1"),
    ] {
        if actual != expected {
            return Err(ConnectError::Pragma { setting, actual, expected });
        }
    }
    Ok(())
}
