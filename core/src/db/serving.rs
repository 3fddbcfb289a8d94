//! The mark in a SQLite file by which a copy without its write-ahead log is known.
//!
//! What is booked lies in the log beside the file until a checkpoint copies it over, so a file that was copied by itself
//! while a server booked on it is whole, and too old. Nothing in it tells: therefore a server marks the file while it serves,
//! and takes the mark away at its end, when SQLite has copied the whole log over and removed it. The mark is the user version
//! in the file's header, which nothing else uses, so that it is read without opening the database.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::claim::Claim;
use super::{Checkpoints, Db, in_time};
use crate::files;

/// <https://sqlite.org/fileformat.html#the_database_header>
const HEADER_BYTES: usize = 100;
const USER_VERSION: std::ops::Range<usize> = 60..64;
const SERVED: u32 = 1;

/// Whether this file was copied, or left, without the log that a server was writing beside it. Ask before anything of this
/// process has opened the database: closing the file would take away the locks that the process has on it.
pub fn lacks_its_log(database: &Path) -> io::Result<bool> {
    if has_log(database) {
        return Ok(false);
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    File::open(database)?.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    let version = header.get(USER_VERSION).and_then(|bytes| bytes.first_chunk()).copied().map(u32::from_be_bytes);
    Ok(version == Some(SERVED) && !Claim::is_held_on(database))
}

/// Whether a log lies beside the file. It may be empty, as it is after everything was copied over.
pub(super) fn has_log(database: &Path) -> bool {
    files::log_of_sqlite(database).exists()
}

impl Db {
    /// Marks a SQLite file as being served, in the file itself: a mark in the log alone would not be in a copy without it.
    pub async fn mark_as_served(&self) -> sqlx::Result<()> {
        self.set_user_version("pragma user_version = 1").await?;
        match self {
            Self::Sqlite { checkpoint_pool, checkpoints: Checkpoints::Coffer, .. } => {
                in_time(sqlx::query("pragma wal_checkpoint(passive)").execute(checkpoint_pool)).await.map(drop)
            }
            Self::Sqlite { checkpoints: Checkpoints::External, .. } | Self::Postgres { .. } => Ok(()),
        }
    }

    /// The server ends, and nothing is missing from the file once it is closed.
    pub async fn mark_as_closed(&self) -> sqlx::Result<()> {
        self.set_user_version("pragma user_version = 0").await
    }

    /// Takes the mark of a server away that has crashed, before this process opened the file or meanwhile: its log was there
    /// then, so nothing is missing, and the log may be gone when this process closes it.
    pub(super) async fn forget_crashed_server(&self) {
        let Self::Sqlite { file, read_pool, had_log: true, .. } = self else { return };
        let forget = async {
            let version: i64 = in_time(sqlx::query_scalar("pragma user_version").fetch_one(read_pool)).await?;
            if version == i64::from(SERVED) && !Claim::is_held_on(file) {
                self.mark_as_closed().await?;
            }
            Ok::<_, sqlx::Error>(())
        };
        if let Err(error) = forget.await {
            tracing::debug!(%error, "the mark of a server that has crashed stays");
        }
    }

    async fn set_user_version(&self, pragma: &'static str) -> sqlx::Result<()> {
        let Self::Sqlite { write_pool, write_lock, .. } = self else { return Ok(()) };
        let _write_lock = super::wait_for_write_lock(write_lock).await?;
        in_time(sqlx::query(pragma).execute(write_pool)).await.map(drop)
    }
}
