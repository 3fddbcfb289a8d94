//! Passbook lines on SQLite: written where that is cheap, filed where they are read from later, many at a time.
//!
//! Each passbook is a place of its own in `filed_entries`, so each line that is put there alone rewrites a page of its own,
//! 4 KiB for 100 bytes: dearer than the whole rest of a movement. A new line is therefore appended to `fresh_entries`, where
//! lines share pages in the order they came, and points at the account's line before it; the account's row, which every
//! movement rewrites anyway, points at the last. Once [`FILE_AT`] have gathered they are filed in the passbook together.
//! Readers look at the view `entries`, which has both.
//!
//! Nothing of it is held in memory between batches, and all of it happens in the transaction that books.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Error, Row, Statement, ffi};

use crate::account_number::AccountNumber;
use crate::books::entry::Entry;

/// Lines of an account that are filed together. More would save little, and whoever reads follows them one by one.
const FILE_AT: i64 = 16;

/// Rows of `fresh_entries`, 15 MB of file. Beyond, the oldest are dropped; if one of those is not filed yet, because its
/// account sees little use, its account's are filed first.
pub const MAX_FRESH_ENTRIES: i64 = 131_072;

/// What `filed_entries` and `fresh_entries` both have.
macro_rules! columns {
    () => {
        "account_number, sequence, transaction_id, type, amount, balance, created_at, hash"
    };
}
const COLUMNS: usize = 8;

const FILE_ENTRY: &str = concat!("insert into filed_entries (", columns!(), ") values (?, ?, ?, ?, ?, ?, ?, ?)");
const APPEND_ENTRY: &str =
    concat!("insert into fresh_entries (", columns!(), ", previous) values (?, ?, ?, ?, ?, ?, ?, ?, ?)");

/// Gives the statement the line's [`columns`].
fn bind(statement: &mut Statement<'_>, line: &Entry) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(1, line.account_number)?;
    statement.raw_bind_parameter(2, line.sequence)?;
    statement.raw_bind_parameter(3, line.transaction_id)?;
    statement.raw_bind_parameter(4, line.movement_type as i16)?;
    statement.raw_bind_parameter(5, line.amount)?;
    statement.raw_bind_parameter(6, line.balance)?;
    statement.raw_bind_parameter(7, line.created_at)?;
    statement.raw_bind_parameter(COLUMNS, line.hash)
}

/// The end of a passbook that is not filed yet: columns of `accounts`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    /// How many lines.
    pub length: i64,
    /// The position of the last.
    pub last: Option<i64>,
}

impl Tail {
    /// A row with the columns `fresh_entries` and `last_fresh_entry`.
    pub fn from_sqlite(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { length: row.get("fresh_entries")?, last: row.get("last_fresh_entry")? })
    }

    /// Copies the lines into the account's passbook, the last first, all of them or it fails. Line by line, because an `insert`
    /// of what a `select` finds has to be able to fail half-way, and would keep a copy of each page until it has not.
    fn file(&mut self, connection: &Connection, account: AccountNumber) -> rusqlite::Result<()> {
        let mut select = connection.prepare_cached(concat!(
            "select ",
            columns!(),
            ", previous from fresh_entries where position = ? and account_number = ?"
        ))?;
        let mut insert = connection.prepare_cached(FILE_ENTRY)?;
        let Tail { length, last } = std::mem::take(self);
        let mut next = last;
        for _ in 0..length {
            let mut found = select.query((next, account))?;
            let line = found.next()?.ok_or_else(|| broken(account))?;
            for column in 0..COLUMNS {
                insert.raw_bind_parameter(column + 1, ToSqlOutput::Borrowed(line.get_ref(column)?))?;
            }
            insert.raw_execute()?;
            next = line.get("previous")?;
        }
        if next.is_some() { Err(broken(account)) } else { Ok(()) }
    }
}

/// The account and its fresh entries do not fit together, whoever did that: the doctor will say more.
fn broken(account: AccountNumber) -> Error {
    let message = format!("the fresh entries of account {account} are not what its row says");
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(message))
}

/// The tails of the accounts that a batch has locked.
#[derive(Debug)]
pub struct Tails {
    by_account: BTreeMap<AccountNumber, Tail>,
    /// See [`MAX_FRESH_ENTRIES`].
    max_fresh: i64,
}

impl Tails {
    pub fn new(max_fresh: i64) -> Self {
        Self { by_account: BTreeMap::new(), max_fresh }
    }

    pub fn lock(&mut self, account: AccountNumber, tail: Tail) {
        self.by_account.insert(account, tail);
    }

    /// What the account's row has to say when the batch is written.
    pub fn of(&self, account: AccountNumber) -> rusqlite::Result<Tail> {
        self.by_account.get(&account).copied().ok_or_else(|| broken(account))
    }

