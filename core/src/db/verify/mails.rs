//! Reading mail for the doctor.

use uuid::Uuid;

use super::drain;
use crate::db::{Tx, in_snapshot};
use crate::timestamp::Timestamp;

impl Tx<'_> {
    pub async fn count_waiting_mails(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from mails").fetch_one(conn).await)
    }

    /// Mails that have waited since `before`, the oldest first.
    pub async fn visit_mails_older_than(
        &mut self,
        before: Timestamp,
        mut visit: impl FnMut((Uuid, String, i32)),
    ) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as("select id, kind, attempts from mails where created_at < $1 order by created_at")
                .bind(before)
                .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
