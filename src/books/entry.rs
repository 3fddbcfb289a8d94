//! Transactions of the journal, and the entries that they make in the accounts' histories.

use sqlx::FromRow;
use uuid::Uuid;

use super::movement::{MovementType, in_words};
use super::texts::Texts;
use crate::account_number::AccountNumber;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// A row of the journal: `amount` minor units went from the debited to the credited account.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Transaction {
    pub id: Uuid,
    pub movement_type: MovementType,
    pub debit_account: AccountNumber,
    /// The entry it made in the debited account; None for the bank's own accounts.
    pub debit_sequence: Option<i64>,
    pub credit_account: AccountNumber,
    pub credit_sequence: Option<i64>,
    /// Minor units, positive.
    pub amount: i64,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    #[sqlx(flatten)]
    pub texts: Texts,
    pub initiated_by: Uuid,
    pub created_at: Timestamp,
}

impl Transaction {
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// The customers' accounts that the money came from and went to; None for the bank's cash.
    pub fn sides(&self) -> (Option<AccountNumber>, Option<AccountNumber>) {
        let (debited, credited) = (self.debit_sequence, self.credit_sequence);
        (debited.map(|_| self.debit_account), credited.map(|_| self.credit_account))
    }

    /// `transfer of 25000.00 USD from 10000000000180 to 10000000000277`
    pub fn in_words(&self) -> String {
        let (from, to) = self.sides();
        in_words(self.movement_type, self.money(), from, to)
    }
}

/// An entry of an account's history, with what the journal says of its movement.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Entry {
    pub account_number: AccountNumber,
    /// 1 for the account's first entry, then without gaps.
    pub sequence: i64,
    pub transaction_id: Uuid,
    pub movement_type: MovementType,
    /// The other customer of a transfer; None when it was the bank.
    pub counterparty: Option<AccountNumber>,
    /// Minor units; a credit is positive, a debit negative.
    pub amount: i64,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    /// The account's balance after this entry, in minor units.
    pub balance: i64,
    #[sqlx(flatten)]
    pub texts: Texts,
    /// The requester.
    pub initiated_by: Uuid,
    pub created_at: Timestamp,
    #[sqlx(try_from = "Vec<u8>")]
    pub hash: [u8; 32],
}
