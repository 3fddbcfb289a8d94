//! The rules of single fields that several requests share.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;
use validator::ValidationError;

use crate::email;
use coffer_core::problem_code::ProblemCode;
use coffer_core::schema::{scalar_schema, string};

/// A user's id in a query.
pub fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map(|UserId(id)| Some(id)).map_err(de::Error::custom)
}

/// An API key's id in a query.
pub fn api_key_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map(|ApiKeyId(id)| Some(id)).map_err(de::Error::custom)
}

/// An event's id in a query.
pub fn event_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map(|EventId(id)| Some(id)).map_err(de::Error::custom)
}

/// A field that may be null on purpose: None when it was left out, `Some(None)` for null.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// An amount in whole units of whatever currency it is compared with: `"500"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeUnits(pub i64);

scalar_schema!(
    WholeUnits,
    "Whole units of a currency, as a string.",
    string().pattern(Some("^(0|[1-9][0-9]{0,12})$")).examples(["500"])
);

/// The most digits of whole units: more than any account can hold.
const MAX_WHOLE_UNITS_DIGITS: usize = 13;

impl Serialize for WholeUnits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WholeUnits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let malformed = || {
            let code = ProblemCode::WholeUnitsMalformed;
            de::Error::custom(format!(
                "{code}: send whole units as a JSON string of at most 13 digits, such as \"500\""
            ))
        };
        let serde_json::Value::String(text) = serde_json::Value::deserialize(deserializer)? else {
            return Err(malformed());
        };
        let is_number = (1..=MAX_WHOLE_UNITS_DIGITS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        text.parse().ok().filter(|_| is_number).map(Self).ok_or_else(malformed)
    }
}

/// Declares types of ids in paths, each with its own words for one that is none.
macro_rules! ids_in_paths {
    ($($name:ident: $what:literal,)*) => {$(
        #[derive(Clone, Copy, Debug)]
        pub struct $name(pub Uuid);

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let malformed = |_| format!("{}: send the id of {}, a UUID", ProblemCode::IdMalformed, $what);
                Uuid::try_parse(text).map(Self).map_err(malformed)
            }
        }
    )*};
}

ids_in_paths! {
    UserId: "a user",
    SessionId: "a session",
    TransactionId: "a movement",
    ApprovalId: "an approval",
    HoldId: "a hold",
    ApiKeyId: "an API key",
    EventId: "an event",
    PayeeId: "a payee",
    WebhookId: "a webhook",
}

/// In characters: a recovery code with room for what people write between its parts.
pub const MAX_CODE_LENGTH: usize = 64;

/// Whether a code of a second factor is worth looking at.
pub fn code_length(code: &str) -> Result<(), ValidationError> {
    at_most(MAX_CODE_LENGTH, code, ProblemCode::CodeTooLong, "a code")
}

/// Whether what somebody typed for an address is worth looking at. It may be anything: people type passwords there,
/// too.
pub fn email_length(text: &str) -> Result<(), ValidationError> {
    at_most(email::MAX_LENGTH, text, ProblemCode::EmailTooLong, "an address")
}

fn at_most(max: usize, text: &str, code: ProblemCode, what: &str) -> Result<(), ValidationError> {
    if text.chars().count() <= max {
        return Ok(());
    }
    let detail = format!("{what} has at most {max} characters");
    Err(ValidationError::new(code.name()).with_message(detail.into()))
}
