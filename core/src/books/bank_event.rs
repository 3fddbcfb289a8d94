//! Events: what has happened, for programs that listen. Each tells one account's side.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account_number::AccountNumber;
use crate::by_name::by_name;
use crate::schema::{scalar_schema, string};

/// Declares the kinds, each with its name as stored and on the wire.
macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)*) => {
        /// The kind of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(remote = "Self")]
        pub enum EventKind {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $kind,)*
        }

        by_name!(EventKind);

        impl EventKind {
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As stored and on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }
    };
}

event_kinds! {
    /// A movement has changed the balance of the account.
    TransactionPosted = "transaction.posted",
    /// A movement of the account was undone.
    TransactionReversed = "transaction.reversed",
    /// Money of the account is held.
    HoldCreated = "hold.created",
    /// The money that was held has moved, or a part of it.
    HoldCaptured = "hold.captured",
    /// The money that was held is free again.
    HoldReleased = "hold.released",
    /// A movement, or a change of limits or of somebody's access, waits for somebody else's approval.
    ApprovalRequested = "approval.requested",
    /// Somebody has approved it.
    ApprovalApproved = "approval.approved",
    /// Somebody has rejected it, or taken it back.
    ApprovalRejected = "approval.rejected",
    /// The account is there.
    AccountOpened = "account.opened",
    /// Nothing moves on the account.
    AccountFrozen = "account.frozen",
    /// It does again.
    AccountReleased = "account.released",
    /// Nothing ever will.
    AccountClosed = "account.closed",
    /// The bank or the owner has set the limits of the account.
    LimitSet = "limit.set",
    /// A movement has taken the balance below what the account's owner has named.
    BalanceBelow = "balance.below",
}

// The derive does not see the names, which the macro brings.
scalar_schema!(
    EventKind,
    "The kind of an event. `transaction.posted`: a movement has changed the balance. `transaction.reversed`: a movement was \
     undone, by the one that the event shows. `hold.created`, `hold.captured`, `hold.released`: money was held, moved, or let \
     go; a hold that expires makes no event. `approval.requested`, `approval.approved`, `approval.rejected`: what waited \
     for approval, a movement or a change of limits or of somebody's access; for those who work at the bank. `account.opened`, `account.frozen`, `account.released`, `account.closed`: what became of the account. \
     `limit.set`: the bank or the owner has set its limits. `balance.below`: a movement has taken the balance below the \
     account's `alert_below`.",
    string().enum_values(Some(EventKind::ALL.iter().map(|kind| kind.name())))
);

/// Kinds of events, as those who listen choose them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventKinds(pub Vec<EventKind>);

impl EventKinds {
    /// Reads names with spaces between them. One that a later version has written is left out.
    pub fn from_names(names: &str) -> Self {
        Self(names.split(' ').filter_map(EventKind::from_name).collect())
    }

    /// As stored.
    pub fn names(&self) -> String {
        self.0.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
    }
}

/// Something that has happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankEvent {
    pub kind: EventKind,
    pub account_number: Option<AccountNumber>,
    /// Whose account it is; None for what only those who work here see.
    pub owner_id: Option<Uuid>,
    /// The movement, the hold or the approval that it is about.
    pub subject_id: Option<Uuid>,
    /// Of the account's entry, for a movement.
    pub sequence: Option<i64>,
}

impl BankEvent {
    /// About the account itself.
    pub fn of_account(kind: EventKind, account_number: AccountNumber, owner_id: Option<Uuid>) -> Self {
        Self { kind, account_number: Some(account_number), owner_id, subject_id: None, sequence: None }
    }

    /// The same about a movement or a hold of it.
    pub fn about(self, subject_id: Uuid) -> Self {
        Self { subject_id: Some(subject_id), ..self }
    }

    /// What only those who work here see.
    pub fn of_approval(kind: EventKind, id: Uuid, account_number: Option<AccountNumber>) -> Self {
        Self { kind, account_number, owner_id: None, subject_id: Some(id), sequence: None }
    }
}
