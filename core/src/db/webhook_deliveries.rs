//! What is delivered to webhooks: each event once a webhook, with what has become of it.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::webhooks::Webhook;
use super::{Db, Tx, in_transaction, on_reader};
use crate::timestamp::Timestamp;

/// What has become of a delivery. `pending`: it is tried, or will be again. `delivered`: it was answered with a 2xx. `failed`:
/// it is not tried any more, unless somebody asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    Pending,
    Delivered,
    Failed,
}

/// An event on its way to a webhook.
#[derive(Clone, Debug, FromRow)]
pub struct Delivery {
    /// Of the event.
    pub position: i64,
    pub event_id: Uuid,
    pub kind: String,
    status: String,
    pub attempts: i32,
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
}

/// A delivery that this instance is to try now, and no other one until the lease ends.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct ClaimedDelivery {
    pub position: i64,
    /// This one among them.
    pub attempts: i32,
    pub created_at: Timestamp,
    /// The end of the lease, by which the claim is known.
    pub next_attempt_at: Timestamp,
}

/// What an attempt has led to.
#[derive(Clone, Debug)]
pub struct AttemptResult {
    pub webhook_id: Uuid,
    pub claimed: ClaimedDelivery,
    /// Where it was sent; None when it was not.
    pub url: Option<String>,
    pub status: DeliveryStatus,
    /// When it is tried again, of a pending one.
    pub next_attempt_at: Option<Timestamp>,
    pub answered: Option<i32>,
    pub error: Option<String>,
}

impl DeliveryStatus {
    const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// As stored and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl Delivery {
    pub fn status(&self) -> sqlx::Result<DeliveryStatus> {
        let known = DeliveryStatus::ALL.into_iter().find(|status| status.name() == self.status);
        known.ok_or_else(|| sqlx::Error::Decode(format!("a delivery is {:?}", self.status).into()))
    }
}

/// Deliveries with their events, for which the condition holds.
macro_rules! select_deliveries {
    ($condition:literal) => {
        concat!(
            "select d.position, e.id as event_id, e.kind, d.status, d.attempts, d.next_attempt_at, d.last_attempt_at,
                    d.last_status, d.last_error, d.created_at
             from webhook_deliveries d join events e on e.position = d.position
             where d.webhook_id = $1 and ",
            $condition
        )
    };
}

impl Db {
    /// Some deliveries to a webhook, of the newest events first, before the one at the position `before`.
    pub async fn deliveries(
        &self,
        webhook_id: Uuid,
        status: Option<DeliveryStatus>,
        before: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<Delivery>> {
        match status {
            None => on_reader!(self, conn => sqlx::query_as(select_deliveries!(
                "d.position < $2 order by d.position desc limit $3"
            ))
            .bind(webhook_id)
            .bind(before)
            .bind(limit)
            .fetch_all(conn)
            .await),
            Some(status) => on_reader!(self, conn => sqlx::query_as(select_deliveries!(
                "d.position < $2 and d.status = $4 order by d.position desc limit $3"
            ))
            .bind(webhook_id)
            .bind(before)
            .bind(limit)
            .bind(status.name())
            .fetch_all(conn)
            .await),
        }
    }

    pub async fn delivery(&self, webhook_id: Uuid, position: i64) -> sqlx::Result<Option<Delivery>> {
        on_reader!(self, conn => sqlx::query_as(select_deliveries!("d.position = $2"))
            .bind(webhook_id)
            .bind(position)
            .fetch_optional(conn)
            .await)
    }
}

impl Tx<'_> {
    /// Makes deliveries of the next events, of at most `most`. Whether there may be more. Another instance may have done it
    /// meanwhile; then it is left to that one.
    pub async fn feed_webhook(&mut self, webhook: &Webhook, most: i64, now: Timestamp) -> sqlx::Result<bool> {
        // Read first: whatever is committed later stands behind it.
        let head: i64 = in_transaction!(self, conn => sqlx::query_scalar(
            "select position from event_head where id = 1",
        )
        .fetch_one(conn)
        .await)?;
        // A place without an event stands where nobody had listened.
        let (last, count) = self.events_behind(webhook.position, most).await?.unwrap_or((head, 0));
        let is_ours = in_transaction!(self, conn => sqlx::query(
            "update webhooks set position = $3 where id = $1 and position = $2 and disabled_at is null",
        )
        .bind(webhook.id)
        .bind(webhook.position)
        .bind(last)
        .execute(conn)
        .await
        .map(|done| done.rows_affected() == 1))?;
        if is_ours {
            self.insert_deliveries(webhook, webhook.position, last, now).await?;
        }
        Ok(is_ours && count == most)
    }

