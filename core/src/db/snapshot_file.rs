//! A SQLite file as of one moment, written while a server books on it.

use std::path::Path;

use rusqlite::InterruptHandle;

use super::serving::LogOfFile;
use super::sqlite::{into_sqlx, open_for_reading, open_for_writing};
use super::{Checkpoints, errors};

/// Writes what is in `database` now to `to`, which must be empty or not be there.
///
/// `vacuum into` reads in one transaction: nobody who writes waits for it, and it never has to begin again, as SQLite's
/// backup interface does whenever somebody writes between two of its steps. Meanwhile the log cannot start anew, so it grows by
/// what is booked. What was erased is not in the copy, not even in pages that are free.
///
/// `log` is what `database` says of its log: if that may be missing, what was in it is missing from the copy, which says so, too.
pub async fn write(database: &Path, log: LogOfFile, to: &Path) -> sqlx::Result<()> {
    // A relative one could begin as a URI does, with `file:`.
    let to = &std::path::absolute(to)?;
    let name = to.to_str().ok_or_else(|| sqlx::Error::Configuration("its name is not in UTF-8".into()))?.to_owned();
    let connection = open_for_reading(database)?;
    let _interrupt = InterruptOnDrop(connection.get_interrupt_handle());
    let written = tokio::task::spawn_blocking(move || connection.execute("vacuum into ?1", [name]).map_err(into_sqlx));
    written.await.unwrap_or_else(|_| Err(errors::no_answer()))?;
    // In place of the mark of the server that books on the other file.
    let copy = open_for_writing(to, Checkpoints::Coffer)?;
    copy.pragma_update(None, "user_version", log.mark_of_copy()).map_err(into_sqlx)
}

/// How large a copy of what is in `database` now becomes, in bytes, but for what is booked meanwhile: free pages are not
/// in it.
pub fn size(database: &Path) -> sqlx::Result<u64> {
    let connection = open_for_reading(database)?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(into_sqlx);
    let used = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    Ok(used.saturating_mul(pragma("page_size")?).unsigned_abs())
}

/// Nobody waits for the thread any more, and the process would not end before it.
struct InterruptOnDrop(InterruptHandle);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}
