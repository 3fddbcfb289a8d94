//! The index of SQLite's idempotency keys: a log-structured merge tree (LSM) of two levels.
//!
//! Keys are random. A table sorted by them would rewrite a page of 4 KiB for each new key of some 100 bytes, which
//! costs 11 to 15 % of the throughput of movements with a key. A key is therefore appended to `idempotency_keys`, where
//! new ones share pages, and its position goes into a buffer in memory, the upper level. When the buffer is full, each
//! batch that adds keys flushes twice as many positions to `key_index`, the lower level, which is sorted: they are
//! neighbours there, and share its pages. Wherever a position comes from, it is only a hint: a key is used if its row
//! is there.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use rusqlite::{Connection, OptionalExtension};

use super::super::UsedKey;
use crate::timestamp::Timestamp;

/// Positions in the buffer before it is flushed: 2 MB of memory. The more there are, the closer together lie those that
/// are flushed at once.
pub const BUFFER_SIZE: usize = 65_536;
/// The buffer is at most so many times [`BUFFER_SIZE`]. It grows after a start, which reads all keys that are not known
/// to be flushed (in some 0.1 s), and beside a second process that writes.
const MAX_BUFFERS: usize = 4;

/// Enough of a key that few have it in common, little enough that some 200 fit a page of `key_index`.
type Prefix = [u8; 6];
const NOTHING: (Prefix, i64) = ([0; 6], 0);

/// The upper level of the tree, and how far it is flushed. After a failed transaction that used it, it must be
/// discarded.
pub struct KeyIndex {
    /// See [`BUFFER_SIZE`].
    size: usize,
    /// By the prefix of the key.
    buffer: BTreeSet<(Prefix, i64)>,
    /// The last position known: if the table's is another, another process has written.
    last: i64,
    /// The last entry that was flushed. The next flush goes on behind it, and after the end from the beginning.
    flushed: (Prefix, i64),
}

fn prefix(key: &[u8; 16]) -> Prefix {
    std::array::from_fn(|i| key[i])
}

impl KeyIndex {
    /// Knows nothing yet; reads the table when it is first used.
    pub fn new(size: usize) -> Self {
        Self { size, buffer: BTreeSet::new(), last: 0, flushed: NOTHING }
    }

