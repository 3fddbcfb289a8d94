//! Idempotency keys on SQLite: written where that is cheap, moved to where they are found later.
//!
//! Keys are random, so each new row of the sorted table rewrites a page of its own, as dear as the whole rest of a
//! deposit. A new key is therefore appended to `fresh_keys`, many to a page, and its position held in memory. Beyond
//! [`MAX_FRESH_KEYS`] a batch that adds keys also moves some over, neighbours in the order of the sorted table, which share its
//! pages there. The memory is only an index: a position without a row means that the key is not fresh.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use rusqlite::{Connection, OptionalExtension};

use super::UsedKey;
use crate::timestamp::Timestamp;

/// Keys that may be fresh: 4 MB of memory. The more there are, the closer together lie those that move. The table itself
/// grows to some four times as many rows, because it is emptied from one end; reading those takes the first request with a key 0.1 s.
pub const MAX_FRESH_KEYS: usize = 65_536;

/// What the lane knows of `fresh_keys`. Of no use after a transaction that used it failed.
pub struct FreshKeys {
    /// How many may be fresh before they move.
    max: usize,
    positions: BTreeMap<[u8; 16], i64>,
    /// The last position known: if the table's is another, another process has written.
    last: i64,
    /// The last key that was moved. The next is the one after it, in circles.
    moved: [u8; 16],
    /// Everything up to here was there when the last circle began, so it has been moved.
    to_drop: i64,
    /// The last position when this circle began.
    circle_began_at: i64,
}

impl FreshKeys {
    /// Knows nothing yet; reads the table when it is first used.
    pub fn new(max: usize) -> Self {
        Self { max, positions: BTreeMap::new(), last: 0, moved: [0; 16], to_drop: 0, circle_began_at: 0 }
    }

    /// Those of the keys that are in `fresh_keys`.
    pub fn find(&mut self, connection: &Connection, keys: &[[u8; 16]]) -> rusqlite::Result<Vec<UsedKey>> {
        self.catch_up(connection)?;
        let mut select = connection
            .prepare_cached("select key, fingerprint, transaction_id from fresh_keys where position = ? and key = ?")?;
        keys.iter()
            .filter_map(|key| self.positions.get(key).map(|position| (position, key)))
            .filter_map(|parameters| select.query_row(parameters, UsedKey::from_sqlite).optional().transpose())
            .collect()
    }

    /// Adds keys, and moves others if there are too many. [`find`](Self::find) must have been called before in the
    /// same transaction.
    pub fn add(&mut self, connection: &Connection, rows: &[UsedKey], now: Timestamp) -> rusqlite::Result<u64> {
        let mut insert = connection.prepare_cached(
            "insert into fresh_keys (position, key, fingerprint, transaction_id, created_at) values (?, ?, ?, ?, ?)",
        )?;
        for row in rows {
            self.last += 1;
            insert.execute((self.last, row.key, row.fingerprint, row.transaction_id, now))?;
            self.positions.insert(row.key, self.last);
        }
        if let Some(excess @ 1..) = self.positions.len().checked_sub(self.max) {
            let twice_as_many = 2 * rows.len();
            self.move_on(connection, excess.min(twice_as_many))?;
            self.drop_moved(connection, twice_as_many)?;
        }
        Ok(rows.len() as u64)
    }

