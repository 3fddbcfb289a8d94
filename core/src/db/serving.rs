//! The mark in a SQLite file by which a copy without its write-ahead log is known.
//!
//! What is booked lies in the log beside the file until a checkpoint copies it over, so a file that was copied by itself
//! while a server booked on it is whole, and too old. Nothing in it tells: therefore a server marks the file, and writes
//! another mark to the log alone. The two differ for as long as the log is not in the file: whoever plays the log in, after a
//! crash, say, brings the second mark along, and a copy without the log has the first. A checkpoint brings the second mark as well,
//! so the server looks at the file every second, and marks it anew. At its end it takes the marks away.
//!
//! The mark is the user version in the file's header, which nothing else uses.

use std::fs;
use std::path::Path;

use tokio::sync::OwnedMutexGuard;

use super::claim::Claim;
use super::{Checkpoints, Db, in_time, sqlite};
use crate::files;

const CLOSED: i64 = 0;
/// In the file of a server, and nowhere else for long: what is booked is in the log beside it.
const SERVED: i64 = 1;
/// In the log of a server.
const PLAYED_IN: i64 = 2;
/// In the log of a server that leaves checkpoints to others. When they make one is for them to decide, so that the file cannot
/// be marked anew.
const EXTERNAL: i64 = 3;

pub(super) const PASSIVE_CHECKPOINT: &str = "pragma wal_checkpoint(passive)";
/// How long a checkpoint that empties the WAL waits for those who read it: a second. Everybody who writes waits behind it, so it
/// is well within [`super::ACQUIRE_TIMEOUT`].
const EMPTYING_PATIENCE: &str = "pragma busy_timeout = 1000";

/// What a SQLite file says about the log that was beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOfFile {
    /// It is there, or nothing was in it.
    Whole,
    /// The file was copied, or left, without it.
    Missing,
    /// Nobody can tell from the file: another process made the checkpoints.
    Unknown,
}

impl LogOfFile {
    /// Touches nothing, and may be asked at any time: a log that holds nothing counts as none.
    pub fn of(database: &Path) -> sqlx::Result<Self> {
        let mark = if has_log(database) { CLOSED } else { mark_in(database)? };
        Ok(match mark {
            SERVED | EXTERNAL if Claim::is_held_on(database) => Self::Whole,
            SERVED => Self::Missing,
            EXTERNAL => Self::Unknown,
            _ => Self::Whole,
        })
    }

    /// The mark of a copy of the file that nobody serves: it is as whole as the file.
    pub(super) fn mark_of_copy(self) -> i64 {
        match self {
            Self::Whole => CLOSED,
            Self::Missing => SERVED,
            Self::Unknown => EXTERNAL,
        }
    }
}

/// Whether a log lies beside the file that may hold something.
pub(super) fn has_log(database: &Path) -> bool {
    fs::metadata(files::log_of_sqlite(database)).is_ok_and(|log| log.len() > 0)
}

/// Whether there is a log, and nothing in the file that it belongs to.
pub fn is_lone_log(database: &Path) -> bool {
    fs::metadata(database).map_or(true, |file| file.len() == 0) && has_log(database)
}

/// The mark in the file itself, whatever is in the log.
fn mark_in(database: &Path) -> sqlx::Result<i64> {
    let file = sqlite::open_without_log(database)?;
    file.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite::into_sqlx)
}

impl Db {
    /// Marks a SQLite file as being served, or goes on with that where somebody who reads has kept a checkpoint from copying the
    /// mark into the file, or where a checkpoint has taken it away. To be called again and again.
    pub async fn keep_mark(&self) -> sqlx::Result<()> {
        let Self::Sqlite { file, checkpoint_pool, checkpoints, .. } = self else { return Ok(()) };
        let in_log = self.mark().await?;
        match checkpoints {
            Checkpoints::External if in_log == EXTERNAL => return Ok(()),
            Checkpoints::Coffer if in_log == PLAYED_IN && mark_in(file)? == SERVED => return Ok(()),
            _ => {}
        }
        if in_log != SERVED {
            self.set_mark(SERVED).await?;
        }
        // A passive one cannot start the log anew under a program that copies it, as Litestream does: that reads it meanwhile.
        in_time(sqlx::query(PASSIVE_CHECKPOINT).execute(checkpoint_pool)).await?;
        if mark_in(file)? != SERVED {
            return Ok(());
        }
        self.set_mark(if *checkpoints == Checkpoints::External { EXTERNAL } else { PLAYED_IN }).await
    }

