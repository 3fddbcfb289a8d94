//! The queries of the committer, which reads and writes a batch at a time.
//!
//! In two dialects, because the two databases are quick in different ways: [`postgres`] takes a whole batch in one statement
//! per table, [`sqlite`] a row at a time without leaving the thread.

mod postgres;
mod sqlite;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, FromRow, PgConnection, Postgres};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::sqlite::SqliteBatch;
use self::sqlite::key_index::{BUFFER_SIZE, KeyIndex};
use super::account_limits::limits_columns;
use super::holds::hold_columns;
use super::primary::InTerm;
use super::tags::no_tags;
use super::{Db, Layout, Tx, account_columns, errors, in_time, in_transaction, wait_for_write_lock};
use crate::account_number::AccountNumber;
use crate::books::account::Account;
use crate::books::account_limits::AccountLimits;
use crate::books::approval::{Approval, Reservation};
use crate::books::audit_event::Event;
use crate::books::bank_event::BankEvent;
use crate::books::entry::{Entry, Transaction};
use crate::books::hold::Hold;
use crate::books::notice::MovementNotice;
use crate::books::postings::{Approved, Captured, PendingReversal, Postings, Reversal, UsedKey};
use crate::books::tags::{self, NewTags, TaggedEntry, TakenReference};
use crate::books::unapproved::UnapprovedTotal;
use crate::db::bank_events::placed;
use crate::db::mails::MailKind;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// On SQLite, deletes expired keys among the oldest 5,000, which takes a few milliseconds; housekeeping does so twice a
/// second. Keys that were added while the clock was ahead hold up those behind them until they expire. The last key
/// stays: see the migration.
const PRUNE_KEYS_IN_ORDER: &str = "
    delete from idempotency_keys where position in (
        select position from (select position, created_at from idempotency_keys order by position limit 5000)
        where created_at < $1 and position < (select max(position) from idempotency_keys)
    )";

/// An entry, and the hash by which it is known from any other that could stand in its place.
pub type EntryKey = (AccountNumber, i64, [u8; 32]);

/// The money that staff move without a second approver is summed up by the minute.
const MINUTE: Duration = Duration::from_secs(60);

/// Rows of writers that have ended are dropped after this long.
const HEARTBEAT_RETENTION: Duration = Duration::from_secs(60 * 60);
const DROP_HEARTBEATS: &str = "delete from heartbeats where written_at < $1";
const WRITE_HEARTBEAT: &str = "insert into heartbeats (writer, written_at) values ($1, $2)
     on conflict (writer) do update set written_at = excluded.written_at";

/// What holds and pending approvals reserve on the account, or on any of the accounts, while they have not expired.
macro_rules! select_reservations {
    ($accounts:literal, $now:literal) => {
        concat!(
            "select id, from_account as account_number, amount from approvals where from_account ",
            $accounts,
            " and status = 'pending' and expires_at > ",
            $now,
            " union all select id, from_account, amount from holds where from_account ",
            $accounts,
            " and status = 'held' and expires_at > ",
            $now
        )
    };
}
pub(in crate::db) use select_reservations;

/// All of a mover's sums, each for one currency. Movers are users of the staff, by whom the column is named, and API keys.
macro_rules! select_unapproved_sums {
    ($movers:literal, $since:literal, $until:literal) => {
        concat!(
            "select user_id as mover, currency, cast(sum(amount) as bigint) as amount from unapproved_totals
             where user_id ",
            $movers,
            " and minute > ",
            $since,
            " and minute <= ",
            $until,
            " group by user_id, currency"
        )
    };
}
use select_unapproved_sums;

/// A mover's unapproved totals in one currency.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct UnapprovedSum {
    mover: Uuid,
    #[sqlx(try_from = "String")]
    currency: Currency,
    /// Minor units.
    amount: i64,
}

impl UnapprovedTotal {
    /// The beginning of the minute that it is summed up in, in microseconds.
    fn minute(&self) -> i64 {
        let micros = self.moved_at.as_micros();
        micros - micros.rem_euclid(MINUTE.as_micros() as i64)
    }
}

