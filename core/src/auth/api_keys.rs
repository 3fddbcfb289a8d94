//! API keys: their secrets, and the keys in use, which are kept in memory so that no request reads the database.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::tokens;
use crate::account_number::AccountNumber;
use crate::api_key::{BoundAccounts, MAX_ACCOUNTS, MAX_LIVING, Networks, Scope, Scopes};
use crate::books::audit_event::Event;
use crate::clock;
use crate::db::api_keys::{ApiKey, FoundApiKey, SecretHash};
use crate::db::users::Role;
use crate::db::{Db, Tx};
use crate::text::ApiKeyName;
use crate::timestamp::Timestamp;

/// What every secret begins with, so that people and scanners know one when they see it.
pub const PREFIX: &str = "coffer_";
/// 256 random bits: not to be guessed, so a plain hash is enough to store (OWASP ASVS 5.0 11.4.1).
const SECRET_BYTES: usize = 32;
/// How many characters at the end of a secret tell people which it is.
const HINT_LENGTH: usize = 4;
/// How long the former secret of a key counts after a rotation, unless its owner says otherwise.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that it may count.
pub const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A key in memory is read again after this long, like an access token that is renewed: so the two know equally late
/// what no instance has told them.
const READ_AGAIN_AFTER: Duration = tokens::LIFETIME;
/// The keys that are kept in memory, of some 500 bytes each. Others are read for each request.
const MAX_KNOWN: usize = 100_000;
/// How exactly it is stored when a key was used.
const USE_GRAIN: Duration = Duration::from_secs(60);
/// Keys whose uses are stored by one tick of housekeeping: some 10 ms of SQLite's write lock.
const USES_STORED_AT_ONCE: usize = 50;
/// The same when the bank closes, which waits for it.
const USES_STORED_AT_THE_END: usize = 10_000;

/// The secret of a key. Never printed, but when it is made.
#[derive(Clone, Debug)]
pub struct ApiKeySecret(SecretString);

impl ApiKeySecret {
    /// A new random one.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(format!("{PREFIX}{digits}").into()))
    }

    /// None for a text that is no such secret: an access token, say.
    pub fn parse(text: &str) -> Option<Self> {
        text.starts_with(PREFIX).then(|| Self(text.into()))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// By which the database finds the key.
    pub fn hash(&self) -> SecretHash {
        SecretHash { hash: Sha256::digest(self.expose()).into() }
    }

    /// Its last characters.
    pub fn hint(&self) -> &str {
        let text = self.expose();
        &text[text.len().saturating_sub(HINT_LENGTH)..]
    }
}

/// A key that is to be created.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub name: ApiKeyName,
    pub scopes: Scopes,
    /// None for any.
    pub accounts: Option<Vec<AccountNumber>>,
    /// In whole units of each currency.
    pub per_day: Option<i64>,
    /// None for any.
    pub networks: Networks,
    pub expires_at: Option<Timestamp>,
}

/// Why a key was not created, or not given another secret.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    #[error("the user has left the bank")]
    UserHasLeft,
    #[error("there is no such living key")]
    NotFound,
    #[error("leave out the scope staff: it is for those who work at the bank")]
    ScopeAboveRole,
    #[error("leave it out: a key with the scope staff is for any account")]
    StaffScopeWithAccounts,
    #[error("name at most {MAX_ACCOUNTS} accounts, or none for any")]
    TooManyAccounts,
    #[error("name one of the user's own accounts, or none for any")]
    AccountNotFound { index: usize },
    #[error("send a moment that is still to come, or none for a key that does not expire")]
    ExpiresInThePast,
    #[error("the user has {MAX_LIVING} keys, which is the most: revoke one that is not used")]
    TooMany,
    #[error("there are no random numbers: {0}")]
    NoRandomNumbers(#[from] getrandom::Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A key with its secret, which nobody is shown a second time. It counts once the transaction is committed.
pub struct Uncommitted {
    pub tx: Tx<'static>,
    pub key: ApiKey,
    pub secret: ApiKeySecret,
}

impl NewApiKey {
    /// Creates the key for this user. `event` goes into the audit log; what the key may do is added to it.
    pub async fn create(self, db: &Db, user_id: Uuid, event: Event) -> Result<Uncommitted, ApiKeyError> {
        let now = Timestamp::now();
        if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(ApiKeyError::ExpiresInThePast);
        }
        let accounts = self.bound_accounts(db, user_id).await?;
        let secret = ApiKeySecret::generate()?;
        let mut tx = db.begin().await?;
        let user = tx.lock_user(user_id).await?.ok_or(ApiKeyError::UserHasLeft)?;
        if self.scopes.include(Scope::Staff) && user.role == Role::Customer {
            return Err(ApiKeyError::ScopeAboveRole);
        }
        if tx.count_api_keys(user_id, now).await? >= MAX_LIVING {
            return Err(ApiKeyError::TooMany);
        }
        let key = ApiKey {
            id: Uuid::now_v7(),
            user_id,
            name: self.name.into(),
            hint: secret.hint().to_owned(),
            scopes: self.scopes,
            accounts,
            per_day: self.per_day,
            networks: self.networks,
            created_at: now,
            expires_at: self.expires_at,
            last_used_at: None,
            former_until: None,
        };
        tx.insert_api_key(&key, &secret.hash()).await?;
        tx.append_to_audit_log(&[event.on(key.id).about(user_id).detail(key.in_words())]).await?;
        Ok(Uncommitted { tx, key, secret })
    }

    async fn bound_accounts(&self, db: &Db, user_id: Uuid) -> Result<BoundAccounts, ApiKeyError> {
        let Some(numbers) = &self.accounts else { return Ok(BoundAccounts::default()) };
        if self.scopes.include(Scope::Staff) {
            return Err(ApiKeyError::StaffScopeWithAccounts);
        }
        let bound = BoundAccounts::of(numbers).ok_or(ApiKeyError::TooManyAccounts)?;
        let known = if numbers.is_empty() { Vec::new() } else { db.accounts(numbers).await? };
        let is_own = |number| known.iter().any(|it| it.account_number == number && it.owner_id == Some(user_id));
        match numbers.iter().position(|number| !is_own(*number)) {
            None => Ok(bound),
            Some(index) => Err(ApiKeyError::AccountNotFound { index }),
        }
    }
}

