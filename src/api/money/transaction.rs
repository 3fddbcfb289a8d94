//! A movement of money as every answer shows it: posted, pending, rejected or expired.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::http::error::Error;
use crate::api::money::tags::Metadata;
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccountCode;
use coffer_core::books::approval::{Approval, ApprovalStatus};
use coffer_core::books::entry::Entry;
use coffer_core::books::hold::{Hold, HoldStatus};
use coffer_core::books::movement::{Movement, MovementType};
use coffer_core::money::{Currency, Money};
use coffer_core::timestamp::Timestamp;

/// One movement, as one account sees it. What only an entry in the books has (`balance`, `sequence`, `hash`) is null until
/// it is posted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub struct TransactionBody {
    /// The movement. Both sides of a transfer have the same.
    pub id: Uuid,
    #[serde(rename = "type")]
    movement_type: MovementType,
    pub status: TransactionStatus,
    pub account_number: AccountNumber,
    /// The other account of a transfer; null where the bank is the other side.
    counterparty: Option<AccountNumber>,
    /// The account of the bank's own on the other side: `cash`, or what staff have named; null for a transfer.
    against: Option<BankAccountCode>,
    direction: Direction,
    amount: Money,
    currency: Currency,
    /// The account's balance after this movement.
    balance: Option<Money>,
    /// 1 for the account's first entry, then without gaps.
    #[schema(example = 1, minimum = 1)]
    sequence: Option<i64>,
    /// The text that statements show; null if none was sent, or if the bank has erased it.
    #[schema(example = "Salary")]
    description: Option<String>,
    /// The reference that it was requested with, by which its sender finds it; null if none was sent. Only the account
    /// that was acted on has it: the receiver of a transfer sees null.
    #[schema(example = "INV-2026-0042")]
    reference: Option<String>,
    /// The group of the batch that it was requested in; null if it has none. Only the account that was acted on has it.
    #[schema(example = "PAYROLL-2026-01")]
    group: Option<String>,
    /// What it was requested with, by which its sender finds it; `{}` if none was sent, or if the bank has erased it.
    /// Only the account that was acted on has it: the receiver of a transfer sees `{}`.
    metadata: Metadata,
    /// When it was posted, or asked for while it is not.
    created_at: Timestamp,
    /// When a hold or a request for approval ends by itself. Absent once it is posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at: Option<Timestamp>,
    /// SHA-256 over the entry before and this one, in hex.
    #[schema(example = "5f2b1d0c9e8a7f6b5d4c3b2a190807f6e5d4c3b2a1908f7e6d5c4b3a29180706")]
    hash: Option<String>,
    /// The movement that this one undoes, where it does. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reverses: Option<Uuid>,
    /// The movement that has undone this one, where one has. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reversed_by: Option<Uuid>,
    /// `true` in the answer to a preview: this would have happened, and has not. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    preview: bool,
    #[serde(skip)]
    pub stored_as: StoredAs,
}

/// Which table has a movement, and so which route shows more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredAs {
    Entry,
    Hold,
    Approval,
}

/// How far a movement has come. `posted`: it is in the books for good. `pending_approval`: it waits until a second
/// person at the bank approves it, under the same id (`GET /approvals/{id}`). `held`: its money is kept for it, until a
/// capture moves it, under the same id (`GET /holds/{id}`). `released`: the money of the hold is free again. `rejected`: a second person has refused
/// it, or the person who asked for it has taken it back. `expired`: nobody has decided or captured it in time. No money
/// moves before it is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionStatus {
    /// In the books, for good.
    Posted,
    /// Waits for somebody else's approval, under the same id: see `/approvals/{id}`.
    PendingApproval,
    /// Kept for a capture, under the same id: see `/holds/{id}`.
    Held,
    /// The hold was let go.
    Released,
    /// Somebody else has refused it, or whoever asked has withdrawn it.
    Rejected,
    /// Nobody has decided in time, or captured the hold.
    Expired,
}

/// The way the money goes, seen from `account_number`. `credit`: it comes in. `debit`: it goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The money came in.
    Credit,
    /// The money went out.
    Debit,
}

impl Direction {
    pub fn of(entry: &Entry) -> Self {
        if entry.amount < 0 { Self::Debit } else { Self::Credit }
    }

    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }
}

