//! Why a database cannot be opened, in words for those who run the bank: what is wrong, and what to do about it.
//!
//! Nothing here ever shows a password: the address of a server is put together from its parts.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::path::Path;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError};
use tokio_rustls::rustls;

use super::DbTarget;
use super::servers::not_primary;

/// PostgreSQL's advice for a database that fits.
const CREATE_DATABASE: &str = "create database NAME encoding 'UTF8' lc_collate 'C' lc_ctype 'C' template template0";

/// Why books are refused that a copy was begun in.
pub(super) const HALF_COPIED: &str = "these books are a copy that was broken off, and not all of them are there. Go on with it: coffer copy, with the same source";

/// An error before the bank is open.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot open the database at {place}: {reason}")]
    Open { place: String, reason: String },
    #[error("cannot bring the tables of the database at {place} up to date: {reason}")]
    Migrate { place: String, reason: String },
    #[error("SQLite refused a setting that the books depend on: {setting} is {actual}, not {expected}")]
    Pragma { setting: &'static str, actual: String, expected: &'static str },
}

impl DbTarget {
    /// The database in a few words, without its password.
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(file) => file.get_filename().display().to_string(),
            Self::Postgres(servers) => places(&servers.named.iter().map(place_of).collect::<Vec<_>>()),
        }
    }
}

/// Several servers with the same database, as in an address: `one:5432,two:5432/bank`.
pub(super) fn places(each: &[String]) -> String {
    let Some((last, before)) = each.split_last() else { return String::new() };
    let hosts = before.iter().map(|place| place.rsplit_once('/').map_or(place.as_str(), |(host, _)| host));
    hosts.chain([last.as_str()]).collect::<Vec<_>>().join(",")
}

pub(super) fn place_of(server: &PgConnectOptions) -> String {
    let database = server.get_database().unwrap_or_else(|| server.get_username());
    match server.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None if server.get_host().starts_with('/') => format!("{}/{database}", server.get_host()),
        None => format!("{}:{}/{database}", server.get_host(), server.get_port()),
    }
}

/// Why a SQLite file cannot be used.
pub(super) fn of_sqlite(file: &Path, error: &sqlx::Error) -> String {
    match sqlite_code(error) {
        Some(14) if file.is_dir() => "it is a directory; name a file in it".to_owned(),
        Some(14) if matches!(file.try_exists(), Ok(false)) => "there is no such file".to_owned(),
        Some(14) => {
            format!("{error}. The user that runs Coffer must be able to read and write the file and its directory")
        }
        Some(8) => {
            "it is read-only. The user that runs Coffer must be able to write the file and its directory".to_owned()
        }
        Some(26) => "the file is not a SQLite database. Name another one, or restore a backup".to_owned(),
        Some(11) => format!("the file is damaged ({error}). Restore a backup"),
        Some(13) => "the disk is full".to_owned(),
        Some(5 | 6) => "another program holds its lock. Close that program and try again".to_owned(),
        _ => error.to_string(),
    }
}

/// Why a statement got no answer, for those who run the bank.
pub fn of_query(error: &sqlx::Error) -> String {
    let is_of_postgres = error.as_database_error().is_some_and(|it| it.try_downcast_ref::<PgDatabaseError>().is_some());
    if is_of_postgres { of_postgres(error) } else { error.to_string() }
}

/// SQLite's primary code.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    Some(error.as_database_error()?.code()?.parse::<i32>().ok()? & 0xff)
}

