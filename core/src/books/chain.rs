//! The hash chain of an account's entries: each hash covers the entry before it, so that nothing in the past can be
//! changed, added or removed without every later hash, and the account's head, telling.

use sha2::{Digest, Sha256};

use super::entry::Entry;
use crate::account_number::AccountNumber;

/// Names the layout below. A change of layout gets a new name, and old entries keep theirs.
const LAYOUT: &[u8] = b"coffer.entry.2";

/// SHA-256 of the previous entry's hash and the canonical bytes of `entry`, whose own `hash` is not looked at.
///
/// Canonical bytes: the layout's name, then account number, sequence, transaction id, movement type, number of the
/// account on the other side (which may be the bank's own), signed amount, currency, balance after, user who asked for
/// it, microseconds, commitment to the [texts](super::texts) (32 zero bytes for none). Integers are 64 bits,
/// big-endian.
pub fn entry_hash(previous: &[u8; 32], entry: &Entry, other_side: AccountNumber) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(192);
    bytes.extend_from_slice(previous);
    bytes.extend_from_slice(LAYOUT);
    bytes.extend_from_slice(&entry.account_number.as_i64().to_be_bytes());
    bytes.extend_from_slice(&entry.sequence.to_be_bytes());
    bytes.extend_from_slice(entry.transaction_id.as_bytes());
    bytes.extend_from_slice(&(entry.movement_type as i64).to_be_bytes());
    bytes.extend_from_slice(&other_side.as_i64().to_be_bytes());
    bytes.extend_from_slice(&entry.amount.to_be_bytes());
    bytes.extend_from_slice(entry.currency.code().as_bytes());
    bytes.extend_from_slice(&entry.balance.to_be_bytes());
    bytes.extend_from_slice(entry.initiated_by.as_bytes());
    bytes.extend_from_slice(&entry.created_at.as_micros().to_be_bytes());
    bytes.extend_from_slice(&entry.texts.commitment());
    Sha256::digest(&bytes).into()
}
