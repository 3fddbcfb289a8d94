//! Values of settings, and what to send in place of a wrong one.

use std::ffi::OsStr;
use std::fmt::Display;
use std::ops::RangeInclusive;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};
use lettre::message::Mailbox;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::api::people::sign_up::SignUp;
use crate::log_lines::LogFormat;
use crate::web_origin;
use coffer_core::db::Checkpoints;
use coffer_core::db::users::Role;

/// Words that stand for values, in any case. Help and the completions of a shell have the first word for each value.
#[derive(Clone, Copy, Debug)]
pub struct Words<T: 'static>(&'static [(&'static str, T)]);

/// Yes or no, in the words of all the places that settings come from.
pub const BOOLEAN: Words<bool> = Words(&[
    ("true", true),
    ("1", true),
    ("yes", true),
    ("on", true),
    ("false", false),
    ("0", false),
    ("no", false),
    ("off", false),
]);
pub const WRITE_EVENTS: Words<WriteEvents> = Words(&[("wanted", WriteEvents::Wanted), ("always", WriteEvents::Always)]);
/// Which program makes the checkpoints of SQLite's write-ahead log.
pub const CHECKPOINTS: Words<Checkpoints> =
    Words(&[("coffer", Checkpoints::Coffer), ("external", Checkpoints::External)]);
/// The people who may make somebody a customer.
pub const SIGN_UP: Words<SignUp> = Words(&[("open", SignUp::Open), ("staff", SignUp::Staff)]);
pub const LOG_FORMAT: Words<LogFormat> =
    Words(&[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)]);
pub const ROLE: Words<Role> =
    Words(&[("customer", Role::Customer), ("staff", Role::Staff), ("admin", Role::Admin), ("auditor", Role::Auditor)]);

impl<T: Copy + PartialEq> Words<T> {
    fn parse(self, text: &str) -> Result<T, String> {
        let word = text.trim().to_ascii_lowercase();
        let found = self.0.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        found.ok_or_else(|| format!("send {}", in_words(&self.shown())))
    }

    fn shown(self) -> Vec<&'static str> {
        let is_first = |place: usize, value: T| self.0[..place].iter().all(|(_, earlier)| *earlier != value);
        let shown = self.0.iter().enumerate().filter(|(place, (_, value))| is_first(*place, *value));
        shown.map(|(_, (name, _))| *name).collect()
    }
}

/// Such as "auto, text or json".
fn in_words(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

impl<T: Copy + PartialEq + Send + Sync> TypedValueParser for Words<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let words = *self;
        let parse = move |text: &str| words.parse(text);
        parse.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.shown().into_iter().map(PossibleValue::new)))
    }
}

/// A number with one of these units behind it, in any case, which stand for so many of something. Only 0 needs none.
pub fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start().to_ascii_lowercase();
    if number == 0 && unit.is_empty() {
        return Some(0);
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// When events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteEvents {
    /// While somebody listens, and for a day after.
    #[default]
    Wanted,
    Always,
}

/// A sender, with or without a name.
pub fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.trim()
        .parse()
        .map_err(|_| "send an address such as \"Coffer <bank@example.org>\" or bank@example.org".to_owned())
}

/// Where a browser finds the web app: scheme, host and port.
pub fn public_url(text: &str) -> Result<String, String> {
    let address = web_origin::canonical(text).ok().filter(|origin| origin.starts_with("http"));
    address.ok_or_else(|| "send scheme and host alone, such as https://bank.example".to_owned())
}

/// A whole number in this range.
pub fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64> + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_number { text.parse::<u64>().ok() } else { None };
        let number = number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number));
        number.ok_or_else(|| format!("send a whole number from {} to {}, in digits alone", range.start(), range.end()))
    }
}

/// A level, or a list of `target=level`. A word that is neither would be taken for the name of a target, and nothing
/// else would be logged.
pub fn log_filter(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let hint = "send error, warn, info, debug, trace or off, or a filter such as coffer=debug,sqlx=warn";
    for part in &parts {
        let (target, level) = part.split_once('=').map_or((None, *part), |(target, level)| (Some(target), level));
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(format!("{level:?} is not a level; {hint}"));
        }
        if let Some(target) = target.filter(|target| !is_log_target(target)) {
            return Err(format!("{target:?} is not a target; {hint}"));
        }
    }
    let filter = parts.join(",");
    match filter.parse::<Targets>() {
        Ok(_) if !filter.is_empty() => Ok(filter),
        _ => Err(hint.to_owned()),
    }
}

/// A path in Rust, or what a crate has put in its place.
fn is_log_target(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|sign| sign.is_alphanumeric() || "_-:".contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_have_many_names() {
        for text in ["true", "TRUE", "1", "yes", "On", " true "] {
            assert_eq!(BOOLEAN.parse(text), Ok(true), "{text}");
        }
        for text in ["false", "False", "0", "no", "OFF"] {
            assert_eq!(BOOLEAN.parse(text), Ok(false), "{text}");
        }
        for text in ["", "perhaps", "2", "t", "enabled", "\"true\""] {
            assert_eq!(BOOLEAN.parse(text), Err("send true or false".to_owned()), "{text}");
        }
    }

    #[test]
    fn senders_and_addresses_of_the_bank_are_whole() {
        for (text, written) in
            [("bank@example.org", "bank@example.org"), (" Coffer <bank@example.org> ", "Coffer <bank@example.org>")]
        {
            assert_eq!(mailbox(text).map(|sender| sender.to_string()).as_deref(), Ok(written), "{text}");
        }
        for text in ["", "Coffer", "bank@", "Coffer <bank@example.org>\r\nBcc: <eve@example.com>"] {
            assert!(mailbox(text).is_err(), "{text}");
        }
        assert_eq!(public_url("https://Bank.example/").as_deref(), Ok("https://bank.example"));
        assert_eq!(public_url("http://localhost:8080").as_deref(), Ok("http://localhost:8080"));
        for text in ["", "bank.example", "https://bank.example/app", "ftp://bank.example", "app://bank"] {
            assert!(public_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_name_their_range() {
        let rate = number(0..=1_000_u32);
        assert_eq!((rate("0"), rate(" 1000 ")), (Ok(0), Ok(1_000)));
        for text in ["", "1001", "-1", "+1", "1e3", "1_000", "1,000", "1.0", "ten", "99999999999999999999"] {
            assert_eq!(rate(text), Err("send a whole number from 0 to 1000, in digits alone".to_owned()), "{text}");
        }
    }

    #[test]
    fn a_log_filter_has_levels() {
        for text in ["info", "INFO", "off", "info,sqlx=warn", "info, sqlx=warn,", "coffer::api=trace"] {
            assert!(log_filter(text).is_ok(), "{text}");
        }
        for text in [
            "",
            ",",
            "verbose",
            "coffer",
            "info,verbose",
            "coffer=verbose",
            "coffer=",
            "=loud=",
            "debug info",
            "[request]",
            "[request]=debug",
            "[request{id=1}]=debug",
            "coffer[request]=debug",
            "coffer[{id}]=debug",
            "=debug",
            "*=debug",
            "\"coffer\"=debug",
        ] {
            let error = log_filter(text).expect_err(text);
            assert!(error.contains("send error, warn, info"), "{text}: {error}");
        }
        assert_eq!(log_filter("info, sqlx=warn"), Ok("info,sqlx=warn".to_owned()));
    }
}