    /// The keys among these that have been used.
    pub fn find(&mut self, connection: &Connection, keys: &[[u8; 16]]) -> rusqlite::Result<Vec<UsedKey>> {
        self.catch_up(connection)?;
        let mut indexed = connection.prepare_cached("select position from key_index where prefix = ?")?;
        let mut used = connection.prepare_cached(
            "select key, fingerprint, transaction_id from idempotency_keys where position = ? and key = ?",
        )?;
        let mut found = Vec::new();
        for key in keys {
            let prefix = prefix(key);
            let buffered = self.buffer.range((prefix, 0)..=(prefix, i64::MAX)).map(|&(_, position)| Ok(position));
            for position in buffered.chain(indexed.query_map([prefix], |row| row.get(0))?) {
                if let Some(key) = used.query_row((position?, key), UsedKey::from_sqlite).optional()? {
                    found.push(key);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Adds keys, and flushes others if the buffer is full. [`find`](Self::find) must have been called before in the
    /// same transaction.
    pub fn add(&mut self, connection: &Connection, rows: &[UsedKey], now: Timestamp) -> rusqlite::Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut insert = connection.prepare_cached(
            "insert into idempotency_keys (position, key, fingerprint, transaction_id, created_at) values (?, ?, ?, ?, ?)",
        )?;
        let before = self.last;
        for row in rows {
            let position = self.last + 1;
            insert.execute((position, row.key, row.fingerprint, row.transaction_id, now))?;
            self.buffer_key(&row.key, position);
        }
        let too_many = self.buffer.len() > MAX_BUFFERS * self.size;
        let next = if too_many { self.all_but_the_newest() } else { self.next_to_flush(2 * rows.len()) };
        self.flush(connection, &next)?;
        if too_many || before / self.size as i64 != self.last / self.size as i64 {
            self.note_flushed(connection)?;
        }
        Ok(rows.len() as u64)
    }

    fn buffer_key(&mut self, key: &[u8; 16], position: i64) {
        self.buffer.insert((prefix(key), position));
        self.last = position;
    }

    /// Reads what another process has written, or what was there before this one.
    fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Above what is flushed, even if somebody has emptied the table: a start would not read what lies below.
        let (last, up_to) = connection
            .prepare_cached(
                "select max(up_to, coalesce((select max(position) from idempotency_keys), 0)), up_to from key_index_flushed",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        if last == self.last {
            return Ok(());
        }
        let mut select = connection
            .prepare_cached("select key, position from idempotency_keys where position > ? order by position")?;
        for row in select.query_map([self.last.max(up_to)], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (key, position) = row?;
            self.buffer_key(&key, position);
        }
        self.last = last;
        if self.buffer.len() > MAX_BUFFERS * self.size {
            self.buffer.retain(|&(_, position)| position > up_to);
        }
        Ok(())
    }

    /// Tells the next start what it need not read.
    fn note_flushed(&self, connection: &Connection) -> rusqlite::Result<()> {
        let first_buffered = self.buffer.iter().map(|&(_, position)| position).min().unwrap_or(self.last + 1);
        connection
            .prepare_cached("update key_index_flushed set up_to = max(up_to, ?)")?
            .execute([first_buffered - 1])?;
        Ok(())
    }

    /// The next entries to flush: neighbours that follow the last one flushed, as many as the buffer has too many, and
    /// at most `most`.
    fn next_to_flush(&mut self, most: usize) -> Vec<(Prefix, i64)> {
        let count = self.buffer.len().saturating_sub(self.size).min(most);
        let next: Vec<_> = self.buffer.range((Excluded(self.flushed), Unbounded)).take(count).copied().collect();
        if next.len() < count {
            self.flushed = NOTHING;
        } else if let Some(last) = next.last() {
            self.flushed = *last;
        }
        next
    }

    /// Everything but the newest keys. It is flushed when the process restarts so often that the flushes never come
    /// round to all prefixes, so that no start knows what is flushed.
    fn all_but_the_newest(&self) -> Vec<(Prefix, i64)> {
        let newest = self.last - self.size as i64;
        self.buffer.iter().filter(|(_, position)| *position <= newest).copied().collect()
    }

    fn flush(&mut self, connection: &Connection, these: &[(Prefix, i64)]) -> rusqlite::Result<()> {
        // It may be there already, by another process or from before a start.
        let mut insert = connection
            .prepare_cached("insert into key_index (prefix, position) values (?, ?) on conflict do nothing")?;
        for entry in these {
            insert.execute(*entry)?;
            self.buffer.remove(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use uuid::Uuid;

    use super::*;

    const SCHEMA: [&str; 2] = [
        include_str!("../../../../../migrations/sqlite/0001_people.sql"),
        include_str!("../../../../../migrations/sqlite/0002_ledger.sql"),
    ];
    const MAX: usize = 8;

    /// Every fourth key begins as the one before it.
    fn nth_key(n: u32) -> UsedKey {
        let prefix: [u8; 32] = Sha256::digest((n - n % 4 / 3).to_be_bytes()).into();
        let mut key = std::array::from_fn(|i| prefix[i]);
        key[12..].copy_from_slice(&n.to_be_bytes());
        UsedKey { key, fingerprint: [n as u8; 32], transaction_id: Uuid::from_u128(n.into()) }
    }

    fn empty_bank() -> Connection {
        let bank = Connection::open_in_memory().unwrap();
        SCHEMA.iter().for_each(|statements| bank.execute_batch(statements).unwrap());
        bank
    }

    proptest! {
        /// Two processes on one file take turns in any order, start anew, and forget keys: a key that was added and not
        /// forgotten is found, any other is not and can be added.
        #[test]
        fn a_key_is_found_until_it_is_forgotten(
            steps in vec((0..2usize, 1..6u32, any::<bool>(), 0..3u32), 1..60),
        ) {
            let bank = empty_bank();
            let mut processes = [KeyIndex::new(MAX), KeyIndex::new(MAX)];
            let (mut added, mut forgotten) = (0, 0);
            for (process, count, starts_anew, forgets) in steps {
                if starts_anew {
                    processes[process] = KeyIndex::new(MAX);
                }
                let known = &mut processes[process];
                let all: Vec<_> = (0..added + count).map(|n| nth_key(n).key).collect();
                let found = known.find(&bank, &all).unwrap();
                prop_assert_eq!(found, (forgotten..added).map(nth_key).collect::<Vec<_>>());
                let rows: Vec<_> = (added..added + count).map(nth_key).collect();
                prop_assert_eq!(known.add(&bank, &rows, Timestamp::now()).unwrap(), u64::from(count));
                added += count;
                forgotten = added.saturating_sub(1).min(forgotten + forgets);
                let last_forgotten = nth_key(forgotten).key;
                let oldest_left = "select position from idempotency_keys where key = ?";
                let oldest_left: i64 = bank.query_row(oldest_left, [last_forgotten], |row| row.get(0)).unwrap();
                bank.execute("delete from idempotency_keys where position < ?", [oldest_left]).unwrap();
            }
        }
    }

    #[test]
    fn a_key_that_was_forgotten_can_be_used_again() {
        let bank = empty_bank();
        let mut known = KeyIndex::new(MAX);
        for round in 0..3 {
            for n in 0..100 {
                assert_eq!(known.find(&bank, &[nth_key(n).key]).unwrap(), [], "key {n} in round {round}");
                known.add(&bank, &[nth_key(n)], Timestamp::now()).unwrap();
                assert_eq!(known.find(&bank, &[nth_key(n).key]).unwrap(), [nth_key(n)]);
            }
            known.add(&bank, &[nth_key(1_000 + round)], Timestamp::now()).unwrap();
            bank.execute(
                "delete from idempotency_keys where position < (select max(position) from idempotency_keys)",
                [],
            )
            .unwrap();
        }
    }

    /// A start reads what is not known to be flushed: that must not be everything.
    #[test]
    fn the_buffer_and_what_a_start_reads_are_bounded() {
        const MAX: i64 = 200;
        const KEYS: i64 = 20 * MAX;
        let bank = empty_bank();
        let number = |sql| bank.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let mut known = KeyIndex::new(MAX as usize);
        for n in 0..KEYS {
            known.find(&bank, &[]).unwrap();
            known.add(&bank, &[nth_key(n as u32)], Timestamp::now()).unwrap();
            known.add(&bank, &[], Timestamp::now()).unwrap();
            let to_read = number("select count(*) from idempotency_keys, key_index_flushed where position > up_to");
            assert!(to_read < 4 * MAX, "{to_read} rows are read after {n}");
        }
        let flushed = number("select count(*) from key_index");
        assert!((KEYS - MAX - 1..=KEYS - MAX).contains(&flushed), "{flushed} of {KEYS} are flushed");
    }

    /// However often a process starts, and whatever another does meanwhile.
    #[test]
    fn the_buffer_stays_bounded_across_starts_and_beside_another_process() {
        const MAX: usize = 200;
        for lifetime in [50, 250, 400, 1_000, usize::MAX] {
            let bank = empty_bank();
            let (mut known, mut idle) = (KeyIndex::new(MAX), KeyIndex::new(MAX));
            for n in 0..30 * MAX {
                if n % lifetime == 0 {
                    known = KeyIndex::new(MAX);
                }
                assert_eq!(known.find(&bank, &[nth_key(0).key]).unwrap().len(), usize::from(n > 0));
                known.add(&bank, &[nth_key(n as u32)], Timestamp::now()).unwrap();
                assert_eq!(idle.find(&bank, &[nth_key(n as u32).key]).unwrap().len(), 1);
                let buffered = (known.buffer.len(), idle.buffer.len());
                let is_bounded = buffered.0 <= MAX_BUFFERS * MAX && buffered.1 <= (MAX_BUFFERS + 1) * MAX;
                assert!(is_bounded, "{buffered:?} after {n} in lives of {lifetime}");
            }
        }
    }

    #[test]
    fn positions_are_never_given_twice() {
        let bank = empty_bank();
        bank.execute("update key_index_flushed set up_to = 1000", []).unwrap();
        let mut known = KeyIndex::new(MAX);
        for n in 0..3 {
            known.find(&bank, &[]).unwrap();
            known.add(&bank, &[nth_key(n)], Timestamp::now()).unwrap();
            let first: i64 = bank.query_row("select min(position) from idempotency_keys", [], |r| r.get(0)).unwrap();
            assert_eq!(first, 1_001);
            assert_eq!(KeyIndex::new(MAX).find(&bank, &[nth_key(n).key]).unwrap(), [nth_key(n)]);
        }
    }
}
