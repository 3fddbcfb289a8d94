//! Rows of SQLite, which are written one by one by a prepared statement, as the ledger's are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool, TypeInfo, ValueRef as _};
use tokio::sync::mpsc;

use super::schema::{Schema, Table, TableShape};
use super::{CopyingError, NOTE_PROGRESS, Part, Piece, Row, Value, Written, as_json, quoted, select_part};
use crate::db::sqlite::{into_sqlx, open_for_writing};
use crate::db::{Checkpoints, errors};

pub async fn tables(pool: &SqlitePool) -> sqlx::Result<Schema> {
    let columns: Vec<(String, String, String, i64)> = sqlx::query_as(
        "select t.name, c.name, c.type, c.pk from sqlite_master t, pragma_table_info(t.name) c
         where t.type = 'table' and t.name not like 'sqlite\\_%' escape '\\' order by t.name, c.cid",
    )
    .fetch_all(pool)
    .await?;
    let mut schema = Schema::new();
    let mut keys: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
    for (table, column, kind, place_in_key) in columns {
        if place_in_key > 0 {
            keys.entry(table.clone()).or_default().insert(place_in_key, column.clone());
        }
        schema.entry(table).or_default().columns.push((column, kind));
    }
    for (table, key) in keys {
        schema.entry(table).or_default().primary_key = key.into_values().collect();
    }
    let references: Vec<(String, String)> = sqlx::query_as(
        "select t.name, f.\"table\" from sqlite_master t, pragma_foreign_key_list(t.name) f where t.type = 'table'",
    )
    .fetch_all(pool)
    .await?;
    for (table, other) in references {
        let shape: &mut TableShape = schema.entry(table).or_default();
        shape.references.insert(other);
    }
    Ok(schema)
}

pub fn select(table: &Table, part: Part<'_>) -> String {
    let literal = |_, value: &Value| match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Bytes(bytes) => format!("x'{}'", hex::encode(bytes)),
    };
    select_part(table, part, literal)
}

pub fn decode(table: &Table, row: &SqliteRow) -> sqlx::Result<Row> {
    (0..table.selected.len())
        .map(|column| {
            let value = row.try_get_raw(column)?;
            if value.is_null() {
                return Ok(Value::Null);
            }
            // The type of the value, which strict tables keep to that of the column.
            match value.type_info().name() {
                "INTEGER" | "BOOLEAN" => row.try_get_unchecked(column).map(Value::Integer),
                "TEXT" => row.try_get_unchecked(column).map(Value::Text),
                "BLOB" => row.try_get_unchecked(column).map(Value::Bytes),
                other => Err(sqlx::Error::Decode(format!("a value of type {other}").into())),
            }
        })
        .collect()
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqliteValue::Null),
            Self::Integer(number) => ToSqlOutput::Owned(SqliteValue::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

pub struct Writer {
    connection: Connection,
    tables: Vec<Table>,
    /// Rows of each table that are there.
    copied: Vec<i64>,
}

impl Writer {
    pub fn new(connection: Connection, tables: Vec<Table>, copied: Vec<i64>) -> Self {
        Self { connection, tables, copied }
    }

    pub fn run(mut self, mut pieces: mpsc::Receiver<Piece>, written: &Written) -> Result<(), CopyingError> {
        while let Some(piece) = pieces.blocking_recv() {
            self.write(piece).map_err(into_sqlx)?;
            let _ = written.send(self.copied.iter().map(|rows| *rows as u64).sum());
        }
        Ok(())
    }

    fn write(&mut self, piece: Piece) -> rusqlite::Result<()> {
        let tx = self.connection.transaction()?;
        let (table, last_key, is_done) = match piece {
            Piece::Rows { table, rows, last_key } => {
                let of = &self.tables[table];
                let places = vec!["?"; of.carried].join(", ");
                let insert = format!("insert into {} ({}) values ({places})", of.name, of.names_of_carried());
                let mut insert = tx.prepare_cached(&insert)?;
                for row in &rows {
                    insert.execute(params_from_iter(&row[..of.carried]))?;
                }
                self.copied[table] += rows.len() as i64;
                (table, Some(as_json(&last_key)), false)
            }
            Piece::End { table } => (table, None, true),
        };
        let name = &self.tables[table].name;
        tx.prepare_cached(NOTE_PROGRESS)?.execute((name, self.copied[table], last_key, is_done))?;
        tx.commit()
    }
}

/// Puts every idempotency key into the index by which the ledger finds it; otherwise a start would read them all.
pub async fn index_keys(file: &Path) -> sqlx::Result<()> {
    let file = PathBuf::from(file);
    let index = move || {
        let connection = open_for_writing(&file, Checkpoints::Coffer)?;
        let statements = "
            begin immediate;
            insert into key_index (prefix, position)
            select substr(key, 1, 6), position from idempotency_keys order by 1, 2 on conflict do nothing;
            update key_index_flushed set up_to = (select coalesce(max(position), 0) from idempotency_keys);
            commit";
        connection.execute_batch(statements).map_err(into_sqlx)
    };
    tokio::task::spawn_blocking(index).await.unwrap_or_else(|_| Err(errors::no_answer()))
}
