//! Money: exact parsing, exact printing, checked arithmetic.
//!
//! An amount is an `i64` count of minor units (cents, yen, fils) of a currency; never a float. On the wire
//! it is a decimal string, because a JSON number becomes a float in most clients, JavaScript first.

mod currency;
pub mod units;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::currency::{Currency, CurrentCurrency, CurrentCurrencyError, UnknownCurrency};
use crate::problem_code::ProblemCode;
use crate::schema::{scalar_schema, string};

/// The most digits an amount may have, signs and point included. `i64::MAX` has 19 digits; more cannot be money here.
const MAX_AMOUNT_LENGTH: usize = 32;

/// The most that one movement may be, in whole units, in a bank that does not set it.
pub const DEFAULT_MAXIMUM: i64 = 1_000_000_000;

/// An exact sum of one currency. Prints as a plain decimal: `100.50`, `-0.05`, `7` for a currency without decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// In minor units: 10050 is 100.50 USD, or 10050 JPY.
    pub minor_units: i64,
    pub currency: Currency,
}

impl Money {
    pub fn new(minor_units: i64, currency: Currency) -> Self {
        Self { minor_units, currency }
    }

    /// Whole units, as limits are configured, or as much as can be counted.
    pub fn of_major_units(major_units: i64, currency: Currency) -> Self {
        Self::new(major_units.saturating_mul(10i64.pow(currency.decimals())), currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, scale) = (self.minor_units.unsigned_abs(), 10u64.pow(self.currency.decimals()));
        write_decimal(f, self.minor_units < 0, units / scale, units % scale, self.currency)
    }
}

/// `whole` units of the currency, and `fraction` minor units.
fn write_decimal(
    f: &mut fmt::Formatter<'_>,
    is_negative: bool,
    whole: impl fmt::Display,
    fraction: impl fmt::Display,
    currency: Currency,
) -> fmt::Result {
    let sign = if is_negative { "-" } else { "" };
    match currency.decimals() as usize {
        0 => write!(f, "{sign}{whole}"),
        width => write!(f, "{sign}{whole}.{fraction:0width$}"),
    }
}

/// The sum of what many have, which may be more than one can have. Prints as [`Money`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneySum {
    minor_units: i128,
    currency: Currency,
}

impl MoneySum {
    pub fn new(minor_units: i128, currency: Currency) -> Self {
        Self { minor_units, currency }
    }
}

impl fmt::Display for MoneySum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, scale) = (self.minor_units.unsigned_abs(), 10u128.pow(self.currency.decimals()));
        write_decimal(f, self.minor_units < 0, units / scale, units % scale, self.currency)
    }
}

impl Serialize for MoneySum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A positive decimal as a client wrote it, before its currency is known: the account decides how many decimals it may
/// have. Exact: digits times ten to the minus `decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    digits: i64,
    decimals: u32,
}

/// Why an amount was refused. The text before the colon is the stable code, the rest is for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("{code}: send the amount as a JSON string: \"{0}\"", code = ProblemCode::AmountMustBeAString)]
    NotAString(String),
    #[error("{code}: send a positive decimal as a JSON string, such as \"100.50\"", code = ProblemCode::AmountMustBeAString)]
    NotAStringNorGood,
    #[error("{code}: send a decimal such as \"100.50\"", code = ProblemCode::AmountEmpty)]
    Empty,
    #[error("{code}: send an amount greater than zero", code = ProblemCode::AmountZero)]
    Zero,
    #[error("{code}: send a positive amount; the endpoint decides which way the money goes", code = ProblemCode::AmountNegative)]
    Negative,
    #[error("{code}: leave out the plus sign", code = ProblemCode::AmountPlusSign)]
    PlusSign,
    #[error("{code}: write the number out, without an exponent", code = ProblemCode::AmountExponent)]
    Exponent,
    #[error("{code}: leave out spaces, tabs and line breaks", code = ProblemCode::AmountSpaces)]
    Spaces,
    #[error("{code}: use the digits 0 to 9", code = ProblemCode::AmountNonAsciiDigit)]
    NonAsciiDigit,
    #[error("{code}: write a digit before the point, such as \"0.50\"", code = ProblemCode::AmountMissingIntegerPart)]
    MissingIntegerPart,
    #[error("{code}: write digits after the point, or leave out the point", code = ProblemCode::AmountMissingDecimals)]
    MissingDecimals,
    #[error("{code}: leave out leading zeros", code = ProblemCode::AmountLeadingZero)]
    LeadingZero,
    #[error(
        "{code}: send digits with at most one point, such as \"100.50\", without separators or symbols", code = ProblemCode::AmountNotANumber
    )]
    NotANumber,
    #[error("{code}: {currency} has {} decimals; this amount has {decimals}", currency.decimals(), code = ProblemCode::AmountTooManyDecimals)]
    TooManyDecimals { currency: Currency, decimals: u32 },
    #[error("{code}: a single movement may be at most {maximum} {currency}", code = ProblemCode::AmountAboveMaximum)]
    AboveMaximum { maximum: Money, currency: Currency },
    #[error("{code}: the amount is larger than any the bank can hold", code = ProblemCode::AmountOverflow)]
    Overflow,
}

