//! Carrying all rows of one database to another, whatever tables there are: which, the databases say themselves.
//!
//! Rows are read in one snapshot, table after table in the order of their foreign keys, and written in batches. Each batch is
//! one transaction, which also notes how far the copy has come, so that one that was broken off goes on from there.
//!
//! In two dialects: what a table is called and what is in it is asked of two catalogues, and rows are written in the quickest way
//! that each database has.

mod begun;
mod postgres;
pub mod schema;
mod sqlite;

use std::collections::BTreeMap;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::schema::Table;
use super::heads::Heads;
use super::{Checkpoints, Db, Tx, errors, in_snapshot, in_transaction, on_reader};

/// Rows of one transaction: some megabytes.
const BATCH: usize = 10_000;
/// Batches that have been read and wait to be written.
const BATCHES_AHEAD: usize = 4;
/// Rows that a migration has made, which the copy takes the place of.
const REPLACED: [&str; 2] = ["audit_head", "event_head"];
/// Says how far a copy has come. While it is there, the books are not all there.
const PROGRESS_TABLE: &str = "copy_progress";

/// A value in the terms that both databases share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Null,
    /// Booleans, too.
    Integer(i64),
    Text(String),
    /// UUIDs, too.
    Bytes(Vec<u8>),
}

pub type Row = Vec<Value>;

