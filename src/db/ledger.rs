//! What the committer reads and writes, a batch at a time.
//!
//! The only file with SQL in two dialects: however large the batch, each table is written with few statements, on
//! PostgreSQL with one from arrays (`unnest`), on SQLite with one for up to 256 rows.

use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::Account;
use super::{Tx, account_columns, in_transaction};
use crate::account_number::AccountNumber;
use crate::money::Currency;
use crate::timestamp::Timestamp;

/// What a movement is to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(i16)]
pub enum MovementType {
    Deposit = 1,
    Withdrawal = 2,
    Transfer = 3,
}

impl MovementType {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Transfer => "transfer",
        }
    }
}

/// A row of the journal: `amount` minor units went from the debited to the credited account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub id: Uuid,
    pub movement_type: MovementType,
    pub debit_account: AccountNumber,
    /// The line this movement made in the debited account's passbook; None for the bank's own accounts.
    pub debit_sequence: Option<i64>,
    pub credit_account: AccountNumber,
    pub credit_sequence: Option<i64>,
    /// Minor units, positive.
    pub amount: i64,
    pub currency: Currency,
    pub description: Option<String>,
    pub initiated_by: Uuid,
    pub created_at: Timestamp,
}

/// A line of a passbook, with what the journal says of its movement.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Entry {
    pub account_number: AccountNumber,
    /// 1 for the account's first line, then without gaps.
    pub sequence: i64,
    pub transaction_id: Uuid,
    pub movement_type: MovementType,
    /// The other customer of a transfer; None when it was the bank.
    pub counterparty: Option<AccountNumber>,
    /// Minor units; a credit is positive, a debit negative.
    pub amount: i64,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    /// The account's balance after this line, in minor units.
    pub balance: i64,
    pub description: Option<String>,
    /// The user who gave the order.
    pub initiated_by: Uuid,
    pub created_at: Timestamp,
    #[sqlx(try_from = "Vec<u8>")]
    pub hash: [u8; 32],
}

/// An idempotency key that has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct UsedKey {
    /// The first 16 bytes of SHA-256(caller, key).
    #[sqlx(try_from = "Vec<u8>")]
    pub key: [u8; 16],
    /// SHA-256 of the request.
    #[sqlx(try_from = "Vec<u8>")]
    pub fingerprint: [u8; 32],
    pub transaction_id: Uuid,
}

/// Everything a batch adds to the books.
#[derive(Debug, Default)]
pub struct Postings {
    pub transactions: Vec<Transaction>,
    pub entries: Vec<Entry>,
    pub used_keys: Vec<UsedKey>,
}

/// Locks rows in the order of the key, so that two batches never wait for each other in a circle. A constant, because
/// engines that spread rows over machines lock by `update ... returning` instead.
const POSTGRES_LOCK_ACCOUNTS: &str = concat!(
    "select ",
    account_columns!(),
    " from accounts where account_number = any($1) order by account_number for update"
);

/// SQLite holds the one write lock since `begin immediate`: reading is enough.
const SQLITE_LOAD_ACCOUNTS: &str =
    concat!("select ", account_columns!(), " from accounts where account_number in (select value from json_each($1))");

