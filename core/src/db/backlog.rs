//! What waits in the tables, for the metrics.

use super::{Db, on_reader};
use crate::timestamp::Timestamp;

/// How much waits, over all instances.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Approvals of any kind.
    pub approvals: i64,
    /// Holds that keep money: 100,000 at most.
    pub holds: i64,
    /// Deliveries to webhooks that are enabled: 100,000 at most.
    pub deliveries: i64,
    /// Mails that no mail server has taken.
    pub mails: i64,
    /// Events that the webhook furthest behind has not looked at.
    pub events_behind: i64,
}

impl Db {
    /// Each is counted by an index that has little more than what waits: some milliseconds for 100,000 rows.
    pub async fn backlog(&self, now: Timestamp) -> sqlx::Result<Backlog> {
        let approvals = self.count_waiting_approvals(now).await?;
        let (holds, deliveries, events_behind) = on_reader!(self, conn => sqlx::query_as(
            "select (select count(*) from (
                         select 1 from holds where status = 'held' and expires_at > $1 limit 100000) as open),
                    (select count(*) from (
                         select 1 from webhook_deliveries d
                         where d.next_attempt_at is not null
                           and d.webhook_id in (select w.id from webhooks w
                                                where w.disabled_at is null and w.deleted_at is null)
                         limit 100000) as waiting),
                    coalesce((select (select h.position from event_head h where h.id = 1) - min(w.position)
                              from webhooks w where w.disabled_at is null and w.deleted_at is null), 0)",
        )
        .bind(now)
        .fetch_one(conn)
        .await)?;
        Ok(Backlog { approvals, holds, deliveries, mails: self.count_mails().await?, events_behind })
    }
}
