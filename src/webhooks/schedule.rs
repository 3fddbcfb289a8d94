//! When a delivery is tried again.

use std::time::{Duration, SystemTime};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// How long after each attempt the next one follows (Standard Webhooks, "Deliverability and reliability").
const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];

/// Up to so much of a pause is added to it, at random: what failed together must not come back together.
const JITTER: f64 = 0.2;

/// The longest that a receiver may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * HOUR);

/// How long to wait after so many attempts, of which the last failed; None when that was the last of all. `chance` is
/// from 0 to 1, and `retry_after` what the receiver has asked for.
pub fn pause_after(attempts: u32, retry_after: Option<Duration>, chance: f64) -> Option<Duration> {
    let pause = *PAUSES.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
    let scheduled = pause.mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0));
    Some(retry_after.map_or(scheduled, |asked| asked.min(LONGEST_WAIT).max(scheduled)))
}

/// What a receiver means by `Retry-After`: seconds, or a moment (RFC 9110, section 10.2.3). None for anything else.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time, too.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let moment = httpdate::parse_http_date(value).ok()?;
    Some(moment.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_within_four_days_and_no_more() {
        let pauses = |chance| (1..20).map_while(move |attempts| pause_after(attempts, None, chance));
        assert_eq!(pauses(0.0).collect::<Vec<_>>(), PAUSES);
        let [shortest, longest] = [0.0, 1.0].map(|chance| pauses(chance).sum::<Duration>());
        assert!(longest > shortest && longest < Duration::from_secs(4 * 24 * HOUR));
        assert_eq!(pause_after(0, None, 0.5), None);
        assert_eq!(pause_after(10, Some(Duration::from_secs(1)), 0.5), None);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_and_not_for_less() {
        let hour = Duration::from_secs(HOUR);
        assert_eq!(pause_after(1, Some(hour), 0.0), Some(hour));
        assert_eq!(pause_after(4, Some(hour), 0.0), Some(2 * hour));
        assert_eq!(pause_after(1, Some(Duration::from_secs(u64::MAX)), 1.0), Some(LONGEST_WAIT));
    }

    #[test]
    fn retry_after_is_seconds_or_a_moment() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let at = |value| retry_after(value, now);
        assert_eq!(at("120"), Some(Duration::from_secs(120)));
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(at("Sun, 06 Nov 1994 08:49:07 GMT"), Some(Duration::ZERO));
        assert_eq!(at("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        for nothing in ["", "-1", "1.5", "soon", " 3"] {
            assert_eq!(at(nothing), None, "{nothing:?}");
        }
    }
}
