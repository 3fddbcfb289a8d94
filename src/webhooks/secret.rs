//! What signs the messages to a webhook: a symmetric key (`v1`) and a key pair (`v1a`) for receivers that must not be able
//! to sign themselves.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use coffer_core::timestamp::Timestamp;

/// Of the symmetric key, and of the seed of the key pair.
const KEY_BYTES: usize = 32;
/// Both of them, as they are stored.
pub const SECRET_BYTES: usize = 2 * KEY_BYTES;
/// Of an Ed25519 public key (RFC 8032, section 5.1.5).
const PUBLIC_KEY_BYTES: usize = 32;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the operating system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the seed makes no Ed25519 key")]
    KeyPair,
}

/// One secret of a webhook.
pub struct WebhookSecret {
    bytes: [u8; SECRET_BYTES],
    symmetric: hmac::Key,
    key_pair: Ed25519KeyPair,
}

impl WebhookSecret {
    pub fn generate() -> Result<Self, SecretError> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Self::from_bytes(bytes)
    }

    /// As stored.
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Result<Self, SecretError> {
        let (symmetric, seed) = bytes.split_at(KEY_BYTES);
        let key_pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SecretError::KeyPair)?;
        Ok(Self { bytes, symmetric: hmac::Key::new(hmac::HMAC_SHA256, symmetric), key_pair })
    }

    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.bytes
    }

    /// The symmetric key, for the receiver: `whsec_` and base64.
    pub fn symmetric_key(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.bytes[..KEY_BYTES]))
    }

    pub fn public_key(&self) -> &[u8] {
        self.key_pair.public_key().as_ref()
    }

    /// The signatures of a message, with a space between them.
    fn sign(&self, signed: &[u8]) -> String {
        let symmetric = STANDARD.encode(hmac::sign(&self.symmetric, signed));
        let asymmetric = STANDARD.encode(self.key_pair.sign(signed));
        format!("v1,{symmetric} v1a,{asymmetric}")
    }
}

/// A public key for receivers: `whpk_` and base64.
pub fn public_key_in_words(public_key: &[u8]) -> String {
    debug_assert_eq!(public_key.len(), PUBLIC_KEY_BYTES);
    format!("whpk_{}", STANDARD.encode(public_key))
}

/// The header `webhook-signature` of a message: by each secret, so that a receiver finds the one that it has while they
/// change.
pub fn signatures(secrets: &[WebhookSecret], id: Uuid, now: Timestamp, body: &str) -> String {
    let signed = format!("{id}.{}.{body}", now.as_unix_seconds());
    secrets.iter().map(|secret| secret.sign(signed.as_bytes())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn each_secret_signs_in_both_ways() {
        let secrets = [1, 2].map(|byte| WebhookSecret::from_bytes([byte; SECRET_BYTES]).expect("a secret"));
        let (id, now, body) = (Uuid::from_u128(7), Timestamp::from_micros(1_700_000_000_999_999), "{}");
        let header = signatures(&secrets, id, now, body);
        let signed = format!("{id}.1700000000.{{}}");
        let [v1, v1a, former_v1, former_v1a] = header.split(' ').collect::<Vec<_>>()[..] else { panic!("{header}") };
        for (secret, v1, v1a) in [(&secrets[0], v1, v1a), (&secrets[1], former_v1, former_v1a)] {
            let decode = |text: &str| STANDARD.decode(text).expect("base64");
            let symmetric = decode(secret.symmetric_key().strip_prefix("whsec_").expect("a prefix"));
            let key = hmac::Key::new(hmac::HMAC_SHA256, &symmetric);
            let tag = decode(v1.strip_prefix("v1,").expect("a version"));
            hmac::verify(&key, signed.as_bytes(), &tag).expect("a right signature");
            let words = public_key_in_words(secret.public_key());
            let public = UnparsedPublicKey::new(&ED25519, decode(words.strip_prefix("whpk_").expect("a prefix")));
            let signature = decode(v1a.strip_prefix("v1a,").expect("a version"));
            public.verify(signed.as_bytes(), &signature).expect("a right signature");
            assert!(public.verify(b"something else", &signature).is_err());
        }
    }

    #[test]
    fn two_secrets_have_nothing_in_common() {
        let (one, other) = (WebhookSecret::generate().expect("a secret"), WebhookSecret::generate().expect("a secret"));
        assert_ne!(one.symmetric_key(), other.symmetric_key());
        assert_ne!(one.public_key(), other.public_key());
        let again = WebhookSecret::from_bytes(*one.as_bytes()).expect("the same secret");
        assert_eq!((again.symmetric_key(), again.public_key()), (one.symmetric_key(), one.public_key()));
    }
}
