//! Moments: microseconds since 1970 in UTC, as the databases store them; RFC 3339 on the wire.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
use uuid::Uuid;

use crate::problem_code::ProblemCode;
use crate::schema::{scalar_schema, string};

/// The years 0000 to 9999 in UTC, in seconds since 1970.
const RFC_3339_SECONDS: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// A calendar day as RFC 3339 and ISO 8601 write it.
const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");
const DAY_LENGTH: usize = "2026-01-31".len();

/// Microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Timestamp(i64);

/// The database server's clock, if there is one: what it said last, less the time that the program had run by then, in
/// microseconds. From there time goes by the monotonic clock, so that steps of this machine's clock never show.
static SERVER: AtomicI64 = AtomicI64::new(NO_SERVER);
const NO_SERVER: i64 = i64::MIN;
/// The clock is not set for a smaller difference: the way to the server and back may take as long.
const SMALLEST_CORRECTION: i64 = 250_000;

/// How long the program has run, in microseconds.
fn running() -> i64 {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    STARTED.elapsed().as_micros() as i64
}

impl Timestamp {
    /// After every moment that there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The time by this machine's clock or, after [`follow`](Self::follow), by the server's.
    pub fn now() -> Self {
        match SERVER.load(Relaxed) {
            NO_SERVER => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Self(since_epoch.as_micros() as i64)
            }
            server => Self(server + running()),
        }
    }

    /// Makes [`now`](Self::now) go by a server's clock that has just said `server_time`, so that all instances agree.
    /// True when that changed what time it is.
    pub fn follow(server_time: Self) -> bool {
        let differs = (server_time.0 - Self::now().0).abs() >= SMALLEST_CORRECTION;
        if differs || SERVER.load(Relaxed) == NO_SERVER {
            SERVER.store(server_time.0 - running(), Relaxed);
        }
        differs
    }

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub fn as_micros(self) -> i64 {
        self.0
    }

    pub fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_micros() as i64))
    }

    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(duration.as_micros() as i64))
    }

    /// How much later this is than `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        let micros = self.0.saturating_sub(earlier.0);
        std::time::Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    }
}

/// The first UUIDv7 that may be made in the millisecond of this moment (RFC 9562).
pub fn first_uuid_of(moment: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(moment.as_micros() / 1_000).unwrap_or_default();
    Uuid::from_u128(u128::from(milliseconds) << 80)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000).map_err(|_| fmt::Error)?;
        write!(f, "{:04}-{:02}-{:02}T", at.year(), u8::from(at.month()), at.day())?;
        write!(f, "{:02}:{:02}:{:02}.{:06}Z", at.hour(), at.minute(), at.second(), at.microsecond())
    }
}

/// The text is not an RFC 3339 date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code}: send an RFC 3339 date and time such as \"2026-01-31T12:00:00Z\" (in a URL, write + as %2B)", code = ProblemCode::TimestampMalformed
)]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        // An offset can move a moment of the years that RFC 3339 can write to one that it cannot.
        if !RFC_3339_SECONDS.contains(&at.unix_timestamp()) {
            return Err(TimestampError);
        }
        i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).map(Self).map_err(|_| TimestampError)
    }
}

/// The edge of a period: a moment, or a calendar day, which is a whole day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayOrMoment {
    /// The first moment of it.
    pub begins: Timestamp,
    /// The first moment after the day; for a moment, itself.
    pub ends: Timestamp,
}

/// The text is neither a date nor an RFC 3339 date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code}: send a date such as \"2026-01-31\", or an RFC 3339 date and time such as \
     \"2026-01-31T12:00:00Z\" (in a URL, write + as %2B)", code = ProblemCode::DateMalformed
)]
pub struct DateError;

impl FromStr for DayOrMoment {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        if text.len() != DAY_LENGTH {
            let moment = text.parse().map_err(|_| DateError)?;
            return Ok(Self { begins: moment, ends: moment });
        }
        let day = Date::parse(text, DAY).map_err(|_| DateError)?;
        let begins = day.midnight().assume_utc().unix_timestamp();
        // The last day that RFC 3339 can write ends with the last second that it can.
        let ends = (begins + time::Duration::DAY.whole_seconds()).min(*RFC_3339_SECONDS.end());
        if !RFC_3339_SECONDS.contains(&begins) {
            return Err(DateError);
        }
        Ok(Self { begins: Timestamp(begins * 1_000_000), ends: Timestamp(ends * 1_000_000) })
    }
}

impl<'de> Deserialize<'de> for DayOrMoment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

scalar_schema!(
    Timestamp,
    "RFC 3339, in UTC.",
    string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).examples(["2026-01-31T12:00:00.000000Z"])
);
scalar_schema!(
    DayOrMoment,
    "A date, which is the whole day in UTC, or an RFC 3339 date and time.",
    string().pattern(Some(DAY_OR_MOMENT))
);

/// A regular expression of JSON Schema. It lets a 31st of February pass, and a leap second on any day.
const DAY_OR_MOMENT: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
    ([Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_microseconds_in_utc() {
        assert_eq!(Timestamp::from_micros(1_767_225_600_000_001).to_string(), "2026-01-01T00:00:00.000001Z");
    }

    #[test]
    fn reads_offsets_and_refuses_what_is_no_moment() {
        let noon = "2026-01-31T12:00:00Z".parse::<Timestamp>().expect("a moment");
        assert_eq!("2026-01-31T14:00:00+02:00".parse(), Ok(noon));
        for text in ["", "now", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T12:00:00", "1767225600"] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn moments_that_rfc_3339_cannot_write_in_utc_are_refused() {
        for text in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn a_date_is_a_whole_day_in_utc_and_a_moment_is_itself() {
        let edge = |text: &str| {
            let DayOrMoment { begins, ends } = text.parse().expect("a date or a moment");
            (begins.to_string(), ends.to_string())
        };
        let (begins, ends) = edge("2024-02-29");
        assert_eq!((&*begins, &*ends), ("2024-02-29T00:00:00.000000Z", "2024-03-01T00:00:00.000000Z"));
        let (begins, ends) = edge("2026-01-31T12:00:00+02:00");
        assert_eq!((&*begins, &*ends), ("2026-01-31T10:00:00.000000Z", "2026-01-31T10:00:00.000000Z"));
        assert_eq!(edge("9999-12-31").1, "9999-12-31T23:59:59.000000Z");
        let pattern = regex::Regex::new(DAY_OR_MOMENT).expect("a pattern");
        for text in ["2024-02-29", "2026-01-31T12:00:00+02:00", "2026-01-31t12:00:00.123456z", "9999-12-31"] {
            assert!(pattern.is_match(text) && text.parse::<DayOrMoment>().is_ok(), "{text}");
        }
        for text in ["", "2026", "2026-02-29", "2026-1-31", "31.01.2026", "2026-13-01", "-026-01-01", "+026-01-01"] {
            assert_eq!(text.parse::<DayOrMoment>(), Err(DateError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_date_parser_panic(text in "\\PC{0,12}|[0-9T:+Z-]{0,30}") {
            let _ = text.parse::<DayOrMoment>();
        }

        #[test]
        fn what_is_printed_is_read_back(micros in -62_167_219_200_000_000i64..=253_402_300_799_999_999) {
            let at = Timestamp::from_micros(micros);
            prop_assert_eq!(at.to_string().parse(), Ok(at));
        }
    }
}
