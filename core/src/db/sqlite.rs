//! SQLite called on the thread that needs it, with `rusqlite`.
//!
//! sqlx runs each SQLite connection on a thread of its own and sends every statement there and back, which costs more
//! than the statement. Where that counts, a call goes straight into the library. Both crates link the same SQLite.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Row};
use sqlx::error::{DatabaseError, ErrorKind};

use super::{Checkpoints, OpenFile, SQLITE_BUSY_TIMEOUT, SQLITE_PRAGMAS};
use crate::account_number::AccountNumber;
use crate::books::account::{Account, AccountStatus};
use crate::books::hold::{Hold, HoldStatus};
use crate::books::tags::Tags;
use crate::money::Currency;
use crate::timestamp::Timestamp;

/// Extended result codes: <https://sqlite.org/rescode.html>.
const CONSTRAINT_PRIMARY_KEY: i32 = 1_555;
const CONSTRAINT_UNIQUE: i32 = 2_067;

/// Statements kept prepared per connection; the ledger has some thirty-five.
const STATEMENT_CACHE: usize = 48;

/// Page cache of a ledger writer's connection, negative for KiB: the ends of some thousand histories.
const WRITER_CACHE_KIB: i64 = -8_192;

/// Page cache of a connection for look-ups, negative for KiB: the upper pages of the trees.
const LOOK_UP_CACHE_KIB: i64 = -1_024;

/// How long the ledger's writer waits for another process before it looks whether to try again.
const WRITER_BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a look-up waits: it keeps a thread that serves requests. Readers wait for nothing but a WAL that is
/// recovered.
const LOOK_UP_BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Connections for look-ups by primary key, which read a few pages: those are done in less time than a thread needs to
/// take them over. Never more connections than threads that look something up at the same time.
#[derive(Debug)]
pub struct LookUps {
    open_file: Arc<OpenFile>,
    idle: Mutex<Vec<Connection>>,
}

impl LookUps {
    pub fn new(open_file: Arc<OpenFile>) -> Self {
        Self { open_file, idle: Mutex::default() }
    }

    pub fn run<R>(&self, look_up: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> sqlx::Result<R> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let connection = match taken {
            Some(connection) => connection,
            None => {
                self.open_file.refuse_if_gone()?;
                let connection = open(self.open_file.path(), OpenFlags::SQLITE_OPEN_READ_ONLY, LOOK_UP_BUSY_TIMEOUT)?;
                connection.pragma_update(None, "cache_size", LOOK_UP_CACHE_KIB).map_err(into_sqlx)?;
                connection
            }
        };
        // A connection that failed is closed: whatever is the matter with it, the next one is new.
        let found = look_up(&connection).map_err(into_sqlx)?;
        idle().push(connection);
        Ok(found)
    }

    pub fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Opens a file that exists, for writing, with the settings that sqlx's connections have.
pub fn open_for_writing(file: &Path, checkpoints: Checkpoints) -> sqlx::Result<Connection> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_BUSY_TIMEOUT)?;
    let (pragma, pages) = checkpoints.pragma();
    connection.pragma_update(None, pragma, pages).map_err(into_sqlx)?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE_KIB).map_err(into_sqlx)?;
    Ok(connection)
}

/// Opens a file that exists, for reading all of it.
pub fn open_for_reading(file: &Path) -> sqlx::Result<Connection> {
    open(file, OpenFlags::SQLITE_OPEN_READ_ONLY, SQLITE_BUSY_TIMEOUT)
}

/// Opens the file as it is without what is in the log beside it. Takes no locks and makes no files, so that nothing changes, not
/// even on a medium that is read-only; whoever may meet a server on the file reads no more than a page.
pub fn open_without_log(file: &Path) -> sqlx::Result<Connection> {
    let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(immutable_uri(file), access).map_err(into_sqlx)
}

/// <https://sqlite.org/uri.html>
fn immutable_uri(file: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for byte in file.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02X}").into_bytes()),
            _ => uri.push(*byte),
        }
    }
    uri.extend(b"?immutable=1");
    PathBuf::from(OsString::from_vec(uri))
}

fn open(file: &Path, access: OpenFlags, busy_timeout: Duration) -> sqlx::Result<Connection> {
    let prepare = || {
        let connection = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(busy_timeout)?;
        for (pragma, value) in SQLITE_PRAGMAS {
            connection.pragma_update(None, pragma, value)?;
        }
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        Ok(connection)
    };
    prepare().map_err(into_sqlx)
}

/// The same error as sqlx would have given, so that one set of rules says what may be tried again.
pub fn into_sqlx(error: rusqlite::Error) -> sqlx::Error {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => sqlx::Error::Database(Box::new(Failure {
            code: failure.extended_code,
            message: message.unwrap_or_else(|| failure.to_string()),
        })),
        other => sqlx::Error::Decode(Box::new(other)),
    }
}

/// An answer of SQLite's that is an error.
#[derive(Debug, thiserror::Error)]
#[error("(code: {code}) {message}")]
struct Failure {
    code: i32,
    message: String,
}

impl DatabaseError for Failure {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
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
        match self.code {
            CONSTRAINT_PRIMARY_KEY | CONSTRAINT_UNIQUE => ErrorKind::UniqueViolation,
            _ => ErrorKind::Other,
        }
    }
}

/// A row of [`super::account_columns`].
pub fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        account_number: row.get(0)?,
        owner_id: row.get(1)?,
        currency: row.get(2)?,
        label: row.get(3)?,
        status: row.get(4)?,
        balance: row.get(5)?,
        overdraft_limit: row.get(6)?,
        sequence: row.get(7)?,
        head_hash: row.get(8)?,
        last_entry_at: row.get(9)?,
        opened_at: row.get(10)?,
        held_until: row.get(11)?,
        has_limits: row.get(12)?,
        alert_below: row.get(13)?,
        notify_above: row.get(14)?,
        reserved: 0,
        reservations: 0,
    })
}

/// A row of [`super::holds::hold_columns`].
pub fn hold(row: &Row<'_>) -> rusqlite::Result<Hold> {
    Ok(Hold {
        id: row.get(0)?,
        from_account: row.get(1)?,
        to_account: row.get(2)?,
        amount: row.get(3)?,
        currency: row.get(4)?,
        description: row.get(5)?,
        // The ledger has them from the command.
        tags: Tags::default(),
        created_by: row.get(6)?,
        created_at: row.get(7)?,
        expires_at: row.get(8)?,
        status: row.get(9)?,
        captured_amount: row.get(10)?,
        decided_by: row.get(11)?,
        decided_at: row.get(12)?,
    })
}

impl ToSql for AccountNumber {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_i64().into())
    }
}

impl FromSql for AccountNumber {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_i64)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_micros().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_micros)
    }
}

impl ToSql for Currency {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.code().into())
    }
}

impl FromSql for Currency {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(FromSqlError::other)
    }
}

impl FromSql for HoldStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "held" => Ok(Self::Held),
            "captured" => Ok(Self::Captured),
            "released" => Ok(Self::Released),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

impl FromSql for AccountStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "open" => Ok(Self::Open),
            "frozen" => Ok(Self::Frozen),
            "closed" => Ok(Self::Closed),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}
