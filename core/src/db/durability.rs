//! Whether the database keeps what it has acknowledged when its machine crashes.

use sqlx::{PgConnection, Row};

use super::{Db, Tx, in_time};

/// Settings of PostgreSQL that must not be off: the name, what may be lost when it is, and what to do. `synchronous_commit` is
/// looked up in a transaction of the bank's own, because the bank sets it there.
const NEEDED: [(&str, &str); 3] = [
    (
        "synchronous_commit",
        "movements that were answered are lost when the server crashes: let the bank's role set synchronous_commit",
    ),
    (
        "fsync",
        "the whole database may be lost when the server's machine crashes: set fsync = on in postgresql.conf, and reload",
    ),
    (
        "full_page_writes",
        "the database may be damaged for good when the server's machine crashes: set full_page_writes = on in \
         postgresql.conf, and reload",
    ),
];

impl Db {
    /// How many settings it depends on, and in a sentence each that is not as it must be. Those of SQLite are checked when
    /// it is opened.
    pub async fn lacks_in_durability(&self) -> sqlx::Result<(usize, Vec<String>)> {
        if matches!(self, Self::Sqlite { .. }) {
            return Ok((0, Vec::new()));
        }
        let mut tx = self.begin().await?;
        let mut lacking = Vec::new();
        for (setting, harm) in NEEDED {
            if tx.server_setting(setting).await?.as_deref() == Some("off") {
                lacking.push(format!("{setting} is off: {harm}"));
            }
        }
        tx.rollback().await?;
        Ok((NEEDED.len(), lacking))
    }
}

/// A server that answers a COMMIT before it is on disk is told otherwise by the bank's transactions: whoever runs it should
/// know.
pub(super) async fn tell_of_early_answers(conn: &mut PgConnection) -> sqlx::Result<()> {
    let row = sqlx::raw_sql("select current_setting('synchronous_commit', true)").fetch_one(conn).await?;
    if row.try_get::<Option<String>, _>(0)?.as_deref() == Some("off") {
        tracing::warn!(
            "PostgreSQL has synchronous_commit = off, by which it forgets in a crash what it has answered; the bank's own \
             transactions set it to on"
        );
    }
    Ok(())
}

impl Tx<'_> {
    /// A setting of PostgreSQL; None where there is none of that name.
    pub async fn server_setting(&mut self, name: &str) -> sqlx::Result<Option<String>> {
        let Self::Postgres(tx) = self else { return Ok(None) };
        let ask = sqlx::query("select current_setting($1, true)").bind(name);
        in_time(ask.fetch_one(&mut **tx)).await?.try_get(0)
    }
}
