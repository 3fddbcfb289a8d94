//! Transactions of the journal, and the entries that they make in the accounts' histories.

use sqlx::FromRow;
use uuid::Uuid;

use super::movement::MovementType;
use super::texts::Texts;
use crate::account_number::AccountNumber;
use crate::bank_account::{BankAccountCode, BankAccountId};
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

    /// The customers' accounts that the money came from and went to; None for the bank.
    pub fn sides(&self) -> (Option<AccountNumber>, Option<AccountNumber>) {
        let (debited, credited) = (self.debit_sequence, self.credit_sequence);
        (debited.map(|_| self.debit_account), credited.map(|_| self.credit_account))
    }

    /// The bank's own account on the other side; None for a transfer.
    pub fn bank_account_id(&self) -> Option<BankAccountId> {
        let debited = self.debit_sequence.is_none().then_some(self.debit_account);
        let credited = self.credit_sequence.is_none().then_some(self.credit_account);
        debited.or(credited)?.bank_account_id()
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
    /// The bank's own account on the other side; None for a transfer.
    pub against: Option<BankAccountCode>,
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
