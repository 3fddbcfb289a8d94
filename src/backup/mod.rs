//! Backups: a SQLite file with the whole books as of one moment, which the doctor has found right.

mod draft;
pub mod restore;
pub mod schedule;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::oneshot;

use self::draft::Draft;
use crate::copy;
use crate::doctor::database::{self, NotWhole};
use crate::doctor::what_is_wrong;
use coffer_core::db::heads::Heads;
use coffer_core::db::{ConnectError, Db, DbOptions, snapshot_file};
use coffer_core::disk;

/// What a backup holds, as the doctor has found it.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    pub heads: Heads,
    pub transactions: u64,
    pub bytes: u64,
    pub took: Duration,
}

/// Why there is no backup, or why one was not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0} is there already, and nothing is overwritten. Name another file, or move this one away")]
    IsThere(String),
    #[error("cannot write {path}: {}", in_words(cause))]
    Write { path: String, cause: io::Error },
    #[error("cannot read {path}: {cause}")]
    Read { path: String, cause: io::Error },
    #[error(
        "{needed} bytes are needed, and the disk has {free} free{}. Make room, or use another disk",
        if *reserve > 0 { format!(", of which the bank keeps {reserve} (COFFER_DISK_RESERVE)") } else { String::new() }
    )]
    NoRoom { free: u64, needed: u64, reserve: u64 },
    #[error("the books cannot be read: {0}")]
    Query(#[from] sqlx::Error),
    #[error(transparent)]
    Open(#[from] ConnectError),
    #[error("the books in it are WRONG, so it does not count:\n  {}", .0.join("\n  "))]
    Wrong(Vec<String>),
    #[error(transparent)]
    NotWhole(#[from] NotWhole),
    #[error("{0}")]
    Refused(String),
}

fn in_words(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound => "its directory is not there. Make it, or name another place".to_owned(),
        _ => cause.to_string(),
    }
}

/// Makes a backup of the bank in a new file with mode 0600. The disk of the books keeps `reserve` bytes free. Whatever goes
/// wrong, there is no file then.
pub async fn make(bank: &Db, target: &Path, reserve: u64) -> Result<Contents, BackupError> {
    let draft = begin(target)?;
    let contents = fill(bank, &draft, reserve).await?;
    finish(draft, target)?;
    Ok(contents)
}

/// The same, for standard output and its like, where no file can be named. `directory` has it meanwhile.
pub async fn make_for(
    bank: &Db,
    directory: &Path,
    reserve: u64,
    output: impl Write + Send + 'static,
) -> Result<Contents, BackupError> {
    let draft = begin(&directory.join("coffer-backup"))?;
    let contents = fill(bank, &draft, reserve).await?;
    let failed = |cause| BackupError::Write { path: "standard output".to_owned(), cause };
    let from = File::open(draft.path()).map_err(failed)?;
    copy_bytes(from, output).await.map_err(failed)?;
    Ok(contents)
}

/// On a thread of its own, for which nobody waits who breaks it off: a pipe or a disk may stand still.
async fn copy_bytes(mut from: File, mut to: impl Write + Send + 'static) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    let copy = move || {
        let copied = io::copy(&mut from, &mut to).and_then(|_| to.flush());
        let _ = tell.send(copied);
    };
    thread::Builder::new().name("copy".to_owned()).spawn(copy)?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("the copying thread has ended by itself")))
}

async fn fill(bank: &Db, draft: &Draft, reserve: u64) -> Result<Contents, BackupError> {
    let started = Instant::now();
    match bank.file() {
        Some(file) => {
            let log = database::refuse_without_log(file)?;
            let reserve = if are_on_one_disk(file, draft.path()) { reserve } else { 0 };
            refuse_without_room(snapshot_file::size(file)?, draft, reserve)?;
            snapshot_file::write(file, log, draft.path()).await?;
        }
        // How large PostgreSQL's tables become in a SQLite file shows only then.
        None => copy_into(bank, draft).await?,
    }
    let books = Db::connect(&options_for(draft.path())).await?;
    let contents = examine(&books, draft.path(), started).await;
    books.close().await;
    contents
}

/// A backup of a PostgreSQL bank is one of SQLite, too, and of one moment as well: the copy reads one snapshot.
async fn copy_into(bank: &Db, draft: &Draft) -> Result<(), BackupError> {
    let books = Db::connect(&options_for(draft.path())).await?;
    let copied = copy::copy(bank, &books, &mut |_, _| {}).await;
    books.close().await;
    copied.map(drop).map_err(|error| BackupError::Refused(error.to_string()))
}

/// A disk that fills up would stop the bank that books on it. Volumes that share the room of one pool count as several disks.
fn are_on_one_disk(books: &Path, draft: &Path) -> bool {
    let disk_of = |file: &Path| fs::metadata(file).map(|file| file.dev());
    matches!((disk_of(books), disk_of(draft)), (Ok(one), Ok(other)) if one == other)
}

fn refuse_without_room(needed: u64, draft: &Draft, reserve: u64) -> Result<(), BackupError> {
    match disk::free_bytes(draft.path()) {
        Ok(free) if free < needed.saturating_add(reserve) => Err(BackupError::NoRoom { free, needed, reserve }),
        // Where nobody can tell, writing shows it.
        _ => Ok(()),
    }
}

fn begin(target: &Path) -> Result<Draft, BackupError> {
    if target.symlink_metadata().is_ok() {
        return Err(BackupError::IsThere(target.display().to_string()));
    }
    Draft::beside(target).map_err(|cause| BackupError::Write { path: target.display().to_string(), cause })
}

fn finish(draft: Draft, target: &Path) -> Result<(), BackupError> {
    draft.publish(target).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => BackupError::IsThere(target.display().to_string()),
        _ => BackupError::Write { path: target.display().to_string(), cause },
    })
}

/// Has the doctor look at the books in this file.
async fn examine(books: &Db, file: &Path, started: Instant) -> Result<Contents, BackupError> {
    books.learn_units().await?;
    let wrong = what_is_wrong(books).await?;
    if !wrong.is_empty() {
        return Err(BackupError::Wrong(wrong));
    }
    let mut tx = books.snapshot().await?;
    let (heads, transactions) = (tx.heads().await?, tx.count_transactions().await? as u64);
    tx.rollback().await?;
    let bytes = fs::metadata(file).map_or(0, |file| file.len());
    Ok(Contents { heads, transactions, bytes, took: started.elapsed() })
}

fn options_for(file: &Path) -> DbOptions {
    DbOptions::of_file(SqliteConnectOptions::new().filename(file))
}
