//! E-mail addresses: one mailbox, one spelling.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use validator::ValidateEmail;

use utoipa::openapi::schema::{KnownFormat, SchemaFormat};

use coffer_core::problem_code::ProblemCode;
use coffer_core::schema::{scalar_schema, string};

/// RFC 5321: a path of 256 octets with its angle brackets.
pub const MAX_LENGTH: usize = 254;

/// An address in ASCII, trimmed and in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// The text is no address. Prints as `code: what to send instead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    #[error("{code}: send at most {MAX_LENGTH} characters", code = ProblemCode::EmailTooLong)]
    TooLong,
    #[error("{code}: send an address such as \"ada@example.com\"", code = ProblemCode::EmailMalformed)]
    Malformed,
}

impl Email {
    /// Looks at the characters before it changes any: the lower case of the Kelvin sign, U+212A, is an ASCII `k`, and
    /// with it one would sign in as somebody else.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.len() > MAX_LENGTH {
            return Err(EmailError::TooLong);
        }
        if !text.is_ascii() || !text.validate_email() {
            return Err(EmailError::Malformed);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

scalar_schema!(
    Email,
    "An e-mail address.",
    string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
        .max_length(Some(MAX_LENGTH))
        .examples(["ada@example.com"])
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_mailbox_has_one_spelling() {
        let parsed = |text| Email::parse(text).map(String::from);
        assert_eq!(parsed(" Ada@Example.COM "), Ok("ada@example.com".to_owned()));
        for lookalike in ["\u{212a}ate@example.com", "ada@e\u{17f}ample.com", "ada@ex\u{e4}mple.com", "ﬁ@example.com"]
        {
            assert_eq!(parsed(lookalike), Err(EmailError::Malformed), "{lookalike}");
        }
        assert_eq!(parsed(&format!("{}@example.com", "x".repeat(250))), Err(EmailError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_ascii_and_parses_to_itself(text in "\\PC{0,20}@\\PC{0,20}|[A-Za-z\u{212a}\u{130}.]{1,8}@[A-Za-z\u{212a}.]{1,12}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.as_str().is_ascii());
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
            }
        }
    }
}
