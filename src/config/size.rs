//! Sizes, as people write them.

use std::fmt;
use std::str::FromStr;

use super::values::quantity;

const HINT: &str = "send a size such as 512MB, 2GB or 1GiB, or 0 for none";
/// By name, in lower case.
const UNITS: [(&str, u64); 8] = [
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Bytes. A number needs its unit, so that nobody takes one for another; only 0 does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

impl Size {
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        quantity(text, &UNITS).map(Self).ok_or_else(|| HINT.to_owned())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("0MB", 0),
            ("512MB", 512_000_000),
            (" 512 mb ", 512_000_000),
            ("1GiB", 1 << 30),
            ("2gb", 2_000_000_000),
            ("4096KB", 4_096_000),
            ("3TB", 3_000_000_000_000),
            ("1KiB", 1_024),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in
            ["", "512", "MB", "-1MB", "1.5GB", "5 apples", "512M", "1 000MB", "20000000TB", "99999999999999999999MB"]
        {
            assert_eq!(text.parse::<Size>(), Err(HINT.to_owned()), "{text}");
        }
    }
}
