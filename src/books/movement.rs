//! Movements: money paid in, taken out, or sent from one account to another.

use utoipa::ToSchema;

use crate::account_number::AccountNumber;
use crate::money::Money;

/// The kind of a movement. `deposit`: cash is paid into an account. `withdrawal`: cash is paid out of an account.
/// `transfer`: money goes from one account to another.
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

/// A movement in a sentence of the audit log: `deposit of 5.00 USD to 10000000000180`.
pub fn in_words(
    movement_type: MovementType,
    money: Money,
    from: Option<AccountNumber>,
    to: Option<AccountNumber>,
) -> String {
    let account = |preposition, number: Option<AccountNumber>| {
        number.map(|number| format!(" {preposition} {number}")).unwrap_or_default()
    };
    let (from, to) = (account("from", from), account("to", to));
    format!("{} of {money} {}{from}{to}", movement_type.name(), money.currency)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    Deposit { to: AccountNumber },
    Withdrawal { from: AccountNumber },
    Transfer { from: AccountNumber, to: AccountNumber },
}

impl Movement {
    /// The same movement the other way round: what a reversal of it moves.
    pub fn mirror(self) -> Self {
        match self {
            Movement::Deposit { to } => Movement::Withdrawal { from: to },
            Movement::Withdrawal { from } => Movement::Deposit { to: from },
            Movement::Transfer { from, to } => Movement::Transfer { from: to, to: from },
        }
    }

    /// The movement between two sides; None for the bank's cash, which is never both.
    pub fn between(from: Option<AccountNumber>, to: Option<AccountNumber>) -> Option<Self> {
        match (from, to) {
            (None, Some(to)) => Some(Movement::Deposit { to }),
            (Some(from), None) => Some(Movement::Withdrawal { from }),
            (Some(from), Some(to)) => Some(Movement::Transfer { from, to }),
            (None, None) => None,
        }
    }

    /// The customers' accounts that the money comes from and goes to; None for the bank's cash.
    pub fn sides(self) -> (Option<AccountNumber>, Option<AccountNumber>) {
        match self {
            Movement::Deposit { to } => (None, Some(to)),
            Movement::Withdrawal { from } => (Some(from), None),
            Movement::Transfer { from, to } => (Some(from), Some(to)),
        }
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
