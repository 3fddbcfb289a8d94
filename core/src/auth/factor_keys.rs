//! Encrypts the secrets of authenticator apps and of webhooks in the database: AES-256-GCM under a key of their own.
//!
//! A sealed secret is one version byte, the 8-byte id of the key, a random 96-bit nonce, the ciphertext and a 128-bit
//! tag (NIST SP 800-38D). Version and the id of whom or what it belongs to, a user or a webhook's secret, are
//! authenticated along with it, so that one row is worth nothing in another's place.

use std::collections::BTreeSet;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::db::Db;
use crate::db::second_factors::KeyId;

/// The only format there is.
const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = size_of::<KeyId>();
const AES_KEY_BYTES: usize = 32;

/// The keys at hand.
pub struct FactorKeys {
    current: FactorKey,
    /// The one before, while secrets may still be sealed with it.
    previous: Option<FactorKey>,
}

/// The first bytes of every secret that the key with this id has sealed.
fn prefix_of(key_id: KeyId) -> Vec<u8> {
    [&[VERSION], &key_id[..]].concat()
}

/// The cryptography library failed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the secret could not be encrypted")]
pub struct SealError;

impl FactorKeys {
    /// Derives the keys from secrets of any length. Fails only if the cryptography library does.
    pub fn new(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, SealError> {
        Ok(Self { current: FactorKey::derive(current)?, previous: previous.map(FactorKey::derive).transpose()? })
    }

    pub fn current_id(&self) -> KeyId {
        self.current.id
    }

    pub fn has(&self, key_id: KeyId) -> bool {
        self.with_id(key_id).is_some()
    }

    /// Encrypts with the key that has this id, which must be at hand.
    pub fn seal(&self, key_id: KeyId, owner: Uuid, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        self.with_id(key_id).ok_or(SealError)?.seal(owner, secret)
    }

    /// Decrypts. None when no key at hand has sealed it, or when it is not what was sealed for this owner.
    pub fn open<const BYTES: usize>(&self, owner: Uuid, stored: &[u8]) -> Option<[u8; BYTES]> {
        self.open_any(owner, stored)?.try_into().ok()
    }

    fn open_any(&self, owner: Uuid, stored: &[u8]) -> Option<Vec<u8>> {
        let (prefix, sealed) = stored.split_at_checked(1 + KEY_ID_BYTES)?;
        let (&version, key_id) = prefix.split_first()?;
        let key = self.with_id(key_id.try_into().ok()?).filter(|_| version == VERSION)?;
        key.open(owner, sealed)
    }

    fn with_id(&self, key_id: KeyId) -> Option<&FactorKey> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|key| key.id == key_id)
    }
}

/// Secrets that are sealed anew in one transaction: a few milliseconds of the database's time.
const SEALED_AT_ONCE: i64 = 200;

/// Why the secrets of authenticator apps cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FactorKeyError {
    #[error(
        "COFFER_SECOND_FACTOR_KEY (--second-factor-key): the secrets of {0} authenticator apps are encrypted with another \
         key. Set the one that encrypted them, or put the file second_factor_key back into the data directory; all \
         instances need the same. If it is lost, `coffer admin reset-second-factor EMAIL` takes away each user's second \
         factor, and then the bank starts with a new key"
    )]
    AnotherKey(i64),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What no key at hand can decrypt, because somebody changed it in the database, say.
#[derive(Clone, Debug, Default)]
pub struct Unreadable {
    /// Whose second factor.
    pub users: Vec<Uuid>,
    /// Which webhooks' secrets.
    pub webhooks: BTreeSet<Uuid>,
}

impl FactorKeys {
    /// Makes the current key the key of the bank, and encrypts with it what the previous key has encrypted. Any number
    /// of instances may do it at the same time. Returns what none of these keys can decrypt.
    pub async fn adopt(&self, db: &Db) -> Result<Unreadable, FactorKeyError> {
        self.agree_on_current(db).await?;
        let users = self.seal_second_factors_anew(db).await?;
        let webhooks = self.seal_webhooks_anew(db).await?;
        Ok(Unreadable { users, webhooks })
    }

    async fn seal_webhooks_anew(&self, db: &Db) -> Result<BTreeSet<Uuid>, FactorKeyError> {
        let current = self.current_id();
        let mut tx = db.begin().await?;
        let mut unreadable = BTreeSet::new();
        // There are few webhooks, and a few secrets of each.
        for stored in tx.webhook_secrets_without_prefix(&prefix_of(current)).await? {
            match self.open_any(stored.id, &stored.secret) {
                Some(plain) => {
                    let sealed = self.seal(current, stored.id, &plain)?;
                    tx.replace_webhook_secret(&stored, &sealed).await?;
                }
                None => drop(unreadable.insert(stored.webhook_id)),
            }
        }
        tx.commit().await?;
        Ok(unreadable)
    }

    async fn seal_second_factors_anew(&self, db: &Db) -> Result<Vec<Uuid>, FactorKeyError> {
        let current = self.current_id();
        let (mut unreadable, mut after) = (Vec::new(), Uuid::nil());
        loop {
            let mut tx = db.begin().await?;
            let stored = tx.secrets_without_prefix(&prefix_of(current), after, SEALED_AT_ONCE).await?;
            let Some(last) = stored.last() else { return Ok(unreadable) };
            after = last.user_id;
            for secret in &stored {
                match self.open_any(secret.user_id, &secret.secret) {
                    Some(plain) => tx.replace_secret(secret, &self.seal(current, secret.user_id, &plain)?).await?,
                    None => unreadable.push(secret.user_id),
                }
            }
            tx.commit().await?;
        }
    }

