//! Days and months of the calendar in the bank's time zone. Pure: the rules of all zones are part of the program, so
//! they are the same on every machine.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::timestamp::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub starts: Timestamp,
    /// The first moment after it.
    pub ends: Timestamp,
}

/// The calendar of a time zone. A day has 24 hours, or as many as daylight saving leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar(TimeZone);

/// The text names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("send the IANA name of a time zone, such as UTC or Europe/Berlin")]
pub struct UnknownTimeZone;

impl FromStr for Calendar {
    type Err = UnknownTimeZone;

    fn from_str(name: &str) -> Result<Self, UnknownTimeZone> {
        TimeZoneDatabase::bundled().get(name.trim()).map(Self).map_err(|_| UnknownTimeZone)
    }
}

/// UTC.
impl Default for Calendar {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

/// The name of the zone.
impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl Calendar {
    /// The calendar day that the moment is in.
    pub fn day_of(&self, at: Timestamp) -> Period {
        self.period(at, Date::tomorrow, |date| date)
    }

    /// The calendar month that the moment is in.
    pub fn month_of(&self, at: Timestamp) -> Period {
        self.period(at, |first| first.last_of_month().tomorrow(), Date::first_of_month)
    }

    /// From the start of the date `first(today)` to that of the date `next` of it. A moment that no calendar has counts
    /// as the first of a day.
    fn period(
        &self,
        at: Timestamp,
        next: impl Fn(Date) -> Result<Date, jiff::Error>,
        first: impl Fn(Date) -> Date,
    ) -> Period {
        let period = || -> Result<Period, jiff::Error> {
            let moment = jiff::Timestamp::from_microsecond(at.as_micros())?;
            let first = first(self.0.to_datetime(moment).date());
            Ok(Period { starts: self.start_of(first)?, ends: self.start_of(next(first)?)? })
        };
        period().unwrap_or(Period { starts: at, ends: at.plus(DAY) })
    }

    /// The first moment of the date. Where midnight is skipped, that is later; where it comes twice, the first of both.
    fn start_of(&self, date: Date) -> Result<Timestamp, jiff::Error> {
        let midnight = self.0.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible()?;
        Ok(Timestamp::from_micros(midnight.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calendar(zone: &str) -> Calendar {
        zone.parse().expect("a zone")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    fn hours(period: Period) -> u64 {
        period.ends.since(period.starts).as_secs() / 3_600
    }

    #[test]
    fn days_have_as_many_hours_as_daylight_saving_leaves_them() {
        let berlin = calendar("Europe/Berlin");
        for (noon, length) in [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25), ("2026-07-01T12:00:00Z", 24)]
        {
            assert_eq!(hours(berlin.day_of(at(noon))), length, "{noon}");
        }
        assert_eq!(berlin.day_of(at("2026-03-28T23:00:00Z")).starts, at("2026-03-28T23:00:00Z"));
        assert_eq!(berlin.month_of(at("2026-02-28T23:30:00Z")).starts, at("2026-02-28T23:00:00Z"));
    }

    #[test]
    fn a_day_without_midnight_starts_later() {
        let day = calendar("America/Asuncion").day_of(at("2023-10-01T12:00:00Z"));
        assert_eq!((day.starts, hours(day)), (at("2023-10-01T04:00:00Z"), 23));
    }

    #[test]
    fn zones_are_known_by_name() {
        assert_eq!(calendar("UTC").to_string(), "UTC");
        assert_eq!(calendar(" europe/berlin").to_string(), "Europe/Berlin");
        for wrong in ["", "Berlin", "+02:00", "../etc/passwd", "Europe/Berlin2"] {
            assert_eq!(wrong.parse::<Calendar>(), Err(UnknownTimeZone), "{wrong}");
        }
    }

    proptest! {
        /// Every moment is in one day and in one month, and the next one begins where it ends.
        #[test]
        fn days_and_months_follow_one_another(
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Tokyo",
                "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]),
            second in 0..4_102_444_800_i64,
        ) {
            let calendar = calendar(zone);
            let at = Timestamp::from_micros(second * 1_000_000);
            for of in [Calendar::day_of, Calendar::month_of] {
                let period = of(&calendar, at);
                prop_assert!(period.starts <= at && at < period.ends, "{zone} {at} {period:?}");
                prop_assert_eq!(of(&calendar, period.starts), period);
                prop_assert_eq!(of(&calendar, period.ends).starts, period.ends);
            }
            let (day, month) = (calendar.day_of(at), calendar.month_of(at));
            prop_assert!(month.starts <= day.starts && day.ends <= month.ends);
        }
    }
}
