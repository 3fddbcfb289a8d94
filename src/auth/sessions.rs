//! Refresh tokens, and sessions that ended while their access tokens still run.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::tokens;
use crate::timestamp::Timestamp;

/// A session ends this long after its login, however often it was refreshed.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A session that got no access token for this long has ended too (OWASP ASVS 5.0 7.3.1).
pub const IDLE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// 256 random bits: not to be guessed, so a plain hash is enough to store it.
const REFRESH_TOKEN_BYTES: usize = 32;

/// A fresh refresh token and the hash to keep of it.
pub fn new_refresh_token() -> Result<(String, [u8; 32]), getrandom::Error> {
    let mut bytes = [0; REFRESH_TOKEN_BYTES];
    getrandom::fill(&mut bytes)?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash = refresh_token_hash(&token);
    Ok((token, hash))
}

/// What the database knows a refresh token by.
pub fn refresh_token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Sessions that ended while access tokens of theirs may still run. Those are well signed, so they are looked up here on
/// every request: no database read, and no memory for sessions that are simply alive.
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

    /// Forgets sessions whose tokens have all expired.
    pub fn forget_expired(&self, now: Timestamp) {
        let mut ended = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, until| *until > now);
    }
}
