//! Which version of an account an answer shows: its `ETag`, and the headers that ask for another one or act on this one.
//!
//! The version is the account's sequence, `"17"`. Where something else shows, too, that changes without a new entry (a
//! hold, a freeze, a label, an overdraft, a text that was erased), a hash of that follows: `"17-1f3a09bc5d6e7f80"`. So
//! answers that differ have different tags, and equal ones the same, whichever instance makes them. `as_of`, the time of
//! an answer, does not count.

use std::fmt;

use axum::http::header::ETAG;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, IntoResponses};

use crate::api::http::entity_tags::{IfMatch, IfNoneMatch};
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, json_line};
use crate::api::http::waiting::AboutAccount;
use coffer_core::books::account::{Account, AccountStatus};
use coffer_core::books::tags::Pairs;

/// The first bytes of the SHA-256 of what shows beside the sequence: enough that no two are the same.
const HASH_BYTES: usize = 8;

/// What 412 is described as.
pub const MOVED_ON: &str = "The account has another sequence than `If-Match` says: nothing was booked";

/// The version of an answer about an account. Prints as its tag, with the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    sequence: i64,
    /// None where the sequence says everything.
    beside: Option<[u8; HASH_BYTES]>,
}

impl Version {
    /// Of an account with what is noted on it.
    pub fn of_account(account: &Account, metadata: &Pairs) -> Self {
        let Account { status, label, overdraft_limit, sequence, reserved, alert_below, notify_above, .. } = account;
        let is_usual = (*status, *overdraft_limit, *reserved, *alert_below, *notify_above)
            == (AccountStatus::Open, 0, 0, None, None);
        // Debug quotes the texts, in which anything may stand.
        let beside =
            format!("{status:?} {overdraft_limit} {reserved} {alert_below:?} {notify_above:?} {label:?} {metadata:?}");
        Self::new(*sequence, is_usual && label.is_none() && metadata.is_empty(), beside.as_bytes())
    }

    pub fn of_balance(account: &Account) -> Self {
        let Account { overdraft_limit, sequence, reserved, .. } = account;
        let is_plain = (*overdraft_limit, *reserved) == (0, 0);
        Self::new(*sequence, is_plain, format!("{overdraft_limit} {reserved}").as_bytes())
    }

    /// Of the first page of a history. It `is_plain` when it has nothing but the newest entries as they were booked.
    pub fn of_page(sequence: i64, is_plain: bool, page: &impl Serialize) -> Result<Self> {
        let body = if is_plain { Ok(Vec::new()) } else { json_line(page) };
        let body = body.map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self::new(sequence, is_plain, &body))
    }

    fn new(sequence: i64, is_plain: bool, beside: &[u8]) -> Self {
        let hash = || Sha256::digest(beside).first_chunk().copied();
        Self { sequence, beside: if is_plain { None } else { hash() } }
    }

    /// 200 with the body and its tag, or 304 when the client has this version.
    pub fn answer(self, account: &Account, known: &IfNoneMatch, body: impl Serialize) -> Response {
        let tag = self.to_string();
        let mut answer =
            if known.names(&tag) { StatusCode::NOT_MODIFIED.into_response() } else { Json::<_>(body).into_response() };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.headers_mut().insert(ETAG, tag);
        }
        if known.is_sent() {
            answer.extensions_mut().insert(AboutAccount::new(account));
        }
        answer
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.beside {
            None => write!(f, "\"{}\"", self.sequence),
            Some(hash) => write!(f, "\"{}-{}\"", self.sequence, hex::encode(hash)),
        }
    }
}

/// The sequences that an account may have for a command to be carried out; None for any. A tag counts by its sequence,
/// whatever follows that: what it says beside is no matter of the balance. One that no account ever had matches none.
pub fn expected_sequences(IfMatch(tags): IfMatch) -> Option<Box<[i64]>> {
    Some(tags?.iter().filter_map(|tag| sequence_in(tag)).collect())
}

fn sequence_in(tag: &str) -> Option<i64> {
    let digits = tag.split('-').next().unwrap_or_default();
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| is_canonical)
}

/// The answer would be the one that the client has
#[derive(IntoResponses)]
#[response(status = NOT_MODIFIED, headers(
    ("ETag" = String, description = "The version, which is the one that the client has"),
    ("Preference-Applied" = Option<String>, description = "For how long the answer has waited, if that was asked for")
))]
pub struct NotModified;

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the headers for the OpenAPI document; others read them")]
pub struct ConditionalHeaders {
    /// The `ETag` of the answer that the client has: if it would be the same, the answer is 304 and has no body.
    #[param(rename = "If-None-Match", required = false, example = "\"17\"")]
    if_none_match: String,
    /// `wait=25`, with `If-None-Match` (RFC 7240): the answer comes as soon as it is another one, or after so many seconds,
    /// 25 at most. Other preferences are ignored.
    #[param(rename = "Prefer", required = false, example = "wait=25")]
    prefer: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header for the OpenAPI document; extract::IfMatch reads it")]
pub struct IfMatchHeader {
    /// The `ETag` of the account acted on, or of its balance or history. If the account has another sequence by the time
    /// the bank decides, nothing is booked and the answer is 412. What follows the sequence in a tag does not count, and a
    /// weak tag matches nothing. `*` is any sequence.
    #[param(
        rename = "If-Match",
        required = false,
        pattern = r#"^[ \t,]*(\*|(W/)?"[!#-~]*"([ \t]*,[ \t,]*(W/)?"[!#-~]*")*)[ \t,]*$"#
    )]
    if_match: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_count_by_their_sequence() {
        let sequences = |tags: &[&str]| {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            expected_sequences(IfMatch(Some(tags))).map(Vec::from)
        };
        assert_eq!(sequences(&["17", "18-1f3a09bc", "0", "19-gzip"]), Some(vec![17, 18, 0, 19]));
        let nonsense = ["", "-", "-17", "+17", "017", "00", "1.0", "x", "17x", "99999999999999999999", "١٧"];
        assert_eq!(sequences(&nonsense), Some(Vec::new()));
        assert_eq!(expected_sequences(IfMatch(None)), None);
    }

    proptest! {
        #[test]
        fn a_version_reads_back_as_its_sequence(sequence in 0..i64::MAX, beside in prop::option::of(any::<[u8; 8]>())) {
            let tag = Version { sequence, beside }.to_string();
            prop_assert_eq!(sequence_in(tag.trim_matches('"')), Some(sequence));
        }

        #[test]
        fn no_tag_makes_the_parser_panic(tag in "\\PC*") {
            let _ = sequence_in(&tag);
        }
    }
}
