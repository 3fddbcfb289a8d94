//! A batch on SQLite: one prepared statement per table, run once a row, on the writer's own thread.

pub mod key_index;

use rusqlite::{Connection, OptionalExtension, Params, Row};
use tokio::sync::OwnedMutexGuard;

use self::key_index::KeyIndex;
use super::*;
use crate::db::account_limits;
use crate::db::audit::{AuditHead, audit_columns, chained};
use crate::db::sqlite::{account, hold, into_sqlx};

/// A transaction with the one write lock, taken at the start, and the lock on it within this process. Rolls back when
/// dropped.
pub struct SqliteBatch<'a> {
    connection: &'a mut Connection,
    key_index: &'a mut KeyIndex,
    _write_lock: OwnedMutexGuard<()>,
}

impl<'a> SqliteBatch<'a> {
    pub fn begin(
        connection: &'a mut Connection,
        key_index: &'a mut KeyIndex,
        write_lock: OwnedMutexGuard<()>,
    ) -> sqlx::Result<Self> {
        connection.execute_batch("begin immediate").map_err(into_sqlx)?;
        Ok(Self { connection, key_index, _write_lock: write_lock })
    }

    pub fn commit(self) -> sqlx::Result<()> {
        self.connection.execute_batch("commit").map_err(into_sqlx)
    }

    /// Nobody else can write until the end of the transaction: reading is enough.
    pub fn lock_accounts(&self, numbers: &[AccountNumber]) -> sqlx::Result<Vec<Account>> {
        self.find_each(
            concat!("select ", account_columns!(), " from accounts where account_number = ?"),
            numbers.iter().map(|&number| (number,)),
            account,
        )
    }

    pub fn used_keys(&mut self, keys: &[[u8; 16]]) -> sqlx::Result<Vec<UsedKey>> {
        self.key_index.find(self.connection, keys).map_err(into_sqlx)
    }

    pub fn taken_references(&self, wanted: &[(Uuid, &str)]) -> sqlx::Result<Vec<TakenReference>> {
        self.find_each(
            "select requested_by, reference, id from tags where requested_by = ? and reference = ?",
            wanted.iter().copied(),
            |row| Ok(TakenReference { requested_by: row.get(0)?, reference: row.get(1)?, id: row.get(2)? }),
        )
    }

    /// Nobody else can write until the end of the transaction: reading is enough.
    pub fn pending(&self, ids: &[Uuid], now: Timestamp) -> sqlx::Result<Vec<Uuid>> {
        self.find_each(
            "select id from approvals where id = ? and status = 'pending' and expires_at > ?",
            ids.iter().map(|&id| (id, now)),
            |row| row.get(0),
        )
    }

    /// Two look-ups for each, because one with `or` may find two rows.
    pub fn reversals(&self, transactions: &[Uuid]) -> sqlx::Result<Vec<Reversal>> {
        let find = |select| {
            self.find_each(select, transactions.iter().map(|&id| (id,)), |row| {
                Ok(Reversal { transaction_id: row.get(0)?, reversal_id: row.get(1)? })
            })
        };
        let mut found = find("select transaction_id, reversal_id from reversals where transaction_id = ?")?;
        found.extend(find("select transaction_id, reversal_id from reversals where reversal_id = ?")?);
        Ok(found)
    }

    /// There is at most one for each.
    pub fn pending_reversals(&self, transactions: &[Uuid], now: Timestamp) -> sqlx::Result<Vec<PendingReversal>> {
        self.find_each(
            "select id, reverses from approvals where reverses = ? and status = 'pending' and expires_at > ?",
            transactions.iter().map(|&id| (id, now)),
            |row| Ok(PendingReversal { approval_id: row.get(0)?, transaction_id: row.get(1)? }),
        )
    }

    pub fn reservations(&self, accounts: &[AccountNumber], now: Timestamp) -> sqlx::Result<Vec<Reservation>> {
        self.find_all(select_reservations!("= ?1", "?2"), accounts.iter().map(|&number| (number, now)), |row| {
            Ok(Reservation { id: row.get(0)?, account_number: row.get(1)?, amount: row.get(2)? })
        })
    }

    /// Nobody else can write until the end of the transaction: reading is enough.
    pub fn holds(&self, ids: &[Uuid]) -> sqlx::Result<Vec<Hold>> {
        self.find_each(
            concat!("select ", hold_columns!(), " from holds where id = ?"),
            ids.iter().map(|&id| (id,)),
            hold,
        )
    }

