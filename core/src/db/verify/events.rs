//! Reading events and webhooks for the doctor.

use uuid::Uuid;

use super::drain;
use crate::db::{Tx, in_snapshot};

impl Tx<'_> {
    pub async fn count_events(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from events").fetch_one(conn).await)
    }

    /// Events of movements that the account's history does not have, and those behind the last place.
    pub async fn visit_events_of_nothing(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "with known as materialized (
                     select v.id from events v
                     join entries e on e.account_number = v.account_number and e.sequence = v.sequence
                 )
                 select v.id from events v
                 left join known on known.id = v.id
                 where v.position > (select position from event_head where event_head.id = 1)
                    or (v.sequence is not null and known.id is null)",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Webhooks without exactly one newest secret, and those ahead of the events that there have been.
    pub async fn visit_wrong_webhooks(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select w.id from webhooks w
                 where w.deleted_at is null
                   and (w.position > (select position from event_head where id = 1)
                        or (select count(*) from webhook_secrets s
                            where s.webhook_id = w.id and s.ends_at is null) <> 1)",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
