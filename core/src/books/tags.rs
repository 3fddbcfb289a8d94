//! Tags: what programs write to a movement, to find it again. A reference, which names one movement of its requester
//! for good; a group, which the movements of a batch share; and metadata, which are pairs of texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sqlx::{ColumnIndex, Database, Decode, FromRow, Row, Type};
use uuid::Uuid;

use crate::account_number::AccountNumber;

/// Pairs of metadata.
pub const MAX_PAIRS: usize = 10;
/// In characters, of which each is one byte.
pub const MAX_KEY_LENGTH: usize = 32;
/// Stands for the reference where entries are found by their tags. No key of metadata is empty.
const REFERENCE_KEY: &str = "";
/// Stands for the group in the same place.
const GROUP_KEY: &str = ":";
/// Stands for what is stored as metadata and cannot be read. No key of metadata is like this.
const UNREADABLE_KEY: &str = "?";

/// By key, each with its value.
pub type Pairs = BTreeMap<String, String>;

static NO_PAIRS: Pairs = Pairs::new();

/// The tags of a movement. Most movements have none, and then this is one null pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<Written>>);

#[derive(Debug, PartialEq, Eq)]
struct Written {
    reference: Option<String>,
    group: Option<String>,
    metadata: Pairs,
}

/// Tags that are new: of a command that is accepted, whatever it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTags {
    /// Of the transaction, the hold or the approval.
    pub id: Uuid,
    pub requested_by: Uuid,
    pub tags: Tags,
}

/// A reference that names a movement already.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct TakenReference {
    pub requested_by: Uuid,
    pub reference: String,
    /// The transaction, or what may become one.
    pub id: Uuid,
}

/// An entry that is found by a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedEntry {
    /// The account that the requester acted on.
    pub account_number: AccountNumber,
    pub sequence: i64,
    pub transaction_id: Uuid,
    pub tag: Tag,
}

/// One tag by itself: a pair of metadata, the reference under the empty key, or the group under a colon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// Whether metadata may have this key: 1 to 32 small Latin letters, digits and underscores.
pub fn is_key(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_KEY_LENGTH).contains(&text.len()) && text.bytes().all(is_plain)
}

/// As metadata is stored: a JSON object with its keys in order.
pub fn to_stored(pairs: &Pairs) -> String {
    serde_json::to_string(pairs).unwrap_or_default()
}

/// What is stored. What cannot be read was not written by us: it stays as it is, so that the hash tells.
pub fn from_stored(text: &str) -> Pairs {
    serde_json::from_str(text).unwrap_or_else(|_| Pairs::from([(UNREADABLE_KEY.to_owned(), text.to_owned())]))
}

impl Tags {
    pub fn new(reference: Option<String>, metadata: Pairs) -> Self {
        Self::of(reference, None, metadata)
    }

    fn of(reference: Option<String>, group: Option<String>, metadata: Pairs) -> Self {
        if reference.is_none() && group.is_none() && metadata.is_empty() {
            return Self::default();
        }
        Self(Some(Arc::new(Written { reference, group, metadata })))
    }

    /// The same in a group.
    pub fn in_group(self, group: Option<String>) -> Self {
        if group.is_none() {
            return self;
        }
        Self::of(self.reference().map(str::to_owned), group, self.metadata().clone())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn reference(&self) -> Option<&str> {
        self.0.as_ref()?.reference.as_deref()
    }

    pub fn group(&self) -> Option<&str> {
        self.0.as_ref()?.group.as_deref()
    }

    pub fn metadata(&self) -> &Pairs {
        self.0.as_ref().map_or(&NO_PAIRS, |written| &written.metadata)
    }

    /// Each tag by itself: the reference, the group, the metadata.
    pub fn each(&self) -> impl Iterator<Item = Tag> {
        let reference = self.reference().map(Tag::reference);
        let pair = |(key, value): (&String, &String)| Tag { key: key.clone(), value: value.clone() };
        let group = self.group().map(Tag::group);
        reference.into_iter().chain(group).chain(self.metadata().iter().map(pair))
    }

    pub fn has(&self, tag: &Tag) -> bool {
        match tag.key.as_str() {
            REFERENCE_KEY => self.reference() == Some(&tag.value),
            GROUP_KEY => self.group() == Some(&tag.value),
            key => self.metadata().get(key) == Some(&tag.value),
        }
    }

    /// SHA-256 of each key and value, each with its length in bytes (64 bits, big-endian). The reference comes first,
    /// under the empty key, then the group under a colon.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for Tag { key, value } in self.each() {
            for part in [key, value] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize().into()
    }
}

impl Tag {
    pub fn reference(reference: &str) -> Self {
        Self { key: REFERENCE_KEY.to_owned(), value: reference.to_owned() }
    }

    pub fn group(group: &str) -> Self {
        Self { key: GROUP_KEY.to_owned(), value: group.to_owned() }
    }
}

/// From the columns `reference`, `group_id` and `metadata`, which are all null where nothing was written.
impl<'r, R: Row> FromRow<'r, R> for Tags
where
    &'static str: ColumnIndex<R>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        let metadata: Option<String> = row.try_get("metadata")?;
        let metadata = metadata.as_deref().map(from_stored).unwrap_or_default();
        Ok(Self::of(row.try_get("reference")?, row.try_get("group_id")?, metadata))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags() -> impl Strategy<Value = Tags> {
        let pairs = prop::collection::btree_map("[a-c]{1,2}", "[a-c]{1,2}", 0..3);
        let word = || prop::option::of("[a-c]{1,2}");
        (word(), word(), pairs).prop_map(|(reference, group, pairs)| Tags::new(reference, pairs).in_group(group))
    }

    proptest! {
        #[test]
        fn tags_have_one_digest_and_others_have_another(one in tags(), other in tags()) {
            prop_assert_eq!(one == other, one.digest() == other.digest());
            prop_assert!(one.each().all(|tag| one.has(&tag)));
            let names = [one.reference(), one.group()].into_iter().flatten().count();
            prop_assert_eq!(one.each().count(), one.metadata().len() + names);
        }

        #[test]
        fn metadata_reads_back(pairs in prop::collection::btree_map("[a-z0-9_]{1,32}", "\\PC{1,20}", 0..10)) {
            prop_assert!(pairs.keys().all(|key| is_key(key)));
            prop_assert_eq!(from_stored(&to_stored(&pairs)), pairs);
        }

        #[test]
        fn whatever_is_stored_is_read(text in "\\PC{0,40}") {
            let read = from_stored(&text);
            prop_assert!(serde_json::from_str::<Pairs>(&text).map_or(read.values().eq([&text]), |pairs| pairs == read));
        }
    }

    #[test]
    fn keys_are_plain() {
        assert!(["a", "order_2", &"k".repeat(32)].into_iter().all(is_key));
        assert!(!["", "A", "a-b", "ä", "a b", "a]", &"k".repeat(33)].into_iter().any(is_key));
    }
}
