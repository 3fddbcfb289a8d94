//! Why a statement failed, and what that means for the request behind it: one table for both databases.

use std::fmt;

use super::servers::not_primary;

/// The cause of a failure, as far as it decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another transaction came first. The same work succeeds when it is tried again.
    Conflict,
    /// Somebody else holds a lock for longer than the bank waits.
    Locked,
    /// The database takes no writes: a standby, or a read-only file.
    ReadOnly,
    /// Memory or connections have run out.
    OutOfResources,
    /// The disk has no room.
    DiskFull,
    /// Nothing answers, or nothing whole: the database is unreachable, starting, stopping, or its disk fails.
    Unavailable,
    /// The answer to a COMMIT is missing.
    InDoubt,
    /// A row with the same unique key exists.
    Duplicate,
    /// Trying again would not help: a bug, a missing right, or a damaged file.
    Permanent,
}

impl Failure {
    /// Whether the same work may well succeed if it is tried again.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Conflict
            | Self::Locked
            | Self::ReadOnly
            | Self::OutOfResources
            | Self::DiskFull
            | Self::Unavailable => true,
            Self::InDoubt | Self::Duplicate | Self::Permanent => false,
        }
    }

    /// In a sentence for the client.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ReadOnly => "The database takes no writes at present; what is only read is still answered.",
            Self::OutOfResources => "The database has run out of memory or connections.",
            Self::DiskFull => "The disk that holds the books is full, or has less room than is kept in reserve.",
            Self::Locked => "Another program holds the database's lock.",
            _ => "The database does not answer.",
        }
    }
}

/// PostgreSQL's SQLSTATE, or its class of two characters; the longer one counts.
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const SQLSTATES: [(&str, Failure); 20] = [
    // A plan that was made before a migration cannot be used after it; a new connection has none.
    ("0A000", Failure::Conflict),
    ("08", Failure::Unavailable),
    ("23505", Failure::Duplicate),
    // Connecting failed: the password or the rules of access are being changed.
    ("28", Failure::Unavailable),
    ("3D000", Failure::Unavailable),
    ("40", Failure::Conflict),
    ("40003", Failure::Unavailable),
    // Sessions and transactions that the server ended because they were idle.
    ("25P03", Failure::Unavailable),
    ("25P04", Failure::Unavailable),
    ("25006", Failure::ReadOnly),
    ("53", Failure::OutOfResources),
    ("53100", Failure::DiskFull),
    ("55", Failure::Unavailable),
    ("55P03", Failure::Locked),
    // A limit or an operator stopped the statement, or the server is starting or stopping.
    ("57", Failure::Unavailable),
    ("58", Failure::Unavailable),
    // A file that is missing or there twice: no other try mends it.
    ("58P01", Failure::Permanent),
    ("58P02", Failure::Permanent),
    // A pooler gave the session to somebody else, and the prepared statements with it.
    ("26000", Failure::Conflict),
    ("42P05", Failure::Conflict),
];

/// The low byte of SQLite's result codes. Source: <https://sqlite.org/rescode.html>.
const SQLITE_CODES: [(i32, Failure); 11] = [
    (5, Failure::Locked),         // BUSY
    (6, Failure::Locked),         // LOCKED
    (7, Failure::OutOfResources), // NOMEM
    (8, Failure::ReadOnly),       // READONLY
    (9, Failure::Unavailable),    // INTERRUPT
    (10, Failure::Unavailable),   // IOERR
    (12, Failure::Unavailable),   // NOTFOUND: the file system does not know an operation
    (13, Failure::DiskFull),      // FULL
    (14, Failure::Unavailable),   // CANTOPEN
    (15, Failure::Locked),        // PROTOCOL: the WAL is locked
    (17, Failure::Conflict),      // SCHEMA
];
const SQLITE_IOERR: i32 = 10;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_IOERR_FSYNC: &str = "1034";
/// SQLite's codes are numbers of at most four digits, SQLSTATEs have five characters.
const SQLSTATE_LENGTH: usize = 5;

