//! Holds. [`super::ledger`] creates and captures them; here they are looked up and released.

use uuid::Uuid;

use super::tags::tags_of;
use super::{Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::books::hold::{Hold, HoldStatus};
use crate::timestamp::Timestamp;

/// Which holds of an account to list. What is None does not count.
#[derive(Clone, Copy, Debug)]
pub struct HoldFilter {
    pub account_number: AccountNumber,
    pub status: Option<HoldStatus>,
    /// Only holds before this one.
    pub before: Option<Uuid>,
}

/// The columns of [`Hold`], but for its tags.
macro_rules! hold_columns {
    () => {
        "id, from_account, to_account, amount, currency, description, created_by, created_at, expires_at,
         status, captured_amount, decided_by, decided_at"
    };
}
pub(super) use hold_columns;

impl Db {
    pub async fn hold(&self, id: Uuid) -> sqlx::Result<Option<Hold>> {
        on_reader!(self, conn => sqlx::query_as(concat!(
            "select ", hold_columns!(), ", ", tags_of!("holds.id"), " from holds where id = $1",
        ))
            .bind(id)
            .fetch_optional(conn)
            .await)
    }

    /// The holds on an account's money, the newest first.
    pub async fn holds(&self, filter: HoldFilter, now: Timestamp, limit: i64) -> sqlx::Result<Vec<Hold>> {
        let Some(status) = filter.status else { return self.holds_of_any_status(filter, limit).await };
        // Nothing is stored as expired.
        let (stored, is_expired) = match status {
            HoldStatus::Expired => (HoldStatus::Held, true),
            HoldStatus::Held | HoldStatus::Captured | HoldStatus::Released => (status, false),
        };
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", hold_columns!(), ", ", tags_of!("holds.id"), " from holds
                 where from_account = $1 and status = $2 and ($3 is null or id < $3)
                   and ($2 <> 'held' or (expires_at <= $4) = $5)
                 order by id desc limit $6",
            ),
        )
        .bind(filter.account_number)
        .bind(stored)
        .bind(filter.before)
        .bind(now)
        .bind(is_expired)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    async fn holds_of_any_status(&self, filter: HoldFilter, limit: i64) -> sqlx::Result<Vec<Hold>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", hold_columns!(), ", ", tags_of!("holds.id"),
                " from holds where from_account = $1 and ($2 is null or id < $2) order by id desc limit $3",
            ),
        )
        .bind(filter.account_number)
        .bind(filter.before)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }
}

impl Tx<'_> {
    /// Releases a hold that keeps money, and returns it as it is then; None, and nothing changed, for any other. Waits
    /// for the ledger when that is capturing it.
    pub async fn release_hold(&mut self, id: Uuid, by: Uuid, now: Timestamp) -> sqlx::Result<Option<Hold>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "update holds set status = 'released', decided_by = $2, decided_at = $3
                 where id = $1 and status = 'held' and expires_at > $3 returning ",
                hold_columns!(),
                ", ",
                tags_of!("holds.id"),
            ),
        )
        .bind(id)
        .bind(by)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }
}