impl Amount {
    /// Reads `0.01`, `100`, `100.50`: ASCII digits, at most one point, no sign, no leading zero, greater than zero.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let amount = Self::parse_with_zero(text)?;
        if amount.digits == 0 { Err(AmountError::Zero) } else { Ok(amount) }
    }

    fn parse_with_zero(text: &str) -> Result<Self, AmountError> {
        refuse_what_is_no_plain_decimal(text)?;
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        if integer.is_empty() {
            return Err(AmountError::MissingIntegerPart);
        }
        if fraction.is_empty() && text.contains('.') {
            return Err(AmountError::MissingDecimals);
        }
        if integer.len() > 1 && integer.starts_with('0') {
            return Err(AmountError::LeadingZero);
        }
        let mut digits: i64 = 0;
        for digit in integer.bytes().chain(fraction.bytes()) {
            digits = digits
                .checked_mul(10)
                .and_then(|n| n.checked_add((digit - b'0').into()))
                .ok_or(AmountError::Overflow)?;
        }
        Ok(Self { digits, decimals: fraction.len() as u32 })
    }

    /// The same bytes for the same value, however many zeros it was written with.
    pub fn canonical_bytes(self) -> [u8; 12] {
        let Self { mut digits, mut decimals } = self;
        while decimals > 0 && digits % 10 == 0 {
            (digits, decimals) = (digits / 10, decimals - 1);
        }
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&digits.to_be_bytes());
        bytes[8..].copy_from_slice(&decimals.to_be_bytes());
        bytes
    }

    /// The pattern of what may be sent (a regular expression of JSON Schema) where one movement may be so many whole
    /// units.
    pub fn pattern(maximum_major_units: i64) -> String {
        let more_digits = maximum_major_units.max(1).ilog10();
        format!(r"^([1-9][0-9]{{0,{more_digits}}}(\.[0-9]{{1,4}})?|0\.0{{0,3}}[1-9][0-9]{{0,3}})$")
    }

    /// The amount as money of `currency`. Refuses more decimals than the currency has, zeros included: "1.00" is no
    /// amount of yen. `maximum_major_units` is the configured ceiling of one movement, in whole units of the currency.
    pub fn to_money(self, currency: Currency, maximum_major_units: i64) -> Result<Money, AmountError> {
        let missing_decimals = currency
            .decimals()
            .checked_sub(self.decimals)
            .ok_or(AmountError::TooManyDecimals { currency, decimals: self.decimals })?;
        let minor_units = self.digits.checked_mul(10i64.pow(missing_decimals)).ok_or(AmountError::Overflow)?;
        let maximum = Money::of_major_units(maximum_major_units, currency);
        if minor_units > maximum.minor_units {
            return Err(AmountError::AboveMaximum { maximum, currency });
        }
        Ok(Money::new(minor_units, currency))
    }
}

/// As it was written.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0width$}", self.digits, width = self.decimals as usize + 1);
        match digits.split_at(digits.len() - self.decimals as usize) {
            (integer, "") => f.write_str(integer),
            (integer, fraction) => write!(f, "{integer}.{fraction}"),
        }
    }
}

impl Amount {
    /// Whether the money is less, as much or more, whatever its currency: decimals compare, and not minor units.
    pub fn compare(self, money: Money) -> Ordering {
        let (own, others) = (self.decimals, money.currency.decimals());
        let scaled =
            |digits: i64, by: u32| 10i128.checked_pow(by).and_then(|scale| i128::from(digits).checked_mul(scale));
        match scaled(money.minor_units, own.saturating_sub(others)) {
            Some(scaled_money) => {
                // A currency has four decimals at most.
                scaled_money.cmp(&scaled(self.digits, others.saturating_sub(own)).unwrap_or(i128::MAX))
            }
            // So many decimals make an amount smaller than anything that has minor units.
            None if money.minor_units > 0 => Ordering::Greater,
            None => Ordering::Less,
        }
    }
}

/// The amount as it would be written. The sum must be positive, as every sum is that was once an amount.
impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self { digits: money.minor_units, decimals: money.currency.decimals() }
    }
}