/// Gives a key another secret. The one before counts for as long as `overlap` says, and no earlier one any more.
pub async fn rotate(
    db: &Db,
    user_id: Uuid,
    key_id: Uuid,
    overlap: Duration,
    event: Event,
) -> Result<Uncommitted, ApiKeyError> {
    let secret = ApiKeySecret::generate()?;
    let now = Timestamp::now();
    let mut tx = db.begin().await?;
    let former_until = now.plus(overlap);
    let key = tx.rotate_api_key(key_id, user_id, &secret.hash(), secret.hint(), former_until, now).await?;
    let key = key.ok_or(ApiKeyError::NotFound)?;
    let until = format!("the former secret counts until {former_until}");
    tx.append_to_audit_log(&[event.on(key.id).about(user_id).detail(until)]).await?;
    Ok(Uncommitted { tx, key, secret })
}

/// Revokes the living keys of this user, or the one with this id. Returns those that it has revoked, which count until the
/// transaction is committed.
pub async fn revoke(
    tx: &mut Tx<'_>,
    user_id: Uuid,
    key_id: Option<Uuid>,
    event: impl Fn() -> Event,
) -> sqlx::Result<Vec<Uuid>> {
    let revoked = tx.revoke_api_keys(user_id, key_id, Timestamp::now()).await?;
    let records: Vec<Event> = revoked.iter().map(|id| event().on(id).about(user_id)).collect();
    tx.append_to_audit_log(&records).await?;
    Ok(revoked)
}

/// The keys in use.
pub struct ApiKeys {
    db: Db,
    /// By the hash of the secret.
    known: RwLock<HashMap<[u8; 32], Arc<KnownKey>>>,
    /// How often keys were dropped: what was read before the last time may be out of date.
    dropped: AtomicU64,
}

/// A key as it was read.
#[derive(Debug)]
pub struct KnownKey {
    pub found: FoundApiKey,
    read_at: Timestamp,
    read: Instant,
    /// Microseconds since 1970, as the next; 0 for never.
    last_used_at: AtomicI64,
    /// What is stored of it.
    stored_use: AtomicI64,
}

impl KnownKey {
    fn new(found: FoundApiKey, now: Timestamp) -> Self {
        let stored = found.key.last_used_at.map_or(0, Timestamp::as_micros);
        let (last_used_at, stored_use) = (AtomicI64::new(stored), AtomicI64::new(stored));
        Self { found, read_at: now, read: Instant::now(), last_used_at, stored_use }
    }

    /// Whether it need not be read again: by the wall clock, which the news of users' rights go by, and by the
    /// monotonic one, which nobody sets.
    fn counts_at(&self, now: Timestamp) -> bool {
        let key = &self.found.key;
        let ends = if self.found.by_former_secret { key.former_until } else { None };
        let is_living = [ends, key.expires_at].into_iter().flatten().all(|until| now < until);
        let is_from_the_future = self.read_at > now.plus(clock::TOLERANCE);
        let is_new = now < self.read_at.plus(READ_AGAIN_AFTER) && self.read.elapsed() < READ_AGAIN_AFTER;
        is_living && is_new && !is_from_the_future
    }

