//! Whose tables a database has. A bank's is known by the table of its migrations; nothing is written to somebody else's.

use std::fs;
use std::path::Path;

use rusqlite::OptionalExtension;
use rustix::fs::{Access, access};

use super::{Db, on_reader, serving, sqlite};
use crate::files;

/// Says which migrations a bank has. No copy carries it: both databases have the migrations of this program.
pub(super) const MIGRATIONS: &str = "_sqlx_migrations";

/// The first table or view; the migrations before all others.
const FIRST_IN_SQLITE: &str = "select name from sqlite_master
     where type in ('table', 'view') and name not like 'sqlite!_%' escape '!'
     order by name <> '_sqlx_migrations', name limit 1";
/// What an extension has made, such as PostGIS, is nobody's.
const FIRST_IN_POSTGRES: &str = "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = current_schema() and c.relkind in ('r', 'p', 'v', 'm', 'f')
       and not exists (select 1 from pg_depend d
                       where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by c.relname <> '_sqlx_migrations', c.relname limit 1";

/// Whose a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It has no tables.
    Nobody,
    Bank,
    /// It has this table, or this view, and no migrations.
    SomebodyElse(String),
}

impl Owner {
    fn by_first(name: Option<String>) -> Self {
        match name {
            None => Self::Nobody,
            Some(name) if name == MIGRATIONS => Self::Bank,
            Some(name) => Self::SomebodyElse(name),
        }
    }

    /// Of a SQLite file, which may not be there. Changes nothing in it and nothing beside it.
    pub fn of_file(file: &Path) -> sqlx::Result<Self> {
        if fs::metadata(file).is_ok_and(|file| !file.is_file() || file.len() == 0)
            || matches!(file.try_exists(), Ok(false))
        {
            return Ok(Self::Nobody);
        }
        let connection =
            if serving::has_log(file) { sqlite::open_for_reading(file)? } else { sqlite::open_without_log(file)? };
        let first = connection.query_row(FIRST_IN_SQLITE, [], |row| row.get(0)).optional();
        first.map(Self::by_first).map_err(sqlite::into_sqlx)
    }

    /// What to say to whoever wants to open it as a bank.
    pub fn refusal(&self) -> Option<String> {
        let Self::SomebodyElse(name) = self else { return None };
        Some(format!(
            "it is not a bank's: it has {name}, and no table {MIGRATIONS}. Coffer needs a database of its own: name another one"
        ))
    }
}

impl Db {
    /// Of the database that is open; on PostgreSQL of the schema in which the bank would make its tables.
    pub(super) async fn owner(&self) -> sqlx::Result<Owner> {
        let sql = match self {
            Self::Sqlite { .. } => FIRST_IN_SQLITE,
            Self::Postgres { .. } => FIRST_IN_POSTGRES,
        };
        let first: Option<String> = on_reader!(self, conn => sqlx::query_scalar(sql).fetch_optional(conn).await)?;
        Ok(Owner::by_first(first))
    }
}

/// Whether SQLite can write the file, and make a log beside it.
pub(super) fn can_be_written(file: &Path) -> bool {
    [file, files::directory_of(file)].into_iter().all(|place| access(place, Access::WRITE_OK).is_ok())
}