    /// Copies the log into the file and leaves nothing in it. False where a reader is in the way.
    ///
    /// Nobody books meanwhile. So the file may say for a moment that it is no copy without its log, which is true, and goes on
    /// being so if the server crashes then: a file that was marked as served would be taken for one, with no log beside it.
    pub(super) async fn empty_log(&self) -> sqlx::Result<bool> {
        let Self::Sqlite { file, checkpoint_pool, write_lock, .. } = self else { return Ok(true) };
        // The connection first, as with every checkpoint that takes the lock.
        let mut conn = checkpoint_pool.acquire().await?;
        let write_lock = super::wait_for_write_lock(write_lock).await?;
        let mark: i64 = sqlx::query_scalar("pragma user_version").fetch_one(&mut *conn).await?;
        let is_served = matches!(mark, SERVED | PLAYED_IN);
        if is_served {
            self.write_mark(PLAYED_IN, &write_lock).await?;
        }
        sqlx::query(EMPTYING_PATIENCE).execute(&mut *conn).await?;
        let (is_busy, ..): (i64, i64, i64) =
            sqlx::query_as("pragma wal_checkpoint(truncate)").fetch_one(&mut *conn).await?;
        if is_served {
            self.write_mark(SERVED, &write_lock).await?;
            sqlx::query(PASSIVE_CHECKPOINT).execute(&mut *conn).await?;
            if mark_in(file)? == SERVED {
                self.write_mark(PLAYED_IN, &write_lock).await?;
            }
        }
        Ok(is_busy == 0)
    }

    /// Before a checkpoint of the server's own, so that it leaves the file marked. [`Db::keep_mark`] comes after it.
    pub(super) async fn mark_before_checkpoint(&self) -> sqlx::Result<()> {
        if self.mark().await? == PLAYED_IN { self.set_mark(SERVED).await } else { Ok(()) }
    }

    /// The server ends, and nothing is missing from the file once it is closed.
    pub async fn mark_as_closed(&self) -> sqlx::Result<()> {
        self.set_mark(CLOSED).await
    }

    /// A server that crashes between its two marks leaves the first one in its log. That was there when this process opened the
    /// file, and it may be gone when this process closes it.
    pub(super) async fn finish_mark_of_crashed_server(&self) {
        let Self::Sqlite { file, had_log: true, .. } = self else { return };
        let finish = async {
            if self.mark().await? == SERVED && !Claim::is_held_on(file) {
                self.set_mark(PLAYED_IN).await?;
            }
            Ok::<_, sqlx::Error>(())
        };
        if let Err(error) = finish.await {
            tracing::debug!(%error, "the mark of a server that has crashed stays");
        }
    }

    /// The mark in the file and its log.
    async fn mark(&self) -> sqlx::Result<i64> {
        let Self::Sqlite { read_pool, .. } = self else { return Ok(CLOSED) };
        in_time(sqlx::query_scalar("pragma user_version").fetch_one(read_pool)).await
    }

    async fn set_mark(&self, mark: i64) -> sqlx::Result<()> {
        let Self::Sqlite { write_lock, .. } = self else { return Ok(()) };
        let write_lock = super::wait_for_write_lock(write_lock).await?;
        self.write_mark(mark, &write_lock).await
    }

    async fn write_mark(&self, mark: i64, _: &OwnedMutexGuard<()>) -> sqlx::Result<()> {
        let Self::Sqlite { write_pool, .. } = self else { return Ok(()) };
        // A pragma takes no parameters.
        let pragma = match mark {
            SERVED => "pragma user_version = 1",
            PLAYED_IN => "pragma user_version = 2",
            EXTERNAL => "pragma user_version = 3",
            _ => "pragma user_version = 0",
        };
        in_time(sqlx::query(pragma).execute(write_pool)).await.map(drop)
    }
}