    /// Reads the table if another process has written to it, or if nobody has read it yet.
    fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let last = connection
            .prepare_cached("select coalesce(max(position), 0) from fresh_keys")?
            .query_row([], |row| row.get(0))?;
        if last == self.last {
            return Ok(());
        }
        let mut select = connection.prepare("select key, position from fresh_keys")?;
        let positions = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        *self = Self { positions, last, circle_began_at: last, ..Self::new(self.max) };
        Ok(())
    }

    /// Moves the next `count` keys into the sorted table, fewer at the end of a circle.
    fn move_on(&mut self, connection: &Connection, count: usize) -> rusqlite::Result<()> {
        let next: Vec<_> = self
            .positions
            .range((Excluded(self.moved), Unbounded))
            .take(count)
            .map(|(&key, &position)| (key, position))
            .collect();
        // Two statements: an `insert` of what a `select` finds has to be able to fail half-way, and would keep a copy of
        // each page until it has not.
        let mut select = connection.prepare_cached(
            "select key, fingerprint, transaction_id, created_at from fresh_keys where position = ? and key = ?",
        )?;
        let mut insert = connection.prepare_cached(
            "insert into idempotency_keys (key, fingerprint, transaction_id, created_at) values (?, ?, ?, ?)
             on conflict (key) do nothing",
        )?;
        for (key, position) in &next {
            let row: rusqlite::Result<(_, Timestamp)> =
                select.query_row((position, key), |row| Ok((UsedKey::from_sqlite(row)?, row.get(3)?)));
            if let Some((used, created_at)) = row.optional()? {
                insert.execute((used.key, used.fingerprint, used.transaction_id, created_at))?;
            }
            self.positions.remove(key);
            self.moved = *key;
        }
        if next.len() < count {
            self.moved = [0; 16];
            self.to_drop = std::mem::replace(&mut self.circle_began_at, self.last);
        }
        Ok(())
    }

    /// Drops up to `count` rows that were moved in earlier circles.
    fn drop_moved(&self, connection: &Connection, count: usize) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "delete from fresh_keys where position in
                 (select position from fresh_keys where position <= ? order by position limit ?)",
            )?
            .execute((self.to_drop, count as i64))?;
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

    const SCHEMA: [&str; 3] = [
        include_str!("../../../migrations/sqlite/0001_users_and_sessions.sql"),
        include_str!("../../../migrations/sqlite/0002_ledger.sql"),
        include_str!("../../../migrations/sqlite/0004_fresh_keys.sql"),
    ];
    const MAX: usize = 8;

    fn nth_key(n: u32) -> UsedKey {
        let digest: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
        let key = std::array::from_fn(|i| digest[i]);
        UsedKey { key, fingerprint: [n as u8; 32], transaction_id: Uuid::from_u128(n.into()) }
    }

    fn is_sorted_in(bank: &Connection, key: [u8; 16]) -> bool {
        let count = "select count(*) from idempotency_keys where key = ?";
        bank.query_row(count, [key], |row| row.get::<_, i64>(0)).unwrap() == 1
    }

    proptest! {
        /// Whatever two processes on one file do in turn, and however often they start anew: a key that was added is
        /// found, fresh or sorted, one that was not is not, and no more are fresh than may be.
        #[test]
        fn a_key_once_added_is_always_found(steps in vec((0..2usize, 1..6u32, any::<bool>()), 1..60)) {
            let bank = Connection::open_in_memory().unwrap();
            SCHEMA.iter().for_each(|statements| bank.execute_batch(statements).unwrap());
            let mut processes = [FreshKeys::new(MAX), FreshKeys::new(MAX)];
            let mut added = 0;
            for (process, count, starts_anew) in steps {
                if starts_anew {
                    processes[process] = FreshKeys::new(MAX);
                }
                let fresh = &mut processes[process];
                let all: Vec<_> = (0..added + count).map(|n| nth_key(n).key).collect();
                let found = fresh.find(&bank, &all).unwrap();
                for n in 0..added + count {
                    let is_found = found.contains(&nth_key(n)) || is_sorted_in(&bank, nth_key(n).key);
                    prop_assert_eq!(is_found, n < added, "key {} of {}", n, added);
                }
                let rows: Vec<_> = (added..added + count).map(nth_key).collect();
                prop_assert_eq!(fresh.add(&bank, &rows, Timestamp::now()).unwrap(), u64::from(count));
                added += count;
            }
            let rows: i64 = bank.query_row("select count(*) from fresh_keys", [], |row| row.get(0)).unwrap();
            let seen: i64 = bank.query_row("select count(*) from used_keys", [], |row| row.get(0)).unwrap();
            prop_assert_eq!(seen, i64::from(added));
            prop_assert!(rows <= i64::from(added));
        }
    }

    #[test]
    fn what_has_been_moved_is_dropped() {
        let bank = Connection::open_in_memory().unwrap();
        SCHEMA.iter().for_each(|statements| bank.execute_batch(statements).unwrap());
        let mut fresh = FreshKeys::new(MAX);
        for n in 0..2_000 {
            fresh.find(&bank, &[]).unwrap();
            fresh.add(&bank, &[nth_key(n)], Timestamp::now()).unwrap();
        }
        let rows: i64 = bank.query_row("select count(*) from fresh_keys", [], |row| row.get(0)).unwrap();
        assert!((MAX..8 * MAX).contains(&(rows as usize)), "{rows} rows are left");
        assert_eq!(fresh.positions.len(), MAX);
    }
}
