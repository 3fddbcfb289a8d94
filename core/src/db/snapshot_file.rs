//! A SQLite file as of one moment, written while a server books on it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::InterruptHandle;

use super::serving::LogOfFile;
use super::sqlite::{into_sqlx, open_for_reading, open_for_writing};
use super::{Checkpoints, errors};
use crate::files;

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
    let is_given_up = Arc::new(AtomicBool::new(false));
    let _give_up = GiveUpOnDrop(connection.get_interrupt_handle(), is_given_up.clone());
    let draft = to.clone();
    let written = tokio::task::spawn_blocking(move || {
        if is_given_up.load(Ordering::SeqCst) {
            return Err(errors::no_answer());
        }
        let written = connection.execute("vacuum into ?1", [name]).map_err(into_sqlx);
        // Whoever has given up has taken the draft away, perhaps before SQLite has made it anew.
        if is_given_up.load(Ordering::SeqCst) {
            files::of_sqlite(&draft).for_each(|file| drop(fs::remove_file(file)));
        }
        written
    });
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

/// Nobody waits for the thread any more, and the process would not end before it. A statement that has not begun cannot be
/// interrupted: therefore the flag.
struct GiveUpOnDrop(InterruptHandle, Arc<AtomicBool>);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        self.0.interrupt();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::db::{Db, DbOptions};

    /// Whoever gives up takes the draft away, and SQLite may not have begun to write it by then.
    #[test]
    fn what_was_given_up_leaves_nothing() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let (bank, draft) = (directory.path().join("bank.db"), directory.path().join("draft"));
        for _ in 0..50 {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&bank).create_if_missing(true);
                let db = Db::connect(&DbOptions::of_file(options)).await.expect("a database");
                db.migrate().await.expect("tables");
                fs::write(&draft, "").expect("a draft");
                let _ = tokio::time::timeout(Duration::ZERO, write(&bank, LogOfFile::Whole, &draft)).await;
                fs::remove_file(&draft).expect("the draft");
                db.close().await;
            });
            // Waits for the thread.
            drop(runtime);
            assert!(!draft.exists());
        }
    }
}