/// Only digits and at most one point may pass; each other character is refused with the code that explains it best.
fn refuse_what_is_no_plain_decimal(text: &str) -> Result<(), AmountError> {
    if text.is_empty() {
        return Err(AmountError::Empty);
    }
    if text.chars().any(char::is_whitespace) {
        return Err(AmountError::Spaces);
    }
    if text.chars().any(|c| !c.is_ascii() && c.is_numeric()) {
        return Err(AmountError::NonAsciiDigit);
    }
    let is_number = |s: &str| s.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.as_bytes()[0] {
        b'-' if is_number(&text[1..]) => return Err(AmountError::Negative),
        b'+' if is_number(&text[1..]) => return Err(AmountError::PlusSign),
        _ => {}
    }
    let starts_with_digit = text.as_bytes()[0].is_ascii_digit();
    if starts_with_digit && text.contains(['e', 'E']) && text.bytes().all(|b| b"0123456789.eE+-".contains(&b)) {
        return Err(AmountError::Exponent);
    }
    let points = text.bytes().filter(|b| *b == b'.').count();
    if points > 1 || text == "." || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(AmountError::NotANumber);
    }
    if text.len() > MAX_AMOUNT_LENGTH {
        return Err(AmountError::Overflow);
    }
    Ok(())
}

impl AmountError {
    /// The number as it should have been sent, if it is a good one and a float still holds all its digits.
    fn not_a_string(number: f64) -> Self {
        const EXACT_CENTS: f64 = 1e12;
        let text = number.to_string();
        match Amount::parse(&text) {
            Ok(_) if number < EXACT_CENTS => Self::NotAString(text),
            _ => Self::NotAStringNorGood,
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl de::Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal string such as \"100.50\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
        Amount::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Amount, E> {
        Err(E::custom(AmountError::not_a_string(number)))
    }
}

/// The same, or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountOrZero(Amount);

impl AmountOrZero {
    /// As [`Amount::parse`], but zero is one, too.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        Amount::parse_with_zero(text).map(Self)
    }

    /// As [`Amount::to_money`], without a ceiling.
    pub fn to_money(self, currency: Currency) -> Result<Money, AmountError> {
        self.0.to_money(currency, i64::MAX)
    }
}

impl<'de> Deserialize<'de> for AmountOrZero {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountOrZeroVisitor)
    }
}

struct AmountOrZeroVisitor;

impl de::Visitor<'_> for AmountOrZeroVisitor {
    type Value = AmountOrZero;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AmountVisitor.expecting(f)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AmountOrZero, E> {
        AmountOrZero::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AmountOrZero, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AmountOrZero, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<AmountOrZero, E> {
        AmountVisitor.visit_f64(number).map(AmountOrZero)
    }
}

