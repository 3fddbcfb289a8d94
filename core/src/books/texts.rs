//! The texts that people and programs wrote to a movement: its description and its [tags](super::tags).
//!
//! The hashes of the books cover a commitment to them, and not the texts themselves: description, metadata and salt can
//! be erased, as privacy laws may ask (GDPR, Article 17), and every hash still holds. The salt is random, so that the
//! commitment does not give away a text that can be guessed.

use sha2::{Digest, Sha256};

use super::tags::Tags;

/// Names the layout of what a commitment is made of, where there is a description alone. A change of layout gets a new
/// name.
const LAYOUT: &[u8] = b"coffer.texts.1";
/// The same where there are tags, with a description or without.
const LAYOUT_WITH_TAGS: &[u8] = b"coffer.texts.2";
/// Stands for the commitment where nothing was written.
const NOTHING: [u8; 32] = [0; 32];

/// At least 120 random bits, new for each movement.
pub type Salt = [u8; 16];

/// The columns that a transaction has of them, and its tags. All are null where nothing was written; of erased texts
/// the commitment is left, and the reference, which stays taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Texts {
    pub description: Option<String>,
    #[sqlx(flatten)]
    pub tags: Tags,
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
    pub fn new(description: Option<String>, tags: Tags, salt: Salt) -> Self {
        if description.is_none() && tags.is_empty() {
            return Self::default();
        }
        let text_commitment = Some(commitment_to(&salt, description.as_deref(), &tags).to_vec());
        Self { description, tags, text_salt: Some(salt.to_vec()), text_commitment }
    }

    /// The commitment that the hashes of the books cover.
    pub fn commitment(&self) -> [u8; 32] {
        let stored = self.text_commitment.as_deref().and_then(|stored| stored.try_into().ok());
        stored.unwrap_or(NOTHING)
    }

    /// Whether something was written that is there no more. Unlike [`integrity`](Self::integrity) it hashes nothing.
    pub fn is_erased(&self) -> bool {
        self.text_salt.is_none() && self.text_commitment.is_some()
    }

    pub fn integrity(&self) -> Integrity {
        let nothing_written = self.description.is_none() && self.tags.is_empty();
        let nothing_to_erase = self.description.is_none() && self.tags.metadata().is_empty();
        match (&self.text_salt, &self.text_commitment) {
            (None, None) if nothing_written => Integrity::Intact,
            (None, Some(_)) if nothing_to_erase => Integrity::Erased,
            (Some(salt), Some(stored)) if !nothing_written && self.commitment_with(salt)[..] == stored[..] => {
                Integrity::Intact
            }
            _ => Integrity::Forged,
        }
    }

    fn commitment_with(&self, salt: &[u8]) -> [u8; 32] {
        commitment_to(salt, self.description.as_deref(), &self.tags)
    }

    pub fn salt(&self) -> Option<&[u8]> {
        self.text_salt.as_deref()
    }

    pub fn stored_commitment(&self) -> Option<&[u8]> {
        self.text_commitment.as_deref()
    }
}

/// SHA-256 of the layout's name, the salt and the description, each of those with its length in bytes (64 bits,
/// big-endian). Where there are tags, their digest follows; a byte tells whether there is a description.
fn commitment_to(salt: &[u8], description: Option<&str>, tags: &Tags) -> [u8; 32] {
    let layout = if tags.is_empty() { LAYOUT } else { LAYOUT_WITH_TAGS };
    let mut hasher = Sha256::new().chain_update(layout);
    for part in [salt, description.unwrap_or_default().as_bytes()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    if !tags.is_empty() {
        hasher.update([description.is_some() as u8]);
        hasher.update(tags.digest());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tagged(reference: &str) -> Tags {
        Tags::new(Some(reference.to_owned()), BTreeMap::from([("order".to_owned(), "42".to_owned())]))
    }

    proptest! {
        #[test]
        fn a_commitment_holds_for_its_text_and_salt_alone(
            text in "\\PC{0,20}",
            other in "\\PC{0,20}",
            reference in prop::option::of("[a-z]{1,3}"),
            salt: Salt,
            bit in 0..128usize,
        ) {
            let tags = reference.as_deref().map(tagged).unwrap_or_default();
            let written = Texts::new(Some(text.clone()), tags.clone(), salt);
            prop_assert_eq!(written.integrity(), Integrity::Intact);
            if other != text {
                let forged = Texts { description: Some(other), ..written.clone() };
                prop_assert_eq!(forged.integrity(), Integrity::Forged);
            }
            for other in [Tags::default(), tagged("another"), Tags::new(reference, BTreeMap::new())] {
                let forged = Texts { tags: other.clone(), ..written.clone() };
                prop_assert_eq!(forged.integrity() == Integrity::Intact, other == tags);
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
            prop_assert_ne!(Texts::new(Some(text), tags, another_salt).commitment(), written.commitment());
        }
    }

    #[test]
    fn erased_texts_leave_the_commitment() {
        let written = Texts::new(Some("Rent".to_owned()), Tags::default(), [7; 16]);
        let erased = Texts { description: None, text_salt: None, ..written.clone() };
        assert_eq!((erased.integrity(), erased.commitment()), (Integrity::Erased, written.commitment()));
        for half_erased in
            [Texts { description: None, ..written.clone() }, Texts { text_salt: None, ..written.clone() }]
        {
            assert_eq!(half_erased.integrity(), Integrity::Forged);
        }
        assert_eq!(Texts { text_commitment: None, ..written }.integrity(), Integrity::Forged);
        assert_eq!(Texts::new(None, Tags::default(), [7; 16]), Texts::default());
    }

    #[test]
    fn of_erased_tags_the_reference_is_left() {
        let written = Texts::new(None, tagged("INV-1"), [7; 16]);
        let reference = Tags::new(Some("INV-1".to_owned()), BTreeMap::new());
        let erased = Texts { tags: reference.clone(), text_salt: None, ..written.clone() };
        assert_eq!((erased.integrity(), erased.commitment()), (Integrity::Erased, written.commitment()));
        for half_erased in [Texts { tags: reference, ..written.clone() }, Texts { text_salt: None, ..written }] {
            assert_eq!(half_erased.integrity(), Integrity::Forged);
        }
        let added = Texts { tags: tagged("INV-1"), ..Texts::default() };
        assert_eq!(added.integrity(), Integrity::Forged);
    }
}