/// SQLSTATE lock_not_available.
pub const POSTGRES_LOCK_TIMEOUT: &str = "55P03";
/// The class of SQLSTATEs of constraints, and what a trigger raises.
const POSTGRES_CONSTRAINT: &str = "23";
const POSTGRES_RAISED: &str = "P0001";
/// SQLSTATE statement_completion_unknown.
const POSTGRES_COMPLETION_UNKNOWN: &str = "40003";

/// A COMMIT without an answer outside of the ledger: nothing looks up what became of it.
#[derive(Debug)]
struct CommitInDoubt(sqlx::Error);

impl fmt::Display for CommitInDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a commit has no answer: {}", self.0)
    }
}

impl std::error::Error for CommitInDoubt {}

/// Marks an error of COMMIT that leaves open whether it took effect. Not SQLite's: that has undone it.
pub fn of_commit(error: sqlx::Error) -> sqlx::Error {
    let is_of_sqlite =
        error.as_database_error().and_then(|cause| cause.code()).is_some_and(|code| code.len() < SQLSTATE_LENGTH);
    if leaves_doubt(&error) && !is_of_sqlite {
        sqlx::Error::AnyDriverError(Box::new(CommitInDoubt(error)))
    } else {
        error
    }
}

/// The error of a database that gave no answer in time.
pub fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer in time"))
}

/// The error of a file that is not where it was opened.
pub fn file_gone() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::NotFound, "the database file is not where it was opened"))
}

/// The failure that the error stands for.
pub fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(database) => of_code(&database.code().unwrap_or_default()),
        sqlx::Error::AnyDriverError(cause) if cause.is::<CommitInDoubt>() => Failure::InDoubt,
        _ if not_primary(error).is_some() => Failure::Unavailable,
        // A broken connection shows as any of these, before, during and after the handshake.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Failure::Unavailable,
        _ => Failure::Permanent,
    }
}

fn of_code(code: &str) -> Failure {
    match code.parse::<i32>() {
        Ok(1_555 | 2_067 | 2_579) => Failure::Duplicate, // CONSTRAINT_PRIMARYKEY, _UNIQUE, _ROWID
        Ok(number) if code.len() < SQLSTATE_LENGTH => {
            let known = SQLITE_CODES.iter().find(|(known, _)| *known == number & 0xff);
            known.map_or(Failure::Permanent, |(_, failure)| *failure)
        }
        _ => {
            let fits = SQLSTATES.iter().filter(|(known, _)| code.starts_with(known));
            fits.max_by_key(|(known, _)| known.len()).map_or(Failure::Permanent, |(_, failure)| *failure)
        }
    }
}

/// Whether the same work may well succeed if it is tried again.
pub fn is_transient(error: &sqlx::Error) -> bool {
    failure(error).is_transient()
}

/// Whether a COMMIT that failed like this may have been carried out all the same. A refusal by the database is a
/// definite no, unless it says itself that it does not know; no answer is none.
pub fn leaves_doubt(error: &sqlx::Error) -> bool {
    let Some(database) = error.as_database_error() else { return true };
    let code = database.code().unwrap_or_default();
    match code.parse::<i32>() {
        // An I/O error may come after the commit was written.
        Ok(number) if code.len() < SQLSTATE_LENGTH => number & 0xff == SQLITE_IOERR,
        _ => code == POSTGRES_COMPLETION_UNKNOWN || of_code(&code) == Failure::Unavailable,
    }
}

/// Whether SQLite could write a commit, but not sync it.
pub fn is_failed_sync(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|database| database.code().as_deref() == Some(SQLITE_IOERR_FSYNC))
}

/// Whether a PostgreSQL row was held by somebody else for too long.
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|database| database.code().as_deref() == Some(POSTGRES_LOCK_TIMEOUT))
}

/// Whether the database refused a row because another one already has its key.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    failure(error) == Failure::Duplicate
}

