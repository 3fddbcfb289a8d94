//! The rules of single fields that several requests share.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;
use validator::{ValidateEmail, ValidationError};

/// In characters.
pub const MAX_NAME_LENGTH: usize = 100;
pub const MAX_LABEL_LENGTH: usize = 50;
pub const MAX_DESCRIPTION_LENGTH: usize = 140;
/// RFC 5321: a path of 256 octets with its angle brackets.
pub const MAX_EMAIL_LENGTH: usize = 254;

fn refuse(code: &'static str, message: impl Into<Cow<'static, str>>) -> Result<(), ValidationError> {
    Err(ValidationError::new(code).with_message(message.into()))
}

/// Text for people: not blank, no control characters (they break log lines, and PostgreSQL stores no NUL).
fn text(value: &str, max_length: usize, codes: [&'static str; 3]) -> Result<(), ValidationError> {
    let [blank, too_long, control] = codes;
    if value.trim().is_empty() {
        return refuse(blank, "send at least one visible character");
    }
    if value.chars().count() > max_length {
        return refuse(too_long, format!("send at most {max_length} characters"));
    }
    if value.chars().any(char::is_control) {
        return refuse(control, "leave out control characters such as line breaks and NUL");
    }
    Ok(())
}

pub fn name(value: &str) -> Result<(), ValidationError> {
    text(value, MAX_NAME_LENGTH, ["name_blank", "name_too_long", "name_control_characters"])
}

pub fn label(value: &str) -> Result<(), ValidationError> {
    text(value, MAX_LABEL_LENGTH, ["label_blank", "label_too_long", "label_control_characters"])
}

pub fn description(value: &str) -> Result<(), ValidationError> {
    text(value, MAX_DESCRIPTION_LENGTH, ["description_blank", "description_too_long", "description_control_characters"])
}

pub fn search(value: &str) -> Result<(), ValidationError> {
    text(value, MAX_NAME_LENGTH, ["search_blank", "search_too_long", "search_control_characters"])
}

/// What to look for in descriptions.
pub fn description_text(value: &str) -> Result<(), ValidationError> {
    text(value, MAX_DESCRIPTION_LENGTH, ["text_blank", "text_too_long", "text_control_characters"])
}

pub fn reason(value: &str) -> Result<(), ValidationError> {
    text(value, MAX_DESCRIPTION_LENGTH, ["reason_blank", "reason_too_long", "reason_control_characters"])
}

pub fn email(value: &str) -> Result<(), ValidationError> {
    let email = normalize_email(value);
    if email.len() > MAX_EMAIL_LENGTH {
        return refuse("email_too_long", format!("send at most {MAX_EMAIL_LENGTH} characters"));
    }
    if !email.is_ascii() || !email.as_str().validate_email() {
        return refuse("email_malformed", "send an address such as \"ada@example.com\"");
    }
    Ok(())
}

/// Without white space around it.
pub fn trimmed(value: Option<String>) -> Option<String> {
    value.map(|text| text.trim().to_owned())
}

/// A page's size in a query: a number from 1 to `MAX`.
pub fn limit<'de, D: Deserializer<'de>, const MAX: u32>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    let number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
    let refusal = || de::Error::custom(format!("limit_out_of_range: send a number from 1 to {MAX}"));
    number.map(Some).ok_or_else(refusal)
}

/// A user's id in a query.
pub fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map(|UserId(id)| Some(id)).map_err(de::Error::custom)
}

/// One mailbox, one spelling: trimmed and in lower case.
pub fn normalize_email(value: &str) -> String {
    value.trim().to_lowercase()
}

/// Declares types of ids in paths, each with its own words for one that is none.
macro_rules! ids_in_paths {
    ($($name:ident: $what:literal,)*) => {$(
        #[derive(Clone, Copy, Debug)]
        pub struct $name(pub Uuid);

        impl std::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, &'static str> {
                let malformed = |_| concat!("id_malformed: send the id of ", $what, ", a UUID");
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
}
