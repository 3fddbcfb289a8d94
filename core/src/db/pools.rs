//! PostgreSQL's pools of connections: what is done with a connection before and after it is used.

use std::time::Duration;

use sqlx::pool::{PoolConnectionMetadata, PoolOptions};
use sqlx::{Connection, PgConnection, Postgres};
use tokio::time::timeout;

use super::primary::Terms;
use super::server_sessions::Sessions;
use super::{ACQUIRE_TIMEOUT, errors};

/// A connection that was used so recently is taken to be alive.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long a connection that goes back to its pool may take to show that it is alive; after that it is dropped.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The work that a pool gives its connections to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A query by itself.
    Reading,
    /// A transaction that sees one moment of the books.
    Snapshots,
    Writing,
}

/// What a pool does with its connections.
#[derive(Clone, Debug)]
pub(super) struct Care {
    pub terms: Terms,
    pub sessions: Sessions,
    pub purpose: Use,
}

impl Care {
    /// A pool of so many connections at most.
    pub fn pool(self, connections: u32) -> PoolOptions<Postgres> {
        let (at_first, before, after) = (self.clone(), self.clone(), self);
        PoolOptions::<Postgres>::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let care = at_first.clone();
                Box::pin(async move { care.prepare(conn).await })
            })
            .before_acquire(move |conn, meta| {
                let care = before.clone();
                Box::pin(async move { care.is_good(conn, meta).await })
            })
            .after_release(move |conn, _| {
                let care = after.clone();
                Box::pin(async move { care.take_back(conn).await })
            })
    }

    /// A new connection. One to a server that is not the primary is dropped, and the pool tries again.
    async fn prepare(&self, conn: &mut PgConnection) -> sqlx::Result<()> {
        self.terms.examine(conn).await?;
        match self.purpose {
            Use::Reading => self.sessions.begin_reading(conn).await,
            Use::Snapshots => Ok(()),
            Use::Writing => self.sessions.prepare_for_writing(conn).await,
        }
    }

    /// Whether a connection that has waited can be used.
    async fn is_good(&self, conn: &mut PgConnection, meta: PoolConnectionMetadata) -> sqlx::Result<bool> {
        if conn.is_in_transaction() || self.terms.are_older_than(meta.age) {
            return Ok(false);
        }
        if self.begins_with_reading() {
            self.sessions.begin_reading(conn).await?;
        } else if meta.idle_for > TRUSTED {
            // A round trip for each use would double the time of a look-up.
            conn.ping().await?;
        }
        Ok(true)
    }

    /// Whether a connection that comes back can stay. The pool's own test of it has no limit, and would keep its place for
    /// as long as a silent network does not say that it is gone.
    async fn take_back(&self, conn: &mut PgConnection) -> sqlx::Result<bool> {
        let shows_that_it_lives = async {
            match self.begins_with_reading() {
                true => sqlx::raw_sql("rollback").execute(conn).await.map(|_| ()),
                false => conn.ping().await,
            }
        };
        timeout(PING_TIMEOUT, shows_that_it_lives).await.unwrap_or_else(|_| Err(errors::no_answer())).map(|()| true)
    }

    fn begins_with_reading(&self) -> bool {
        self.purpose == Use::Reading && self.sessions == Sessions::Shared
    }
}