/// Whether a trigger, a reference or another rule of the tables has refused a change.
pub fn is_refused_by_rules(error: &sqlx::Error) -> bool {
    let Some(database) = error.as_database_error() else { return false };
    let code = database.code().unwrap_or_default();
    match code.parse::<i32>() {
        Ok(number) if code.len() < SQLSTATE_LENGTH => number & 0xff == SQLITE_CONSTRAINT,
        _ => code.starts_with(POSTGRES_CONSTRAINT) || code == POSTGRES_RAISED,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as StdError;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("code {0}")]
    struct Answer(&'static str);

    impl DatabaseError for Answer {
        fn message(&self) -> &str {
            self.0
        }
        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn answered(code: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Answer(code)))
    }

    /// Every row of the table, with neighbours: what the cause is, and whether a COMMIT that ends so is in doubt.
    #[test]
    fn each_answer_of_a_database_has_its_cause() {
        use Failure::*;
        for (code, expected, in_doubt) in [
            ("08000", Unavailable, true),
            ("08001", Unavailable, true),
            ("08003", Unavailable, true),
            ("08006", Unavailable, true),
            ("08P01", Unavailable, true),
            ("0A000", Conflict, false),
            ("22003", Permanent, false),
            ("23505", Duplicate, false),
            ("23514", Permanent, false),
            ("25006", ReadOnly, false),
            ("25P02", Permanent, false),
            ("25P03", Unavailable, true),
            ("25P04", Unavailable, true),
            ("26000", Conflict, false),
            ("28000", Unavailable, true),
            ("28P01", Unavailable, true),
            ("3D000", Unavailable, true),
            ("40001", Conflict, false),
            ("40003", Unavailable, true),
            ("40P01", Conflict, false),
            ("42501", Permanent, false),
            ("42P01", Permanent, false),
            ("53100", DiskFull, false),
            ("53200", OutOfResources, false),
            ("53300", OutOfResources, false),
            ("55000", Unavailable, true),
            ("55006", Unavailable, true),
            ("55P03", Locked, false),
            ("57000", Unavailable, true),
            ("57014", Unavailable, true),
            ("57P01", Unavailable, true),
            ("57P02", Unavailable, true),
            ("57P03", Unavailable, true),
            ("57P04", Unavailable, true),
            ("57P05", Unavailable, true),
            ("58000", Unavailable, true),
            ("58030", Unavailable, true),
            ("58P01", Permanent, false),
            ("XX000", Permanent, false),
            ("XX001", Permanent, false),
            ("", Permanent, false),
            // SQLite, by extended codes: BUSY_SNAPSHOT, LOCKED, READONLY_DIRECTORY, READONLY_DBMOVED, IOERR_FSYNC,
            // IOERR_SHMMAP, CORRUPT, FULL, CANTOPEN_ISDIR, CANTOPEN, constraints, NOTADB.
            ("5", Locked, false),
            ("517", Locked, false),
            ("6", Locked, false),
            ("7", OutOfResources, false),
            ("8", ReadOnly, false),
            ("1544", ReadOnly, false),
            ("1032", ReadOnly, false),
            ("9", Unavailable, false),
            ("10", Unavailable, true),
            ("1034", Unavailable, true),
            ("5386", Unavailable, true),
            ("11", Permanent, false),
            ("13", DiskFull, false),
            ("14", Unavailable, false),
            ("526", Unavailable, false),
            ("15", Locked, false),
            ("19", Permanent, false),
            ("275", Permanent, false),
            ("1555", Duplicate, false),
            ("2067", Duplicate, false),
            ("26", Permanent, false),
        ] {
            let error = answered(code);
            assert_eq!((failure(&error), leaves_doubt(&error)), (expected, in_doubt), "{code}");
        }
    }

    #[test]
    fn a_broken_connection_is_no_bug() {
        let reset = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        for error in [
            reset(),
            no_answer(),
            sqlx::Error::Tls("handshake cut".into()),
            sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".into()),
            sqlx::Error::PoolTimedOut,
            sqlx::Error::PoolClosed,
            sqlx::Error::WorkerCrashed,
        ] {
            assert_eq!(failure(&error), Failure::Unavailable, "{error}");
            assert!(leaves_doubt(&error), "{error}");
        }
        assert_eq!(failure(&of_commit(reset())), Failure::InDoubt);
        assert_eq!(failure(&of_commit(answered("40001"))), Failure::Conflict);
        assert_eq!(failure(&of_commit(answered("57P01"))), Failure::InDoubt);
        assert_eq!(failure(&of_commit(answered("1034"))), Failure::Unavailable);
        assert_eq!(failure(&sqlx::Error::RowNotFound), Failure::Permanent);
    }
}