/// The accounts on which these approvals and holds reserve, each with the latest expiry.
fn reserving(approvals: &[Approval], holds: &[Hold]) -> BTreeMap<AccountNumber, Timestamp> {
    let of_approvals = approvals.iter().filter_map(|it| it.from_account.map(|number| (number, it.expires_at)));
    let of_holds = holds.iter().map(|hold| (hold.from_account, hold.expires_at));
    let mut until = BTreeMap::new();
    for (number, expires_at) in of_approvals.chain(of_holds) {
        let known = until.entry(number).or_insert(expires_at);
        *known = expires_at.max(*known);
    }
    until
}

/// How many rows each statement of [`Batch::write`] must write, in the order in which it executes them.
fn rows_of(
    postings: &Postings,
    heads: &[&Account],
    reserving: &BTreeMap<AccountNumber, Timestamp>,
    limits: &[&AccountLimits],
) -> [usize; 14] {
    let Postings {
        transactions,
        entries,
        used_keys,
        approved,
        approvals,
        reversals,
        holds,
        captured,
        tags,
        tagged_entries,
        unapproved,
        records: _,
        events: _,
        notices: _,
    } = postings;
    [
        transactions.len(),
        entries.len(),
        heads.len(),
        used_keys.len(),
        approved.len(),
        approvals.len(),
        reversals.len(),
        holds.len(),
        captured.len(),
        tags.len(),
        tagged_entries.len(),
        unapproved.len(),
        reserving.len(),
        limits.len(),
    ]
}

/// A connection that a writer keeps, on the writer's own thread: taking one from a pool and giving it back, each with a
/// check of its health, would cost every batch several round trips.
pub struct WriterConnection {
    db: Db,
    /// The writer's row among the heartbeats.
    id: Uuid,
    /// None before the first transaction and after a failure.
    open: Option<OpenConnection>,
}

enum OpenConnection {
    Sqlite(rusqlite::Connection, KeyIndex, Arc<Mutex<()>>),
    /// With the term that it was made in, and what begins a transaction.
    Postgres(PgConnection, InTerm, &'static str),
}

impl OpenConnection {
    /// A primary that was cut off may well go on answering.
    fn is_to_be_used(&self) -> bool {
        match self {
            Self::Sqlite(..) => true,
            Self::Postgres(_, term, _) => !term.is_over(),
        }
    }
}

/// The database transaction of a batch. Rolls back when dropped.
pub enum Batch<'a> {
    Sqlite(SqliteBatch<'a>),
    Postgres(sqlx::Transaction<'a, Postgres>, InTerm, Layout),
}

impl WriterConnection {
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone(), id: Uuid::now_v7(), open: None }
    }

    /// Starts a transaction on the writer's connection, which is opened the first time.
    pub async fn begin(&mut self) -> sqlx::Result<Batch<'_>> {
        if let Db::Sqlite { open_file, .. } = &self.db {
            open_file.refuse_if_gone()?;
        }
        let connection = match self.open.take().filter(OpenConnection::is_to_be_used) {
            Some(connection) => connection,
            None => match &self.db {
                Db::Sqlite { file, write_lock, checkpoints, .. } => {
                    let connection = super::sqlite::open_for_writing(file, *checkpoints)?;
                    OpenConnection::Sqlite(connection, KeyIndex::new(BUFFER_SIZE), write_lock.clone())
                }
                Db::Postgres { settings, .. } => {
                    let (connection, term) = postgres::connect(settings).await?;
                    OpenConnection::Postgres(connection, term, settings.sessions.begin_writing())
                }
            },
        };
        match self.open.insert(connection) {
            OpenConnection::Sqlite(connection, key_index, write_lock) => {
                let write_lock = wait_for_write_lock(write_lock).await?;
                Ok(Batch::Sqlite(SqliteBatch::begin(connection, key_index, write_lock)?))
            }
            OpenConnection::Postgres(connection, term, begin) => {
                Ok(Batch::Postgres(term.in_time(connection.begin_with(*begin)).await?, term.clone(), self.db.layout()))
            }
        }
    }

    /// The id of the writer's heartbeat.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// After a failure: drops the connection, whatever state it is in. The next transaction gets another.
    pub fn replace(&mut self) {
        self.open = None;
    }

    /// On SQLite, a commit that fails in `fsync` leaves its pages at the end of the WAL. They count for nobody, but
    /// after a crash, recovery would take them for committed. Writes a heartbeat over them; false when not even that
    /// can be written.
    pub async fn bury_failed_commit(&mut self) -> bool {
        if matches!(self.db, Db::Postgres { .. }) {
            return true;
        }
        let (writer, now) = (self.id, Timestamp::now());
        let write = async {
            let mut tx = self.begin().await?;
            tx.write_heartbeat(writer, now).await?;
            tx.commit().await
        };
        let written = write.await;
        self.replace();
        // If only `fsync` fails again, the pages have been overwritten.
        written.is_ok() || written.is_err_and(|error| errors::is_failed_sync(&error))
    }

    /// Closes the connection.
    pub async fn close(self) {
        if let Some(OpenConnection::Postgres(connection, ..)) = self.open {
            let _ = in_time(connection.close()).await;
        }
    }
}

