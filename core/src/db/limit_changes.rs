//! Limits of the bank for an account that wait for a second person.

use uuid::Uuid;

use super::approvals::{ApprovalFilter, count_pending, select_newest, update_decided};
use super::{Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::books::account_limits::Limits;
use crate::books::approval::ApprovalStatus;
use crate::money::Currency;
use crate::timestamp::Timestamp;

/// Limits that somebody of the staff has asked for.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LimitChange {
    pub id: Uuid,
    pub account_number: AccountNumber,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    /// Minor units.
    pub overdraft: i64,
    pub per_movement: Option<i64>,
    pub per_day: Option<i64>,
    pub per_month: Option<i64>,
    pub movements_per_day: Option<i64>,
    pub requested_by: Uuid,
    pub requested_at: Timestamp,
    pub expires_at: Timestamp,
    /// As stored. Nothing is stored as expired: ask [`ApprovalStatus::at`].
    pub status: ApprovalStatus,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<Timestamp>,
}

/// The columns of [`LimitChange`].
macro_rules! limit_change_columns {
    () => {
        "id, account_number, currency, overdraft, per_movement, per_day, per_month, movements_per_day, requested_by,
         requested_at, expires_at, status, decided_by, decided_at"
    };
}

/// The change that waits for an account.
const SELECT_PENDING: &str = concat!(
    "select ",
    limit_change_columns!(),
    " from limit_changes where account_number = $1 and status = 'pending' and expires_at > $2 limit 1"
);

impl LimitChange {
    pub fn limits(&self) -> Limits {
        let Self { per_movement, per_day, per_month, movements_per_day, .. } = *self;
        Limits { per_movement, per_day, per_month, movements_per_day }
    }

    /// For the audit log: `limits of 10000000000180: overdraft 500.00, movement none, …`
    pub fn in_words(&self) -> String {
        let limits = self.limits().of_bank_in_words(self.overdraft, self.currency);
        format!("limits of {}: {limits}", self.account_number)
    }
}

impl Db {
    pub async fn limit_change(&self, id: Uuid) -> sqlx::Result<Option<LimitChange>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", limit_change_columns!(), " from limit_changes where id = $1"),
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    /// The change that waits for this account at `now`.
    pub async fn pending_limit_change(
        &self,
        number: AccountNumber,
        now: Timestamp,
    ) -> sqlx::Result<Option<LimitChange>> {
        on_reader!(self, conn => sqlx::query_as(SELECT_PENDING)
        .bind(number)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }

    /// Changes of limits, the newest first.
    pub async fn limit_changes(
        &self,
        filter: ApprovalFilter,
        now: Timestamp,
        limit: i64,
    ) -> sqlx::Result<Vec<LimitChange>> {
        self.newest_of(select_newest!(limit_change_columns, "limit_changes"), filter, now, limit).await
    }
}

impl Tx<'_> {
    /// The change that waits for this account at `now`. The account must be locked.
    pub async fn pending_limit_change(
        &mut self,
        number: AccountNumber,
        now: Timestamp,
    ) -> sqlx::Result<Option<LimitChange>> {
        in_transaction!(self, conn => sqlx::query_as(SELECT_PENDING)
        .bind(number)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }

    /// How many changes wait at `now` that this user has asked for.
    pub async fn count_pending_limit_changes(&mut self, requested_by: Uuid, now: Timestamp) -> sqlx::Result<i64> {
        self.count_pending_of(count_pending!("limit_changes"), requested_by, now).await
    }

    pub async fn insert_limit_change(&mut self, change: &LimitChange) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into limit_changes (id, account_number, currency, overdraft, per_movement, per_day, per_month,
                                        movements_per_day, requested_by, requested_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(change.id)
        .bind(change.account_number)
        .bind(change.currency.code())
        .bind(change.overdraft)
        .bind(change.per_movement)
        .bind(change.per_day)
        .bind(change.per_month)
        .bind(change.movements_per_day)
        .bind(change.requested_by)
        .bind(change.requested_at)
        .bind(change.expires_at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// See [`Tx::decide_one_of`].
    pub async fn decide_limit_change(
        &mut self,
        id: Uuid,
        decision: ApprovalStatus,
        by: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<Option<LimitChange>> {
        self.decide_one_of(update_decided!(limit_change_columns, "limit_changes"), id, decision, by, now).await
    }
}
