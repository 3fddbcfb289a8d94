//! Idempotency keys on SQLite, and where each of them is.
//!
//! Keys are random, so each new row of a table sorted by them rewrites a page of its own, as dear as the whole rest of a
//! deposit. A key is therefore appended to `idempotency_keys`, many to a page, and its position held in memory. Beyond
//! [`MAX_HELD`] a batch that adds keys also writes some positions to the sorted `key_positions`, neighbours, which
//! share its pages. Wherever a position comes from, it is only a hint: a key is used if its row is there.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use rusqlite::{Connection, OptionalExtension};

use super::UsedKey;
use crate::timestamp::Timestamp;

/// Positions that are held while one process runs: 2 MB of memory. The more there are, the closer together lie those that
/// are placed.
pub const MAX_HELD: usize = 65_536;
/// About so many times as many are held at the most: after a start, whose first request with a key reads that many rows in some
/// 0.1 s, or beside a second process that writes.
const MOST: usize = 4;

/// Enough of a key that few have it in common, little enough that some 200 fit a page of `key_positions`.
type Beginning = [u8; 6];
const NOTHING: (Beginning, i64) = ([0; 6], 0);

/// What the writer knows of keys. Of no use after a transaction that used it failed.
pub struct KeyPositions {
    /// How many may be held before they are placed in the table.
    max: usize,
    /// By the beginning of the key.
    held: BTreeSet<(Beginning, i64)>,
    /// The last position known: if the table's is another, another process has written.
    last: i64,
    /// What was placed last. Next is what follows it, in circles.
    placed: (Beginning, i64),
}

fn beginning(key: &[u8; 16]) -> Beginning {
    std::array::from_fn(|i| key[i])
}

impl KeyPositions {
    /// Knows nothing yet; reads the table when it is first used.
    pub fn new(max: usize) -> Self {
        Self { max, held: BTreeSet::new(), last: 0, placed: NOTHING }
    }

