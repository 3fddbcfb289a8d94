//! The time by the database, and the times that it stores.

use std::time::{Duration, Instant};

use super::{Db, Tx, in_time, in_transaction, on_reader};
use crate::timestamp::Timestamp;

/// An answer that took longer is not used. Shorter than the difference for which the clock is set.
const LONGEST_WAY: Duration = Duration::from_millis(200);

impl Db {
    /// Makes the program go by PostgreSQL's clock, which all instances share, so that they agree with each other even
    /// if their machines do not. SQLite's clock is this machine's. True when the program's clock was set.
    pub async fn follow_server_time(&self) -> sqlx::Result<bool> {
        if let Self::Postgres { read_pool, .. } = self {
            let asked = Instant::now();
            let now = sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000000)::bigint");
            let server_time = in_time(now.fetch_one(read_pool)).await?;
            // An answer that was long under way tells little.
            if asked.elapsed() < LONGEST_WAY {
                return Ok(Timestamp::follow(server_time));
            }
        }
        Ok(false)
    }

    /// When the newest movement was booked: the newest by its id, a UUIDv7, which takes no look at the others.
    pub async fn newest_transaction_at(&self) -> sqlx::Result<Option<Timestamp>> {
        on_reader!(self, conn => sqlx::query_scalar("select created_at from transactions order by id desc limit 1")
            .fetch_optional(conn)
            .await)
    }

    /// The time that any instance has stored last with [`Tx::store_certain_time`].
    pub async fn certain_time(&self) -> sqlx::Result<Option<Timestamp>> {
        on_reader!(self, conn => sqlx::query_scalar("select at from certain_time where id = 1")
            .fetch_optional(conn)
            .await)
    }
}

impl Tx<'_> {
    pub async fn store_certain_time(&mut self, at: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into certain_time (id, at) values (1, $1)
             on conflict (id) do update set at = excluded.at",
        )
        .bind(at)
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