    pub fn limits(&self, accounts: &[AccountNumber]) -> sqlx::Result<Vec<AccountLimits>> {
        self.find_each(
            concat!("select ", limits_columns!(), " from account_limits where account_number = ?"),
            accounts.iter().map(|&number| (number,)),
            |row| account_limits::read(|column| row.get(column)),
        )
    }

    pub fn count_pending(&self, users: &[Uuid], now: Timestamp) -> sqlx::Result<Vec<(Uuid, i64)>> {
        self.find_each(
            "select ?1, count(*) from approvals where requested_by = ?1 and status = 'pending' and expires_at > ?2",
            users.iter().map(|&id| (id, now)),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    pub fn unapproved_sums(
        &self,
        movers: &[Uuid],
        since: Timestamp,
        until: Timestamp,
    ) -> sqlx::Result<Vec<UnapprovedSum>> {
        let each = movers.iter().map(|&id| (id, since, until));
        self.find_all(select_unapproved_sums!("= ?1", "?2", "?3"), each, |row| {
            Ok(UnapprovedSum { mover: row.get(0)?, currency: row.get(1)?, amount: row.get(2)? })
        })
    }

    pub fn are_written(&self, entries: &[EntryKey], approvals: &[Uuid], holds: &[Uuid]) -> sqlx::Result<bool> {
        let are_there = |select, ids: &[Uuid]| -> sqlx::Result<bool> {
            let found = self.find_each(select, ids.iter().map(|&id| (id,)), |row| row.get::<_, i64>(0))?;
            Ok(found.len() == ids.len())
        };
        let written = self.find_each(
            "select sequence from entries where account_number = ? and sequence = ? and hash = ?",
            entries.iter().copied(),
            |row| row.get::<_, i64>(0),
        )?;
        Ok(written.len() == entries.len()
            && are_there("select amount from approvals where id = ?", approvals)?
            && are_there("select amount from holds where id = ?", holds)?)
    }

    pub fn insert_transactions(&self, rows: &[Transaction]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into transactions (id, type, debit_account, debit_sequence, credit_account, credit_sequence,
                                       amount, currency, description, text_salt, text_commitment, initiated_by, created_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows.iter().map(|t| {
                (
                    t.id,
                    t.movement_type as i16,
                    t.debit_account,
                    t.debit_sequence,
                    t.credit_account,
                    t.credit_sequence,
                    t.amount,
                    t.currency,
                    t.texts.description.as_deref(),
                    t.texts.salt(),
                    t.texts.stored_commitment(),
                    t.initiated_by,
                    t.created_at,
                )
            }),
        )
    }

    pub fn insert_entries(&self, rows: &[Entry]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into entries (account_number, sequence, transaction_id, type, amount, balance, created_at, hash)
             values (?, ?, ?, ?, ?, ?, ?, ?)",
            rows.iter().map(|e| {
                (
                    e.account_number,
                    e.sequence,
                    e.transaction_id,
                    e.movement_type as i16,
                    e.amount,
                    e.balance,
                    e.created_at,
                    e.hash,
                )
            }),
        )
    }

    pub fn update_heads(&self, heads: &[&Account]) -> sqlx::Result<u64> {
        self.write_each(
            "update accounts set balance = ?, sequence = ?, head_hash = ?, last_entry_at = ? where account_number = ?",
            heads.iter().map(|a| (a.balance, a.sequence, a.head_hash, a.last_entry_at, a.account_number)),
        )
    }

    pub fn insert_keys(&mut self, rows: &[UsedKey], now: Timestamp) -> sqlx::Result<u64> {
        self.key_index.add(self.connection, rows, now).map_err(into_sqlx)
    }

    pub fn mark_approved(&self, rows: &[Approved], now: Timestamp) -> sqlx::Result<u64> {
        self.write_each(
            "update approvals set status = 'approved', decided_by = ?, decided_at = ? where id = ? and status = 'pending'",
            rows.iter().map(|a| (a.by, now, a.id)),
        )
    }

    pub fn insert_approvals(&self, rows: &[Approval]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into approvals (id, type, from_account, to_account, bank_account_id, amount, currency, description,
                                    reverses, hold_expires_at, requested_by, requested_at, expires_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows.iter().map(|a| {
                (
                    a.id,
                    a.movement_type as i16,
                    a.from_account,
                    a.to_account,
                    a.against.id.as_i16(),
                    a.amount,
                    a.currency,
                    a.description.as_deref(),
                    a.reverses,
                    a.hold_expires_at,
                    a.requested_by,
                    a.requested_at,
                    a.expires_at,
                )
            }),
        )
    }

    pub fn insert_reversals(&self, rows: &[Reversal]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into reversals (transaction_id, reversal_id) values (?, ?)",
            rows.iter().map(|r| (r.transaction_id, r.reversal_id)),
        )
    }