impl Tx<'_> {
    /// Loads the customers' accounts among `numbers` and holds them until the transaction ends. Unknown ones are left
    /// out. `numbers` must not repeat itself.
    pub async fn lock_accounts(&mut self, numbers: &[AccountNumber]) -> sqlx::Result<Vec<Account>> {
        let numbers: Vec<i64> = numbers.iter().map(|number| number.as_i64()).collect();
        match self {
            Tx::Sqlite(tx, _) => {
                sqlx::query_as(SQLITE_LOAD_ACCOUNTS).bind(sqlx::types::Json(numbers)).fetch_all(&mut **tx).await
            }
            Tx::Postgres(tx) => sqlx::query_as(POSTGRES_LOCK_ACCOUNTS).bind(numbers).fetch_all(&mut **tx).await,
        }
    }

    /// Those of the keys that have taken effect before.
    pub async fn used_keys(&mut self, keys: &[[u8; 16]]) -> sqlx::Result<Vec<UsedKey>> {
        match self {
            Tx::Sqlite(tx, _) => {
                sqlx::query_as(
                    "select key, fingerprint, transaction_id from idempotency_keys
                     where key in (select unhex(value) from json_each($1))",
                )
                .bind(sqlx::types::Json(keys.iter().map(hex::encode).collect::<Vec<_>>()))
                .fetch_all(&mut **tx)
                .await
            }
            Tx::Postgres(tx) => {
                let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
                sqlx::query_as("select key, fingerprint, transaction_id from idempotency_keys where key = any($1)")
                    .bind(keys)
                    .fetch_all(&mut **tx)
                    .await
            }
        }
    }

    /// Whether the transaction is booked.
    pub async fn is_in_journal(&mut self, id: Uuid) -> sqlx::Result<bool> {
        let found: Option<i64> = in_transaction!(self, conn => sqlx::query_scalar(
            "select amount from transactions where id = $1",
        )
        .bind(id)
        .fetch_optional(conn)
        .await)?;
        Ok(found.is_some())
    }

    /// Forgets the idempotency keys of one slice of the table, those whose first two bytes are `slice`, that took effect
    /// before `before`.
    pub async fn prune_keys(&mut self, slice: u16, before: Timestamp) -> sqlx::Result<u64> {
        let from = [&slice.to_be_bytes()[..], &[0; 14]].concat();
        let to = [&slice.to_be_bytes()[..], &[u8::MAX; 14]].concat();
        in_transaction!(self, conn => sqlx::query(
            "delete from idempotency_keys where key between $1 and $2 and created_at < $3",
        )
        .bind(from)
        .bind(to)
        .bind(before)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))
    }

    /// Writes a batch: journal, passbooks, heads of the accounts, keys. A few statements per table.
    ///
    /// `heads` are the accounts as they are after the batch. Fails when a row that must be there is not: the caller
    /// rolls back and nothing is written.
    pub async fn write(&mut self, postings: &Postings, heads: &[&Account], now: Timestamp) -> sqlx::Result<()> {
        let written = match self {
            Tx::Sqlite(tx, _) => [
                sqlite::insert_transactions(tx, &postings.transactions).await?,
                sqlite::insert_entries(tx, &postings.entries).await?,
                sqlite::update_heads(tx, heads).await?,
                sqlite::insert_keys(tx, &postings.used_keys, now).await?,
            ],
            Tx::Postgres(tx) => [
                postgres::insert_transactions(tx, &postings.transactions).await?,
                postgres::insert_entries(tx, &postings.entries).await?,
                postgres::update_heads(tx, heads).await?,
                postgres::insert_keys(tx, &postings.used_keys, now).await?,
            ],
        };
        let expected = [postings.transactions.len(), postings.entries.len(), heads.len(), postings.used_keys.len()];
        if written.map(|rows| rows as usize) != expected {
            return Err(sqlx::Error::Protocol(format!("a batch of {expected:?} rows wrote {written:?}")));
        }
        Ok(())
    }
}

mod sqlite {
    use std::sync::LazyLock;

    use sqlx::SqliteConnection;
    use sqlx::query::Query;
    use sqlx::sqlite::SqliteArguments;

    use super::*;

    /// Rows per statement, largest first. A batch is cut into these, so that a few prepared statements serve batches of
    /// every size, and each batch needs few of them: every statement is a hop to SQLite's thread and back. Binding values is several times quicker than having SQLite read them out of a JSON text.
    const CHUNKS: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];

    type Bound = Query<'static, sqlx::Sqlite, SqliteArguments>;

    /// One statement for each chunk size: `before`, then that many rows of `columns` parameters, then `after`.
    fn statements(before: &str, columns: usize, after: &str) -> [String; CHUNKS.len()] {
        let row = format!("({})", vec!["?"; columns].join(","));
        CHUNKS.map(|rows| format!("{before} values {} {after}", vec![&*row; rows].join(",")))
    }

    /// Runs `statements` over all of the rows and returns how many rows were written.
    async fn write<R>(
        conn: &mut SqliteConnection,
        statements: &'static [String; CHUNKS.len()],
        mut rows: &[R],
        bind: impl Fn(Bound, &R) -> Bound,
    ) -> sqlx::Result<u64> {
        let mut written = 0;
        for (size, statement) in CHUNKS.into_iter().zip(statements) {
            while let Some((chunk, rest)) = rows.split_at_checked(size) {
                let query = chunk.iter().fold(sqlx::query(statement.as_str()), &bind);
                written += query.execute(&mut *conn).await?.rows_affected();
                rows = rest;
            }
        }
        Ok(written)
    }

    pub async fn insert_transactions(conn: &mut SqliteConnection, rows: &[Transaction]) -> sqlx::Result<u64> {
        static STATEMENTS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
            statements(
                "insert into transactions (id, type, debit_account, debit_sequence, credit_account, credit_sequence,
                                           amount, currency, description, initiated_by, created_at)",
                11,
                "",
            )
        });
        write(conn, &STATEMENTS, rows, |query, t| {
            query
                .bind(t.id)
                .bind(t.movement_type as i16)
                .bind(t.debit_account)
                .bind(t.debit_sequence)
                .bind(t.credit_account)
                .bind(t.credit_sequence)
                .bind(t.amount)
                .bind(t.currency.code())
                .bind(t.description.clone())
                .bind(t.initiated_by)
                .bind(t.created_at)
        })
        .await
    }

    pub async fn insert_entries(conn: &mut SqliteConnection, rows: &[Entry]) -> sqlx::Result<u64> {
        static STATEMENTS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
            statements(
                "insert into entries (account_number, sequence, transaction_id, type, amount, balance, created_at,
                                      hash)",
                8,
                "",
            )
        });
        write(conn, &STATEMENTS, rows, |query, e| {
            query
                .bind(e.account_number)
                .bind(e.sequence)
                .bind(e.transaction_id)
                .bind(e.movement_type as i16)
                .bind(e.amount)
                .bind(e.balance)
                .bind(e.created_at)
                .bind(e.hash.to_vec())
        })
        .await
    }

    pub async fn update_heads(conn: &mut SqliteConnection, heads: &[&Account]) -> sqlx::Result<u64> {
        static STATEMENTS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
            statements(
                "with head (account_number, balance, sequence, hash, last_entry_at) as (",
                5,
                ") update accounts set balance = head.balance, sequence = head.sequence, head_hash = head.hash,
                                       last_entry_at = head.last_entry_at
                   from head where accounts.account_number = head.account_number",
            )
        });
        write(conn, &STATEMENTS, heads, |query, a| {
            query
                .bind(a.account_number)
                .bind(a.balance)
                .bind(a.sequence)
                .bind(a.head_hash.to_vec())
                .bind(a.last_entry_at)
        })
        .await
    }

    pub async fn insert_keys(conn: &mut SqliteConnection, rows: &[UsedKey], now: Timestamp) -> sqlx::Result<u64> {
        static STATEMENTS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
            statements("insert into idempotency_keys (key, fingerprint, transaction_id, created_at)", 4, "")
        });
        write(conn, &STATEMENTS, rows, |query, k| {
            query.bind(k.key.to_vec()).bind(k.fingerprint.to_vec()).bind(k.transaction_id).bind(now)
        })
        .await
    }
}

