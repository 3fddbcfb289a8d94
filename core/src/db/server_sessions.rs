//! What the bank's transactions need of a session on PostgreSQL, whether the session is the bank's own or a pooler's.
//!
//! A pooler that shares sessions (pgbouncer with `pool_mode = transaction`) gives a connection another session for each
//! transaction. Nothing may last longer than that: settings are made for one transaction, and what others have prepared in
//! the session is dropped first, because the driver numbers its statements and would meet its own numbers. And there is no
//! statement without a transaction: the driver sends each in two steps, which the pooler would take to two sessions.

use sqlx::PgConnection;

use super::in_time;

/// The settings of a transaction that writes: it waits for nothing for ever, nor does the server wait for us.
macro_rules! of_writing {
    ($set:literal, $is_local:literal) => {
        concat!(
            // Somebody's forgotten `select ... for update` must cost one account's requests, not the writer's.
            $set,
            " lock_timeout = '2s';",
            // Longer than we wait for an answer ourselves: what is left behind then ends, with its locks.
            $set,
            " statement_timeout = '8s';",
            $set,
            " idle_in_transaction_session_timeout = '8s';",
            // Every look-up here is by key. A plan that was made while the tables were small would scan them for ever
            // after.
            $set,
            " enable_seqscan = off;",
            $set,
            " jit = off;",
            // Whoever is answered can rely on it, whatever a database, a role or a postgresql.conf says. Stronger words
            // (remote_apply) stay, and so do those about standbys alone (local, remote_write).
            "select set_config('synchronous_commit', 'on', ",
            $is_local,
            ")
             where current_setting('synchronous_commit') in ('on', 'off');"
        )
    };
}

/// The same when we are gone silently. Without effect on a Unix socket, which tells at once. Not of a pooler's session:
/// that is the pooler's client.
const KEEPALIVES: &str = "
    set tcp_keepalives_idle = 5;
    set tcp_keepalives_interval = 2;
    set tcp_keepalives_count = 3;
    set tcp_user_timeout = '10s';";

/// Whether a connection is one session of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sessions {
    /// It is: its settings and its prepared statements last.
    Own,
    /// A pooler gives it another one for each transaction.
    Shared,
}

impl Sessions {
    /// Those of a bank that keeps so many prepared statements.
    pub fn with_statement_cache(statements: usize) -> Self {
        if statements > 0 { Self::Own } else { Self::Shared }
    }

    /// Prepares a session that writes.
    pub async fn prepare_for_writing(self, conn: &mut PgConnection) -> sqlx::Result<()> {
        if self == Self::Shared {
            return Ok(());
        }
        in_time(sqlx::raw_sql(concat!(of_writing!("set", "false"))).execute(&mut *conn)).await?;
        in_time(sqlx::raw_sql(KEEPALIVES).execute(conn)).await.map(|_| ())
    }

    /// Begins a transaction that takes its time.
    pub fn begin(self) -> &'static str {
        match self {
            Self::Own => "begin",
            Self::Shared => "begin; deallocate all",
        }
    }

    /// Begins a transaction that writes.
    pub fn begin_writing(self) -> &'static str {
        match self {
            Self::Own => "begin",
            Self::Shared => concat!("begin; deallocate all; ", of_writing!("set local", "true")),
        }
    }

    /// Begins a transaction that sees one moment of the books.
    pub fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Own => "begin isolation level repeatable read, read only",
            Self::Shared => "begin isolation level repeatable read, read only; deallocate all",
        }
    }

    /// Begins the transaction in which a connection for reading is from when its pool gives it out.
    pub async fn begin_reading(self, conn: &mut PgConnection) -> sqlx::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Shared => sqlx::raw_sql("begin read only; deallocate all").execute(conn).await.map(|_| ()),
        }
    }
}