    /// Writes the lines, each account's in its order. The rows of the accounts have to be updated afterwards.
    pub fn append(&mut self, connection: &Connection, lines: &[Entry]) -> rusqlite::Result<u64> {
        self.drop_oldest(connection, lines.len() as i64)?;
        let mut coming: BTreeMap<AccountNumber, i64> = BTreeMap::new();
        for line in lines {
            *coming.entry(line.account_number).or_default() += 1;
        }
        // Accounts whose lines go straight into the passbook, because there are many of them.
        let mut filing = BTreeSet::new();
        for (account, count) in coming {
            let tail = self.tail_mut(account)?;
            if tail.length + count >= FILE_AT {
                tail.file(connection, account)?;
                filing.insert(account);
            }
        }
        let mut file = connection.prepare_cached(FILE_ENTRY)?;
        let mut append = connection.prepare_cached(APPEND_ENTRY)?;
        for line in lines {
            if filing.contains(&line.account_number) {
                bind(&mut file, line)?;
                file.raw_execute()?;
            } else {
                let tail = self.tail_mut(line.account_number)?;
                bind(&mut append, line)?;
                append.raw_bind_parameter(COLUMNS + 1, tail.last)?;
                append.raw_execute()?;
                *tail = Tail { length: tail.length + 1, last: Some(connection.last_insert_rowid()) };
            }
        }
        Ok(lines.len() as u64)
    }

    fn tail_mut(&mut self, account: AccountNumber) -> rusqlite::Result<&mut Tail> {
        self.by_account.get_mut(&account).ok_or_else(|| broken(account))
    }

    /// If there are too many rows, drops the oldest, twice as many as are coming. When that fails they stay: the tail of one
    /// account that somebody has broken must not keep all others from their money.
    fn drop_oldest(&mut self, connection: &Connection, coming: i64) -> rusqlite::Result<()> {
        let bounds = "select coalesce((select min(position) from fresh_entries), 0),
                             coalesce((select max(position) from fresh_entries), 0)";
        let (first, last): (i64, i64) =
            connection.prepare_cached(bounds)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let excess = last - first + 1 - self.max_fresh;
        if excess <= 0 {
            return Ok(());
        }
        connection.execute_batch("savepoint dropping")?;
        match drop_up_to(connection, first + excess.min(2 * coming) - 1) {
            Ok(filed) => {
                for account in filed {
                    self.by_account.entry(account).and_modify(|tail| *tail = Tail::default());
                }
            }
            Err(error) => {
                tracing::error!(%error, "old entries cannot be filed: run `coffer doctor`");
                connection.execute_batch("rollback to dropping")?;
            }
        }
        connection.execute_batch("release dropping")
    }
}

