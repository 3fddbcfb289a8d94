//! Notices: movements that the owner of an account is told of by mail.

use uuid::Uuid;

use crate::account_number::AccountNumber;

/// A movement of more than the owner of the account has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovementNotice {
    pub owner_id: Uuid,
    pub account_number: AccountNumber,
    /// Of the account's entry.
    pub sequence: i64,
}