    /// A bank whose secrets another key has sealed is refused. If nobody has a second factor, the new key counts.
    async fn agree_on_current(&self, db: &Db) -> Result<(), FactorKeyError> {
        let mut tx = db.begin().await?;
        let recorded = tx.lock_second_factor_key(self.current_id()).await?;
        if recorded == self.current_id() {
            return Ok(tx.commit().await?);
        }
        if !self.has(recorded) {
            let confirmed = tx.count_second_factors().await?;
            if confirmed > 0 {
                return Err(FactorKeyError::AnotherKey(confirmed));
            }
            tracing::warn!(
                former = hex::encode(recorded),
                "the bank has had another COFFER_SECOND_FACTOR_KEY: all instances need the same one"
            );
            tx.delete_pending_second_factors().await?;
        }
        tx.set_second_factor_key(self.current_id()).await?;
        Ok(tx.commit().await?)
    }
}

struct FactorKey {
    id: KeyId,
    cipher: RandomizedNonceKey,
}

impl FactorKey {
    /// HKDF (RFC 5869) with SHA-256: one output is the key, another one its id.
    fn derive(secret: &SecretString) -> Result<Self, SealError> {
        let material = Salt::new(HKDF_SHA256, b"coffer").extract(secret.expose_secret().as_bytes());
        let mut key = [0; AES_KEY_BYTES];
        let mut id = [0; KEY_ID_BYTES];
        expand(&material, b"second factor key", &mut key)?;
        expand(&material, b"second factor key id", &mut id)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| SealError)?;
        Ok(Self { id, cipher })
    }

    fn seal(&self, owner: Uuid, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = secret.to_vec();
        let nonce = self.cipher.seal_in_place_append_tag(context_of(owner), &mut sealed).map_err(|_| SealError)?;
        Ok([&prefix_of(self.id), &nonce.as_ref()[..], &sealed].concat())
    }

    fn open(&self, owner: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = ciphertext.to_vec();
        let plain = self.cipher.open_in_place(nonce, context_of(owner), &mut opened).ok()?;
        Some(plain.to_vec())
    }
}

fn context_of(owner: Uuid) -> Aad<[u8; 17]> {
    let mut context = [VERSION; 17];
    context[1..].copy_from_slice(owner.as_bytes());
    Aad::from(context)
}

/// As many bytes as the key is to have.
#[derive(Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(material: &Prk, purpose: &[u8], out: &mut [u8]) -> Result<(), SealError> {
    let info = [purpose];
    let expanded = material.expand(&info, Length(out.len())).map_err(|_| SealError)?;
    expanded.fill(out).map_err(|_| SealError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::second_factor::SECRET_BYTES;

    fn keys(current: &str, previous: Option<&str>) -> FactorKeys {
        FactorKeys::new(&current.into(), previous.map(SecretString::from).as_ref()).expect("keys")
    }

    #[test]
    fn what_is_sealed_opens_for_its_user_alone() {
        let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
        let keys = keys("one", None);
        let sealed = keys.seal(keys.current_id(), ada, &[7; SECRET_BYTES]).expect("a sealed secret");
        assert!(!sealed.windows(SECRET_BYTES).any(|window| window == [7; SECRET_BYTES]));
        assert!(sealed.starts_with(&prefix_of(keys.current_id())));
        assert_eq!(keys.open(ada, &sealed), Some([7; SECRET_BYTES]));
        assert_eq!(keys.open::<SECRET_BYTES>(bob, &sealed), None);
        assert_eq!(keys.open::<{ SECRET_BYTES + 1 }>(ada, &sealed), None);
        let again = keys.seal(keys.current_id(), ada, &[7; SECRET_BYTES]).expect("a sealed secret");
        assert_ne!(sealed, again, "each has a nonce of its own");
    }

    #[test]
    fn the_key_before_still_opens_and_another_does_not() {
        let ada = Uuid::now_v7();
        let (old, other) = (keys("old", None), keys("other", None));
        let sealed = old.seal(old.current_id(), ada, &[7; SECRET_BYTES]).expect("a sealed secret");
        assert_eq!(keys("new", Some("old")).open(ada, &sealed), Some([7; SECRET_BYTES]));
        assert_eq!(keys("new", None).open::<SECRET_BYTES>(ada, &sealed), None);
        assert!(other.seal(old.current_id(), ada, &[7; SECRET_BYTES]).is_err());
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_noticed(position in 0usize..57 * 8) {
            let ada = Uuid::nil();
            let keys = keys("one", None);
            let mut sealed = keys.seal(keys.current_id(), ada, &[7; SECRET_BYTES]).expect("a sealed secret");
            prop_assert_eq!(sealed.len(), 57);
            sealed[position / 8] ^= 1 << (position % 8);
            prop_assert_eq!(keys.open::<SECRET_BYTES>(ada, &sealed), None);
        }

        #[test]
        fn no_bytes_make_it_panic(stored in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(keys("one", None).open::<SECRET_BYTES>(Uuid::nil(), &stored), None);
        }
    }
}