/// Why a PostgreSQL server cannot be used.
pub(super) fn of_postgres(error: &sqlx::Error) -> String {
    if let Some(cause) = tls_error(error) {
        return of_tls(cause);
    }
    if let Some(reason) = not_primary(error) {
        return reason.to_string();
    }
    match error {
        sqlx::Error::Io(cause) => match cause.kind() {
            ErrorKind::ConnectionRefused => {
                "connection refused: nothing listens there. Start the server, or correct host and port".to_owned()
            }
            ErrorKind::NotFound => format!(
                "{cause}. Start the server, or correct the directory of its socket and the files that sslrootcert, \
                 sslcert and sslkey name"
            ),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => format!(
                "the connection was cut before the server had answered ({cause}). Correct host and port if that is not \
                 PostgreSQL, or look into the log of the server or of the proxy before it"
            ),
            _ => format!("{cause}. Correct host and port, or see to the network"),
        },
        sqlx::Error::Tls(cause) => format!("{cause}. Correct sslmode and the certificates that are named beside it"),
        sqlx::Error::Protocol(cause) => format!(
            "what listens there does not answer as PostgreSQL does ({cause}). Correct host and port, or look into the \
             log of the proxy before it"
        ),
        sqlx::Error::Database(refusal) => {
            let message = refusal.message();
            match refusal.code().as_deref() {
                Some("28P01" | "28000") => {
                    format!("{message}. Correct user and password, or pg_hba.conf on the server")
                }
                Some("3D000") => format!("{message}. Create it: {CREATE_DATABASE}"),
                Some("53300") => {
                    format!("{message}. Raise max_connections on the server, or lower COFFER_DATABASE_CONNECTIONS")
                }
                Some("26000" | "42P05") => format!(
                    "{message}: a pooler hands out one session after the other. Set COFFER_STATEMENT_CACHE=0 and \
                     COFFER_MIGRATION_LOCK=false, or name the server itself"
                ),
                Some("42P01") => {
                    format!("{message}: it has no tables of a bank. Name another database, or run coffer migrate")
                }
                Some("57P03") => format!("{message}. Try again when the server is ready"),
                Some("25006") => "it is read-only, as a standby is. Name the primary server".to_owned(),
                Some("42501") => format!("{message}. Grant the user all rights on the database and its schema"),
                Some(code) => format!("{message} (SQLSTATE {code})"),
                None => message.to_owned(),
            }
        }
        sqlx::Error::PoolTimedOut => {
            "there was no free connection in time. Raise max_connections on the server or in the pooler".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Why an encoding is refused in which text would not survive.
pub(super) fn of_encoding(server: &str, client: &str) -> Option<String> {
    let is_utf8 = |encoding: &str| encoding.eq_ignore_ascii_case("UTF8");
    if !is_utf8(server) {
        return Some(format!(
            "its encoding is {server}, in which not every name can be written; Coffer needs UTF8. Make a database with \
             it: {CREATE_DATABASE}"
        ));
    }
    (!is_utf8(client)).then(|| {
        format!("its client_encoding is {client}; Coffer needs UTF8. Take client_encoding out of the settings of the user, the database or the pooler")
    })
}

/// How webpki, which knows no other version than 3, calls a certificate of X.509 version 1.
const UNREADABLE: &str = "UnsupportedCertVersion";

/// Whether the server's certificate cannot be read, let alone checked.
pub(super) fn is_unreadable(error: &sqlx::Error) -> bool {
    tls_error(error).is_some_and(|error| error.to_string().contains(UNREADABLE))
}

fn of_tls(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    let text = error.to_string();
    match error {
        _ if text.contains(UNREADABLE) => {
            "the server's certificate is of X.509 version 1, which cannot be checked. Give the server one of version 3, \
             or set sslmode=require, which checks nothing, or, in a network that you trust, sslmode=disable"
                .to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is not signed by an authority that is known here. Name the authority's \
             certificate with sslrootcert=FILE"
                .to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            format!("{text}. Use a name that is in the server's certificate, or sslmode=verify-ca")
        }
        _ => format!("TLS failed: {text}"),
    }
}

/// The error of rustls, wherever in the driver's error it is.
pub(super) fn tls_error(error: &sqlx::Error) -> Option<&rustls::Error> {
    let cause: &(dyn StdError + 'static) = match error {
        sqlx::Error::Io(cause) => cause.get_ref()?,
        sqlx::Error::Tls(cause) => cause.as_ref(),
        _ => return None,
    };
    cause.downcast_ref()
}

/// Why the tables cannot be brought up to date; `newest` is the highest migration that the database has, `known` the
/// highest of this program.
pub(super) fn of_migration(
    error: &MigrateError,
    newest: Option<i64>,
    known: i64,
    of: impl Fn(&sqlx::Error) -> String,
) -> String {
    match error {
        MigrateError::Execute(cause) => of(cause),
        MigrateError::ExecuteMigration(cause, version) => {
            let is_taken = cause.as_database_error().is_some_and(|refusal| {
                refusal.code().as_deref() == Some("42P07") || refusal.message().ends_with("already exists")
            });
            let advice = if is_taken { ". Coffer needs a database of its own" } else { "" };
            format!("migration {version} failed: {}{advice}", of(cause))
        }
        MigrateError::VersionMissing(version) => newer(newest.unwrap_or(*version), known),
        MigrateError::VersionMismatch(version) => never_released(*version),
        MigrateError::Dirty(version) => {
            format!("migration {version} was broken off half-way. Restore the backup from before it, and migrate again")
        }
        _ => error.to_string(),
    }
}

/// A database whose migrations were others, before the first release.
pub(super) fn never_released(version: i64) -> String {
    format!(
        "they were made by a version of Coffer that was never released, whose migration {version} was another one. Use the \
         version that made them, or start with a new database"
    )
}

/// A database that a later version of Coffer has migrated.
pub(super) fn newer(found: i64, known: i64) -> String {
    if found > known {
        format!(
            "it was written by a newer Coffer: its schema is version {found}, and this program knows up to {known}. Use \
             that version of Coffer or a later one"
        )
    } else {
        format!("its schema has a migration {found} that this program does not know. Use the version that made it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_that_lose_text_are_refused() {
        for (server, client) in [("SQL_ASCII", "UTF8"), ("LATIN1", "UTF8"), ("UTF8", "LATIN1"), ("UTF8", "SQL_ASCII")] {
            assert!(of_encoding(server, client).is_some(), "{server}, {client}");
        }
        assert_eq!(of_encoding("UTF8", "UTF8"), None);
        assert_eq!(of_encoding("utf8", "utf8"), None);
    }
}