mod postgres {
    use sqlx::PgConnection;

    use super::*;

    /// One column of a batch, as the array that `unnest` takes.
    fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }

    pub async fn insert_transactions(conn: &mut PgConnection, rows: &[Transaction]) -> sqlx::Result<u64> {
        sqlx::query(
            "insert into transactions (id, type, debit_account, debit_sequence, credit_account, credit_sequence,
                                       amount, currency, description, initiated_by, created_at)
             select * from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                                  $7::bigint[], $8::text[], $9::text[], $10::uuid[], $11::bigint[])",
        )
        .bind(column(rows, |t| t.id))
        .bind(column(rows, |t| t.movement_type as i16))
        .bind(column(rows, |t| t.debit_account.as_i64()))
        .bind(column(rows, |t| t.debit_sequence))
        .bind(column(rows, |t| t.credit_account.as_i64()))
        .bind(column(rows, |t| t.credit_sequence))
        .bind(column(rows, |t| t.amount))
        .bind(column(rows, |t| t.currency.code()))
        .bind(column(rows, |t| t.description.as_deref()))
        .bind(column(rows, |t| t.initiated_by))
        .bind(column(rows, |t| t.created_at.as_micros()))
        .execute(conn)
        .await
        .map(|done| done.rows_affected())
    }

    pub async fn insert_entries(conn: &mut PgConnection, rows: &[Entry]) -> sqlx::Result<u64> {
        sqlx::query(
            "insert into entries (account_number, sequence, transaction_id, type, amount, balance, created_at, hash)
             select * from unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::smallint[], $5::bigint[], $6::bigint[],
                                  $7::bigint[], $8::bytea[])",
        )
        .bind(column(rows, |e| e.account_number.as_i64()))
        .bind(column(rows, |e| e.sequence))
        .bind(column(rows, |e| e.transaction_id))
        .bind(column(rows, |e| e.movement_type as i16))
        .bind(column(rows, |e| e.amount))
        .bind(column(rows, |e| e.balance))
        .bind(column(rows, |e| e.created_at.as_micros()))
        .bind(column(rows, |e| &e.hash[..]))
        .execute(conn)
        .await
        .map(|done| done.rows_affected())
    }

    pub async fn update_heads(conn: &mut PgConnection, heads: &[&Account]) -> sqlx::Result<u64> {
        sqlx::query(
            "update accounts a
             set balance = head.balance, sequence = head.sequence, head_hash = head.hash,
                 last_entry_at = head.last_entry_at
             from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[])
                  as head(account_number, balance, sequence, hash, last_entry_at)
             where a.account_number = head.account_number",
        )
        .bind(column(heads, |a| a.account_number.as_i64()))
        .bind(column(heads, |a| a.balance))
        .bind(column(heads, |a| a.sequence))
        .bind(column(heads, |a| &a.head_hash[..]))
        .bind(column(heads, |a| a.last_entry_at.as_micros()))
        .execute(conn)
        .await
        .map(|done| done.rows_affected())
    }

    pub async fn insert_keys(conn: &mut PgConnection, rows: &[UsedKey], now: Timestamp) -> sqlx::Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        sqlx::query(
            "insert into idempotency_keys (key, fingerprint, transaction_id, created_at)
             select key, fingerprint, transaction_id, $4
             from unnest($1::bytea[], $2::bytea[], $3::uuid[]) as used(key, fingerprint, transaction_id)",
        )
        .bind(column(rows, |k| &k.key[..]))
        .bind(column(rows, |k| &k.fingerprint[..]))
        .bind(column(rows, |k| k.transaction_id))
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected())
    }
}
