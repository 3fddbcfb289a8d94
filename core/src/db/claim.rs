//! One server books on a SQLite file: two would wait for each other's locks at every commit. Programs that look
//! (`coffer doctor`, a backup) or change little (`coffer admin`) work beside it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::DbTarget;
use super::refusals::ConnectError;

/// Added to the name of the database file. The file holds the process id of the server that was last on it, and stays
/// when that has ended: what counts is the lock on it, which ends with the process.
const SUFFIX: &str = "-server";

/// Held by the server for as long as it runs.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "its lock ends when it is closed")] File);

impl Claim {
    /// Whether a server books on this SQLite file now.
    pub fn is_held_on(database: &Path) -> bool {
        let locked = File::open(lock_file_of(database)).map(|file| file.try_lock_shared());
        matches!(locked, Ok(Err(TryLockError::WouldBlock)))
    }

    /// Claims the database for this process. None on PostgreSQL, which any number of servers share, where the file
    /// system has no locks, and where the lock file cannot be written. Fails when another process has it.
    pub fn on(database: &DbTarget) -> Result<Option<Self>, ConnectError> {
        let DbTarget::Sqlite(sqlite) = database else { return Ok(None) };
        let database = sqlite.get_filename();
        let path = lock_file_of(database);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        // Somebody else's server has made it: its lock counts all the same.
        let opened = match opened {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => File::open(&path),
            opened => opened,
        };
        let locked = opened.map_err(TryLockError::Error).and_then(|mut file| match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(Err(refusal(database, &mut file))),
            other => other.map(|()| Ok(file)),
        });
        match locked {
            Ok(Ok(mut file)) => {
                // For people: what it says matters to no program.
                let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                Ok(Some(Self(file)))
            }
            Ok(Err(refusal)) => Err(refusal),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "nothing keeps another server off this database file");
                Ok(None)
            }
        }
    }
}

/// By whatever name the database is asked for, it is one file.
fn lock_file_of(database: &Path) -> PathBuf {
    let mut path = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned()).into_os_string();
    path.push(SUFFIX);
    PathBuf::from(path)
}

fn refusal(database: &Path, file: &mut File) -> ConnectError {
    let mut process = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut process));
    let process = match process.trim() {
        "" => String::new(),
        id => format!(" (process {id})"),
    };
    let reason = format!(
        "another server{process} books on this file. Stop it, or set DATABASE_URL (--database-url) to another file; several \
         servers on one database need PostgreSQL"
    );
    ConnectError::Open { place: database.display().to_string(), reason }
}
