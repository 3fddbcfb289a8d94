//! Comparing what keeps the tables as they are with what the migrations make, for the doctor.

use std::collections::BTreeMap;

use rusqlite::Connection;
use sqlx::SqliteConnection;

use crate::db::connect::{POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS};
use crate::db::sqlite::into_sqlx;
use crate::db::{Layout, Tx};

/// What SQLite itself has made, for a primary key, has no SQL.
const PARTS: &str = "select type, name, tbl_name || ': ' || sql from sqlite_master
                     where type in ('trigger', 'index') and sql is not null";

/// Triggers and indexes that were looked at, and what is wrong with some.
#[derive(Clone, Debug, Default)]
pub struct SchemaFindings {
    pub counted: u64,
    pub wrong: Vec<String>,
}

/// The kind, the name, and what defines it.
type Part = (String, String, String);
/// Of one kind, by name.
type Parts = BTreeMap<String, String>;

impl Tx<'_> {
    /// Whether the triggers are those of the migrations, enabled, and no others; on SQLite whether each index is there, too. Where
    /// tables are spread over several machines nothing is known: what spreads them changes triggers.
    pub async fn schema_findings(&mut self, layout: Layout) -> sqlx::Result<Option<SchemaFindings>> {
        match self {
            Self::Sqlite(tx, _) => of_sqlite(tx).await.map(Some),
            Self::Postgres(_) if layout == Layout::Sharded => Ok(None),
            Self::Postgres(tx) => {
                let found: Vec<(String, String)> = sqlx::query_as(
                    "select t.tgname::text, c.relname::text || case t.tgenabled when 'O' then '' else ', disabled' end
                     from pg_trigger t join pg_class c on c.oid = t.tgrelid
                     where not t.tgisinternal and c.relnamespace = (select relnamespace from pg_class where oid = 'transactions'::regclass)
                     order by 1",
                )
                .fetch_all(&mut **tx)
                .await?;
                Ok(Some(compare(&triggers_of_migrations(), &found.into_iter().collect(), "trigger")))
            }
        }
    }
}

async fn of_sqlite(bank: &mut SqliteConnection) -> sqlx::Result<SchemaFindings> {
    let rows: Vec<Part> = sqlx::query_as(PARTS).fetch_all(bank).await?;
    let expected = parts_of_migrations().map_err(into_sqlx)?;
    let triggers = compare(&of_kind("trigger", &expected), &of_kind("trigger", &rows), "trigger");
    let (of_migrations, mut found) = (of_kind("index", &expected), of_kind("index", &rows));
    // Another index makes something faster, and nothing wrong.
    found.retain(|name, _| of_migrations.contains_key(name));
    let indexes = compare(&of_migrations, &found, "index");
    Ok(SchemaFindings {
        counted: triggers.counted + indexes.counted,
        wrong: triggers.wrong.into_iter().chain(indexes.wrong).collect(),
    })
}

/// What the migrations make in an empty database. By rusqlite: sqlx would have a thread for it.
fn parts_of_migrations() -> rusqlite::Result<Vec<Part>> {
    let model = Connection::open_in_memory()?;
    for migration in SQLITE_MIGRATIONS.iter() {
        model.execute_batch(migration.sql.as_str())?;
    }
    let mut statement = model.prepare(PARTS)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

fn of_kind(kind: &str, rows: &[Part]) -> Parts {
    let rows = rows.iter().filter(|(of, ..)| of == kind);
    rows.map(|(_, name, definition)| (name.clone(), definition.clone())).collect()
}

fn compare(expected: &Parts, found: &Parts, what: &str) -> SchemaFindings {
    let missing = expected.keys().filter(|name| !found.contains_key(*name));
    let missing = missing.map(|name| format!("the {what} {name} is missing"));
    let others = found.iter().filter(|(name, definition)| expected.get(*name) != Some(definition));
    let others = others.map(|(name, _)| match expected.get(name) {
        Some(_) => format!("the {what} {name} is disabled, or another one"),
        None => format!("nobody knows the {what} {name}"),
    });
    SchemaFindings { counted: expected.len() as u64, wrong: missing.chain(others).collect() }
}

/// The triggers of PostgreSQL after all migrations, with their tables.
fn triggers_of_migrations() -> Parts {
    let mut triggers = Parts::new();
    for migration in POSTGRES_MIGRATIONS.iter() {
        let words = words_of(migration.sql.as_str());
        for (at, pair) in words.windows(2).enumerate() {
            let name = words.get(at + 2).copied().unwrap_or_default();
            match pair {
                ["create", "trigger"] => {
                    let table = words.iter().skip(at).skip_while(|word| **word != "on").nth(1);
                    triggers.insert(name.to_owned(), table.copied().unwrap_or_default().to_owned());
                }
                ["drop", "trigger"] => {
                    triggers.remove(name);
                }
                _ => {}
            }
        }
    }
    triggers
}

/// Without comments.
fn words_of(sql: &str) -> Vec<&str> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    lines.flat_map(|line| line.split([' ', ';'])).filter(|word| !word.is_empty()).collect()
}
