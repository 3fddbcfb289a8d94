//! Cursors: where a page ended, opaque to clients so that what they hold may change.

use std::borrow::Cow;

use base64::alphabet::URL_SAFE;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;
use base64::{DecodeError, Engine};

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

use crate::api::http::error::Error;
use crate::api::http::problem::FieldError;
use coffer_core::account_number::AccountNumber;
use coffer_core::problem_code::ProblemCode;
use coffer_core::schema::{scalar_schema, string};

/// 16 bytes make 22 characters with 4 bits to spare; whatever those say, the cursor is the same.
const ENCODING: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// The last row of a page: an account in a list of accounts, an entry in an account's history, a user, a record. It may
/// come from anyone, so it names a place and gives no right to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub account_number: i64,
    /// 0 in a list of accounts.
    pub sequence: i64,
}

impl Cursor {
    pub fn at_account(number: AccountNumber) -> Self {
        Self::at_entry(number, 0)
    }

    pub fn at_entry(number: AccountNumber, sequence: i64) -> Self {
        Self { account_number: number.as_i64(), sequence }
    }

    /// A row of a list by id.
    pub fn at_id(id: Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        Self { account_number: high as i64, sequence: low as i64 }
    }

    /// A record of the audit log, in a list that `tag` stands for.
    pub fn at_record(tag: i64, sequence: i64) -> Self {
        Self { account_number: tag, sequence }
    }

    /// The list that a record's cursor belongs to.
    pub fn tag(self) -> i64 {
        self.account_number
    }

    pub fn id(self) -> Uuid {
        Uuid::from_u64_pair(self.account_number as u64, self.sequence as u64)
    }

    pub fn encode(self) -> String {
        ENCODING.encode([self.account_number.to_be_bytes(), self.sequence.to_be_bytes()].concat())
    }

    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = ENCODING
            .decode(text)
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).map_err(|bytes| DecodeError::InvalidLength(bytes.len())));
        let both = u128::from_be_bytes(bytes.map_err(|_| CursorError)?);
        Ok(Self { account_number: (both >> 64) as i64, sequence: both as i64 })
    }
}

/// The text is no cursor of ours, or of another list. Prints as `code: what to send instead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code}: send the next_cursor of a page of the same list, unchanged; leave it out to start over",
    code = ProblemCode::CursorInvalid
)]
pub struct CursorError;

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(&Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

scalar_schema!(Cursor, "`next_cursor` of the page before.", string().pattern(Some("^[A-Za-z0-9_-]{22}$")));

/// The cursor of another list.
pub fn invalid() -> Error {
    Error::Invalid(vec![FieldError::coded("?cursor", &CursorError.to_string())])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back(account_number: i64, sequence: i64) {
            let cursor = Cursor { account_number, sequence };
            let text = cursor.encode();
            prop_assert_eq!(text.len(), 22);
            prop_assert_eq!(Cursor::decode(&text).ok(), Some(cursor));
        }

        #[test]
        fn no_text_makes_the_cursor_parser_panic(text in "\\PC*|[A-Za-z0-9_-]{0,40}") {
            prop_assert_eq!(Cursor::decode(&text).is_ok(), text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        }
    }
}