    pub fn insert_holds(&self, rows: &[Hold]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into holds (id, from_account, to_account, amount, currency, description, created_by, created_at,
                                expires_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows.iter().map(|h| {
                (
                    h.id,
                    h.from_account,
                    h.to_account,
                    h.amount,
                    h.currency,
                    h.description.as_deref(),
                    h.created_by,
                    h.created_at,
                    h.expires_at,
                )
            }),
        )
    }

    pub fn mark_captured(&self, rows: &[Captured], now: Timestamp) -> sqlx::Result<u64> {
        self.write_each(
            "update holds set status = 'captured', captured_amount = ?, decided_by = ?, decided_at = ?
             where id = ? and status = 'held'",
            rows.iter().map(|c| (c.amount, c.by, now, c.id)),
        )
    }

    pub fn insert_tags(&self, rows: &[NewTags]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into tags (id, requested_by, reference, group_id, metadata) values (?, ?, ?, ?, ?)",
            rows.iter().map(|t| {
                (t.id, t.requested_by, t.tags.reference(), t.tags.group(), tags::to_stored(t.tags.metadata()))
            }),
        )
    }

    pub fn insert_tagged_entries(&self, rows: &[TaggedEntry]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into tagged_entries (account_number, key, value, sequence, transaction_id) values (?, ?, ?, ?, ?)",
            rows.iter().map(|e| (e.account_number, &e.tag.key, &e.tag.value, e.sequence, e.transaction_id)),
        )
    }

    pub fn add_unapproved_totals(&self, rows: &[UnapprovedTotal]) -> sqlx::Result<u64> {
        self.write_each(
            "insert into unapproved_totals (user_id, currency, amount, minute) values (?, ?, ?, ?)
             on conflict (user_id, currency, minute) do update set amount = amount + excluded.amount",
            rows.iter().map(|t| (t.mover, t.money.currency, t.money.minor_units, t.minute())),
        )
    }

    pub fn reserve(&self, until: &BTreeMap<AccountNumber, Timestamp>) -> sqlx::Result<u64> {
        self.write_each(
            "update accounts set held_until = max(held_until, ?2) where account_number = ?1",
            until.iter().map(|(&number, &until)| (number, until)),
        )
    }

    pub fn update_used(&self, rows: &[&AccountLimits]) -> sqlx::Result<u64> {
        self.write_each(
            "update account_limits
             set day_started_at = ?, day_ends_at = ?, spent_today = ?, movements_today = ?, month_started_at = ?,
                 month_ends_at = ?, spent_this_month = ?
             where account_number = ?",
            rows.iter().map(|l| {
                let used = l.used;
                (
                    used.day.starts,
                    used.day.ends,
                    used.spent_today,
                    used.movements_today,
                    used.month.starts,
                    used.month.ends,
                    used.spent_this_month,
                    l.account_number,
                )
            }),
        )
    }

    pub fn write_heartbeat(&self, writer: Uuid, now: Timestamp, before: Timestamp) -> sqlx::Result<()> {
        self.write_each(DROP_HEARTBEATS, [(before,)])?;
        self.write_each(WRITE_HEARTBEAT, [(writer, now)]).map(|_| ())
    }

    pub fn put_notices(&self, notices: &[MovementNotice], now: Timestamp) -> sqlx::Result<()> {
        self.write_each(
            "insert into mails (id, kind, user_id, account_number, sequence, created_at, next_try_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
            notices
                .iter()
                .map(|n| (Uuid::now_v7(), MailKind::Movement.name(), n.owner_id, n.account_number, n.sequence, now)),
        )
        .map(|_| ())
    }

    pub fn append_events(&self, events: &[BankEvent], now: Timestamp) -> sqlx::Result<()> {
        let take = "update event_head set position = position + ?1 where id = 1 returning position";
        let last = self.find_each(take, [(events.len() as i64,)], |row| row.get(0))?;
        let last = last.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
        self.write_each(
            "insert into events (position, id, kind, account_number, owner_id, subject_id, sequence, created_at)
             values (?, ?, ?, ?, ?, ?, ?, ?)",
            placed(events, last).into_iter().map(|p| {
                let BankEvent { kind, account_number, owner_id, subject_id, sequence } = p.event;
                (p.position, p.id, kind.name(), account_number, owner_id, subject_id, sequence, now)
            }),
        )
        .map(|_| ())
    }

    /// Nobody else can write until the end of the transaction: reading the head is enough.
    pub fn append_to_audit_log(&self, events: &[Event]) -> sqlx::Result<()> {
        let head = self.find_each("select sequence, hash from audit_head where id = ?", [(1,)], |row| {
            Ok(AuditHead { sequence: row.get(0)?, hash: row.get(1)? })
        })?;
        let (records, head) = chained(head.into_iter().next().ok_or(sqlx::Error::RowNotFound)?, events);
        self.write_each(
            concat!("insert into audit_log (", audit_columns!(), ") values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            records.iter().map(|r| {
                (
                    r.sequence,
                    r.created_at,
                    &r.action,
                    r.actor_id,
                    r.subject.as_deref(),
                    r.address.as_deref(),
                    r.request_id.as_deref(),
                    r.client_request_id.as_deref(),
                    r.detail.as_deref(),
                    r.concerns.stored(),
                    r.hash,
                )
            }),
        )?;
        self.write_each(
            "insert into audit_concerns (concern, created_at, sequence) values (?, ?, ?)",
            records.iter().flat_map(|r| r.keys().into_iter().map(|key| (key, r.created_at, r.sequence))),
        )?;
        self.write_each("update audit_head set sequence = ?, hash = ? where id = 1", [(head.sequence, head.hash)])?;
        Ok(())
    }

    /// Runs the statement for each of the parameters and returns all rows found.
    fn find_all<P: Params, R>(
        &self,
        select: &str,
        parameters: impl IntoIterator<Item = P>,
        read: fn(&Row<'_>) -> rusqlite::Result<R>,
    ) -> sqlx::Result<Vec<R>> {
        let find = || {
            let mut statement = self.connection.prepare_cached(select)?;
            let mut found = Vec::new();
            for parameters in parameters {
                for row in statement.query_map(parameters, read)? {
                    found.push(row?);
                }
            }
            Ok(found)
        };
        find().map_err(into_sqlx)
    }

    /// Runs the statement, which finds one row at most, for each of the parameters and returns the rows found.
    fn find_each<P: Params, R>(
        &self,
        select: &str,
        parameters: impl IntoIterator<Item = P>,
        read: fn(&Row<'_>) -> rusqlite::Result<R>,
    ) -> sqlx::Result<Vec<R>> {
        let find = || {
            let mut statement = self.connection.prepare_cached(select)?;
            parameters
                .into_iter()
                .filter_map(|parameters| statement.query_row(parameters, read).optional().transpose())
                .collect::<rusqlite::Result<_>>()
        };
        find().map_err(into_sqlx)
    }

    /// Runs the statement for each of the parameters and returns how many rows were written. Most batches have none for
    /// some of the tables: those are not even looked up.
    fn write_each<P: Params>(&self, write: &str, parameters: impl IntoIterator<Item = P>) -> sqlx::Result<u64> {
        let mut parameters = parameters.into_iter().peekable();
        if parameters.peek().is_none() {
            return Ok(0);
        }
        let mut write = || {
            let mut statement = self.connection.prepare_cached(write)?;
            parameters.try_fold(0, |written, parameters| Ok(written + statement.execute(parameters)? as u64))
        };
        write().map_err(into_sqlx)
    }
}

impl UsedKey {
    /// A row of key, fingerprint and transaction.
    pub fn from_sqlite(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { key: row.get(0)?, fingerprint: row.get(1)?, transaction_id: row.get(2)? })
    }
}

impl Drop for SqliteBatch<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // If even that fails, the next `begin` does too, and the writer takes another connection.
            let _ = self.connection.execute_batch("rollback");
        }
    }
}
