//! The bank's own accounts: the other side of what is paid in and out. Each is there in every currency, and none has a
//! running balance: theirs is derived from the journal, so that no deposit anywhere waits for a shared row.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sqlx::{Database, Decode, FromRow, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::by_name::by_name;
use crate::problem_code::ProblemCode;
use crate::schema::{scalar_schema, string};
use crate::timestamp::Timestamp;

/// The most that a bank opens: enough for a chart of accounts, and each has its place in the numbers of accounts.
pub const MAX_BANK_ACCOUNTS: usize = 1_000;

/// In characters, which are bytes.
const MAX_CODE_LENGTH: usize = 32;

/// One of the bank's own accounts, as a movement names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct BankAccount {
    #[sqlx(rename = "bank_account_id")]
    pub id: BankAccountId,
    #[sqlx(rename = "bank_account_code")]
    pub code: BankAccountCode,
}

impl BankAccount {
    /// What money is paid into and out of where nobody says otherwise. Every bank has it.
    pub const CASH: Self = Self { id: BankAccountId(0), code: BankAccountCode::of(b"cash") };

    pub fn is_cash(self) -> bool {
        self.id == Self::CASH.id
    }
}

/// The place of one of the bank's own accounts among the numbers of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct BankAccountId(i16);

impl BankAccountId {
    pub fn from_i16(id: i16) -> Self {
        Self(id)
    }

    pub fn as_i16(self) -> i16 {
        self.0
    }
}

/// The name of one of the bank's own accounts, for programs: it never changes. Kept in place, because every movement has
/// one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BankAccountCode {
    /// What the code does not fill is zero.
    bytes: [u8; MAX_CODE_LENGTH],
}

/// The text is no code of an account of the bank's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code}: send 1 to 32 of the characters a to z, 0 to 9 and _, a letter first, such as \"fees\"",
    code = ProblemCode::BankAccountCodeMalformed
)]
pub struct BankAccountCodeError;

impl BankAccountCode {
    /// What the trial balance calls the accounts of all customers together. No account of the bank's has this code.
    pub const CUSTOMERS: Self = Self::of(b"customers");

    const fn of(code: &[u8]) -> Self {
        let mut bytes = [0; MAX_CODE_LENGTH];
        let mut at = 0;
        while at < code.len() {
            bytes[at] = code[at];
            at += 1;
        }
        Self { bytes }
    }

    pub fn as_str(&self) -> &str {
        let length = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(MAX_CODE_LENGTH);
        std::str::from_utf8(&self.bytes[..length]).unwrap_or_default()
    }
}

impl FromStr for BankAccountCode {
    type Err = BankAccountCodeError;

    fn from_str(text: &str) -> Result<Self, BankAccountCodeError> {
        let is_plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase());
        match is_plain && starts_well && text.len() <= MAX_CODE_LENGTH {
            true => Ok(Self::of(text.as_bytes())),
            false => Err(BankAccountCodeError),
        }
    }
}

impl fmt::Display for BankAccountCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BankAccountCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for BankAccountCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for BankAccountCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<DB: Database> Type<DB> for BankAccountCode
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        String::type_info()
    }

    fn compatible(info: &DB::TypeInfo) -> bool {
        String::compatible(info)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for BankAccountCode
where
    &'r str: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(<&str>::decode(value)?.parse()?)
    }
}

scalar_schema!(
    BankAccountCode,
    "The code of one of the bank's own accounts.",
    string().pattern(Some("^[a-z][a-z0-9_]{0,31}$")).examples(["fees"])
);

/// What an account of the bank's is in its books. `asset`: what it has, such as cash. `liability`: what it owes. `income`:
/// what it earns, such as fees. `expense`: what it spends, such as interest. `equity`: what its owners have put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum BankAccountKind {
    Asset,
    Liability,
    Income,
    Expense,
    Equity,
}

by_name!(BankAccountKind);

impl BankAccountKind {
    /// As stored and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Liability => "liability",
            Self::Income => "income",
            Self::Expense => "expense",
            Self::Equity => "equity",
        }
    }
}

/// One of the bank's own accounts with what it is for. Nothing of it ever changes: the journal names it.
#[derive(Clone, Debug, FromRow)]
pub struct OpenedBankAccount {
    #[sqlx(flatten)]
    pub account: BankAccount,
    /// For people.
    pub name: String,
    pub kind: BankAccountKind,
    /// None for the cash, which every bank has, and for what `coffer demo` has opened.
    pub opened_by: Option<Uuid>,
    pub opened_at: Timestamp,
}

impl OpenedBankAccount {
    /// As the audit log says that it was opened; the doctor compares.
    pub fn in_words(name: &str, kind: BankAccountKind) -> String {
        format!("{}: {name}", kind.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_a_plain_word() {
        for good in ["a", "fees", "fx_2", "cash", &"a".repeat(MAX_CODE_LENGTH)] {
            assert_eq!(good.parse::<BankAccountCode>().map(|code| code.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "Fees", "2fees", "_fees", "fees ", "fee-s", "gebühr", "a\0b", &"a".repeat(MAX_CODE_LENGTH + 1)]
        {
            assert_eq!(bad.parse::<BankAccountCode>(), Err(BankAccountCodeError), "{bad:?}");
        }
        assert_eq!(BankAccount::CASH.code.as_str(), "cash");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_reads_back(text in "\\PC*|[a-z_0-9]{0,40}") {
            if let Ok(code) = text.parse::<BankAccountCode>() {
                prop_assert_eq!(code.as_str(), text);
            }
        }
    }
}
