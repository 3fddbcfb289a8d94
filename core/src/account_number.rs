//! Account numbers: 12 digits and 2 check digits, so that a slip of one digit never reaches another customer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bank_account::BankAccountId;
use crate::money::Currency;
use crate::problem_code::ProblemCode;
use crate::schema::{scalar_schema, string};

/// Digits of a customer's account number, check digits included.
const LENGTH: usize = 14;

/// The 12-digit bodies of customers' numbers: no leading zero, so that no spreadsheet can eat one.
const FIRST_BODY: u64 = 100_000_000_000;
const BODIES: u64 = 900_000_000_000;

/// The bodies of the bank's own numbers are the account's id times this, and the number of the currency, which is smaller.
const NUMBERS_OF_CURRENCIES: i64 = 100_000;

/// A number whose last two digits are its ISO 7064 MOD 97-10 check digits. Catches every single wrong digit and every
/// swap of two neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct AccountNumber(i64);

impl AccountNumber {
    /// A new number for a customer's account, from the operating system's random source. The database checks that it is
    /// unique.
    pub fn random() -> Result<Self, getrandom::Error> {
        // The modulo favours some bodies by one part in twenty million: a number is a name here, not a secret.
        Ok(Self::with_check_digits((FIRST_BODY + getrandom::u64()? % BODIES) as i64))
    }

    /// One of the bank's own accounts in a currency. Made from the account's id and the currency's number, so it can be
    /// named without a look-up; far shorter than any customer's number, so the two never meet.
    pub fn of_bank(account: BankAccountId, currency: Currency) -> Self {
        Self::with_check_digits(i64::from(account.as_i16()) * NUMBERS_OF_CURRENCIES + i64::from(currency.number()))
    }

    /// Which of the bank's own accounts it is; None for a customer's.
    pub fn bank_account_id(self) -> Option<BankAccountId> {
        i16::try_from(self.0 / 100 / NUMBERS_OF_CURRENCIES).ok().map(BankAccountId::from_i16)
    }

    /// As people write it, in groups with spaces, points or hyphens between them. None for anything else.
    pub fn from_typed(text: &str) -> Option<Self> {
        text.replace([' ', '.', '-'], "").parse().ok()
    }

    /// From where it is stored; not checked again.
    pub fn from_i64(number: i64) -> Self {
        Self(number)
    }

    /// As stored: an integer of at most 14 digits.
    pub fn as_i64(self) -> i64 {
        self.0
    }

    fn with_check_digits(body: i64) -> Self {
        Self(body * 100 + 98 - body * 100 % 97)
    }
}

/// The text is not a customer's account number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountNumberError {
    #[error("{code}: send the 14 digits of the account number as a string, without spaces", code = ProblemCode::AccountNumberMalformed)]
    Malformed,
    #[error("{code}: the check digits do not fit; a digit is mistyped or missing", code = ProblemCode::AccountNumberCheckDigits)]
    CheckDigits,
}

impl FromStr for AccountNumber {
    type Err = AccountNumberError;

    fn from_str(text: &str) -> Result<Self, AccountNumberError> {
        if text.len() != LENGTH || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AccountNumberError::Malformed);
        }
        let number: i64 = text.parse().map_err(|_| AccountNumberError::Malformed)?;
        if number % 97 != 1 {
            return Err(AccountNumberError::CheckDigits);
        }
        Ok(Self(number))
    }
}

impl fmt::Display for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0LENGTH$}", self.0)
    }
}

impl Serialize for AccountNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AccountNumberVisitor)
    }
}

struct AccountNumberVisitor;

impl de::Visitor<'_> for AccountNumberVisitor {
    type Value = AccountNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an account number of 14 digits as a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AccountNumber, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<AccountNumber, E> {
        Err(E::custom(AccountNumberError::Malformed))
    }
}

scalar_schema!(
    AccountNumber,
    "14 digits, of which the last two are check digits.",
    string().pattern(Some("^[1-9][0-9]{13}$")).examples(["10000000000180"])
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_banks_accounts_cannot_be_named_by_customers() {
        let usd = Currency::from_code("USD").expect("a currency");
        for (id, number) in [(0, "00000000084003"), (7, "00000070084053"), (i16::MAX, "00327670084089")] {
            let own = AccountNumber::of_bank(BankAccountId::from_i16(id), usd);
            assert_eq!(own.to_string(), number);
            assert_eq!(own.bank_account_id(), Some(BankAccountId::from_i16(id)));
            assert_eq!(number.parse::<AccountNumber>(), Err(AccountNumberError::Malformed), "{number}");
        }
    }

    proptest! {
        #[test]
        fn a_number_reads_back_and_one_wrong_digit_never_does(body in FIRST_BODY..FIRST_BODY + BODIES, at in 0..LENGTH, by in 1..10u8) {
            let number = AccountNumber::with_check_digits(body as i64);
            let mut text = number.to_string().into_bytes();
            prop_assert_eq!(std::str::from_utf8(&text).expect("ascii").parse(), Ok(number));
            text[at] = b'0' + (text[at] - b'0' + by) % 10;
            prop_assert!(std::str::from_utf8(&text).expect("ascii").parse::<AccountNumber>().is_err());
        }

        #[test]
        fn two_swapped_neighbours_are_caught(body in FIRST_BODY..FIRST_BODY + BODIES, at in 0..LENGTH - 1) {
            let mut text = AccountNumber::with_check_digits(body as i64).to_string().into_bytes();
            prop_assume!(text[at] != text[at + 1]);
            text.swap(at, at + 1);
            prop_assert!(std::str::from_utf8(&text).expect("ascii").parse::<AccountNumber>().is_err());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*|[0-9]{0,20}") {
            let _ = text.parse::<AccountNumber>();
        }
    }
}
