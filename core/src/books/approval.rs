//! Pending approvals: movements that wait for a second approver.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::movement::{Movement, MovementType};
use super::tags::Tags;
use crate::account_number::AccountNumber;
use crate::bank_account::BankAccount;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// How long an approval waits: a week has a working day for everybody, and what nobody approved by then was not urgent.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most pending approvals that one person has asked for: enough for a busy day, too few to bury what others ask
/// for.
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
    /// The bank's own account on the other side of a deposit or a withdrawal.
    #[sqlx(flatten)]
    pub against: BankAccount,
    /// Minor units, positive.
    pub amount: i64,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    pub description: Option<String>,
    #[sqlx(flatten)]
    pub tags: Tags,
    /// The booked movement that this one undoes, if it does.
    pub reverses: Option<Uuid>,
    /// When the hold is to expire that the approval creates; None for a movement, which it books.
    pub hold_expires_at: Option<Timestamp>,
    pub requested_by: Uuid,
    pub requested_at: Timestamp,
    pub expires_at: Timestamp,
    /// As stored. Nothing is stored as expired: ask [`Approval::status_at`].
    pub status: ApprovalStatus,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<Timestamp>,
}

/// How far an approval has come. `pending`: it waits for a second person. `approved`: a second person has approved it,
/// and the movement is booked or the change made. `rejected`: a second person has refused it, or the person who asked
/// for it has taken it back. `expired`: nobody has decided within seven days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ApprovalStatus {
    /// Waits for somebody else.
    Pending,
    /// Booked, in the same database transaction.
    Approved,
    /// Refused by somebody else, or withdrawn by whoever asked.
    Rejected,
    /// Nobody decided in time.
    Expired,
}

impl Approval {
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// The movement that it becomes; None if that is damaged.
    pub fn movement(&self) -> Option<Movement> {
        Movement::between(self.from_account, self.to_account, self.against)
            .filter(|movement| movement.movement_type() == self.movement_type)
    }

    /// `transfer of 25000.00 USD from 10000000000180 to 10000000000277`, and what it reverses.
    pub fn in_words(&self) -> String {
        let movement = self.movement().map(|movement| movement.in_words(self.money())).unwrap_or_default();
        match (self.reverses, self.hold_expires_at) {
            (Some(id), _) => format!("{movement}, to reverse {id}"),
            (None, Some(until)) => format!("hold for a {movement}, until {until}"),
            (None, None) => movement,
        }
    }

    /// The amount that nobody else may take off the account that it debits, while it is pending.
    pub fn reservation(&self) -> Option<Reservation> {
        Some(Reservation { id: self.id, account_number: self.from_account?, amount: self.amount })
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
    /// The status at `now` of an approval that is stored with this one.
    pub fn at(self, now: Timestamp, expires_at: Timestamp) -> Self {
        match self {
            Self::Pending if expires_at <= now => Self::Expired,
            status => status,
        }
    }
}

/// An amount that nobody else may take off an account, because a hold or a pending approval keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Reservation {
    /// Of the hold or the approval, and so of the transaction that it may become.
    pub id: Uuid,
    pub account_number: AccountNumber,
    /// Minor units, positive.
    pub amount: i64,
}
