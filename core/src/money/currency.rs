//! Currencies: those of ISO 4217, and the bank's own units.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::units::{self, Unit};
use crate::problem_code::ProblemCode;
use crate::schema::{scalar_schema, string};

/// A currency of ISO 4217 that has minor units (gold, test codes and the like have none and are refused), or a
/// [unit](super::units) of the bank's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Currency {
    Iso(iso_currency::Currency),
    Unit(&'static Unit),
}

impl Currency {
    /// Reads three capitals. `None` for anything that is no currency of ISO 4217 with a minor unit, and no unit of the bank.
    pub fn from_code(code: &str) -> Option<Self> {
        match iso_currency::Currency::from_code(code) {
            Some(currency) => currency.exponent().map(|_| Self::Iso(currency)),
            None => units::find(code).map(Self::Unit),
        }
    }

    /// The three-letter code, such as `USD`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Iso(currency) => currency.code(),
            Self::Unit(unit) => unit.code(),
        }
    }

    /// A number of its own: the numeric code of ISO 4217, such as 840 for USD; above 999 for a unit.
    pub fn number(self) -> u16 {
        match self {
            Self::Iso(currency) => currency.numeric(),
            Self::Unit(unit) => unit.number(),
        }
    }

    /// The currency that has taken its place, if ISO 4217 has withdrawn it.
    pub fn successor(self) -> Option<Self> {
        match self {
            // The crate takes VED for the successor of VES; amendment 170 of ISO 4217 has put it beside VES, and both are
            // current.
            Self::Iso(iso_currency::Currency::VES) | Self::Unit(_) => None,
            Self::Iso(currency) => currency.is_superseded().map(Self::Iso),
        }
    }

    /// Decimals of the currency: JPY 0, USD 2, KWD 3.
    pub fn decimals(self) -> u32 {
        match self {
            Self::Iso(currency) => currency.exponent().unwrap_or_default().into(),
            Self::Unit(unit) => unit.decimals(),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(code: String) -> Result<Self, UnknownCurrency> {
        Self::from_code(&code).ok_or(UnknownCurrency)
    }
}

impl std::str::FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        Self::from_code(code).ok_or(UnknownCurrency)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| de::Error::custom(UnknownCurrency))
    }
}

/// The code is no ISO 4217 currency with minor units, and no unit of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code}: send a three-letter ISO 4217 code in capitals, such as \"USD\", or a unit that GET /bank names", code = ProblemCode::UnknownCurrency
)]
pub struct UnknownCurrency;

/// A currency that accounts can be opened in: none that ISO 4217 has withdrawn, and no unit that the bank has given up.
/// Accounts in those stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentCurrency(Currency);

/// Why no account is opened in a currency. Prints as `code: what to send instead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurrentCurrencyError {
    #[error(transparent)]
    Unknown(UnknownCurrency),
    #[error("{code}: ISO 4217 has withdrawn this currency; send its successor, \"{successor}\"", code = ProblemCode::CurrencyWithdrawn)]
    Withdrawn { successor: &'static str },
    #[error("{code}: this bank has given this unit up; send one that GET /bank names", code = ProblemCode::CurrencyWithdrawn)]
    GivenUp,
}

impl std::str::FromStr for CurrentCurrency {
    type Err = CurrentCurrencyError;

    fn from_str(code: &str) -> Result<Self, CurrentCurrencyError> {
        let withdrawn = FORMER_CURRENCIES.iter().find(|(_, former)| former.contains(&code));
        if let Some((successor, _)) = withdrawn {
            return Err(CurrentCurrencyError::Withdrawn { successor });
        }
        let currency = Currency::from_code(code).ok_or(CurrentCurrencyError::Unknown(UnknownCurrency))?;
        match (currency, currency.successor()) {
            (_, Some(successor)) => Err(CurrentCurrencyError::Withdrawn { successor: successor.code() }),
            (Currency::Unit(unit), None) if !units::is_in_use(unit) => Err(CurrentCurrencyError::GivenUp),
            (_, None) => Ok(Self(currency)),
        }
    }
}

impl From<CurrentCurrency> for Currency {
    fn from(current: CurrentCurrency) -> Self {
        current.0
    }
}