    /// The same for a replay under way, which also delivers anew what was delivered before.
    pub async fn feed_replay(&mut self, webhook: &Webhook, most: i64, now: Timestamp) -> sqlx::Result<bool> {
        let (Some(position), Some(end)) = (webhook.replay_position, webhook.replay_last_position) else {
            return Ok(false);
        };
        let last = self.events_behind(position, most).await?.map_or(end, |(last, _)| last.min(end));
        let is_at_end = last >= end;
        let is_ours = in_transaction!(self, conn => sqlx::query(
            "update webhooks set replay_position = case when $4 then null else $3 end,
                    replay_last_position = case when $4 then null else replay_last_position end
             where id = $1 and replay_position = $2 and disabled_at is null",
        )
        .bind(webhook.id)
        .bind(position)
        .bind(last)
        .bind(is_at_end)
        .execute(conn)
        .await
        .map(|done| done.rows_affected() == 1))?;
        if is_ours {
            self.insert_deliveries(webhook, position, last, now).await?;
        }
        Ok(is_ours && !is_at_end)
    }

    /// Where the next `most` events end, and how many there are; None if there are none.
    async fn events_behind(&mut self, position: i64, most: i64) -> sqlx::Result<Option<(i64, i64)>> {
        let found: (Option<i64>, i64) = in_transaction!(self, conn => sqlx::query_as(
            "select max(position), count(*)
             from (select position from events where position > $1 order by position limit $2) as next",
        )
        .bind(position)
        .bind(most)
        .fetch_one(conn)
        .await)?;
        Ok(found.0.map(|last| (last, found.1)))
    }

    /// Makes a delivery of each event behind `after`, up to `last`, of the kinds that the webhook wants. One that is there
    /// begins anew, unless it is pending already.
    async fn insert_deliveries(
        &mut self,
        webhook: &Webhook,
        after: i64,
        last: i64,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into webhook_deliveries (webhook_id, position, status, next_attempt_at, created_at)
             select $1, position, 'pending', $2, $2 from events
             where position > $3 and position <= $4
               and (cast($5 as text) is null or ' ' || $5 || ' ' like '% ' || kind || ' %')
             on conflict (webhook_id, position) do update
             set status = 'pending', attempts = 0, next_attempt_at = excluded.next_attempt_at
             where webhook_deliveries.status <> 'pending'",
        )
        .bind(webhook.id)
        .bind(now)
        .bind(after)
        .bind(last)
        .bind(&webhook.kinds)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Has events sent again that happened within a time. How many events happened; 0 leaves all as it was.
    pub async fn start_replay(&mut self, webhook_id: Uuid, from: Timestamp, to: Timestamp) -> sqlx::Result<i64> {
        let (first, last, count): (Option<i64>, Option<i64>, i64) = in_transaction!(self, conn => sqlx::query_as(
            "select min(position), max(position), count(*) from events where created_at >= $1 and created_at <= $2",
        )
        .bind(from)
        .bind(to)
        .fetch_one(&mut *conn)
        .await)?;
        let (Some(first), Some(last)) = (first, last) else { return Ok(0) };
        in_transaction!(self, conn => sqlx::query(
            "update webhooks set replay_position = $2, replay_last_position = $3 where id = $1",
        )
        .bind(webhook_id)
        .bind(first - 1)
        .bind(last)
        .execute(conn)
        .await
        .map(|_| ()))?;
        Ok(count)
    }

