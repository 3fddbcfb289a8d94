//! Movements: money paid in, taken out, or sent from one account to another.

use utoipa::ToSchema;

use crate::account_number::AccountNumber;
use crate::bank_account::BankAccount;
use crate::money::Money;

/// The kind of a movement. `deposit`: money is paid into an account, in cash or from another account of the bank's own.
/// `withdrawal`: money is paid out of an account, in cash or to another account of the bank's own. `transfer`: money goes
/// from one customer's account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(i16)]
pub enum MovementType {
    Deposit = 1,
    Withdrawal = 2,
    Transfer = 3,
}

impl MovementType {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Transfer => "transfer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Paid in from an account of the bank's.
    Deposit {
        to: AccountNumber,
        against: BankAccount,
    },
    /// Paid out to an account of the bank's.
    Withdrawal {
        from: AccountNumber,
        against: BankAccount,
    },
    Transfer {
        from: AccountNumber,
        to: AccountNumber,
    },
}

impl Movement {
    /// The same movement the other way round: what a reversal of it moves.
    pub fn mirror(self) -> Self {
        match self {
            Movement::Deposit { to, against } => Movement::Withdrawal { from: to, against },
            Movement::Withdrawal { from, against } => Movement::Deposit { to: from, against },
            Movement::Transfer { from, to } => Movement::Transfer { from: to, to: from },
        }
    }

    /// The movement between two customers' accounts; None for the account of the bank's, which is never both.
    pub fn between(from: Option<AccountNumber>, to: Option<AccountNumber>, against: BankAccount) -> Option<Self> {
        match (from, to) {
            (None, Some(to)) => Some(Movement::Deposit { to, against }),
            (Some(from), None) => Some(Movement::Withdrawal { from, against }),
            (Some(from), Some(to)) => Some(Movement::Transfer { from, to }),
            (None, None) => None,
        }
    }

    /// The customers' accounts that the money comes from and goes to; None for the bank.
    pub fn sides(self) -> (Option<AccountNumber>, Option<AccountNumber>) {
        match self {
            Movement::Deposit { to, .. } => (None, Some(to)),
            Movement::Withdrawal { from, .. } => (Some(from), None),
            Movement::Transfer { from, to } => (Some(from), Some(to)),
        }
    }

    /// The bank's account on the other side; None for a transfer.
    pub fn against(self) -> Option<BankAccount> {
        match self {
            Movement::Deposit { against, .. } | Movement::Withdrawal { against, .. } => Some(against),
            Movement::Transfer { .. } => None,
        }
    }

    /// Whether a customer could ask for it: only staff name another account of the bank's than its cash.
    pub fn is_customers(self) -> bool {
        self.against().is_none_or(BankAccount::is_cash)
    }

    /// For a sentence of the audit log: `deposit of 5.00 USD to 10000000000180`. The bank's account is named where it is
    /// not its cash: `withdrawal of 5.00 USD from 10000000000180 against fees`.
    pub fn in_words(self, money: Money) -> String {
        let account = |preposition, number: Option<AccountNumber>| {
            number.map(|number| format!(" {preposition} {number}")).unwrap_or_default()
        };
        let (from, to) = self.sides();
        let (from, to) = (account("from", from), account("to", to));
        let against = self.against().filter(|against| !against.is_cash());
        let against = against.map(|against| format!(" against {}", against.code)).unwrap_or_default();
        format!("{} of {money} {}{from}{to}{against}", self.movement_type().name(), money.currency)
    }

    /// The accounts that must be loaded to decide this movement.
    pub fn accounts(self) -> impl Iterator<Item = AccountNumber> {
        let (from, to) = self.sides();
        from.into_iter().chain(to)
    }

    pub fn movement_type(self) -> MovementType {
        match self {
            Movement::Deposit { .. } => MovementType::Deposit,
            Movement::Withdrawal { .. } => MovementType::Withdrawal,
            Movement::Transfer { .. } => MovementType::Transfer,
        }
    }
}