impl fmt::Display for CurrentCurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for CurrentCurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<str>::deserialize(deserializer)?;
        code.parse().map_err(de::Error::custom)
    }
}

/// Codes that were withdrawn before `iso_currency` began (ISO 4217, list three, since 1999), by what has taken their
/// place. No account here can be in one of them; whoever sends one is told what to send instead.
const FORMER_CURRENCIES: [(&str, &[&str]); 22] = [
    ("AFN", &["AFA"]),
    ("AZN", &["AZM"]),
    ("BYN", &["BYB", "BYR"]),
    (
        "EUR",
        &[
            "ATS", "BEF", "CYP", "DEM", "EEK", "ESP", "FIM", "FRF", "GRD", "IEP", "ITL", "LTL", "LUF", "LVL", "MTL",
            "NLG", "PTE", "SIT", "SKK", "XEU",
        ],
    ),
    ("GHS", &["GHC"]),
    ("MGA", &["MGF"]),
    ("MRU", &["MRO"]),
    ("MZN", &["MZM"]),
    ("RON", &["ROL"]),
    ("RSD", &["CSD", "YUM"]),
    ("RUB", &["RUR"]),
    ("SDG", &["SDD"]),
    ("SRD", &["SRG"]),
    ("STN", &["STD"]),
    ("TMT", &["TMM"]),
    ("TRY", &["TRL"]),
    ("USD", &["USS"]),
    ("VES", &["VEB", "VEF"]),
    ("XCG", &["ANG"]),
    ("ZAR", &["ZAL"]),
    ("ZMW", &["ZMK"]),
    ("ZWG", &["ZWD", "ZWN", "ZWR"]),
];

/// Whether ISO 4217 has the code for something, or had.
pub(super) fn is_iso_code(code: &str) -> bool {
    iso_currency::Currency::from_code(code).is_some()
        || FORMER_CURRENCIES.iter().any(|(_, former)| former.contains(&code))
}

scalar_schema!(
    Currency,
    "ISO 4217, or a unit of the bank's own.",
    string().pattern(Some("^[A-Z]{3}$")).examples(["USD"])
);
scalar_schema!(
    CurrentCurrency,
    "ISO 4217, none that was withdrawn; or a unit of the bank's own.",
    string().pattern(Some("^[A-Z]{3}$")).examples(["USD"])
);

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).expect("a currency of the test")
    }

    #[test]
    fn accounts_are_opened_in_current_currencies_alone() {
        for (code, successor) in [
            ("HRK", "EUR"),
            ("BGN", "EUR"),
            ("CUC", "CUP"),
            ("SLL", "SLE"),
            ("ZWL", "ZWG"),
            ("ANG", "XCG"),
            ("DEM", "EUR"),
            ("MRO", "MRU"),
        ] {
            let refused = code.parse::<CurrentCurrency>();
            assert_eq!(refused, Err(CurrentCurrencyError::Withdrawn { successor }), "{code}");
        }
        for code in ["USD", "EUR", "VES", "VED", "XCG", "SLE", "ZWG", "CUP", "CLF"] {
            assert_eq!(code.parse::<CurrentCurrency>().map(Currency::from), Ok(currency(code)));
        }
        for code in ["XXX", "XTS", "XAU", "XDR", "usd", ""] {
            let unknown = CurrentCurrencyError::Unknown(UnknownCurrency);
            assert_eq!(code.parse::<CurrentCurrency>(), Err(unknown), "{code}");
        }
        for (successor, former) in FORMER_CURRENCIES {
            assert!(successor.parse::<CurrentCurrency>().is_ok(), "{successor}");
            assert!(former.iter().all(|code| Currency::from_code(code).is_none()), "{former:?}");
        }
        // Accounts may exist in a withdrawn currency: its money is still read and moved.
        assert_eq!(currency("HRK").successor(), Some(currency("EUR")));
    }

    #[test]
    fn currencies_without_minor_units_are_refused() {
        for code in ["XAU", "XXX", "usd", "US", "USDX", ""] {
            assert_eq!(Currency::from_code(code), None, "{code}");
        }
    }
}