    /// Those of the keys that have been used.
    pub fn find(&mut self, connection: &Connection, keys: &[[u8; 16]]) -> rusqlite::Result<Vec<UsedKey>> {
        self.catch_up(connection)?;
        let mut placed = connection.prepare_cached("select position from key_positions where beginning = ?")?;
        let mut used = connection.prepare_cached(
            "select key, fingerprint, transaction_id from idempotency_keys where position = ? and key = ?",
        )?;
        let mut found = Vec::new();
        for key in keys {
            let beginning = beginning(key);
            let held = self.held.range((beginning, 0)..=(beginning, i64::MAX)).map(|&(_, position)| Ok(position));
            for position in held.chain(placed.query_map([beginning], |row| row.get(0))?) {
                if let Some(key) = used.query_row((position?, key), UsedKey::from_sqlite).optional()? {
                    found.push(key);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Adds keys, and places others if too many are held. [`find`](Self::find) must have been called before in the same
    /// transaction.
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
            self.hold(&row.key, position);
        }
        let too_many = self.held.len() > MOST * self.max;
        let next = if too_many { self.all_but_the_newest() } else { self.next_neighbours(2 * rows.len()) };
        self.place(connection, &next)?;
        if too_many || before / self.max as i64 != self.last / self.max as i64 {
            self.note_what_is_placed(connection)?;
        }
        Ok(rows.len() as u64)
    }

    fn hold(&mut self, key: &[u8; 16], position: i64) {
        self.held.insert((beginning(key), position));
        self.last = position;
    }

    /// Reads what another process has written, or what was there before this one.
    fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Above what is placed, even if somebody has emptied the table: below it nobody would look for them.
        let (last, up_to) = connection
            .prepare_cached(
                "select max(up_to, coalesce((select max(position) from idempotency_keys), 0)), up_to from keys_placed",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        if last == self.last {
            return Ok(());
        }
        let mut select = connection
            .prepare_cached("select key, position from idempotency_keys where position > ? order by position")?;
        for row in select.query_map([self.last.max(up_to)], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (key, position) = row?;
            self.hold(&key, position);
        }
        self.last = last;
        if self.held.len() > MOST * self.max {
            self.held.retain(|&(_, position)| position > up_to);
        }
        Ok(())
    }

    /// Tells the next start what it need not read.
    fn note_what_is_placed(&self, connection: &Connection) -> rusqlite::Result<()> {
        let first_held = self.held.iter().map(|&(_, position)| position).min().unwrap_or(self.last + 1);
        connection.prepare_cached("update keys_placed set up_to = max(up_to, ?)")?.execute([first_held - 1])?;
        Ok(())
    }

    /// What is to be placed in passing: of those that are too many, `most`, in circles.
    fn next_neighbours(&mut self, most: usize) -> Vec<(Beginning, i64)> {
        let count = self.held.len().saturating_sub(self.max).min(most);
        let next: Vec<_> = self.held.range((Excluded(self.placed), Unbounded)).take(count).copied().collect();
        if next.len() < count {
            self.placed = NOTHING;
        } else if let Some(last) = next.last() {
            self.placed = *last;
        }
        next
    }

    /// What is to be placed at once, because starts so close together that no circle ends would never know it placed.
    fn all_but_the_newest(&self) -> Vec<(Beginning, i64)> {
        let newest = self.last - self.max as i64;
        self.held.iter().filter(|(_, position)| *position <= newest).copied().collect()
    }

    fn place(&mut self, connection: &Connection, these: &[(Beginning, i64)]) -> rusqlite::Result<()> {
        // Another process may have placed it already.
        let mut place = connection
            .prepare_cached("insert into key_positions (beginning, position) values (?, ?) on conflict do nothing")?;
        for held in these {
            place.execute(*held)?;
            self.held.remove(held);
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

    const SCHEMA: [&str; 4] = [
        include_str!("../../../migrations/sqlite/0001_users_and_sessions.sql"),
        include_str!("../../../migrations/sqlite/0002_ledger.sql"),
        include_str!("../../../migrations/sqlite/0004_fresh_keys.sql"),
        include_str!("../../../migrations/sqlite/0009_key_positions.sql"),
    ];
    const MAX: usize = 8;

    /// Every fourth key begins as the one before it.
    fn nth_key(n: u32) -> UsedKey {
        let beginning: [u8; 32] = Sha256::digest((n - n % 4 / 3).to_be_bytes()).into();
        let mut key = std::array::from_fn(|i| beginning[i]);
        key[12..].copy_from_slice(&n.to_be_bytes());
        UsedKey { key, fingerprint: [n as u8; 32], transaction_id: Uuid::from_u128(n.into()) }
    }

    fn empty_bank() -> Connection {
        let bank = Connection::open_in_memory().unwrap();
        SCHEMA.iter().for_each(|statements| bank.execute_batch(statements).unwrap());
        bank
    }

    proptest! {
        /// Whatever two processes on one file do in turn, however often they start anew, and whatever is forgotten
        /// meanwhile: a key that was added and not forgotten is found, any other is not and can be added.
        #[test]
        fn a_key_is_found_until_it_is_forgotten(
            steps in vec((0..2usize, 1..6u32, any::<bool>(), 0..3u32), 1..60),
        ) {
            let bank = empty_bank();
            let mut processes = [KeyPositions::new(MAX), KeyPositions::new(MAX)];
            let (mut added, mut forgotten) = (0, 0);
            for (process, count, starts_anew, forgets) in steps {
                if starts_anew {
                    processes[process] = KeyPositions::new(MAX);
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
        let mut known = KeyPositions::new(MAX);
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

    /// A start reads what is not known to be placed: that must not be everything.
    #[test]
    fn what_is_held_and_what_a_start_reads_is_bounded() {
        const MAX: i64 = 200;
        const KEYS: i64 = 20 * MAX;
        let bank = empty_bank();
        let number = |sql| bank.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let mut known = KeyPositions::new(MAX as usize);
        for n in 0..KEYS {
            known.find(&bank, &[]).unwrap();
            known.add(&bank, &[nth_key(n as u32)], Timestamp::now()).unwrap();
            known.add(&bank, &[], Timestamp::now()).unwrap();
            let to_read = number("select count(*) from idempotency_keys, keys_placed where position > up_to");
            assert!(to_read < 4 * MAX, "{to_read} rows are read after {n}");
        }
        let placed = number("select count(*) from key_positions");
        assert!((KEYS - MAX - 1..=KEYS - MAX).contains(&placed), "{placed} of {KEYS} are placed");
    }

    /// However often a process starts, and whatever another does meanwhile.
    #[test]
    fn what_is_held_stays_bounded_across_starts_and_beside_another_process() {
        const MAX: usize = 200;
        for lifetime in [50, 250, 400, 1_000, usize::MAX] {
            let bank = empty_bank();
            let (mut known, mut idle) = (KeyPositions::new(MAX), KeyPositions::new(MAX));
            for n in 0..30 * MAX {
                if n % lifetime == 0 {
                    known = KeyPositions::new(MAX);
                }
                assert_eq!(known.find(&bank, &[nth_key(0).key]).unwrap().len(), usize::from(n > 0));
                known.add(&bank, &[nth_key(n as u32)], Timestamp::now()).unwrap();
                assert_eq!(idle.find(&bank, &[nth_key(n as u32).key]).unwrap().len(), 1);
                let held = (known.held.len(), idle.held.len());
                let is_bounded = held.0 <= MOST * MAX && held.1 <= (MOST + 1) * MAX;
                assert!(is_bounded, "{held:?} after {n} in lives of {lifetime}");
            }
        }
    }

    #[test]
    fn positions_are_never_given_twice() {
        let bank = empty_bank();
        bank.execute("update keys_placed set up_to = 1000", []).unwrap();
        let mut known = KeyPositions::new(MAX);
        for n in 0..3 {
            known.find(&bank, &[]).unwrap();
            known.add(&bank, &[nth_key(n)], Timestamp::now()).unwrap();
            let first: i64 = bank.query_row("select min(position) from idempotency_keys", [], |r| r.get(0)).unwrap();
            assert_eq!(first, 1_001);
            assert_eq!(KeyPositions::new(MAX).find(&bank, &[nth_key(n).key]).unwrap(), [nth_key(n)]);
        }
    }

    /// Keys of the two tables that were before.
    #[test]
    fn keys_of_an_older_file_are_found() {
        let bank = Connection::open_in_memory().unwrap();
        let (last, before) = SCHEMA.split_last().unwrap();
        before.iter().for_each(|statements| bank.execute_batch(statements).unwrap());
        for n in 0..300 {
            let UsedKey { key, fingerprint, transaction_id } = nth_key(n);
            let row = (key, fingerprint, transaction_id, 7);
            if n < 200 {
                bank.execute("insert into idempotency_keys values (?, ?, ?, ?)", row).unwrap();
            }
            if n >= 100 {
                let columns = "(key, fingerprint, transaction_id, created_at)";
                bank.execute(&format!("insert into fresh_keys {columns} values (?, ?, ?, ?)"), row).unwrap();
            }
        }
        bank.execute_batch(last).unwrap();
        let mut known = KeyPositions::new(MAX);
        let keys: Vec<_> = (0..400).map(|n| nth_key(n).key).collect();
        assert_eq!(known.find(&bank, &keys).unwrap(), (0..300).map(nth_key).collect::<Vec<_>>());
        assert_eq!(known.held.len(), 0);
    }
}