impl Batch<'_> {
    /// Loads the customers' accounts among `numbers` and holds them until the transaction ends. Unknown ones are left
    /// out. `numbers` must not repeat itself.
    pub async fn lock_accounts(&mut self, numbers: &[AccountNumber]) -> sqlx::Result<Vec<Account>> {
        match self {
            Self::Sqlite(batch) => batch.lock_accounts(numbers),
            Self::Postgres(tx, term, layout) => term.in_time(postgres::lock_accounts(tx, *layout, numbers)).await,
        }
    }

    /// The keys among these that have taken effect before.
    pub async fn used_keys(&mut self, keys: &[[u8; 16]]) -> sqlx::Result<Vec<UsedKey>> {
        match self {
            Self::Sqlite(batch) => batch.used_keys(keys),
            Self::Postgres(tx, term, _) => term.in_time(postgres::used_keys(tx, keys)).await,
        }
    }

    /// The references among these that name a movement already, each by the one who wants to take it.
    pub async fn taken_references(&mut self, wanted: &[(Uuid, &str)]) -> sqlx::Result<Vec<TakenReference>> {
        match self {
            Self::Sqlite(batch) => batch.taken_references(wanted),
            Self::Postgres(tx, term, _) => term.in_time(postgres::taken_references(tx, wanted)).await,
        }
    }

    /// The approvals among these that are pending at `now`, locked until the transaction ends. Lock the accounts
    /// before.
    pub async fn lock_pending(&mut self, ids: &[Uuid], now: Timestamp) -> sqlx::Result<Vec<Uuid>> {
        match self {
            Self::Sqlite(batch) => batch.pending(ids, now),
            Self::Postgres(tx, term, layout) => term.in_time(postgres::lock_pending(tx, *layout, ids, now)).await,
        }
    }

    /// These holds, locked until the transaction ends. Lock the accounts before.
    pub async fn lock_holds(&mut self, ids: &[Uuid]) -> sqlx::Result<Vec<Hold>> {
        match self {
            Self::Sqlite(batch) => batch.holds(ids),
            Self::Postgres(tx, term, layout) => term.in_time(postgres::lock_holds(tx, *layout, ids)).await,
        }
    }

    /// The reversals of these transactions, and those that these transactions are. Lock the accounts before: then
    /// nobody else reverses one of them in the meantime, because whoever does needs the same accounts.
    pub async fn reversals(&mut self, transactions: &[Uuid]) -> sqlx::Result<Vec<Reversal>> {
        match self {
            Self::Sqlite(batch) => batch.reversals(transactions),
            Self::Postgres(tx, term, _) => term.in_time(postgres::reversals(tx, transactions)).await,
        }
    }

    /// The approvals that wait at `now` to reverse one of these transactions. Lock the accounts before, as for
    /// [`Batch::reversals`].
    pub async fn pending_reversals(
        &mut self,
        transactions: &[Uuid],
        now: Timestamp,
    ) -> sqlx::Result<Vec<PendingReversal>> {
        match self {
            Self::Sqlite(batch) => batch.pending_reversals(transactions, now),
            Self::Postgres(tx, term, _) => term.in_time(postgres::pending_reversals(tx, transactions, now)).await,
        }
    }

    /// The amounts that holds and pending approvals reserve on these accounts at `now`. Lock the accounts before: whatever
    /// reserves more needs them, too.
    pub async fn reservations(&mut self, accounts: &[AccountNumber], now: Timestamp) -> sqlx::Result<Vec<Reservation>> {
        match self {
            Self::Sqlite(batch) => batch.reservations(accounts, now),
            Self::Postgres(tx, term, _) => term.in_time(postgres::reservations(tx, accounts, now)).await,
        }
    }

    /// The limits of these accounts. Lock the accounts before: whoever changes limits needs them, too.
    pub async fn limits(&mut self, accounts: &[AccountNumber]) -> sqlx::Result<Vec<AccountLimits>> {
        match self {
            Self::Sqlite(batch) => batch.limits(accounts),
            Self::Postgres(tx, term, _) => term.in_time(postgres::limits(tx, accounts)).await,
        }
    }

    /// How many approvals wait at `now` that these users have asked for.
    pub async fn count_pending(&mut self, users: &[Uuid], now: Timestamp) -> sqlx::Result<HashMap<Uuid, i64>> {
        let counts = match self {
            Self::Sqlite(batch) => batch.count_pending(users, now)?,
            Self::Postgres(tx, term, _) => term.in_time(postgres::count_pending(tx, users, now)).await?,
        };
        Ok(counts.into_iter().collect())
    }

    /// The sums that these users and keys moved without a second approver from `since` to `until`, and up to a minute before. Locks
    /// `users`, among whom are those of the keys, until the transaction ends, so that nobody else adds to their sums. Lock
    /// the accounts before.
    pub async fn lock_unapproved_totals(
        &mut self,
        users: &[Uuid],
        movers: &[Uuid],
        since: Timestamp,
        until: Timestamp,
    ) -> sqlx::Result<Vec<(Uuid, Money)>> {
        let since = since.minus(MINUTE);
        let sums = match self {
            Self::Sqlite(batch) => batch.unapproved_sums(movers, since, until)?,
            Self::Postgres(tx, term, _) => {
                term.in_time(postgres::lock_unapproved_sums(tx, users, movers, since, until)).await?
            }
        };
        Ok(sums.iter().map(|sum| (sum.mover, Money::new(sum.amount, sum.currency))).collect())
    }

    /// Whether these entries, which one transaction wrote, are in the books, and the approvals and holds stored: any of them, as
    /// a transaction takes effect whole. There must be one.
    pub async fn are_written(
        &mut self,
        entries: &[EntryKey],
        approvals: &[Uuid],
        holds: &[Uuid],
    ) -> sqlx::Result<bool> {
        match self {
            Self::Sqlite(batch) => batch.are_written(entries, approvals, holds),
            Self::Postgres(tx, term, _) => term.in_time(postgres::are_written(tx, entries, approvals, holds)).await,
        }
    }

    /// Writes a batch: transactions, entries, heads of the accounts, idempotency keys, approvals that were carried out
    /// or requested, reversals, holds that were created or captured, tags, unapproved totals, reservations, counters of
    /// limits, mail that tells of movements, records of the audit log, and events for those who listen.
    ///
    /// `heads` and `limits` are the accounts and their limits as they are after the batch; `key_stamp` is the time of
    /// the keys. Fails when a row is missing that must be there; then the writer rolls back and nothing is written.
    pub async fn write(
        &mut self,
        postings: &Postings,
        heads: &[&Account],
        limits: &[&AccountLimits],
        now: Timestamp,
        key_stamp: Timestamp,
    ) -> sqlx::Result<()> {
        let reserving = reserving(&postings.approvals, &postings.holds);
        let written = match self {
            Self::Sqlite(batch) => [
                batch.insert_transactions(&postings.transactions)?,
                batch.insert_entries(&postings.entries)?,
                batch.update_heads(heads)?,
                batch.insert_keys(&postings.used_keys, key_stamp)?,
                batch.mark_approved(&postings.approved, now)?,
                batch.insert_approvals(&postings.approvals)?,
                batch.insert_reversals(&postings.reversals)?,
                batch.insert_holds(&postings.holds)?,
                batch.mark_captured(&postings.captured, now)?,
                batch.insert_tags(&postings.tags)?,
                batch.insert_tagged_entries(&postings.tagged_entries)?,
                batch.add_unapproved_totals(&postings.unapproved)?,
                batch.reserve(&reserving)?,
                batch.update_used(limits)?,
            ],
            Self::Postgres(tx, term, _) => [
                term.in_time(postgres::insert_transactions(tx, &postings.transactions)).await?,
                term.in_time(postgres::insert_entries(tx, &postings.entries)).await?,
                term.in_time(postgres::update_heads(tx, heads)).await?,
                term.in_time(postgres::insert_keys(tx, &postings.used_keys, key_stamp)).await?,
                term.in_time(postgres::mark_approved(tx, &postings.approved, now)).await?,
                term.in_time(postgres::insert_approvals(tx, &postings.approvals)).await?,
                term.in_time(postgres::insert_reversals(tx, &postings.reversals)).await?,
                term.in_time(postgres::insert_holds(tx, &postings.holds)).await?,
                term.in_time(postgres::mark_captured(tx, &postings.captured, now)).await?,
                term.in_time(postgres::insert_tags(tx, &postings.tags)).await?,
                term.in_time(postgres::insert_tagged_entries(tx, &postings.tagged_entries)).await?,
                term.in_time(postgres::add_unapproved_totals(tx, &postings.unapproved)).await?,
                term.in_time(postgres::reserve(tx, &reserving)).await?,
                term.in_time(postgres::update_used(tx, limits)).await?,
            ],
        };
        let expected = rows_of(postings, heads, &reserving, limits);
        if written.map(|rows| rows as usize) != expected {
            return Err(sqlx::Error::Decode(format!("a batch of {expected:?} rows wrote {written:?}").into()));
        }
        self.put_notices(&postings.notices, now).await?;
        // Last, because everybody waits for the locks of the two logs.
        self.append_to_audit_log(&postings.records).await?;
        self.append_events(&postings.events, now).await
    }

    /// Has mail sent that tells of movements, once the batch is committed.
    async fn put_notices(&mut self, notices: &[MovementNotice], now: Timestamp) -> sqlx::Result<()> {
        if notices.is_empty() {
            return Ok(());
        }
        match self {
            Self::Sqlite(batch) => batch.put_notices(notices, now),
            Self::Postgres(tx, term, _) => term.in_time(postgres::put_notices(tx, notices, now)).await,
        }
    }

    async fn append_events(&mut self, events: &[BankEvent], now: Timestamp) -> sqlx::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        match self {
            Self::Sqlite(batch) => batch.append_events(events, now),
            Self::Postgres(tx, term, _) => term.in_time(postgres::append_events(tx, events, now)).await,
        }
    }

    /// Writes a row that says nothing but that the writer could write it.
    pub async fn write_heartbeat(&mut self, writer: Uuid, now: Timestamp) -> sqlx::Result<()> {
        let before = now.minus(HEARTBEAT_RETENTION);
        match self {
            Self::Sqlite(batch) => batch.write_heartbeat(writer, now, before),
            Self::Postgres(tx, term, _) => term.in_time(postgres::write_heartbeat(tx, writer, now, before)).await,
        }
    }

    async fn append_to_audit_log(&mut self, records: &[Event]) -> sqlx::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        match self {
            Self::Sqlite(batch) => batch.append_to_audit_log(records),
            // The savepoint only lends this transaction to the one code that writes the log. It costs two round trips, and
            // only where something was approved or reversed.
            Self::Postgres(tx, term, _) => {
                let mut savepoint = Tx::Postgres(term.in_time(tx.begin()).await?);
                savepoint.append_to_audit_log(records).await?;
                savepoint.release().await
            }
        }
    }

    pub async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(batch) => batch.commit(),
            Self::Postgres(tx, term, _) => term.in_time(tx.commit()).await,
        }
    }

    pub async fn rollback(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(batch) => {
                drop(batch);
                Ok(())
            }
            Self::Postgres(tx, term, _) => term.in_time(tx.rollback()).await,
        }
    }
}

