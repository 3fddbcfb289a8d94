//! Pending approvals of movements. [`super::ledger`] stores them and marks them approved, in the transaction that
//! books.

use uuid::Uuid;

use super::tags::tags_of;
use super::{Db, Tx, in_transaction, on_reader};
use crate::books::approval::{Approval, ApprovalStatus};
use crate::timestamp::Timestamp;

/// Which approvals to list. What is None does not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApprovalFilter {
    pub status: Option<ApprovalStatus>,
    /// Only approvals before this one.
    pub before: Option<Uuid>,
}

/// The columns of [`Approval`].
macro_rules! approval_columns {
    () => {
        concat!(
            "id, type as movement_type, from_account, to_account, amount, currency, description, reverses,
             hold_expires_at, requested_by, requested_at, expires_at, status, decided_by, decided_at, ",
            tags_of!("approvals.id")
        )
    };
}

impl Db {
    pub async fn approval(&self, id: Uuid) -> sqlx::Result<Option<Approval>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", approval_columns!(), " from approvals where id = $1"),
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    /// Approvals, the newest first.
    pub async fn approvals(&self, filter: ApprovalFilter, now: Timestamp, limit: i64) -> sqlx::Result<Vec<Approval>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", approval_columns!(), " from approvals
                 where ($1 is null or id < $1)
                   and ($2 is null or $2 = case when status = 'pending' and expires_at <= $3 then 'expired' else status end)
                 order by id desc limit $4",
            ),
        )
        .bind(filter.before)
        .bind(filter.status)
        .bind(now)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }
}

impl Tx<'_> {
    /// Rejects an approval that is pending, and returns it as it is then; None, and nothing changed, for any other.
    /// Waits for the ledger when that is booking it.
    pub async fn reject_approval(&mut self, id: Uuid, by: Uuid, now: Timestamp) -> sqlx::Result<Option<Approval>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "update approvals set status = 'rejected', decided_by = $2, decided_at = $3
                 where id = $1 and status = 'pending' and expires_at > $3 returning ",
                approval_columns!(),
            ),
        )
        .bind(id)
        .bind(by)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }
}
