//! What the database says of the time.

use super::{Db, in_time, on_reader};
use crate::timestamp::Timestamp;

impl Db {
    /// The time by PostgreSQL's clock, which all instances share. None on SQLite, whose clock is this machine's.
    pub async fn server_time(&self) -> sqlx::Result<Option<Timestamp>> {
        match self {
            Self::Sqlite { .. } => Ok(None),
            Self::Postgres { readers, .. } => {
                let now = sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000000)::bigint");
                in_time(now.fetch_one(readers)).await.map(Some)
            }
        }
    }

    /// When the newest movement was booked: the newest by its id, a UUIDv7, which takes no look at the others.
    pub async fn newest_transaction_at(&self) -> sqlx::Result<Option<Timestamp>> {
        on_reader!(self, conn => sqlx::query_scalar("select created_at from transactions order by id desc limit 1")
            .fetch_optional(conn)
            .await)
    }
}