impl TransactionBody {
    /// Names the movement that this one reverses, and the one that has reversed it.
    pub fn with_other_half(self, reverses: Option<Uuid>, reversed_by: Option<Uuid>) -> Self {
        Self { reverses, reversed_by, ..self }
    }

    /// As the answer to a preview. No movement has its id, and an entry that is not there has no hash.
    pub fn into_preview(self) -> Self {
        Self { id: Uuid::nil(), hash: None, preview: true, ..self }
    }
}

impl From<Entry> for TransactionBody {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.transaction_id,
            movement_type: entry.movement_type,
            status: TransactionStatus::Posted,
            account_number: entry.account_number,
            counterparty: entry.counterparty,
            against: entry.against,
            direction: Direction::of(&entry),
            // Amounts are positive and below i64::MAX when they are booked, so the sign can be dropped.
            amount: Money::new(entry.amount.saturating_abs(), entry.currency),
            currency: entry.currency,
            balance: Some(Money::new(entry.balance, entry.currency)),
            sequence: Some(entry.sequence),
            reference: entry.texts.tags.reference().map(str::to_owned),
            group: entry.texts.tags.group().map(str::to_owned),
            metadata: Metadata(entry.texts.tags.metadata().clone()),
            description: entry.texts.description,
            created_at: entry.created_at,
            expires_at: None,
            hash: Some(hex::encode(entry.hash)),
            reverses: None,
            reversed_by: None,
            preview: false,
            stored_as: StoredAs::Entry,
        }
    }
}

/// As the account sees it whose money is held.
impl From<Hold> for TransactionBody {
    fn from(hold: Hold) -> Self {
        Self {
            id: hold.id,
            movement_type: hold.movement_type(),
            status: match hold.status_at(Timestamp::now()) {
                HoldStatus::Held => TransactionStatus::Held,
                HoldStatus::Captured => TransactionStatus::Posted,
                HoldStatus::Released => TransactionStatus::Released,
                HoldStatus::Expired => TransactionStatus::Expired,
            },
            account_number: hold.from_account,
            counterparty: hold.to_account,
            against: hold.movement().against().map(|against| against.code),
            direction: Direction::Debit,
            amount: hold.money(),
            currency: hold.currency,
            balance: None,
            sequence: None,
            reference: hold.tags.reference().map(str::to_owned),
            group: hold.tags.group().map(str::to_owned),
            metadata: Metadata(hold.tags.metadata().clone()),
            description: hold.description,
            created_at: hold.created_at,
            expires_at: Some(hold.expires_at),
            hash: None,
            reverses: None,
            reversed_by: None,
            preview: false,
            stored_as: StoredAs::Hold,
        }
    }
}

/// As the sender's account sees it, or the only account.
impl TryFrom<Approval> for TransactionBody {
    type Error = Error;

    fn try_from(approval: Approval) -> Result<Self, Error> {
        let amount = approval.money();
        let mut accounts = approval.accounts();
        let account_number =
            accounts.next().ok_or_else(|| Error::Internal(format!("approval {} lacks an account", approval.id)))?;
        Ok(Self {
            id: approval.id,
            movement_type: approval.movement_type,
            status: approval.status_at(Timestamp::now()).into(),
            account_number,
            counterparty: accounts.next(),
            against: approval.movement().and_then(Movement::against).map(|against| against.code),
            direction: if approval.from_account.is_some() { Direction::Debit } else { Direction::Credit },
            amount,
            currency: approval.currency,
            balance: None,
            sequence: None,
            reference: approval.tags.reference().map(str::to_owned),
            group: approval.tags.group().map(str::to_owned),
            metadata: Metadata(approval.tags.metadata().clone()),
            description: approval.description,
            created_at: approval.requested_at,
            expires_at: Some(approval.expires_at),
            hash: None,
            reverses: approval.reverses,
            reversed_by: None,
            preview: false,
            stored_as: StoredAs::Approval,
        })
    }
}

impl From<ApprovalStatus> for TransactionStatus {
    fn from(status: ApprovalStatus) -> Self {
        match status {
            ApprovalStatus::Pending => Self::PendingApproval,
            ApprovalStatus::Approved => Self::Posted,
            ApprovalStatus::Rejected => Self::Rejected,
            ApprovalStatus::Expired => Self::Expired,
        }
    }
}
