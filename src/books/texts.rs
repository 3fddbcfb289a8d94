//! The texts that people wrote to a movement.
//!
//! The hashes of the books cover a commitment to it, and not the text itself: text and salt can be erased, as privacy
//! laws may ask (GDPR, Article 17), and every hash still holds. The salt is random, so that the commitment does not
//! give away a text that can be guessed.

use sha2::{Digest, Sha256};

/// Names the layout of what a commitment is made of. A change of layout gets a new name.
const LAYOUT: &[u8] = b"coffer.texts.1";
/// Stands for the commitment where nothing was written.
const NOTHING: [u8; 32] = [0; 32];

/// At least 120 random bits, new for each movement.
pub type Salt = [u8; 16];

/// The columns that a transaction has of it. All are null where nothing was written; of erased texts the commitment is
/// left.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Texts {
    pub description: Option<String>,
    text_salt: Option<Vec<u8>>,
    text_commitment: Option<Vec<u8>>,
}

/// How texts and the commitment to them fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// As they were written, or nothing was.
    Intact,
    Erased,
    /// They were changed.
    Forged,
}

impl Texts {
    pub fn new(description: Option<String>, salt: Salt) -> Self {
        let Some(description) = description else { return Self::default() };
        let text_commitment = Some(commitment_to(&salt, &description).to_vec());
        Self { description: Some(description), text_salt: Some(salt.to_vec()), text_commitment }
    }

    /// The commitment that the hashes of the books cover.
    pub fn commitment(&self) -> [u8; 32] {
        let stored = self.text_commitment.as_deref().and_then(|stored| stored.try_into().ok());
        stored.unwrap_or(NOTHING)
    }

    pub fn integrity(&self) -> Integrity {
        match (&self.description, &self.text_salt, &self.text_commitment) {
            (None, None, None) => Integrity::Intact,
            (None, None, Some(_)) => Integrity::Erased,
            (Some(text), Some(salt), Some(stored)) if commitment_to(salt, text)[..] == stored[..] => Integrity::Intact,
            _ => Integrity::Forged,
        }
    }

    pub fn salt(&self) -> Option<&[u8]> {
        self.text_salt.as_deref()
    }

    pub fn stored_commitment(&self) -> Option<&[u8]> {
        self.text_commitment.as_deref()
    }
}

/// SHA-256 of the layout's name, the salt and the description, each of those with its length in bytes (64 bits,
/// big-endian).
fn commitment_to(salt: &[u8], description: &str) -> [u8; 32] {
    let mut hasher = Sha256::new().chain_update(LAYOUT);
    for part in [salt, description.as_bytes()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_commitment_holds_for_its_text_and_salt_alone(text in "\\PC{0,20}", other in "\\PC{0,20}", salt: Salt, bit in 0..128usize) {
            let written = Texts::new(Some(text.clone()), salt);
            prop_assert_eq!(written.integrity(), Integrity::Intact);
            if other != text {
                let forged = Texts { description: Some(other), ..written.clone() };
                prop_assert_eq!(forged.integrity(), Integrity::Forged);
            }
            // Moving characters from the text to the salt is noticed, too.
            if let Some((at, _)) = text.char_indices().nth(1) {
                let (head, tail) = text.split_at(at);
                let salt = [&salt[..], head.as_bytes()].concat();
                let shifted = Texts { description: Some(tail.to_owned()), text_salt: Some(salt), ..written.clone() };
                prop_assert_eq!(shifted.integrity(), Integrity::Forged);
            }
            let mut another_salt = salt;
            another_salt[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(Texts::new(Some(text), another_salt).commitment(), written.commitment());
        }
    }

    #[test]
    fn erased_texts_leave_the_commitment() {
        let written = Texts::new(Some("Rent".to_owned()), [7; 16]);
        let erased = Texts { description: None, text_salt: None, ..written.clone() };
        assert_eq!((erased.integrity(), erased.commitment()), (Integrity::Erased, written.commitment()));
        for half_erased in
            [Texts { description: None, ..written.clone() }, Texts { text_salt: None, ..written.clone() }]
        {
            assert_eq!(half_erased.integrity(), Integrity::Forged);
        }
        assert_eq!(Texts { text_commitment: None, ..written }.integrity(), Integrity::Forged);
        assert_eq!(Texts::new(None, [7; 16]), Texts::default());
    }
}