    /// When it was used last, in microseconds, if that is to be stored.
    fn due_use(&self, grain: Duration) -> Option<i64> {
        let (used, stored) = (self.last_used_at.load(Ordering::Relaxed), self.stored_use.load(Ordering::Relaxed));
        let is_due = used > stored && (stored == 0 || used - stored >= grain.as_micros() as i64);
        is_due.then_some(used)
    }
}

impl ApiKeys {
    pub fn new(db: Db) -> Self {
        Self { db, known: RwLock::default(), dropped: AtomicU64::new(0) }
    }

    /// The key that has this secret at `now`, which is a use of it. Reads the database only for a key that was not used
    /// for a while.
    pub async fn find(&self, secret: &ApiKeySecret, now: Timestamp) -> sqlx::Result<Option<Arc<KnownKey>>> {
        let secret = secret.hash();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&secret.hash).cloned();
        let known = match known.filter(|known| known.counts_at(now)) {
            Some(known) => known,
            None => match self.read(&secret, now).await? {
                Some(known) => known,
                None => return Ok(None),
            },
        };
        known.last_used_at.fetch_max(now.as_micros(), Ordering::Relaxed);
        Ok(Some(known))
    }

    async fn read(&self, secret: &SecretHash, now: Timestamp) -> sqlx::Result<Option<Arc<KnownKey>>> {
        let dropped = self.dropped.load(Ordering::SeqCst);
        let Some(found) = self.db.find_api_key(secret, now).await? else { return Ok(None) };
        let read = Arc::new(KnownKey::new(found, now));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have revoked it after it was read, and have found nothing to drop.
        let is_up_to_date = self.dropped.load(Ordering::SeqCst) == dropped;
        if is_up_to_date && (known.len() < MAX_KNOWN || known.contains_key(&secret.hash)) {
            known.insert(secret.hash, read.clone());
        }
        Ok(Some(read))
    }

    /// Drops keys that have changed. Call it once the change is committed.
    pub fn drop_changed(&self, ids: &[Uuid]) {
        if !ids.is_empty() {
            self.drop_all_but(|known| !ids.contains(&known.found.key.id));
        }
    }

    /// Drops every key, because the clock was wrong.
    pub fn drop_all(&self) {
        self.drop_all_but(|_| false);
    }

    fn drop_all_but(&self, stays: impl Fn(&KnownKey) -> bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.dropped.fetch_add(1, Ordering::SeqCst);
        known.retain(|_, key| stays(key));
    }

    /// Stores when keys were used, to the minute, of those that have waited longest; at the end of all, as exactly as it is
    /// known.
    pub async fn store_uses(&self, is_last: bool) -> sqlx::Result<()> {
        let (grain, limit) =
            if is_last { (Duration::ZERO, USES_STORED_AT_THE_END) } else { (USE_GRAIN, USES_STORED_AT_ONCE) };
        let mut uses: Vec<_> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.values().filter_map(|key| Some((key.due_use(grain)?, key.clone()))).collect()
        };
        if uses.is_empty() {
            return Ok(());
        }
        uses.sort_unstable_by_key(|(_, key)| key.stored_use.load(Ordering::Relaxed));
        uses.truncate(limit);
        // In one order on all instances, so that they do not lock each other out.
        uses.sort_unstable_by_key(|(_, key)| key.found.key.id);
        let mut tx = self.db.begin().await?;
        for (used, key) in &uses {
            tx.set_api_key_used(key.found.key.id, Timestamp::from_micros(*used)).await?;
        }
        tx.commit().await?;
        for (used, key) in uses {
            key.stored_use.fetch_max(used, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Drops the keys that were not used for a while.
    pub fn drop_idle(&self, now: Timestamp) {
        let has_idle = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.values().any(|key| !key.counts_at(now))
        };
        if has_idle {
            self.known.write().unwrap_or_else(PoisonError::into_inner).retain(|_, key| key.counts_at(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_beginning_and_told_by_its_end() {
        let secret = ApiKeySecret::generate().expect("random numbers");
        assert_eq!(secret.expose().len(), PREFIX.len() + 2 * SECRET_BYTES);
        assert!(secret.expose().ends_with(secret.hint()) && secret.hint().len() == HINT_LENGTH);
        let same = ApiKeySecret::parse(secret.expose()).expect("a secret");
        assert_eq!(same.hash().hash, secret.hash().hash);
        assert_ne!(ApiKeySecret::generate().expect("random numbers").hash().hash, secret.hash().hash);
        assert!(ApiKeySecret::parse("eyJhbGciOiJIUzI1NiJ9.e30.sig").is_none());
        assert!(!format!("{secret:?}").contains(secret.hint()));
    }
}