scalar_schema!(
    AmountOrZero,
    "A decimal as a string, zero or more, with at most as many decimals as the currency has.",
    string().pattern(Some(r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,4})?$")).examples(["100.50"])
);
scalar_schema!(
    Amount,
    "A positive decimal as a string, with at most as many decimals as the currency has.",
    string().pattern(Some(Amount::pattern(DEFAULT_MAXIMUM))).examples(["100.50"])
);
scalar_schema!(
    Money,
    "A decimal as a string, with as many decimals as the currency has.",
    string().pattern(Some(r"^-?[0-9]+(\.[0-9]{1,4})?$")).examples(["100.50"])
);
scalar_schema!(
    MoneySum,
    "A decimal as a string, with as many decimals as the currency has.",
    string().pattern(Some(r"^-?[0-9]+(\.[0-9]{1,4})?$")).examples(["100.50"])
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAXIMUM: i64 = 1_000_000_000;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).expect("a currency of the test")
    }

    fn code_of(error: AmountError) -> String {
        error.to_string().split(':').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_sum_may_be_more_than_one_account_can_hold() {
        let all = i128::from(i64::MAX) * 1_000;
        let sum = |minor_units, code| MoneySum::new(minor_units, currency(code)).to_string();
        assert_eq!(sum(all, "USD"), "92233720368547758070.00");
        assert_eq!(sum(-all - 5, "KWD"), "-9223372036854775807.005");
        assert_eq!((sum(0, "USD"), sum(all, "JPY")), ("0.00".to_owned(), all.to_string()));
    }

    proptest! {
        /// In a currency of any decimals, an amount and money compare as they would in millionths.
        #[test]
        fn amounts_and_money_compare_as_decimals(
            units in 0..2_000i64, fraction in "[0-9]{0,6}", minor_units in 0..3_000_000i64, code in "USD|JPY|KWD|CLF",
        ) {
            let text = if fraction.is_empty() { units.to_string() } else { format!("{units}.{fraction}") };
            let Ok(amount) = Amount::parse(&text) else { return Ok(()) };
            prop_assert_eq!(amount.to_string(), text);
            let money = Money::new(minor_units, currency(&code));
            let millionths = i128::from(units) * 1_000_000 + format!("{fraction:0<6}").parse::<i128>().expect("digits");
            let expected = (i128::from(minor_units) * 10i128.pow(6 - money.currency.decimals())).cmp(&millionths);
            prop_assert_eq!(amount.compare(money), expected);
            let positive = Money::new(minor_units.max(1), money.currency);
            prop_assert_eq!(Amount::from(positive).compare(positive), Ordering::Equal);
        }

        #[test]
        fn no_amount_makes_a_comparison_panic(text in "[0-9]{1,16}\\.[0-9]{1,16}|0\\.0{0,28}[1-9]", minor_units: i64) {
            if let Ok(amount) = Amount::parse(&text) {
                let compared = amount.compare(Money::new(minor_units, currency("USD")));
                prop_assert!(minor_units > 0 || compared == Ordering::Less);
            }
        }
    }

    #[test]
    fn every_malformed_amount_has_its_own_code() {
        for (text, code) in [
            ("", "amount_empty"),
            ("0", "amount_zero"),
            ("0.00", "amount_zero"),
            ("-1", "amount_negative"),
            ("-.5", "amount_negative"),
            ("+1", "amount_plus_sign"),
            ("1e2", "amount_exponent"),
            ("1.5E-3", "amount_exponent"),
            (".5", "amount_missing_integer_part"),
            ("5.", "amount_missing_decimals"),
            ("01", "amount_leading_zero"),
            ("00.5", "amount_leading_zero"),
            (" 1", "amount_spaces"),
            ("1 000", "amount_spaces"),
            ("1\n", "amount_spaces"),
            ("٣", "amount_non_ascii_digit"),
            ("１２", "amount_non_ascii_digit"),
            ("NaN", "amount_not_a_number"),
            ("Infinity", "amount_not_a_number"),
            ("1,000", "amount_not_a_number"),
            ("1.2.3", "amount_not_a_number"),
            (".", "amount_not_a_number"),
            ("-", "amount_not_a_number"),
            ("$5", "amount_not_a_number"),
            ("0x10", "amount_not_a_number"),
            ("1\u{0}", "amount_not_a_number"),
            ("9223372036854775808", "amount_overflow"),
            ("1000000000000000000000000000000000", "amount_overflow"),
        ] {
            assert_eq!(Amount::parse(text).map_err(code_of), Err(code.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn decimals_are_those_of_the_currency() {
        for (text, code, expected) in [
            ("1", "JPY", Ok(1)),
            ("1.0", "JPY", Err("amount_too_many_decimals")),
            ("1.5", "USD", Ok(150)),
            ("1.50", "USD", Ok(150)),
            ("1.500", "USD", Err("amount_too_many_decimals")),
            ("0.001", "KWD", Ok(1)),
            ("0.0001", "KWD", Err("amount_too_many_decimals")),
            ("1000000000", "USD", Ok(100_000_000_000)),
            ("1000000000.01", "USD", Err("amount_above_maximum")),
            ("9223372036854775807", "USD", Err("amount_overflow")),
        ] {
            let money = Amount::parse(text).expect(text).to_money(currency(code), MAXIMUM);
            assert_eq!(money.map(|m| m.minor_units).map_err(code_of), expected.map_err(str::to_owned), "{text} {code}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back_exactly(minor in 1..=i64::MAX, code in "(JPY|USD|KWD|CLF)") {
            let money = Money::new(minor, currency(&code));
            let read = Amount::parse(&money.to_string()).expect("printed money is a plain decimal");
            prop_assert_eq!(read.to_money(money.currency, i64::MAX), Ok(money));
            prop_assert_eq!(read, Amount::from(money));
        }

        #[test]
        fn the_pattern_lets_through_what_the_bank_takes(minor in 1..=i64::MAX, maximum in 1..=1_000_000_000_000_i64) {
            let money = Money::new(minor % Money::of_major_units(maximum, currency("USD")).minor_units + 1, currency("USD"));
            let pattern = regex::Regex::new(&Amount::pattern(maximum)).expect("a pattern");
            prop_assert!(pattern.is_match(&money.to_string()), "{pattern} of {money}");
            let ten_times_more = (maximum * 10).to_string();
            prop_assert!(!pattern.is_match(&ten_times_more), "{pattern} of {ten_times_more}");
        }

        #[test]
        fn no_text_makes_the_parser_panic_or_yield_nothing_positive(text in "\\PC*|[0-9.eE+-]{0,40}") {
            if let Ok(amount) = Amount::parse(&text) {
                prop_assert!(amount.digits > 0);
                prop_assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
                let _ = amount.to_money(currency("USD"), MAXIMUM);
            }
        }

        #[test]
        fn printing_keeps_the_sign_and_every_digit(minor in any::<i64>()) {
            let text = Money::new(minor, currency("KWD")).to_string();
            let digits: i128 = text.replace('.', "").parse().expect("digits");
            prop_assert_eq!(digits, i128::from(minor));
        }
    }
}
