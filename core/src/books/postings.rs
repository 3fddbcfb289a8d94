//! Postings, which are everything that a batch adds to the books, and what it must know of earlier ones.

use std::collections::BTreeSet;

use sqlx::FromRow;
use uuid::Uuid;

use super::approval::Approval;
use super::audit_event::Event;
use super::bank_event::BankEvent;
use super::entry::{Entry, Transaction};
use super::hold::Hold;
use super::notice::MovementNotice;
use super::tags::{NewTags, TaggedEntry};
use super::unapproved::UnapprovedTotal;
use crate::account_number::AccountNumber;

/// Everything a batch adds to the books.
#[derive(Debug, Default)]
pub struct Postings {
    pub transactions: Vec<Transaction>,
    pub entries: Vec<Entry>,
    pub used_keys: Vec<UsedKey>,
    pub approved: Vec<Approved>,
    /// Pending approvals that are new.
    pub approvals: Vec<Approval>,
    pub reversals: Vec<Reversal>,
    /// Holds that are new.
    pub holds: Vec<Hold>,
    pub captured: Vec<Captured>,
    pub tags: Vec<NewTags>,
    pub tagged_entries: Vec<TaggedEntry>,
    pub unapproved: Vec<UnapprovedTotal>,
    /// Events for the audit log.
    pub records: Vec<Event>,
    /// Events for those who listen, if anybody does.
    pub events: Vec<BankEvent>,
    /// Movements to tell of by mail, if the bank sends any.
    pub notices: Vec<MovementNotice>,
}

impl Postings {
    /// Moves everything from `other` to the end of this; `other` keeps its capacity for the next request.
    pub fn append(&mut self, other: &mut Self) {
        let Self {
            transactions,
            entries,
            used_keys,
            approved,
            approvals,
            reversals,
            holds,
            captured,
            tags,
            tagged_entries,
            unapproved,
            records,
            events,
            notices,
        } = other;
        self.transactions.append(transactions);
        self.entries.append(entries);
        self.used_keys.append(used_keys);
        self.approved.append(approved);
        self.approvals.append(approvals);
        self.reversals.append(reversals);
        self.holds.append(holds);
        self.captured.append(captured);
        self.tags.append(tags);
        self.tagged_entries.append(tagged_entries);
        self.unapproved.append(unapproved);
        self.records.append(records);
        self.events.append(events);
        self.notices.append(notices);
    }

    /// The accounts whose balance changes, or what is held of it. What ends a reservation makes an entry or another one.
    pub fn accounts_changed(&self) -> BTreeSet<AccountNumber> {
        let of_entries = self.entries.iter().map(|entry| entry.account_number);
        let of_holds = self.holds.iter().map(|hold| hold.from_account);
        let of_approvals = self.approvals.iter().filter_map(|approval| approval.from_account);
        of_entries.chain(of_holds).chain(of_approvals).collect()
    }
}

/// An idempotency key that has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct UsedKey {
    /// The first 16 bytes of SHA-256(requester, key).
    #[sqlx(try_from = "Vec<u8>")]
    pub key: [u8; 16],
    /// SHA-256 of the request.
    #[sqlx(try_from = "Vec<u8>")]
    pub fingerprint: [u8; 32],
    /// The transaction that was booked, or that the pending approval is to become.
    pub transaction_id: Uuid,
}

/// An approval that is carried out, and its approver. Its id is that of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approved {
    pub id: Uuid,
    pub by: Uuid,
}

/// A hold that is captured. Its id is that of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    pub id: Uuid,
    pub by: Uuid,
    /// Minor units, at most what was held.
    pub amount: i64,
}

/// A movement that undoes another, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Reversal {
    /// The movement that is undone.
    pub transaction_id: Uuid,
    /// The movement that undoes it.
    pub reversal_id: Uuid,
}

/// A pending approval of a reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct PendingReversal {
    pub approval_id: Uuid,
    /// The movement that is to be undone.
    pub transaction_id: Uuid,
}