    /// Takes some deliveries that are due, those that have waited longest: nobody else tries them until `lease_until`.
    pub async fn claim_deliveries(
        &mut self,
        webhook_id: Uuid,
        most: i64,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> sqlx::Result<Vec<ClaimedDelivery>> {
        in_transaction!(self, conn => sqlx::query_as(
            "update webhook_deliveries set next_attempt_at = $3, attempts = attempts + 1, last_attempt_at = $2
             where webhook_id = $1 and next_attempt_at <= $2 and position in (
                 select position from webhook_deliveries
                 where webhook_id = $1 and next_attempt_at <= $2 order by next_attempt_at, position limit $4)
               and exists (select 1 from webhooks where id = $1 and disabled_at is null and deleted_at is null)
             returning position, attempts, created_at, next_attempt_at",
        )
        .bind(webhook_id)
        .bind(now)
        .bind(lease_until)
        .bind(most)
        .fetch_all(conn)
        .await)
    }

    /// Notes that something has arrived.
    pub async fn note_delivered(&mut self, webhook_id: Uuid, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update webhooks set last_delivered_at = $2 where id = $1")
            .bind(webhook_id)
            .bind(now)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Writes what an attempt has led to. False, and nothing is written, when the delivery has been taken by another one, or
    /// asked for anew since; but what has arrived has arrived. One that could not be made, for a reason of the bank's own, does
    /// not count.
    pub async fn record_attempt(&mut self, result: &AttemptResult) -> sqlx::Result<bool> {
        in_transaction!(self, conn => sqlx::query(
            "update webhook_deliveries
             set status = $4, next_attempt_at = $5, last_status = $6, last_error = $7,
                 attempts = case when $8 then attempts else attempts - 1 end
             where webhook_id = $1 and position = $2 and status = 'pending'
               and ($4 = 'delivered' or next_attempt_at = $3)",
        )
        .bind(result.webhook_id)
        .bind(result.claimed.position)
        .bind(result.claimed.next_attempt_at)
        .bind(result.status.name())
        .bind(result.next_attempt_at)
        .bind(result.answered)
        .bind(&result.error)
        .bind(result.url.is_some())
        .execute(conn)
        .await
        .map(|done| done.rows_affected() == 1))
    }

    /// Has a delivery tried at once, and as often as a new one. False when there is none.
    pub async fn retry_delivery(&mut self, webhook_id: Uuid, position: i64, now: Timestamp) -> sqlx::Result<bool> {
        in_transaction!(self, conn => sqlx::query(
            "update webhook_deliveries set status = 'pending', attempts = 0, next_attempt_at = $3
             where webhook_id = $1 and position = $2",
        )
        .bind(webhook_id)
        .bind(position)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected() == 1))
    }

    /// Deletes up to `most` deliveries whose events are gone, or whose webhooks are, an equal part of each webhook; and a webhook that
    /// is to be deleted once it has none.
    pub async fn delete_old_deliveries(&mut self, most: i64) -> sqlx::Result<()> {
        let webhooks: Vec<(Uuid, bool)> = in_transaction!(self, conn => sqlx::query_as(
            "select id, deleted_at is not null from webhooks",
        )
        .fetch_all(conn)
        .await)?;
        let most_of_each = (most / webhooks.len().max(1) as i64).max(1);
        for (id, is_deleted) in webhooks {
            let deleted = in_transaction!(self, conn => sqlx::query(
                "delete from webhook_deliveries
                 where webhook_id = $1 and ($2 or position < coalesce((select min(position) from events),
                                                            (select h.position + 1 from event_head h where h.id = 1)))
                   and position < (select min(position) from webhook_deliveries where webhook_id = $1) + $3",
            )
            .bind(id)
            .bind(is_deleted)
            .bind(most_of_each)
            .execute(&mut *conn)
            .await
            .map(|done| done.rows_affected()))?;
            if is_deleted && deleted == 0 {
                in_transaction!(self, conn => sqlx::query("delete from webhooks where id = $1")
                    .bind(id)
                    .execute(conn)
                    .await
                    .map(|_| ()))?;
            }
        }
        Ok(())
    }
}
