//! Units of the bank's own, such as points or hours: counted, held and moved like the currencies of ISO 4217.
//!
//! A currency is read in places that know nothing of the bank: by serde, sqlx and clap. So the units are a fact of the
//! process, like the list of ISO 4217, and are made known to it once, before the first account is read.

use std::fmt;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use super::currency::is_iso_code;

/// As in the pattern of amounts.
const MAX_DECIMALS: u32 = 4;
/// In characters.
const MAX_NAME_LENGTH: usize = 40;
/// Numbers of units begin above the numeric codes of ISO 4217.
const FIRST_NUMBER: u16 = 1_000;

/// The units that this process knows.
static KNOWN: RwLock<Vec<Known>> = RwLock::new(Vec::new());

struct Known {
    unit: &'static Unit,
    is_in_use: bool,
}

/// A unit of the bank's own. Its code and decimals never change, because amounts in the books are counted by them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    code: String,
    decimals: u32,
    name: String,
}

/// Why a text names no unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("write CODE:DECIMALS:NAME, such as PTS:0:Points")]
    Form,
    #[error("{0}: a code is three capitals")]
    Code(String),
    #[error("{0}: ISO 4217 has this code for something else, or had")]
    IsoCode(String),
    #[error("{0}: a unit has 0 to {MAX_DECIMALS} decimals")]
    Decimals(String),
    #[error("{0}: a name has 1 to {MAX_NAME_LENGTH} characters, and none that cannot be seen")]
    Name(String),
}

impl Unit {
    pub fn new(code: &str, decimals: u32, name: &str) -> Result<Self, UnitError> {
        if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(UnitError::Code(code.to_owned()));
        }
        if is_iso_code(code) {
            return Err(UnitError::IsoCode(code.to_owned()));
        }
        if decimals > MAX_DECIMALS {
            return Err(UnitError::Decimals(code.to_owned()));
        }
        if !(1..=MAX_NAME_LENGTH).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(UnitError::Name(code.to_owned()));
        }
        Ok(Self { code: code.to_owned(), decimals, name: name.to_owned() })
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    pub fn decimals(&self) -> u32 {
        self.decimals
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another one for each code.
    pub fn number(&self) -> u16 {
        let letters = self.code.bytes().map(|letter| u16::from(letter - b'A'));
        FIRST_NUMBER + letters.fold(0, |number, letter| number * 26 + letter)
    }
}

/// `CODE:DECIMALS:NAME`
impl FromStr for Unit {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut parts = text.trim().splitn(3, ':');
        let (Some(code), Some(decimals), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(UnitError::Form);
        };
        let decimals = decimals.parse().map_err(|_| UnitError::Decimals(code.to_owned()))?;
        Self::new(code, decimals, name.trim())
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.code, self.decimals, self.name)
    }
}

/// Makes units known to the process. Those in use may have accounts opened in them; one that was in use stays so. A code
/// that is known stays what it is: the caller has made sure that its decimals have not changed.
pub fn make_known(units: impl IntoIterator<Item = Unit>, are_in_use: bool) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for unit in units {
        match known.iter_mut().find(|known| known.unit.code == unit.code && known.unit.decimals == unit.decimals) {
            Some(known) => known.is_in_use |= are_in_use,
            // A process knows a handful, for as long as it lives.
            None => known.push(Known { unit: Box::leak(Box::new(unit)), is_in_use: are_in_use }),
        }
    }
}

/// The unit with this code.
pub fn find(code: &str) -> Option<&'static Unit> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().map(|known| known.unit).find(|unit| unit.code == code)
}

pub fn is_in_use(unit: &Unit) -> bool {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().any(|known| known.is_in_use && known.unit == unit)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::money::{Amount, Currency, Money};

    #[test]
    fn a_unit_is_written_as_code_decimals_and_name() {
        for (text, outcome) in [
            ("PTS:0:Points", Ok("PTS:0:Points")),
            (" HRS:2: Hours ", Ok("HRS:2:Hours")),
            ("KIL:4:Kilo: of something", Ok("KIL:4:Kilo: of something")),
            ("PTS:0", Err(UnitError::Form)),
            ("pts:0:Points", Err(UnitError::Code("pts".to_owned()))),
            ("PT:0:Points", Err(UnitError::Code("PT".to_owned()))),
            ("USD:2:Dollars", Err(UnitError::IsoCode("USD".to_owned()))),
            ("XAU:2:Gold", Err(UnitError::IsoCode("XAU".to_owned()))),
            ("DEM:2:Marks", Err(UnitError::IsoCode("DEM".to_owned()))),
            ("PTS:5:Points", Err(UnitError::Decimals("PTS".to_owned()))),
            ("PTS:-1:Points", Err(UnitError::Decimals("PTS".to_owned()))),
            ("PTS:0: ", Err(UnitError::Name("PTS".to_owned()))),
            ("PTS:0:Po\nints", Err(UnitError::Name("PTS".to_owned()))),
        ] {
            let read = text.parse::<Unit>().map(|unit| unit.to_string());
            assert_eq!(read, outcome.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn each_code_has_a_number_of_its_own_above_those_of_iso() {
        let letters = || ('A'..='Z').map(String::from);
        let codes = letters().flat_map(|a| {
            letters().flat_map(move |b| {
                letters().map({
                    let a = a.clone();
                    move |c| format!("{a}{b}{c}")
                })
            })
        });
        let units: Vec<_> = codes.filter_map(|code| Unit::new(&code, 0, "A unit").ok()).collect();
        let numbers: HashSet<_> = units.iter().map(Unit::number).collect();
        assert_eq!(numbers.len(), units.len());
        assert!(numbers.iter().all(|number| *number > 999));
    }

    #[test]
    fn what_is_known_is_a_currency() {
        assert_eq!(Currency::from_code("QQA"), None);
        make_known([Unit::new("QQA", 3, "A test's").expect("a unit")], false);
        let unit = Currency::from_code("QQA").expect("a currency");
        assert_eq!((unit.code(), unit.decimals(), unit.successor()), ("QQA", 3, None));
        let money = Amount::parse("1.5").expect("an amount").to_money(unit, 10);
        assert_eq!(money, Ok(Money::new(1_500, unit)));
        assert!("QQA".parse::<crate::money::CurrentCurrency>().is_err());
        make_known([Unit::new("QQA", 3, "A test's").expect("a unit")], true);
        assert!("QQA".parse::<crate::money::CurrentCurrency>().is_ok());
    }
}
