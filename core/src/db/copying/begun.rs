//! A copy that was broken off, and whether what is there of it is still what the source has.
//!
//! The heads of the chains tell most of what may have changed, but not all: a hold that was released, a name. So whatever is there
//! already is compared with the source, row by row, before anything is added. A table that has changed is copied anew, if nothing
//! refers to its rows and the books let them go.

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection};

use super::schema::Table;
use super::{CopyingError, Part, Reached, Value};
use crate::db::{Db, Tx, errors, in_snapshot};
use crate::sum_of_rows::SumOfRows;

impl Db {
    /// Takes away what `source` has changed since it was copied. `tables` are those of the source, and `here` the same of this
    /// database. Returns how many rows are left.
    pub async fn renew_copy(&self, source: &mut Tx<'_>, tables: &[Table], here: &[Table]) -> Result<u64, CopyingError> {
        let reached = self.reached().await?;
        let mut changed = Vec::new();
        let mut copy = self.snapshot().await?;
        for table in tables {
            let (Some(reached), Some(copied)) = (reached.get(&table.name), named(here, &table.name)) else { continue };
            if !is_as_copied(source, table, &mut copy, copied, reached).await? {
                changed.push(table);
            }
        }
        copy.rollback().await?;
        // Each stands behind those that it refers to.
        for table in changed.into_iter().rev() {
            self.take_away(table).await?;
        }
        Ok(self.reached().await?.values().map(|table| table.copied as u64).sum())
    }

    async fn take_away(&self, table: &Table) -> Result<(), CopyingError> {
        let (name, condition) = (&table.name, table.condition());
        let refused = |error: sqlx::Error| match errors::is_refused_by_rules(&error) {
            true => CopyingError::Refused(format!(
                "the source has changed since this copy was begun, in its table {name}. Empty the target, and copy anew"
            )),
            false => error.into(),
        };
        let mut unlimited = match self {
            Self::Sqlite { .. } => None,
            // Sessions of the pool end a statement that takes long.
            Self::Postgres { settings, .. } => Some((settings.primary.connect().await?.0, settings.sessions)),
        };
        let mut tx = match &mut unlimited {
            None => self.begin().await?,
            Some((connection, sessions)) => Tx::Postgres(connection.begin_with(sessions.begin()).await?),
        };
        let sql = AssertSqlSafe(format!("delete from {name} where {condition}"));
        let deleted = in_snapshot!(&mut tx, conn => sqlx::query(sql).execute(conn).await.map(drop));
        deleted.map_err(refused)?;
        tx.execute(&format!("delete from copy_progress where table_name = '{name}'")).await?;
        Ok(tx.commit().await?)
    }
}

fn named<'a>(tables: &'a [Table], name: &str) -> Option<&'a Table> {
    tables.iter().find(|table| table.name == name)
}

async fn is_as_copied(
    source: &mut Tx<'_>,
    table: &Table,
    copy: &mut Tx<'_>,
    copied: &Table,
    reached: &Reached,
) -> Result<bool, CopyingError> {
    let last_key = reached.last_key()?;
    let part = match &last_key {
        _ if reached.is_done => Part::All,
        Some(last_key) => Part::UpTo(last_key),
        None => return Ok(true),
    };
    Ok(source.sum_of(table, part).await? == copy.sum_of(copied, Part::All).await?)
}

impl Tx<'_> {
    async fn sum_of(&mut self, table: &Table, part: Part<'_>) -> sqlx::Result<SumOfRows> {
        // Both databases have the same columns, in an order of their own.
        let mut columns: Vec<usize> = (0..table.carried).collect();
        columns.sort_by_key(|&column| &table.selected[column].name);
        let (mut sum, mut bytes) = (SumOfRows::default(), Vec::new());
        let mut rows = self.rows(table, part);
        while let Some(row) = rows.try_next().await? {
            bytes.clear();
            columns.iter().for_each(|&column| append(&mut bytes, &row[column]));
            sum.add_bytes(&bytes);
        }
        Ok(sum)
    }
}

/// With its length in front, so that no two rows have the same bytes.
fn append(bytes: &mut Vec<u8>, value: &Value) {
    let mut field = |kind: u8, content: &[u8]| {
        bytes.push(kind);
        bytes.extend_from_slice(&(content.len() as u64).to_be_bytes());
        bytes.extend_from_slice(content);
    };
    match value {
        Value::Null => field(0, &[]),
        Value::Integer(number) => field(1, &number.to_be_bytes()),
        Value::Text(text) => field(2, text.as_bytes()),
        Value::Bytes(content) => field(3, content),
    }
}
