//! Where the books are, as `DATABASE_URL` says.
//!
//! Parameters that the drivers would ignore, or log with their values, are refused or left out here.

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::ConfigError;
use crate::db::DbTarget;

/// Parameters of a PostgreSQL address that the driver knows, and `options[NAME]`.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

pub fn parse(url: &str) -> Result<DbTarget, ConfigError> {
    let url = url.trim();
    let invalid = |error: sqlx::Error| ConfigError::DatabaseUrl(error.to_string());
    if let Some(file) = url.strip_prefix("sqlite:") {
        check_sqlite(file.strip_prefix("//").unwrap_or(file))?;
        return SqliteConnectOptions::from_str(url).map(DbTarget::Sqlite).map_err(invalid);
    }
    let Some(server) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
        return Err(ConfigError::UnknownDatabase);
    };
    check_postgres(server)?;
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    let known: Vec<&str> = parameters.split('&').filter(|parameter| is_known(&name_of(parameter))).collect();
    let url = format!("{address}?{}", known.join("&"));
    PgConnectOptions::from_str(&url).map(DbTarget::Postgres).map_err(invalid)
}

/// The names of PostgreSQL's parameters that have no effect.
pub fn unknown_parameters(url: &str) -> Vec<String> {
    if url.trim_start().starts_with("sqlite:") {
        return Vec::new();
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    parameters.split('&').map(name_of).filter(|name| !is_known(name)).map(Cow::into_owned).collect()
}

/// The file of the client's private key.
pub fn client_key(url: &str) -> Option<PathBuf> {
    let (_, parameters) = url.split_once('?')?;
    let parameters = form_urlencoded::parse(parameters.as_bytes());
    let is_key = |name: &str| name == "sslkey" || name == "ssl-key";
    parameters.into_iter().find(|(name, _)| is_key(name)).map(|(_, path)| PathBuf::from(path.into_owned()))
}

fn name_of(parameter: &str) -> Cow<'_, str> {
    form_urlencoded::parse(parameter.as_bytes()).next().map_or(Cow::Borrowed(""), |(name, _)| name)
}

fn is_known(name: &str) -> bool {
    name.is_empty() || KNOWN.contains(&name) || (name.starts_with("options[") && name.ends_with(']'))
}

/// Refuses addresses that name no file: the ledger uses several connections to one.
fn check_sqlite(address: &str) -> Result<(), ConfigError> {
    let (file, parameters) = address.split_once('?').unwrap_or((address, ""));
    if file.is_empty() {
        return Err(ConfigError::DatabaseUrl("it names no file".to_owned()));
    }
    if file == ":memory:" {
        return Err(ConfigError::DatabaseUrl("the books need a file, and memory has none".to_owned()));
    }
    for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
        if name != "mode" || !matches!(&*value, "rw" | "rwc") {
            return Err(ConfigError::DatabaseUrl(format!(
                "leave out {name}={value}: the bank reads and writes a file that is its own"
            )));
        }
    }
    Ok(())
}

/// Refuses a password with a sign such as `/` or `@`, by which the rest of it would be taken for a host, a database or
/// a parameter, and shown.
fn check_postgres(server: &str) -> Result<(), ConfigError> {
    let (address, parameters) = server.split_once('?').unwrap_or((server, ""));
    let database = address.split_once('/').map_or("", |(_, database)| database);
    let is_word = |sign: char| sign.is_ascii_alphanumeric() || "_-.[]".contains(sign);
    let are_names = parameters.split('&').all(|parameter| name_of(parameter).chars().all(is_word));
    if server.contains('#') || database.contains('@') || !are_names {
        let reason = "in user, password and database write / as %2F, ? as %3F, # as %23 and @ as %40";
        return Err(ConfigError::DatabaseUrl(reason.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> String {
        parse(url).map_or_else(|error| error.to_string(), |target| target.place())
    }

    #[test]
    fn usual_addresses_are_understood() {
        for (url, meant) in [
            ("sqlite://bank.db", "bank.db"),
            ("sqlite:bank.db", "bank.db"),
            ("sqlite:///var/lib/bank.db?mode=rwc", "/var/lib/bank.db"),
            (" postgres://ada:secret@db/bank\n", "db:5432/bank"),
            ("postgresql://ada:p%40ss%2Fword@db:6432/bank?sslmode=require&connect_timeout=10", "db:6432/bank"),
            ("postgres:///bank?host=/run/postgresql&user=ada%40home", "/run/postgresql/bank"),
            ("postgres://db/bank?options[search_path]=bank", "db:5432/bank"),
        ] {
            assert_eq!(place(url), meant, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_a_word_of_the_password() {
        for url in [
            "postgres://ada:hunter2/x@db/bank",
            "postgres://ada:12/hunter2@db/bank",
            "postgres://ada:12?hunter2@db/bank",
            "postgres://ada:12#hunter2@db/bank",
            "postgres://ada:hunter2@[::bad/bank",
            "\"postgres://ada:hunter2@db/bank\"",
            "postgres://ada:hunter2@db/bank?sslmode=sometimes",
            "postgres:ada:hunter2@db/bank",
            "mysql://ada:hunter2@db/bank",
        ] {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.contains("DATABASE_URL") && !error.contains("hunter2"), "{url}: {error}");
        }
        for url in [
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://x?mode=memory",
            "sqlite://x?mode=ro",
            "sqlite://x?immutable=1",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn parameters_without_effect_are_named() {
        let url = "postgres://ada:secret@db/bank?sslmode=require&schema=public&pgbouncer=true&options[x]=y";
        assert_eq!(unknown_parameters(url), ["schema", "pgbouncer"]);
        assert_eq!(unknown_parameters("postgres://ada:secret@db/bank"), [""; 0]);
    }
}
