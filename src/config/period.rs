//! Periods, as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::values::quantity;

const HINT: &str = "send a period such as 24h, 30m or 7d, of ten years at most, or 0 for none";
/// In seconds: ten years. Moments that are further away than clocks can count would end the bank.
const LONGEST: u64 = 3_650 * 24 * 60 * 60;
/// In seconds, by the letter behind the number.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];

/// A number needs its unit, so that nobody takes one for another; only 0 does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(Duration);

impl Period {
    /// None for 0.
    pub fn duration(self) -> Option<Duration> {
        Some(self.0).filter(|duration| !duration.is_zero())
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = quantity(text, &UNITS).filter(|seconds| *seconds <= LONGEST).ok_or_else(|| HINT.to_owned())?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let whole = UNITS.iter().rev().find(|(_, unit)| seconds.is_multiple_of(*unit)).unwrap_or(&UNITS[0]);
        write!(f, "{}{}", seconds / whole.1, whole.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_a_unit() {
        for (text, seconds) in
            [("0", 0), ("0h", 0), ("90s", 90), (" 30 m ", 1_800), ("24h", 86_400), ("24H", 86_400), ("7d", 604_800)]
        {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))), "{text}");
        }
        for text in
            ["", "24", "h", "-1h", "1.5h", "1 week", "1h30m", "99999999999999999999s", "999999999999999999d", "3651d"]
        {
            assert_eq!(text.parse::<Period>(), Err(HINT.to_owned()), "{text}");
        }
        for (text, written) in [("24h", "1d"), ("90s", "90s"), ("90m", "90m"), ("36h", "36h")] {
            assert_eq!(text.parse::<Period>().expect("a period").to_string(), written);
        }
        assert_eq!("0".parse::<Period>().expect("a period").duration(), None);
    }
}
