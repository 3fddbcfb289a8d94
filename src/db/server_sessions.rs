//! What the bank's transactions need of a session on PostgreSQL.

use sqlx::PgConnection;

use super::in_time;

/// The settings of every session that writes: it waits for nothing for ever, nor does the server wait for us.
const OF_WRITING: &str = "
    -- Somebody's forgotten `select ... for update` must cost one account's requests, not the writer's.
    set lock_timeout = '2s';
    -- Longer than we wait for an answer ourselves: what is left behind then ends, with its locks.
    set statement_timeout = '8s';
    set idle_in_transaction_session_timeout = '8s';
    -- The same when we are gone silently. Without effect on a Unix socket, which tells at once.
    set tcp_keepalives_idle = 5;
    set tcp_keepalives_interval = 2;
    set tcp_keepalives_count = 3;
    set tcp_user_timeout = '10s';
    -- Every look-up here is by key. A plan that was made while the tables were small would scan them for ever after.
    set enable_seqscan = off;
    set jit = off";

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
        match self {
            Self::Own => in_time(sqlx::raw_sql(OF_WRITING).execute(conn)).await.map(|_| ()),
            Self::Shared => Ok(()),
        }
    }
}
