//! Whether the SQLite file that is open is still where it was opened.
//!
//! Whoever deletes the file of a bank that runs, or moves it away, leaves the bank with files that nobody finds any more: what it
//! books then is gone when it closes them. So it looks at them, and books nothing while they are not there.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::errors;
use crate::files;

/// Device and inode: what is open, whatever is called so now.
type Identity = (u64, u64);

#[derive(Debug)]
pub struct OpenFile {
    file: PathBuf,
    opened: OnceLock<Identity>,
    /// Once there is a log, it stays the same for as long as anybody has the file open.
    opened_log: OnceLock<Identity>,
    is_gone: AtomicBool,
}

impl OpenFile {
    /// Of a file that has just been opened.
    pub(super) fn of(file: &Path) -> Self {
        let it = Self {
            file: file.to_owned(),
            opened: OnceLock::new(),
            opened_log: OnceLock::new(),
            is_gone: AtomicBool::new(false),
        };
        it.look();
        it
    }

    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// Looks whether the files are there. Blocks for as long as the file system takes.
    pub fn look(&self) {
        let is_gone =
            is_another(&self.file, &self.opened) || is_another(&files::log_of_sqlite(&self.file), &self.opened_log);
        let was_gone = self.is_gone.swap(is_gone, Ordering::Relaxed);
        let file = self.file.display();
        if is_gone && !was_gone {
            tracing::error!(
                %file,
                process = std::process::id(),
                "the database file or the log beside it was deleted, moved or replaced while the bank has it open. Nothing is booked \
                 until it is back. Do not stop the bank: what was deleted is still in /proc/PROCESS/fd"
            );
        } else if was_gone && !is_gone {
            tracing::info!(%file, "the database file is back: movements are booked");
        }
    }

    /// Before anything is written, and before the file is opened once more.
    pub(super) fn refuse_if_gone(&self) -> sqlx::Result<()> {
        if self.is_gone.load(Ordering::Relaxed) { Err(errors::file_gone()) } else { Ok(()) }
    }
}

/// Whether there is not what was seen there first. What cannot be told is no reason to stop.
fn is_another(file: &Path, opened: &OnceLock<Identity>) -> bool {
    match fs::metadata(file) {
        Ok(found) => {
            let identity = (found.dev(), found.ino());
            *opened.get_or_init(|| identity) != identity
        }
        Err(error) => error.kind() == ErrorKind::NotFound && opened.get().is_some(),
    }
}
