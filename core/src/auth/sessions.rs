//! Refresh tokens, and sessions that ended while their access tokens still run.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::tokens;
use crate::db::sessions::TokenHashes;
use crate::timestamp::Timestamp;

/// A session ends this long after its login, however often it was refreshed.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A session that got no access token for this long has ended too (OWASP ASVS 5.0 7.3.1).
pub const IDLE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The most living sessions of one user. A person has a few devices; a program that signs in for each request and never
/// signs out must not fill the database.
pub const MAX_LIVING: i64 = 100;
/// The ended sessions of one user that stay stored, for those who look into what happened. Older ones are deleted at
/// the next sign-in.
pub const MAX_ENDED: i64 = 1_000;

const ID_BYTES: usize = 16;
const FAMILY_BYTES: usize = 16;
const NONCE_BYTES: usize = 32;

/// A refresh token: the session's id, a secret that all tokens of the session share, and one of its own. Both are
/// random and not to be guessed, so plain hashes are enough to store (OWASP ASVS 5.0 7.2.3).
///
/// The shared secret shows that whoever sends an older token once held one of this session. Without it anybody who has
/// seen the id, which is no secret, could end the session by making up a token.
#[derive(Clone, Copy)]
pub struct RefreshToken {
    pub session_id: Uuid,
    family: [u8; FAMILY_BYTES],
    nonce: [u8; NONCE_BYTES],
}

impl RefreshToken {
    /// The first token of a session.
    pub fn first(session_id: Uuid) -> Result<Self, getrandom::Error> {
        let mut family = [0; FAMILY_BYTES];
        getrandom::fill(&mut family)?;
        Self { session_id, family, nonce: [0; NONCE_BYTES] }.next()
    }

    /// The one that takes its place.
    pub fn next(self) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        Ok(Self { nonce, ..self })
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (id, secrets) = bytes.split_at_checked(ID_BYTES)?;
        let (family, nonce) = secrets.split_at_checked(FAMILY_BYTES)?;
        let session_id = Uuid::from_slice(id).ok()?;
        Some(Self { session_id, family: family.try_into().ok()?, nonce: nonce.try_into().ok()? })
    }

    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode([&self.session_id.as_bytes()[..], &self.family, &self.nonce].concat())
    }

    /// The hashes by which the database finds this token.
    pub fn hashes(&self) -> TokenHashes {
        TokenHashes {
            session_id: self.session_id,
            family: Sha256::digest(self.family).into(),
            token: Sha256::new().chain_update(self.family).chain_update(self.nonce).finalize().into(),
        }
    }
}

/// Sessions that ended while access tokens of theirs may still run. Those are well signed, so they are looked up here
/// on every request: no database read, and no memory for sessions that are simply alive.
#[derive(Default)]
pub struct EndedSessions(RwLock<HashMap<Uuid, Timestamp>>);

impl EndedSessions {
    pub fn contains(&self, session_id: Uuid) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&session_id)
    }

    /// Adds sessions that got their last access token at `last_used_at` or before.
    pub fn add(&self, session_ids: impl IntoIterator<Item = Uuid>, last_used_at: Timestamp) {
        let until = last_used_at.plus(tokens::LONGEST_LIFE);
        let mut ended = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for id in session_ids {
            let known = ended.entry(id).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// Drops sessions whose tokens have all expired.
    pub fn drop_expired(&self, now: Timestamp) {
        let mut ended = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_reads_back_and_its_successor_is_of_the_same_family() {
        let first = RefreshToken::first(Uuid::now_v7()).expect("random numbers");
        let next = RefreshToken::parse(&first.encode()).and_then(|token| token.next().ok()).expect("a token");
        let (next, first) = (next.hashes(), first.hashes());
        assert_eq!((next.session_id, next.family), (first.session_id, first.family));
        assert_ne!(next.token, first.token);
        let other = RefreshToken::first(first.session_id).expect("random numbers");
        assert_ne!(other.hashes().family, first.family);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_refresh_token_parser_panic(text in "\\PC*|[A-Za-z0-9_-]{80,90}") {
            if let Some(token) = RefreshToken::parse(&text) {
                prop_assert_eq!(token.encode(), text);
            }
        }
    }
}
