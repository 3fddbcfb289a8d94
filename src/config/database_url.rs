//! Where the books are, as `DATABASE_URL` says.
//!
//! Parameters that the drivers would ignore, or log with their values, are refused or left out here. The driver knows one
//! server: an address of several, as libpq writes it, is taken apart into one for each.

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::ConfigError;
use coffer_core::db::{DbTarget, Servers};

/// Parameters that may list a value for each server.
const OF_EACH_SERVER: [&str; 3] = ["host", "hostaddr", "port"];
/// Whether any server will do, or only one that takes writes.
const SESSION_ATTRIBUTES: &str = "target_session_attrs";

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
    let (address, parameters) = server.split_once('?').unwrap_or((server, ""));
    let each = address_of_each(address, parameters)?;
    let must_write = must_write(parameters, each.len())?;
    let named =
        each.iter().map(|address| PgConnectOptions::from_str(address)).collect::<Result<_, _>>().map_err(invalid)?;
    Ok(DbTarget::Postgres(Servers { named, must_write }))
}

/// A parameter of an address, with the values that it lists for the servers. None where it is one for all of them.
struct Parameter<'a> {
    name: Cow<'a, str>,
    written: &'a str,
    values: Vec<String>,
}

impl<'a> Parameter<'a> {
    fn new(written: &'a str) -> Self {
        let (name, value) = form_urlencoded::parse(written.as_bytes()).next().unwrap_or_default();
        let is_list = OF_EACH_SERVER.contains(&&*name);
        let values = if is_list { value.split(',').map(str::to_owned).collect() } else { Vec::new() };
        Self { name, written, values }
    }

    /// As the address of one server has it.
    fn of(&self, server: usize) -> Option<String> {
        let value = match self.values.as_slice() {
            [] => return is_known(&self.name).then(|| self.written.to_owned()),
            [one] => one,
            values => &values[server],
        };
        Some(form_urlencoded::Serializer::new(String::new()).append_pair(&self.name, value).finish())
    }
}

/// An address for each server: `u:p@one:1,two:2/bank`, or `u:p@/bank?host=one,two&port=1,2`.
fn address_of_each(address: &str, parameters: &str) -> Result<Vec<String>, ConfigError> {
    let (authority, database) = address.split_once('/').unwrap_or((address, ""));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let hosts: Vec<&str> = hosts.split(',').collect();
    let parameters: Vec<Parameter> = parameters.split('&').map(Parameter::new).collect();
    let count = count_servers(&hosts, &parameters)?;
    let has_hosts_behind = parameters.iter().any(|parameter| ["host", "hostaddr"].contains(&&*parameter.name));
    let of_server = |server: usize| {
        let host = match hosts.as_slice() {
            // A user without a host is no URL to the driver; libpq takes it.
            [""] if has_hosts_behind => "localhost",
            [one] => one,
            several => several[server],
        };
        let parameters: Vec<String> = parameters.iter().filter_map(|parameter| parameter.of(server)).collect();
        format!("postgres://{user}{host}/{database}?{}", parameters.join("&"))
    };
    Ok((0..count).map(of_server).collect())
}

fn count_servers(hosts: &[&str], parameters: &[Parameter]) -> Result<usize, ConfigError> {
    let of_parameters = parameters.iter().map(|parameter| (&*parameter.name, parameter.values.len()));
    let lists: Vec<(&str, usize)> = of_parameters.chain([("part before the database", hosts.len())]).collect();
    let count = lists.iter().map(|(_, values)| *values).max().unwrap_or(1);
    if let Some((name, values)) = lists.iter().find(|(_, values)| *values > 1 && *values != count) {
        return Err(ConfigError::DatabaseUrl(format!(
            "it names {count} servers, and its {name} lists {values}: list one for each, or one for all"
        )));
    }
    if hosts.len() > 1 && hosts.iter().any(|host| host.is_empty() || host.starts_with(':')) {
        return Err(ConfigError::DatabaseUrl("a host is missing beside a comma".to_owned()));
    }
    Ok(count)
}

/// Whether only a server that takes writes will do. Of several a bank needs that one, whatever libpq would take.
fn must_write(parameters: &str, servers: usize) -> Result<bool, ConfigError> {
    let mut parameters = form_urlencoded::parse(parameters.as_bytes());
    match parameters.find(|(name, _)| name == SESSION_ATTRIBUTES).as_ref().map(|(_, value)| &**value) {
        None => Ok(servers > 1),
        Some("read-write" | "primary") => Ok(true),
        Some("any") => Ok(false),
        Some(other) => Err(ConfigError::DatabaseUrl(format!(
            "{SESSION_ATTRIBUTES}={other} is none that a bank can use, because it writes: send read-write, or any where a \
             proxy chooses the server"
        ))),
    }
}

/// The names of PostgreSQL's parameters that have no effect.
pub fn unknown_parameters(url: &str) -> Vec<String> {
    if url.trim_start().starts_with("sqlite:") {
        return Vec::new();
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let is_used = |name: &str| is_known(name) || name == SESSION_ATTRIBUTES;
    parameters.split('&').map(name_of).filter(|name| !is_used(name)).map(Cow::into_owned).collect()
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
            ("postgres://ada:a,b@one:5433,two/bank?target_session_attrs=read-write", "one:5433,two:5432/bank"),
            ("postgres://ada@one,[::1]:7/bank?sslmode=disable", "one:5432,[::1]:7/bank"),
            ("postgres:///bank?host=one,two&port=6432", "one:6432,two:6432/bank"),
            ("postgres:///bank?host=/a,two&port=1,2", "/a,two:2/bank"),
            ("postgres://ada:secret@/bank?host=/a,/b", "/a,/b/bank"),
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
            "postgres://ada:hunter2@one,two/bank?target_session_attrs=standby",
            "postgres://ada:hunter2@one,two/bank?port=1,2,3",
            "postgres://ada:hunter2@one,,two/bank",
            "postgres://ada:hunter2@one,two/bank?port=1,x",
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
    fn of_several_servers_the_bank_takes_one_that_takes_writes() {
        for (url, expected) in [
            ("postgres://db/bank", false),
            ("postgres://db/bank?target_session_attrs=primary", true),
            ("postgres://one,two/bank", true),
            ("postgres://one,two/bank?target_session_attrs=read-write", true),
            ("postgres://one,two/bank?target_session_attrs=any", false),
        ] {
            let Ok(DbTarget::Postgres(servers)) = parse(url) else { panic!("{url}") };
            assert_eq!(servers.must_write, expected, "{url}");
        }
    }

    #[test]
    fn parameters_without_effect_are_named() {
        let url = "postgres://ada:secret@db/bank?sslmode=require&schema=public&pgbouncer=true&options[x]=y";
        assert_eq!(unknown_parameters(url), ["schema", "pgbouncer"]);
        assert_eq!(unknown_parameters("postgres://ada:secret@db/bank?target_session_attrs=any"), [""; 0]);
    }
}