/// Drops the rows up to a position, and returns the accounts whose tails were filed for that.
fn drop_up_to(connection: &Connection, position: i64) -> rusqlite::Result<Vec<AccountNumber>> {
    let mut select = connection.prepare_cached(
        "select distinct a.account_number, a.fresh_entries, a.last_fresh_entry
         from fresh_entries f cross join accounts a on a.account_number = f.account_number
         where f.position <= ? and f.sequence > a.sequence - a.fresh_entries",
    )?;
    let unfiled = select
        .query_map((position,), |row| Ok((row.get("account_number")?, Tail::from_sqlite(row)?)))?
        .collect::<rusqlite::Result<Vec<(AccountNumber, Tail)>>>()?;
    let mut update = connection
        .prepare_cached("update accounts set fresh_entries = 0, last_fresh_entry = null where account_number = ?")?;
    let mut filed = Vec::new();
    for (account, mut tail) in unfiled {
        tail.file(connection, account)?;
        update.execute((account,))?;
        filed.push(account);
    }
    connection.prepare_cached("delete from fresh_entries where position <= ?")?.execute((position,))?;
    Ok(filed)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::books::movement::MovementType;
    use crate::money::Currency;
    use crate::timestamp::Timestamp;

    const SCHEMA: [&str; 3] = [
        include_str!("../../../migrations/sqlite/0001_users_and_sessions.sql"),
        include_str!("../../../migrations/sqlite/0002_ledger.sql"),
        include_str!("../../../migrations/sqlite/0008_fresh_entries.sql"),
    ];
    const ACCOUNTS: i64 = 4;
    const MAX_FRESH: i64 = 40;

    fn bank() -> Connection {
        let bank = Connection::open_in_memory().unwrap();
        SCHEMA.iter().for_each(|statements| bank.execute_batch(statements).unwrap());
        for number in 1..=ACCOUNTS {
            bank.execute(
                "insert into accounts (account_number, currency, last_entry_at, opened_at) values (?, 'USD', 0, 0)",
                (number,),
            )
            .unwrap();
        }
        bank
    }

    fn line(account: i64, sequence: i64) -> Entry {
        Entry {
            account_number: AccountNumber::from_i64(account),
            sequence,
            transaction_id: Uuid::from_u128(sequence as u128),
            movement_type: MovementType::Deposit,
            counterparty: None,
            amount: 1,
            currency: Currency::from_code("USD").unwrap(),
            balance: sequence,
            description: None,
            initiated_by: Uuid::nil(),
            created_at: Timestamp::from_micros(sequence),
            hash: [account as u8; 32],
        }
    }

    /// What the writer does with a batch of one line for each of `accounts`.
    fn book(bank: &Connection, heads: &mut [i64], accounts: &[usize]) {
        let mut tails = Tails::new(MAX_FRESH);
        for account in accounts {
            let select = "select fresh_entries, last_fresh_entry from accounts where account_number = ?";
            let tail = bank.query_row(select, (*account as i64 + 1,), Tail::from_sqlite).unwrap();
            tails.lock(AccountNumber::from_i64(*account as i64 + 1), tail);
        }
        let lines: Vec<_> = accounts
            .iter()
            .map(|&account| {
                heads[account] += 1;
                line(account as i64 + 1, heads[account])
            })
            .collect();
        assert_eq!(tails.append(bank, &lines).unwrap(), lines.len() as u64);
        for &account in accounts {
            let tail = tails.of(AccountNumber::from_i64(account as i64 + 1)).unwrap();
            bank.execute(
                "update accounts set sequence = ?, fresh_entries = ?, last_fresh_entry = ? where account_number = ?",
                (heads[account], tail.length, tail.last, account as i64 + 1),
            )
            .unwrap();
        }
    }

    fn count(bank: &Connection, select: &str) -> i64 {
        bank.query_row(select, [], |row| row.get(0)).unwrap()
    }

    proptest! {
        /// Whatever comes in whichever batches: each passbook is whole, no line is in it twice, filed lines come before
        /// those that are not, and no more are fresh than may be.
        #[test]
        fn passbooks_stay_whole(batches in vec(vec(0..ACCOUNTS as usize, 1..20), 1..60)) {
            let bank = bank();
            let mut heads = [0; ACCOUNTS as usize];
            for batch in &batches {
                book(&bank, &mut heads, batch);
                for (account, head) in heads.iter().enumerate() {
                    let number = account as i64 + 1;
                    let mut select = bank
                        .prepare("select sequence from entries where account_number = ? order by sequence")
                        .unwrap();
                    let found: Vec<i64> =
                        select.query_map((number,), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
                    prop_assert_eq!(found, (1..=*head).collect::<Vec<_>>(), "account {}", number);
                }
                let tails = "select count(*) from accounts a where fresh_entries <> sequence -
                             (select count(*) from filed_entries e where e.account_number = a.account_number)";
                prop_assert_eq!(count(&bank, tails), 0);
                let rows = count(&bank, "select count(*) from fresh_entries");
                prop_assert!(rows <= MAX_FRESH + 2 * 20, "{} rows", rows);
            }
        }
    }

    #[test]
    fn an_account_that_rests_is_filed_when_others_need_the_room() {
        let bank = bank();
        let mut heads = [0; ACCOUNTS as usize];
        book(&bank, &mut heads, &[0, 0]);
        for _ in 0..10 * MAX_FRESH {
            book(&bank, &mut heads, &[1]);
        }
        assert_eq!(count(&bank, "select fresh_entries from accounts where account_number = 1"), 0);
        assert_eq!(count(&bank, "select count(*) from filed_entries where account_number = 1"), 2);
    }

    /// Otherwise one bad row would stop every movement of the bank.
    #[test]
    fn a_broken_tail_stops_only_its_own_account() {
        let bank = bank();
        let mut heads = [0; ACCOUNTS as usize];
        book(&bank, &mut heads, &[0, 0, 2]);
        bank.execute_batch(
            "drop trigger fresh_entries_refuse_update; update fresh_entries set previous = 999 where position = 1",
        )
        .unwrap();
        for _ in 0..MAX_FRESH {
            book(&bank, &mut heads, &[1, 2, 3]);
        }
        assert_eq!(count(&bank, "select count(*) from entries"), 3 * MAX_FRESH + 3);
        let mut tails = Tails::new(MAX_FRESH);
        tails.lock(AccountNumber::from_i64(1), Tail { length: 2, last: Some(2) });
        let many: Vec<_> = (3..3 + FILE_AT).map(|sequence| line(1, sequence)).collect();
        assert!(tails.append(&bank, &many).is_err());
    }

    #[test]
    fn a_line_that_is_not_filed_cannot_be_dropped() {
        let bank = bank();
        book(&bank, &mut [0; ACCOUNTS as usize], &[0, 1]);
        assert!(bank.execute("delete from fresh_entries where position = 1", ()).is_err());
        assert!(bank.execute("update fresh_entries set amount = 2", ()).is_err());
    }
}
