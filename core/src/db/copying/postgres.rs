//! Rows of PostgreSQL, which are written by `copy` in its binary format: the quickest way in.
//!
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row as _, ValueRef as _};
use tokio::sync::mpsc;

use super::schema::{Kind, Schema, Table};
use super::{CopyingError, NOTE_PROGRESS, Part, Piece, Row, Value, Written, as_json, quoted, select_part};
use crate::db::server_sessions::Sessions;

/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

pub async fn tables(pool: &PgPool) -> sqlx::Result<Schema> {
    let columns: Vec<(String, String, String, Option<i32>)> = sqlx::query_as(
        "select c.relname::text, a.attname::text, t.typname::text, array_position(k.conkey, a.attnum)
         from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         join pg_type t on t.oid = a.atttypid
         left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
         where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace
         order by c.relname, a.attnum",
    )
    .fetch_all(pool)
    .await?;
    let mut schema = Schema::new();
    let mut keys: Vec<(String, i32, String)> = Vec::new();
    for (table, column, kind, place_in_key) in columns {
        keys.extend(place_in_key.map(|place| (table.clone(), place, column.clone())));
        schema.entry(table).or_default().columns.push((column, kind));
    }
    keys.sort();
    for (table, _, column) in keys {
        schema.entry(table).or_default().primary_key.push(column);
    }
    let references: Vec<(String, String)> = sqlx::query_as(
        "select c.relname::text, o.relname::text from pg_constraint k
         join pg_class c on c.oid = k.conrelid join pg_class o on o.oid = k.confrelid
         where k.contype = 'f' and c.relnamespace = current_schema()::regnamespace",
    )
    .fetch_all(pool)
    .await?;
    for (table, other) in references {
        schema.entry(table).or_default().references.insert(other);
    }
    Ok(schema)
}

pub fn select(table: &Table, part: Part<'_>) -> String {
    let literal = |column: usize, value: &Value| match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) if table.selected[column].read_as == Kind::Boolean => (*number != 0).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Bytes(bytes) if table.selected[column].read_as == Kind::Uuid => {
            format!("'{}'::uuid", hex::encode(bytes))
        }
        Value::Bytes(bytes) => format!("decode('{}', 'hex')", hex::encode(bytes)),
    };
    select_part(table, part, literal)
}

pub fn decode(table: &Table, row: &PgRow) -> sqlx::Result<Row> {
    let columns = table.selected.iter().enumerate();
    columns
        .map(|(index, column)| {
            let value = row.try_get_raw(index)?;
            if value.is_null() {
                return Ok(Value::Null);
            }
            let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
            from_binary(column.read_as, bytes).ok_or_else(|| sqlx::Error::Decode(column.name.clone().into()))
        })
        .collect()
}

/// Integers are big-endian, a boolean is a byte, everything else stands as it is.
fn from_binary(kind: Kind, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        Kind::Bigint => Value::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
        Kind::Integer => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Kind::Smallint => Value::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Kind::Boolean => Value::Integer(i64::from(*bytes.first()?)),
        Kind::Text => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
        Kind::Bytes | Kind::Uuid => Value::Bytes(bytes.to_vec()),
    })
}

/// Appends a field with its length in front. None when the value does not fit the column.
fn append(buffer: &mut Vec<u8>, kind: Kind, value: &Value) -> Option<()> {
    let mut field = |bytes: &[u8]| {
        buffer.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_be_bytes());
        buffer.extend_from_slice(bytes);
        Some(())
    };
    match (value, kind) {
        (Value::Null, _) => {
            buffer.extend_from_slice(&NULL);
            Some(())
        }
        (Value::Integer(number), Kind::Bigint) => field(&number.to_be_bytes()),
        (Value::Integer(number), Kind::Integer) => field(&i32::try_from(*number).ok()?.to_be_bytes()),
        (Value::Integer(number), Kind::Smallint) => field(&i16::try_from(*number).ok()?.to_be_bytes()),
        (Value::Integer(number @ (0 | 1)), Kind::Boolean) => field(&[*number as u8]),
        (Value::Text(text), Kind::Text) => field(text.as_bytes()),
        (Value::Bytes(bytes), Kind::Bytes | Kind::Uuid) => field(bytes),
        _ => None,
    }
}

pub struct Writer {
    connection: PgConnection,
    sessions: Sessions,
    tables: Vec<Table>,
    /// Rows of each table that are there.
    copied: Vec<i64>,
}

impl Writer {
    pub fn new(connection: PgConnection, sessions: Sessions, tables: Vec<Table>, copied: Vec<i64>) -> Self {
        Self { connection, sessions, tables, copied }
    }

    pub async fn run(mut self, mut pieces: mpsc::Receiver<Piece>, written: Written) -> Result<(), CopyingError> {
        while let Some(piece) = pieces.recv().await {
            self.write(piece).await?;
            let _ = written.send(self.copied.iter().map(|rows| *rows as u64).sum());
        }
        self.connection.close().await?;
        Ok(())
    }

    async fn write(&mut self, piece: Piece) -> Result<(), CopyingError> {
        let mut tx = self.connection.begin_with(self.sessions.begin()).await?;
        let (table, last_key, is_done) = match piece {
            Piece::Rows { table, rows, last_key } => {
                let of = &self.tables[table];
                let mut copy = tx.copy_in_raw(&copy_statement(of)).await?;
                copy.send(encode(of, &rows)?).await?;
                copy.finish().await?;
                self.copied[table] += rows.len() as i64;
                (table, Some(as_json(&last_key)), false)
            }
            Piece::End { table } => (table, None, true),
        };
        sqlx::query(NOTE_PROGRESS)
            .bind(&self.tables[table].name)
            .bind(self.copied[table])
            .bind(last_key)
            .bind(is_done)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn copy_statement(table: &Table) -> String {
    format!("copy {} ({}) from stdin (format binary)", table.name, table.names_of_carried())
}

fn encode(table: &Table, rows: &[Row]) -> Result<Vec<u8>, CopyingError> {
    let mut buffer = HEADER.to_vec();
    let columns = &table.selected[..table.carried];
    for row in rows {
        buffer.extend_from_slice(&(columns.len() as i16).to_be_bytes());
        for (column, value) in columns.iter().zip(row) {
            append(&mut buffer, column.write_as, value).ok_or_else(|| {
                CopyingError::Refused(format!("a value of {}.{} does not fit there", table.name, column.name))
            })?;
        }
    }
    buffer.extend_from_slice(&TRAILER);
    Ok(buffer)
}

/// Has the server count anew what is in the tables: by what it knew before, it would go through them in the slowest way.
pub async fn analyze(mut connection: PgConnection) -> sqlx::Result<()> {
    // Named: without names the server warns of each of its own tables, which the bank's role may not analyze.
    let tables: String = sqlx::query_scalar(
        "select string_agg(quote_ident(tablename), ', ') from pg_tables where schemaname = current_schema()",
    )
    .fetch_one(&mut connection)
    .await?;
    sqlx::raw_sql(AssertSqlSafe(format!("analyze {tables}"))).execute(&mut connection).await?;
    connection.close().await
}
