//! How many of the movements that one may have booked in a day callers have used: see [`crate::limits::movements`].

use std::time::Duration;

use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::clock::TOLERANCE;
use crate::timestamp::Timestamp;

/// Callers whose use is loaded at a start: those who have used most. The others have used little.
const TAKEN_UP: i64 = 100_000;

impl Db {
    /// The callers whose quota is not whole again at `now`, each with the time when it will be. It takes `capacity` at most
    /// to become whole: what says more was written while the clock was ahead, and says nothing.
    pub async fn movement_quotas_used(
        &self,
        now: Timestamp,
        capacity: Duration,
    ) -> sqlx::Result<Vec<(Uuid, Timestamp)>> {
        on_reader!(self, conn => sqlx::query_as(
            "select user_id, full_at from movement_quotas where full_at > $1 and full_at <= $3
             order by full_at desc limit $2",
        )
        .bind(now)
        .bind(TAKEN_UP)
        .bind(now.plus(capacity + TOLERANCE))
        .fetch_all(conn)
        .await)
    }
}

impl Tx<'_> {
    /// Adds to what all instances together know of a caller's use: so much time until the quota is whole again, and no more
    /// than `capacity`. Returns when that will be.
    pub async fn use_movement_quota(
        &mut self,
        user_id: Uuid,
        used: Duration,
        capacity: Duration,
        now: Timestamp,
    ) -> sqlx::Result<Timestamp> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "insert into movement_quotas (user_id, full_at) values ($1, $2)
             on conflict (user_id) do update set full_at = case
                 when movement_quotas.full_at <= $3 or movement_quotas.full_at > $5 then $2
                 when movement_quotas.full_at - $3 < $4 - $2 then $2 + (movement_quotas.full_at - $3)
                 else $4 end
             returning full_at",
        )
        .bind(user_id)
        .bind(now.plus(used.min(capacity)))
        .bind(now)
        .bind(now.plus(capacity))
        .bind(now.plus(capacity + TOLERANCE))
        .fetch_one(conn)
        .await)
    }

    pub async fn delete_whole_movement_quotas(&mut self, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from movement_quotas where full_at <= $1")
            .bind(now)
            .execute(conn)
            .await
            .map(|_| ()))
    }
}