/// Which rows of a table are read.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    All,
    /// Those behind the one with this key.
    Behind(&'a [Value]),
    /// Those up to the one with this key.
    UpTo(&'a [Value]),
}

/// What a table counts, and what the money in it adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub rows: BTreeMap<String, i64>,
    /// Minor units by currency, of [`SUMS`].
    pub sums: BTreeMap<(&'static str, String), i128>,
    pub heads: Heads,
}

/// How far the copy of a table has come.
#[derive(Clone, Debug, FromRow)]
struct Reached {
    table_name: String,
    copied: i64,
    /// The key of the last row, as JSON.
    last_key: Option<String>,
    is_done: bool,
}

/// Why a copy cannot be made, beside errors of the databases.
#[derive(Debug, thiserror::Error)]
pub enum CopyingError {
    #[error(transparent)]
    Query(#[from] sqlx::Error),
    #[error("{0}")]
    Refused(String),
}

/// A step of the way from the reader to the writer.
enum Piece {
    /// Rows of this table, the last of which has this key.
    Rows {
        table: usize,
        rows: Vec<Row>,
        last_key: Vec<Value>,
    },
    End {
        table: usize,
    },
}

/// How far the writer has come: rows of all tables.
pub type Written = mpsc::UnboundedSender<u64>;

/// What is compared beside the numbers of rows: a name, and a query for currency, upper and lower half of each sum. The halves
/// of 64-bit numbers add up without an overflow in either database.
const SUMS: [(&str, &str); 3] = [
    (
        "balances",
        "select currency, cast(coalesce(sum(balance >> 32), 0) as bigint),
                cast(coalesce(sum(balance & 4294967295), 0) as bigint)
         from accounts group by currency",
    ),
    (
        "transactions",
        "select currency, cast(coalesce(sum(amount >> 32), 0) as bigint),
                cast(coalesce(sum(amount & 4294967295), 0) as bigint)
         from transactions group by currency",
    ),
    (
        "entries",
        "select '' as currency, cast(coalesce(sum(balance >> 32), 0) as bigint),
                cast(coalesce(sum(balance & 4294967295), 0) as bigint)
         from entries",
    ),
];

impl Tx<'_> {
    /// The figures of these tables.
    pub async fn figures(&mut self, tables: &[Table]) -> sqlx::Result<Figures> {
        let mut figures = Figures { rows: BTreeMap::new(), sums: BTreeMap::new(), heads: self.heads().await? };
        for table in tables {
            let sql = AssertSqlSafe(format!("select count(*) from {}", table.name));
            let count = in_snapshot!(self, conn => sqlx::query_scalar(sql).fetch_one(conn).await)?;
            figures.rows.insert(table.name.clone(), count);
        }
        for (name, sql) in SUMS {
            let sums: Vec<(String, i64, i64)> = in_snapshot!(self, conn => sqlx::query_as(sql).fetch_all(conn).await)?;
            let sums =
                sums.into_iter().map(|(code, high, low)| ((name, code), (i128::from(high) << 32) + i128::from(low)));
            figures.sums.extend(sums);
        }
        Ok(figures)
    }

    /// Reads what is not copied yet of each table, and sends it on its way.
    async fn read_all(
        &mut self,
        tables: &[Table],
        reached: &BTreeMap<String, Reached>,
        pieces: mpsc::Sender<Piece>,
    ) -> Result<(), CopyingError> {
        for (index, table) in tables.iter().enumerate() {
            let last_key = match reached.get(&table.name) {
                Some(reached) if reached.is_done => continue,
                Some(reached) => reached.last_key()?,
                None => None,
            };
            self.read(index, table, last_key.as_deref().map_or(Part::All, Part::Behind), &pieces).await?;
            // A writer that has stopped says why itself.
            if pieces.send(Piece::End { table: index }).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn read(
        &mut self,
        index: usize,
        table: &Table,
        part: Part<'_>,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), CopyingError> {
        let mut batch: Vec<Row> = Vec::with_capacity(BATCH);
        let mut rows = self.rows(table, part);
        while let Some(row) = rows.try_next().await? {
            batch.push(row);
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if pieces.send(piece(index, table, full)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if !batch.is_empty() {
            let _ = pieces.send(piece(index, table, batch)).await;
        }
        Ok(())
    }

    /// In the order of the table's key.
    fn rows<'a>(&'a mut self, table: &'a Table, part: Part<'_>) -> BoxStream<'a, sqlx::Result<Row>> {
        match self {
            Self::Sqlite(tx, _) => {
                let rows = sqlx::query(AssertSqlSafe(sqlite::select(table, part))).fetch(&mut **tx);
                rows.map(|row| sqlite::decode(table, &row?)).boxed()
            }
            Self::Postgres(tx) => {
                let rows = sqlx::query(AssertSqlSafe(postgres::select(table, part))).fetch(&mut **tx);
                rows.map(|row| postgres::decode(table, &row?)).boxed()
            }
        }
    }
}

impl Reached {
    /// The key of the last row that is there, if any is.
    fn last_key(&self) -> Result<Option<Vec<Value>>, CopyingError> {
        let key = self.last_key.as_deref().map(serde_json::from_str).transpose();
        key.map_err(|_| {
            CopyingError::Refused(
                "how far the copy has come cannot be read. Empty the target, and copy anew".to_owned(),
            )
        })
    }
}

fn piece(table: usize, of: &Table, rows: Vec<Row>) -> Piece {
    let last_key = rows.last().map(|row| of.key.iter().map(|&column| row[column].clone()).collect());
    Piece::Rows { table, rows, last_key: last_key.unwrap_or_default() }
}

impl Db {
    /// Whether rows are being copied here, or were, and not all of them have come.
    pub async fn has_unfinished_copy(&self) -> sqlx::Result<bool> {
        let sql = match self {
            Self::Sqlite { .. } => "select exists (select 1 from sqlite_master where name = 'copy_progress')",
            Self::Postgres { .. } => "select to_regclass('copy_progress') is not null",
        };
        on_reader!(self, conn => sqlx::query_scalar(sql).fetch_one(conn).await)
    }

    /// Makes the target ready for the rows of the source that is known by `identity`. It must be empty, or an unfinished copy of
    /// the same source. Whether it is such a copy: then [`renew_copy`](Self::renew_copy) comes next.
    pub async fn begin_copy(&self, tables: &[Table], identity: &str) -> Result<bool, CopyingError> {
        if self.has_unfinished_copy().await? {
            self.refuse_copy_of_others(identity).await?;
            return Ok(true);
        }
        self.refuse_unless_empty(tables).await?;
        let mut tx = self.begin().await?;
        tx.execute(
            "create table copy_progress (table_name text not null primary key, copied bigint not null, last_key text,
                                         is_done boolean not null)",
        )
        .await?;
        for table in REPLACED {
            tx.execute(&format!("delete from {table}")).await?;
        }
        in_transaction!(&mut tx, conn => sqlx::query(
            "insert into copy_progress (table_name, copied, last_key, is_done) values ('', 0, $1, true)",
        )
        .bind(identity)
        .execute(conn)
        .await
        .map(drop))?;
        tx.commit().await?;
        Ok(false)
    }

    async fn refuse_copy_of_others(&self, identity: &str) -> Result<(), CopyingError> {
        let reached = self.reached().await?;
        let source = reached.get("").and_then(|source| source.last_key.as_deref());
        if source != Some(identity) {
            return Err(CopyingError::Refused(
                "the target has a part of other books, or of these before they have changed. Empty it, and copy anew"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    async fn reached(&self) -> sqlx::Result<BTreeMap<String, Reached>> {
        let reached: Vec<Reached> = on_reader!(self, conn => sqlx::query_as(
            "select table_name, copied, last_key, is_done from copy_progress",
        )
        .fetch_all(conn)
        .await)?;
        Ok(reached.into_iter().map(|table| (table.table_name.clone(), table)).collect())
    }

    /// Nothing may be there but what the migrations have made.
    async fn refuse_unless_empty(&self, tables: &[Table]) -> Result<(), CopyingError> {
        let mut tx = self.snapshot().await?;
        let figures = tx.figures(tables).await?;
        tx.rollback().await?;
        for (table, rows) in figures.rows {
            let of_migrations = i64::from(REPLACED.contains(&&*table) || schema::HAS_FIRST_ROW.contains(&&*table));
            if rows > of_migrations {
                return Err(CopyingError::Refused(format!(
                    "the target is not empty: its table {table} has rows. Name an empty database, or a file that is not there yet"
                )));
            }
        }
        Ok(())
    }

    /// Writes what `source` reads in its snapshot. Tells `written` of every batch.
    pub async fn copy_rows(&self, source: &mut Tx<'_>, tables: &[Table], written: Written) -> Result<(), CopyingError> {
        let reached = self.reached().await?;
        let (pieces, to_write) = mpsc::channel(BATCHES_AHEAD);
        let writer = self.start_writer(tables, &reached, to_write, written).await?;
        let read = source.read_all(tables, &reached, pieces).await;
        let ended = writer.await.unwrap_or_else(|_| Err(errors::no_answer().into()));
        // Where both have failed, the writer was first: the reader only notices.
        ended.and(read).map_err(|error| match error {
            CopyingError::Query(error) if errors::is_unique_violation(&error) => CopyingError::Refused(format!(
                "a row that is to come is in the target already, as if another copy wrote there: {error}. Let that end, and start \
                 again"
            )),
            error => error,
        })
    }

    async fn start_writer(
        &self,
        tables: &[Table],
        reached: &BTreeMap<String, Reached>,
        pieces: mpsc::Receiver<Piece>,
        written: Written,
    ) -> Result<JoinHandle<Result<(), CopyingError>>, CopyingError> {
        let copied = tables.iter().map(|table| reached.get(&table.name).map_or(0, |reached| reached.copied)).collect();
        let tables = tables.to_vec();
        Ok(match self {
            Self::Sqlite { file, .. } => {
                let connection = super::sqlite::open_for_writing(file, Checkpoints::Coffer)?;
                let writer = sqlite::Writer::new(connection, tables, copied);
                tokio::task::spawn_blocking(move || writer.run(pieces, &written))
            }
            Self::Postgres { settings, .. } => {
                let (connection, _) = settings.primary.connect().await?;
                let writer = postgres::Writer::new(connection, settings.sessions, tables, copied);
                tokio::spawn(writer.run(pieces, written))
            }
        })
    }

    /// Makes what only this database has of what was copied, so that the doctor finds it.
    pub async fn complete_copy(&self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite { file, .. } => sqlite::index_keys(file).await,
            Self::Postgres { settings, .. } => postgres::analyze(settings.primary.connect().await?.0).await,
        }
    }

    /// The books are all there: whoever likes may serve them.
    pub async fn end_copy(&self) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        tx.execute("drop table copy_progress").await?;
        tx.commit().await
    }
}

impl Tx<'_> {
    async fn execute(&mut self, sql: &str) -> sqlx::Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        in_transaction!(self, conn => sqlx::query(sql).execute(conn).await.map(drop))
    }
}

/// What the writer notes with each batch, in both dialects.
const NOTE_PROGRESS: &str = "
    insert into copy_progress (table_name, copied, last_key, is_done) values ($1, $2, $3, $4)
    on conflict (table_name) do update
    set copied = excluded.copied, last_key = coalesce(excluded.last_key, copy_progress.last_key), is_done = excluded.is_done";

fn as_json(key: &[Value]) -> String {
    serde_json::to_string(key).unwrap_or_default()
}

/// The condition and the order of what is read, with values written as `literal` says.
fn select_part(table: &Table, part: Part<'_>, literal: impl Fn(usize, &Value) -> String) -> String {
    let key: Vec<&str> = table.key.iter().map(|&column| table.selected[column].name.as_str()).collect();
    let key = key.join(", ");
    let values = |of: &[Value]| -> String {
        let values = table.key.iter().zip(of).map(|(&column, value)| literal(column, value));
        values.collect::<Vec<_>>().join(", ")
    };
    let limit = match part {
        Part::All => String::new(),
        Part::Behind(last) => format!("and ({key}) > ({})", values(last)),
        Part::UpTo(last) => format!("and ({key}) <= ({})", values(last)),
    };
    let (columns, condition) = (table.names_of_selected(), table.condition());
    format!("select {columns} from {} where {condition} {limit} order by {key}", table.name)
}

/// A text as both databases write it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
