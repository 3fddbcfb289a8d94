//! Holds. [`super::ledger`] places and captures them; here they are looked up and released.

use uuid::Uuid;

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

/// The columns of [`Hold`].
macro_rules! hold_columns {
    () => {
        "id, from_account, to_account, amount, currency, description, placed_by, placed_at, expires_at,
         status, captured_amount, decided_by, decided_at"
    };
}
pub(super) use hold_columns;

impl Db {
    pub async fn hold(&self, id: Uuid) -> sqlx::Result<Option<Hold>> {
        on_reader!(self, conn => sqlx::query_as(concat!("select ", hold_columns!(), " from holds where id = $1"))
            .bind(id)
            .fetch_optional(conn)
            .await)
    }

    /// The holds on an account's money, the newest first.
    pub async fn holds(&self, filter: HoldFilter, now: Timestamp, limit: i64) -> sqlx::Result<Vec<Hold>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", hold_columns!(), " from holds
                 where from_account = $1 and ($2 is null or id < $2)
                   and ($3 is null or $3 = case when status = 'held' and expires_at <= $4 then 'expired' else status end)
                 order by id desc limit $5",
            ),
        )
        .bind(filter.account_number)
        .bind(filter.before)
        .bind(filter.status)
        .bind(now)
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
            ),
        )
        .bind(id)
        .bind(by)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }
}
