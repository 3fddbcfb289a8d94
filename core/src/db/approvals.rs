//! What waits for somebody's approval, and has waited: pending approvals of movements, which [`super::ledger`] stores and
//! marks approved in the transaction that books; and what the tables of all kinds of approvals have in common.

use uuid::Uuid;

use super::tags::tags_of;
use super::{Db, Readable, Tx, in_transaction, on_reader};
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
            "id, type as movement_type, from_account, to_account, bank_account_id,
             (select b.code from bank_accounts b where b.id = approvals.bank_account_id) as bank_account_code,
             amount, currency, description, reverses, hold_expires_at, requested_by, requested_at, expires_at, status,
             decided_by, decided_at, ",
            tags_of!("approvals.id")
        )
    };
}

/// For [`Db::newest_of`].
macro_rules! select_newest {
    ($columns:ident, $table:literal) => {
        concat!(
            "select ",
            $columns!(),
            " from ",
            $table,
            " where ($1 is null or id < $1)
                and ($2 is null or $2 = case when status = 'pending' and expires_at <= $3 then 'expired' else status end)
              order by id desc limit $4"
        )
    };
}

/// For [`Tx::count_pending_of`].
macro_rules! count_pending {
    ($table:literal) => {
        concat!("select count(*) from ", $table, " where requested_by = $1 and status = 'pending' and expires_at > $2")
    };
}

/// For [`Tx::decide_one_of`].
macro_rules! update_decided {
    ($columns:ident, $table:literal) => {
        concat!(
            "update ",
            $table,
            " set status = $2, decided_by = $3, decided_at = $4
              where id = $1 and status = 'pending' and expires_at > $4 returning ",
            $columns!()
        )
    };
}
pub(super) use {count_pending, select_newest, update_decided};

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
        self.newest_of(select_newest!(approval_columns, "approvals"), filter, now, limit).await
    }

    /// Movements on the owner's accounts that wait for approval, or have waited, before the one with the id `before`, the
    /// newest first. Transfers to the owner are others' movements.
    pub async fn approvals_on_accounts_of(
        &self,
        owner_id: Uuid,
        before: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<Approval>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", approval_columns!(), " from approvals
                 where coalesce(from_account, to_account) in (select account_number from accounts where owner_id = $1)
                   and ($2 is null or id < $2)
                 order by id desc limit $3",
            ),
        )
        .bind(owner_id)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// How many approvals of any kind wait at `now`. Each is counted by an index of those that wait.
    pub async fn count_waiting_approvals(&self, now: Timestamp) -> sqlx::Result<i64> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select (select count(*) from approvals where status = 'pending' and expires_at > $1)
                  + (select count(*) from access_changes where status = 'pending' and expires_at > $1)
                  + (select count(*) from limit_changes where status = 'pending' and expires_at > $1)",
        )
        .bind(now)
        .fetch_one(conn)
        .await)
    }

    /// Approvals of one kind as they are at `now`, the newest first.
    pub(super) async fn newest_of<T: Readable>(
        &self,
        select: &'static str,
        filter: ApprovalFilter,
        now: Timestamp,
        limit: i64,
    ) -> sqlx::Result<Vec<T>> {
        on_reader!(self, conn => sqlx::query_as(select)
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
        self.decide_one_of(update_decided!(approval_columns, "approvals"), id, ApprovalStatus::Rejected, by, now).await
    }

    /// How many approvals of one kind wait at `now` that this user has asked for.
    pub(super) async fn count_pending_of(
        &mut self,
        count: &'static str,
        requested_by: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar(count).bind(requested_by).bind(now).fetch_one(conn).await)
    }

    /// Approves or rejects one that is pending at `now`, and returns it as it is then; None, and nothing changed, for any
    /// other.
    pub(super) async fn decide_one_of<T: Readable>(
        &mut self,
        update: &'static str,
        id: Uuid,
        decision: ApprovalStatus,
        by: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<Option<T>> {
        in_transaction!(self, conn => sqlx::query_as(update)
            .bind(id)
            .bind(decision)
            .bind(by)
            .bind(now)
            .fetch_optional(conn)
            .await)
    }
}
