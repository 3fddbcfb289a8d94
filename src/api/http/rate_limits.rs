//! Limits of how often, in words and headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use coffer_core::limits::{Allowance, Policy};
use coffer_core::problem_code::ProblemCode;

pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The name of the limit in headers.
fn name_of(policy: Policy) -> &'static str {
    match policy {
        Policy::Address => "address",
        Policy::Caller => "caller",
        Policy::Probes => "probes",
        Policy::Metrics => "metrics",
        Policy::Changes => "changes",
        Policy::Looks => "looks",
        Policy::NameChecks => "name-checks",
        Policy::SignUps => "sign-up",
        Policy::Resets => "password-resets",
        Policy::AddressChecks => "address-checks",
        Policy::Guesses => "sign-in",
        Policy::Codes => "second-factor",
        Policy::SignIns => "sessions",
        Policy::Openings => "openings-day",
        Policy::Movements => "movements",
        Policy::MovementsOfDay => "movements-day",
    }
}

/// The code of a refusal by this limit, and what to do.
pub(super) fn words_of(policy: Policy) -> (ProblemCode, &'static str) {
    match policy {
        Policy::Address | Policy::Probes | Policy::Metrics => {
            (ProblemCode::TooManyRequests, "Too many requests from this address. Wait as long as Retry-After says.")
        }
        Policy::Caller => (ProblemCode::TooManyRequests, "Too many requests. Wait as long as Retry-After says."),
        Policy::Changes => (
            ProblemCode::TooManyChanges,
            "You have changed more in a day than the bank takes from one caller. Wait as long as Retry-After says; \
             movements, signing out and what is only read have their own limits.",
        ),
        Policy::Looks => (
            ProblemCode::TooManyRequests,
            "You have looked at more people and accounts in a day than the bank keeps records of. Wait as long as \
             Retry-After says.",
        ),
        Policy::NameChecks => (
            ProblemCode::TooManyNameChecks,
            "You have had as many names checked in an hour as one may. Wait as long as Retry-After says.",
        ),
        Policy::SignUps => {
            (ProblemCode::TooManySignUps, "Too many new customers from this network. Wait as long as Retry-After says.")
        }
        Policy::Resets => (
            ProblemCode::TooManyMails,
            "Too many links to set a password were asked for from this network. Wait as long as Retry-After says.",
        ),
        Policy::AddressChecks => (
            ProblemCode::TooManyMails,
            "You have been sent as many links in an hour as one may. Look for the last one, or wait as long as Retry-After \
             says.",
        ),
        Policy::Guesses => {
            (ProblemCode::TooManySignIns, "Too many wrong passwords. Wait as long as Retry-After says, then try again.")
        }
        Policy::Codes => {
            (ProblemCode::TooManyCodes, "Too many wrong codes. Wait as long as Retry-After says, then try again.")
        }
        Policy::SignIns => (
            ProblemCode::TooManySignIns,
            "You have signed in too often. Keep the session and renew its tokens with POST /refresh.",
        ),
        Policy::Openings => (
            ProblemCode::TooManyOpenings,
            "You have opened as many accounts in 24 hours as one may. Wait as long as Retry-After says.",
        ),
        Policy::Movements => (
            ProblemCode::TooManyMovements,
            "You have had more movements booked in a short time than the bank takes from one caller. Nothing was booked \
             now: wait as long as Retry-After says, or send fewer at once.",
        ),
        Policy::MovementsOfDay => (
            ProblemCode::TooManyMovements,
            "You have had more movements booked in a day than the bank takes from one caller. Nothing was booked now: \
             wait as long as Retry-After says, or send fewer at once.",
        ),
    }
}

/// The headers of draft-ietf-httpapi-ratelimit-headers-10: which limit there is, and what is left of it.
pub fn tell_allowance(headers: &mut HeaderMap, policy: Policy, allowance: Allowance) {
    let Allowance { quota, remaining, reset } = allowance;
    let policy = name_of(policy);
    let window = (quota.interval * quota.burst).as_secs_f64().ceil();
    let left = format!("\"{policy}\";r={remaining};t={}", reset.as_secs_f64().ceil());
    for (name, value) in [(RATE_LIMIT_POLICY, format!("\"{policy}\";q={};w={window}", quota.burst)), (RATE_LIMIT, left)]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}
