//! Putting a backup where the bank looks for its books. Nothing is ever overwritten or deleted for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use super::draft::Draft;
use super::{BackupError, Contents, begin, copy_bytes, examine, finish, options_for, refuse_without_room};
use crate::doctor;
use coffer_core::db::claim::Claim;
use coffer_core::db::heads::Head;
use coffer_core::db::serving::LogOfFile;
use coffer_core::db::{Db, refuse_no_bank};
use coffer_core::files;

/// Every SQLite file begins with it.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Copies `backup` to `target`, where no books are yet, once the doctor has found it right. Tables of an older version are
/// brought up to date; `backup` itself stays as it is. The books must have each head of `since`.
pub async fn restore(backup: &Path, target: &Path, since: &[Head]) -> Result<Contents, BackupError> {
    let started = Instant::now();
    refuse_no_file(backup)?;
    let backup = &files::behind_links(backup);
    refuse_taken(target)?;
    refuse_no_backup(backup)?;
    refuse_no_bank(backup)?;
    if since.is_empty() {
        refuse_without_log(backup)?;
    }
    let draft = begin(target)?;
    let size = fs::metadata(backup).map_err(|cause| unreadable(backup, cause))?.len();
    refuse_without_room(size, &draft, 0)?;
    copy(backup, &draft).await?;
    let books = Db::connect(&options_for(draft.path())).await?;
    let contents = examine_restored(&books, &draft, since, started).await;
    books.close().await;
    let contents = contents?;
    refuse_taken(target)?;
    finish(draft, target)?;
    Ok(contents)
}

async fn examine_restored(
    books: &Db,
    draft: &Draft,
    since: &[Head],
    started: Instant,
) -> Result<Contents, BackupError> {
    books.migrate().await?;
    books.mark_as_closed().await?;
    let contents = examine(books, draft.path(), started).await?;
    let finding = doctor::heads(books, since).await?;
    if finding.is_good() { Ok(contents) } else { Err(BackupError::Wrong(vec![finding.to_string()])) }
}

/// A log that lies where the books are to be would be played into them by SQLite, whatever bank it is of.
fn refuse_taken(target: &Path) -> Result<(), BackupError> {
    if target.symlink_metadata().is_ok() {
        return Err(BackupError::Refused(format!(
            "there are books at {} already, and nothing is overwritten. Stop the server, move the file away together with \
             whatever lies beside it (-wal, -shm, -journal), and try again",
            target.display()
        )));
    }
    let left = files::beside_sqlite(target).into_iter().find(|file| file.symlink_metadata().is_ok());
    if let Some(left) = left {
        return Err(BackupError::Refused(format!(
            "{} lies where SQLite would take it for a part of the restored books. It may hold what was booked last: move it \
             away, together with the database file that it belongs to, and try again",
            left.display()
        )));
    }
    if Claim::is_held_on(target) {
        let target = target.display();
        return Err(BackupError::Refused(format!(
            "a server books on {target}, though the file is gone. Stop it first"
        )));
    }
    Ok(())
}

/// Nobody would write to a pipe that is waited for, and a pipe can be read but once.
fn refuse_no_file(backup: &Path) -> Result<(), BackupError> {
    if fs::metadata(backup).map_err(|cause| unreadable(backup, cause))?.is_file() {
        return Ok(());
    }
    let backup = backup.display();
    Err(BackupError::Refused(format!(
        "{backup} is no file: write the backup to one first, such as gunzip -c FILE.gz >FILE"
    )))
}

fn refuse_no_backup(backup: &Path) -> Result<(), BackupError> {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(backup).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Err(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => return Err(unreadable(backup, cause)),
        Ok(()) if magic == *MAGIC => {}
        _ => {
            let backup = backup.display();
            return Err(BackupError::Refused(format!("{backup} is no SQLite file, and so no backup of a bank")));
        }
    }
    match files::logs_of_sqlite(backup).next() {
        None => Ok(()),
        Some(left) => Err(BackupError::Refused(format!(
            "{} lies beside it, so it is no backup but the file of a bank that is open, or that has crashed. Make a backup of \
             that bank (coffer backup), or copy the file and all that lies beside it to the new place",
            left.display()
        ))),
    }
}

fn refuse_without_log(backup: &Path) -> Result<(), BackupError> {
    match doctor::database::why_not_whole(LogOfFile::of(backup)?) {
        None => Ok(()),
        Some(why) => Err(BackupError::Refused(format!("{}: {why}", backup.display()))),
    }
}

async fn copy(backup: &Path, draft: &Draft) -> Result<(), BackupError> {
    let from = File::open(backup).map_err(|cause| unreadable(backup, cause))?;
    let failed = |cause| BackupError::Write { path: draft.path().display().to_string(), cause };
    let to = OpenOptions::new().write(true).open(draft.path()).map_err(failed)?;
    copy_bytes(from, to).await.map_err(failed)
}

fn unreadable(backup: &Path, cause: io::Error) -> BackupError {
    BackupError::Read { path: backup.display().to_string(), cause }
}