impl Tx<'_> {
    /// What a user of the staff has moved without a second approver, as [`Batch::lock_unapproved_totals`] tells of many: in minor
    /// units of the currency. The user must be locked until the transaction ends, after the accounts.
    pub async fn unapproved_sum(
        &mut self,
        mover: Uuid,
        currency: Currency,
        since: Timestamp,
        until: Timestamp,
    ) -> sqlx::Result<i64> {
        let sums: Vec<UnapprovedSum> = in_transaction!(self, conn => sqlx::query_as(select_unapproved_sums!("= $1", "$2", "$3"))
            .bind(mover)
            .bind(since.minus(MINUTE))
            .bind(until)
            .fetch_all(conn)
            .await)?;
        Ok(sums.into_iter().find(|sum| sum.currency == currency).map_or(0, |sum| sum.amount))
    }

    /// Adds what counts as moved without a second approver.
    pub async fn add_unapproved_total(&mut self, total: &UnapprovedTotal) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into unapproved_totals (user_id, currency, amount, minute) values ($1, $2, $3, $4)
             on conflict (user_id, currency, minute) do update set amount = unapproved_totals.amount + excluded.amount",
        )
        .bind(total.mover)
        .bind(total.money.currency.code())
        .bind(total.money.minor_units)
        .bind(total.minute())
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Deletes what staff moved without a second approver before `before`: it counts no longer.
    pub async fn delete_unapproved_totals_older_than(&mut self, before: Timestamp) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query("delete from unapproved_totals where minute < $1")
            .bind(before)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }

    /// Deletes some of the idempotency keys that took effect before `before`, within a few milliseconds. On PostgreSQL
    /// these are the keys of one slice, whose first two bytes are `slice`; on SQLite up to 5,000 of the oldest keys,
    /// and the positions of deleted keys in one slice of the index.
    pub async fn prune_keys(&mut self, slice: u16, before: Timestamp) -> sqlx::Result<()> {
        in_time(self.prune_keys_of(slice.to_be_bytes(), before)).await
    }

    async fn prune_keys_of(&mut self, slice: [u8; 2], before: Timestamp) -> sqlx::Result<()> {
        match self {
            Tx::Sqlite(tx, _) => {
                sqlx::query(PRUNE_KEYS_IN_ORDER).bind(before).execute(&mut **tx).await?;
                sqlx::query(
                    "delete from key_index
                     where prefix between $1 and $2 and position < (select min(position) from idempotency_keys)",
                )
                .bind([&slice[..], &[0; 4]].concat())
                .bind([&slice[..], &[u8::MAX; 4]].concat())
                .execute(&mut **tx)
                .await?;
            }
            Tx::Postgres(tx) => {
                sqlx::query("delete from idempotency_keys where key between $1 and $2 and created_at < $3")
                    .bind([&slice[..], &[0; 14]].concat())
                    .bind([&slice[..], &[u8::MAX; 14]].concat())
                    .bind(before)
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{Row, SqliteConnection};

    use super::*;
    use crate::db::DbOptions;

    async fn rows(conn: &mut SqliteConnection, sql: &'static str) -> Vec<i64> {
        sqlx::query(sql).fetch_all(conn).await.expect("rows").iter().map(|row| row.get(0)).collect()
    }

    /// More keys are flushed to `key_index` than a test over HTTP makes.
    #[tokio::test]
    async fn old_keys_go_with_their_positions_and_young_ones_stay() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let file = SqliteConnectOptions::new().filename(directory.path().join("bank.db")).create_if_missing(true);
        let db = Db::connect(&DbOptions::of_file(file)).await.expect("a database");
        db.migrate().await.expect("tables");

        // Ten keys, the odd ones in another slice, of which the first four are old. All are in the index.
        let mut tx = db.begin().await.expect("a transaction");
        let Tx::Sqlite(conn, _) = &mut tx else { unreachable!("this is SQLite") };
        for position in 1..=10_i64 {
            let key = [&[0, (position % 2) as u8][..], &[position as u8; 14]].concat();
            let created_at = if position <= 4 { 1 } else { Timestamp::now().as_micros() };
            sqlx::query("insert into idempotency_keys values ($1, $2, zeroblob(32), zeroblob(16), $3)")
                .bind(position)
                .bind(&key)
                .bind(created_at)
                .execute(&mut **conn)
                .await
                .expect("a key");
            let index = "insert into key_index values ($1, $2)";
            sqlx::query(index).bind(&key[..6]).bind(position).execute(&mut **conn).await.expect("a position");
        }
        let long_ago = Timestamp::from_micros(1_000_000);
        for (slice, positions_left) in [(0, &[1, 3, 5, 6, 7, 8, 9, 10][..]), (1, &[5, 6, 7, 8, 9, 10])] {
            tx.prune_keys(slice, long_ago).await.expect("pruned");
            let Tx::Sqlite(conn, _) = &mut tx else { unreachable!("this is SQLite") };
            assert_eq!(rows(conn, "select position from idempotency_keys").await, [5, 6, 7, 8, 9, 10]);
            assert_eq!(rows(conn, "select position from key_index order by 1").await, positions_left);
        }

        // When all are old, the last one stays.
        tx.prune_keys(0, Timestamp::now().plus(std::time::Duration::from_secs(60))).await.expect("pruned");
        let Tx::Sqlite(conn, _) = &mut tx else { unreachable!("this is SQLite") };
        assert_eq!(rows(conn, "select position from idempotency_keys").await, [10]);
    }
}
