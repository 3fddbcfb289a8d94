//! Movements that wait for a second person's word. The ledger decides which wait and books what is approved, so
//! [`super::ledger`] writes that.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ledger::{MovementType, in_words};
use super::{Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::ledger::rules::Reservation;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// How long an approval waits: a week has a working day for everybody, and what nobody approved by then was not urgent.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Approvals that wait of those that one person has asked for: enough for a busy day, too few to bury what others ask for.
pub const MAX_PENDING_PER_PERSON: i64 = 100;

/// A movement that somebody of the staff has asked for.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Approval {
    /// Also the id of the transaction that it becomes.
    pub id: Uuid,
    pub movement_type: MovementType,
    /// None for a deposit.
    pub from_account: Option<AccountNumber>,
    /// None for a withdrawal.
    pub to_account: Option<AccountNumber>,
    /// Minor units, positive.
    pub amount: i64,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    pub description: Option<String>,
    /// The booked movement that this one undoes, if it does.
    pub reverses: Option<Uuid>,
    pub requested_by: Uuid,
    pub requested_at: Timestamp,
    pub expires_at: Timestamp,
    /// As stored, where nothing ever expires: ask [`Approval::status_at`].
    pub status: ApprovalStatus,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ApprovalStatus {
    /// Waits for somebody else.
    Pending,
    /// Booked, in the same moment.
    Approved,
    /// Refused by somebody else, or withdrawn by whoever asked.
    Rejected,
    /// Nobody decided in time.
    Expired,
}

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
        "id, type as movement_type, from_account, to_account, amount, currency, description, reverses,
         requested_by, requested_at, expires_at, status, decided_by, decided_at"
    };
}

impl Approval {
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// `transfer of 25000.00 USD from 10000000000180 to 10000000000277`, and what it reverses.
    pub fn in_words(&self) -> String {
        let movement = in_words(self.movement_type, self.money(), self.from_account, self.to_account);
        match self.reverses {
            None => movement,
            Some(id) => format!("{movement}, to reverse {id}"),
        }
    }

    /// What a reversal that waits reserves on the account that it takes the money from.
    pub fn reservation(&self) -> Option<Reservation> {
        let account_number = self.reverses.and(self.from_account)?;
        Some(Reservation { approval_id: self.id, account_number, amount: self.amount })
    }

    /// The customers' accounts that the money is to come from and go to.
    pub fn accounts(&self) -> impl Iterator<Item = AccountNumber> + use<> {
        self.from_account.into_iter().chain(self.to_account)
    }

    pub fn status_at(&self, now: Timestamp) -> ApprovalStatus {
        self.status.at(now, self.expires_at)
    }
}

impl ApprovalStatus {
    /// What was stored as this, is now.
    pub fn at(self, now: Timestamp, expires_at: Timestamp) -> Self {
        match self {
            Self::Pending if expires_at <= now => Self::Expired,
            status => status,
        }
    }
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

    /// Minor units that pending reversals reserve on the account.
    pub async fn reserved_on(&self, account_number: AccountNumber, now: Timestamp) -> sqlx::Result<i64> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select cast(coalesce(sum(amount), 0) as bigint) from approvals
             where from_account = $1 and reverses is not null and status = 'pending' and expires_at > $2",
        )
        .bind(account_number)
        .bind(now)
        .fetch_one(conn)
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
    /// Rejects an approval that is pending, and returns it as it is then; None, and nothing changed, for any other. Waits
    /// for the ledger when that is booking it.
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
