//! Holds: money that stays on its account and that nobody takes, until it is captured or released, or the hold expires.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::approval::Reservation;
use super::movement::{Movement, MovementType};
use super::tags::Tags;
use crate::account_number::AccountNumber;
use crate::bank_account::BankAccount;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// How long a hold keeps money if nobody says otherwise.
pub(super) const DEFAULT_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest that a hold may keep money: nobody's money is kept for good by a hold that was forgotten.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// A new hold is refused while so many holds and pending approvals wait on the account: each of its movements adds them
/// up.
pub const MAX_PER_ACCOUNT: usize = 200;

/// Money that an account keeps for one movement.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Hold {
    /// Also the id of the transaction that it becomes.
    pub id: Uuid,
    pub from_account: AccountNumber,
    /// None for cash that is to be paid out.
    pub to_account: Option<AccountNumber>,
    /// Minor units, positive.
    pub amount: i64,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    pub description: Option<String>,
    #[sqlx(flatten)]
    pub tags: Tags,
    pub created_by: Uuid,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// As stored. Nothing is stored as expired: ask [`Hold::status_at`].
    pub status: HoldStatus,
    /// Minor units that were moved, once it is captured.
    pub captured_amount: Option<i64>,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<Timestamp>,
}

/// How far a hold has come. `held`: the money is kept. `captured`: the money, or part of it, has moved, and the rest is
/// free again. `released`: the money is free again. `expired`: nobody captured it in time, and the money is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum HoldStatus {
    Held,
    Captured,
    Released,
    Expired,
}

impl Hold {
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// The movement that it becomes when it is captured.
    pub fn movement(&self) -> Movement {
        match self.to_account {
            None => Movement::Withdrawal { from: self.from_account, against: BankAccount::CASH },
            Some(to) => Movement::Transfer { from: self.from_account, to },
        }
    }

    pub fn movement_type(&self) -> MovementType {
        self.movement().movement_type()
    }

    /// `hold for a withdrawal of 25.00 USD from 10000000000180`
    pub fn in_words(&self) -> String {
        format!("hold for a {}", self.movement().in_words(self.money()))
    }

    /// The amount that nobody else may take while it is held.
    pub fn reservation(&self) -> Reservation {
        Reservation { id: self.id, account_number: self.from_account, amount: self.amount }
    }

    pub fn status_at(&self, now: Timestamp) -> HoldStatus {
        match self.status {
            HoldStatus::Held if self.expires_at <= now => HoldStatus::Expired,
            status => status,
        }
    }
}
