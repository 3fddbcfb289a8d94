//! Accounts, each with the head of its history.

use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account_number::AccountNumber;
use crate::money::Currency;
use crate::timestamp::Timestamp;

/// The hash that the first entry of every account builds on.
pub const GENESIS_HASH: [u8; 32] = [0; 32];

/// An account with the head of its history.
#[derive(Clone, Debug, FromRow)]
pub struct Account {
    pub account_number: AccountNumber,
    /// None for the bank's own accounts.
    pub owner_id: Option<Uuid>,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    pub label: Option<String>,
    pub status: AccountStatus,
    /// Minor units, after the last entry.
    pub balance: i64,
    /// Minor units that the balance may go below zero; never negative.
    pub overdraft_limit: i64,
    /// Sequence of the last entry; 0 before the first.
    pub sequence: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub head_hash: [u8; 32],
    /// When the last entry was made, or the account opened.
    pub last_entry_at: Timestamp,
    pub opened_at: Timestamp,
    /// Nothing is reserved on the account from then on.
    pub held_until: Timestamp,
    /// Whether limits of it were ever set, so that it has a row of [limits](super::account_limits::AccountLimits).
    pub has_limits: bool,
    /// Minor units: a movement that takes the balance below it makes an event.
    pub alert_below: Option<i64>,
    /// Minor units: the owner is told of a movement of more than this by mail.
    pub notify_above: Option<i64>,
    /// Minor units that holds and pending approvals keep, so that nobody else may take them. Not stored: looked up while
    /// `held_until` has not passed.
    #[sqlx(skip)]
    pub reserved: i64,
    /// How many of them there are, where the ledger decides. Not stored.
    #[sqlx(skip)]
    pub reservations: usize,
}

/// Whether an account takes movements. `open`: it does. `frozen`: the bank has stopped all movements until it releases
/// the account. `closed`: it takes none for good; its history stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum AccountStatus {
    Open,
    Frozen,
    Closed,
}

impl Account {
    /// A customer's account as it is on its first day.
    pub fn open(
        account_number: AccountNumber,
        owner_id: Uuid,
        currency: Currency,
        label: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            account_number,
            owner_id: Some(owner_id),
            currency,
            label,
            status: AccountStatus::Open,
            balance: 0,
            overdraft_limit: 0,
            sequence: 0,
            head_hash: GENESIS_HASH,
            last_entry_at: now,
            opened_at: now,
            held_until: Timestamp::from_micros(0),
            has_limits: false,
            alert_below: None,
            notify_above: None,
            reserved: 0,
            reservations: 0,
        }
    }

    /// Minor units that could be withdrawn now.
    pub fn available(&self) -> i64 {
        self.balance.saturating_add(self.overdraft_limit).saturating_sub(self.reserved)
    }
}
