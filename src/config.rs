//! Settings: flags, then the environment, then `.env`, then the defaults below.
//!
//! Each setting's doc comment is its help text; `.env.example` lists them all.

mod database_url;
pub mod listen;
pub mod period;
pub mod production;
pub mod size;
mod smtp_url;
pub mod values;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::HeaderValue;
use clap::Args;
use ipnet::IpNet;
use lettre::message::Mailbox;
use secrecy::{ExposeSecret, SecretString};
use sqlx::sqlite::SqliteConnectOptions;

use self::listen::ListenAddress;
use self::period::Period;
use self::size::Size;
pub use self::values::WriteEvents;
use self::values::{BOOLEAN, CHECKPOINTS, LOG_FORMAT, SIGN_UP, WRITE_EVENTS, log_filter, mailbox, number, public_url};
use crate::api::people::sign_up::SignUp;
use crate::log_lines::LogFormat;
use crate::mailing::MailSettings;
use crate::mailing::smtp::SmtpServer;
use crate::web_origin;
use coffer_core::auth::factor_keys::{FactorKeys, SealError};
use coffer_core::auth::passwords::HashCost;
use coffer_core::auth::tokens::SigningSecrets;
use coffer_core::books::approval;
use coffer_core::books::calendar::Calendar;
use coffer_core::db::{Checkpoints, DbOptions, DbTarget, Layout};
use coffer_core::files;
use coffer_core::money::units::Unit;
use coffer_core::money::{Currency, CurrentCurrency, CurrentCurrencyError, DEFAULT_MAXIMUM};
use coffer_core::tls::{Certificate, TlsError};

/// RFC 7518 section 3.2: an HS256 key has at least the 256 bits of its hash.
const MIN_SECRET_BYTES: usize = 32;
const SECRET_FILE: &str = "jwt_secret";
const FACTOR_KEY_FILE: &str = "second_factor_key";
const DATABASE_FILE: &str = "coffer.db";

/// Everything that can be set. `Debug` never shows a secret.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Where the books are: sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME. Default: coffer.db in the data
    /// directory
    #[arg(long, env = "DATABASE_URL", global = true, hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,

    /// Address and port to serve on, such as 127.0.0.1:8080, [::]:8080 or localhost:8080. A port alone (8080) is for
    /// this machine, one behind a colon (:8080) for all networks
    #[arg(long, env = "COFFER_LISTEN", global = true, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: ListenAddress,

    /// Another address and port for probes and metrics, over plain HTTP and without the limits of others: keep it from
    /// the public. /metrics is then served only there. Default: none, all is served at the one above
    #[arg(long, env = "COFFER_ADMIN_LISTEN", global = true, value_name = "ADDRESS")]
    pub admin_listen: Option<ListenAddress>,

    /// Directory for the SQLite file and the generated secrets
    #[arg(long, env = "COFFER_DATA_DIR", global = true, default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// How much work it is to hash a password. Tests lower it; no flag and no variable can.
    #[arg(skip)]
    pub hash_cost: HashCost,

    /// Secret that signs access tokens, at least 32 bytes; the same on every instance. Default: one is generated and
    /// stored in the data directory
    #[arg(long, env = "COFFER_JWT_SECRET", global = true, hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret: Option<SecretString>,

    /// The signing secret before this one, whose tokens still count: set it for 15 minutes when the secret changes
    #[arg(long, env = "COFFER_JWT_SECRET_PREVIOUS", global = true, hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret_previous: Option<SecretString>,

    /// Secret that the keys of authenticator apps are encrypted with in the database, at least 32 bytes; the same on
    /// every instance. Default: one is generated and stored in the data directory. Without it those keys are lost
    #[arg(long, env = "COFFER_SECOND_FACTOR_KEY", global = true, hide_env_values = true, value_name = "SECRET")]
    pub second_factor_key: Option<SecretString>,

    /// The second factor's key before this one, while secrets are encrypted anew: set it for one start when the key
    /// changes
    #[arg(
        long,
        env = "COFFER_SECOND_FACTOR_KEY_PREVIOUS",
        global = true,
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub second_factor_key_previous: Option<SecretString>,

    /// Currency of accounts that are opened without naming one: of ISO 4217, or one of the units
    #[arg(long, env = "COFFER_CURRENCY", global = true, default_value = "USD", value_name = "CODE")]
    pub currency: String,

    /// Units of the bank's own beside the currencies of ISO 4217, separated by commas, such as PTS:0:Points,HRS:2:Hours: a
    /// code of three capitals, 0 to 4 decimals, a name. The same on every instance
    #[arg(long, env = "COFFER_UNITS", global = true, value_name = "UNITS", value_delimiter = ',')]
    pub units: Vec<Unit>,

    /// The most that one movement may be, in whole units of its currency
    #[arg(long, env = "COFFER_MAX_AMOUNT", global = true, default_value_t = DEFAULT_MAXIMUM, value_name = "UNITS",
          value_parser = number(1..=1_000_000_000_000_i64))]
    pub max_amount: i64,

    /// IANA name of the time zone whose calendar days and months limits of accounts go by, such as Europe/Berlin
    #[arg(long, env = "COFFER_TIME_ZONE", global = true, default_value = "UTC", value_name = "ZONE")]
    pub time_zone: Calendar,

    /// What one person at the bank moves alone in 24 hours, in whole units of the currency: more waits for a second
    /// approver, and so do roles. Default: nothing waits
    #[arg(long, env = "COFFER_APPROVAL_ABOVE", global = true, value_name = "UNITS",
          value_parser = number(0..=1_000_000_000_000_i64))]
    pub approval_above: Option<i64>,

    /// Whether customers may book deposits to their own accounts; false leaves deposits to staff
    #[arg(long, env = "COFFER_SELF_SERVICE_DEPOSITS", global = true, default_value_t = true, value_name = "BOOL",
          action = clap::ArgAction::Set, value_parser = BOOLEAN)]
    pub self_service_deposits: bool,

    /// Whether staff, admins and auditors must have a second factor; true leaves them no rights without one
    #[arg(long, env = "COFFER_STAFF_SECOND_FACTOR", global = true, default_value_t = false, value_name = "BOOL",
          action = clap::ArgAction::Set, value_parser = BOOLEAN)]
    pub staff_second_factor: bool,

    /// Who may make somebody a customer: open, everybody themselves; staff, only staff and admins for others
    #[arg(long, env = "COFFER_SIGN_UP", global = true, default_value = "open", value_name = "WHO",
          value_parser = SIGN_UP)]
    pub sign_up: SignUp,

    /// When events are written: wanted, while somebody listens and for a day after; always, in any case
    #[arg(long, env = "COFFER_EVENTS", global = true, default_value = "wanted", value_name = "WHEN",
          value_parser = WRITE_EVENTS)]
    pub events: WriteEvents,

    /// The server that sends the bank's mail: smtps://USER:PASSWORD@HOST, or smtp://USER:PASSWORD@HOST for STARTTLS.
    /// Default: the bank sends none
    #[arg(long, env = "COFFER_SMTP_URL", global = true, hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<SecretString>,

    /// PEM file with the certificates that the mail server's is to be signed by. Default: those that browsers trust
    #[arg(long, env = "COFFER_SMTP_CA", global = true, value_name = "FILE")]
    pub smtp_ca: Option<PathBuf>,

    /// The sender of the bank's mail, such as "Coffer <bank@example.org>"
    #[arg(long, env = "COFFER_MAIL_FROM", global = true, value_name = "SENDER", value_parser = mailbox)]
    pub mail_from: Option<Mailbox>,

    /// The address that people open the web app at, such as https://bank.example: links in mail begin with it
    #[arg(long, env = "COFFER_PUBLIC_URL", global = true, value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Days that an Idempotency-Key is remembered; with COFFER_APPROVAL_ABOVE never less than the 7 that approvals wait
    #[arg(long, env = "COFFER_IDEMPOTENCY_DAYS", global = true, default_value_t = 7, value_name = "DAYS",
          value_parser = number(1..=3650_u32))]
    pub idempotency_days: u32,

    /// Room that is kept on the disk of the SQLite file: while less is free, new movements, customers and accounts are
    /// refused, and all else goes on. Backups on that disk leave as much free. A size such as 512MB or 2GB; 0 for none
    #[arg(long, env = "COFFER_DISK_RESERVE", global = true, default_value = "256MB", value_name = "SIZE")]
    pub disk_reserve: Size,

    /// Directory that the running bank makes backups in: when COFFER_BACKUP_EVERY says so, and on SIGUSR1. Default: none
    #[arg(long, env = "COFFER_BACKUP_DIR", global = true, value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,

    /// How often the running bank makes a backup, such as 24h, 30m or 7d; 0 for on SIGUSR1 alone
    #[arg(long, env = "COFFER_BACKUP_EVERY", global = true, default_value = "24h", value_name = "PERIOD")]
    pub backup_every: Period,

    /// Backups that stay in COFFER_BACKUP_DIR: older ones that the bank has made are deleted once a new one is good
    #[arg(long, env = "COFFER_BACKUP_KEEP", global = true, default_value_t = 7, value_name = "COUNT",
          value_parser = number(1..=10_000_u32))]
    pub backup_keep: u32,

    /// Who checkpoints SQLite's write-ahead log: coffer, or external for another process such as Litestream
    #[arg(long, env = "COFFER_CHECKPOINTS", global = true, default_value = "coffer", value_name = "WHO",
          value_parser = CHECKPOINTS)]
    pub checkpoints: Checkpoints,

    /// Client connections at once; more are refused
    #[arg(long, env = "COFFER_MAX_CONNECTIONS", global = true, default_value_t = 16_384, value_name = "COUNT",
          value_parser = number(1..=1_000_000_u32))]
    pub max_connections: u32,

    /// Of these, how many may come from one address (of IPv6: from one /64); fewer the more are taken, so that some are
    /// left for others. Trusted proxies may have nearly all; 0 for any number
    #[arg(long, env = "COFFER_CONNECTIONS_PER_NETWORK", global = true, default_value_t = 1_024, value_name = "COUNT",
          value_parser = number(0..=1_000_000_u32))]
    pub connections_per_network: u32,

    /// PEM file with the TLS certificate and its chain; read again when it changes. Without it, plain HTTP is served
    #[arg(long, env = "COFFER_TLS_CERT", global = true, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM file with the private key of the TLS certificate
    #[arg(long, env = "COFFER_TLS_KEY", global = true, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Requests a second that one caller may make, four seconds' worth at once; 0 for any number
    #[arg(long, env = "COFFER_CALLER_RATE", global = true, default_value_t = 100, value_name = "PER_SECOND",
          value_parser = number(0..=1_000_000_u32))]
    pub caller_rate: u32,

    /// Requests a second that may come from one address (of IPv6: from one /64); 0 for any number
    #[arg(long, env = "COFFER_ADDRESS_RATE", global = true, default_value_t = 500, value_name = "PER_SECOND",
          value_parser = number(0..=1_000_000_u32))]
    pub address_rate: u32,

    /// Movements a second that one caller may have booked, four seconds' worth at once and always 1,000; 0 for any
    /// number
    #[arg(long, env = "COFFER_MOVEMENT_RATE", global = true, default_value_t = 100, value_name = "PER_SECOND",
          value_parser = number(0..=1_000_000_u32))]
    pub movement_rate: u32,

    /// Movements that one caller may have booked at once, and then as many again in 24 hours; 0 for any number
    #[arg(long, env = "COFFER_MOVEMENTS_PER_DAY", global = true, default_value_t = 100_000, value_name = "COUNT",
          value_parser = number(0..=1_000_000_000_u32))]
    pub movements_per_day: u32,

    /// Accounts that one owner may open in 24 hours, whether or not they are closed again; 0 for any number
    #[arg(long, env = "COFFER_ACCOUNTS_PER_DAY", global = true, default_value_t = 100, value_name = "COUNT",
          value_parser = number(0..=1_000_000_u32))]
    pub accounts_per_day: u32,

    /// Changes other than movements that one caller may make at once, and then as many again in 24 hours; 0 for any number
    #[arg(long, env = "COFFER_CHANGES_PER_DAY", global = true, default_value_t = 10_000, value_name = "COUNT",
          value_parser = number(0..=1_000_000_000_u32))]
    pub changes_per_day: u32,

    /// Sign-ups that may come from one address (of IPv6: from one /64) at once, and then as many again in an hour; 0
    /// for any number
    #[arg(long, env = "COFFER_SIGN_UPS_PER_HOUR", global = true, default_value_t = 100, value_name = "COUNT",
          value_parser = number(0..=1_000_000_u32))]
    pub sign_ups_per_hour: u32,

    /// Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks, separated by commas
    #[arg(long, env = "COFFER_TRUSTED_PROXIES", global = true, value_name = "NETWORKS", value_delimiter = ',',
          value_parser = parse_network)]
    pub trusted_proxies: Vec<IpNet>,

    /// Origins whose web pages may call the API, separated by commas, such as https://app.example.com
    #[arg(long, env = "COFFER_CORS_ORIGINS", global = true, value_name = "ORIGINS", value_delimiter = ',',
          value_parser = parse_origin)]
    pub cors_origins: Vec<HeaderValue>,

    /// Networks of your own that webhooks may reach, also without TLS: addresses or networks, separated by commas. Default:
    /// none, webhooks lead to public addresses alone
    #[arg(long, env = "COFFER_WEBHOOK_NETWORKS", global = true, value_name = "NETWORKS", value_delimiter = ',',
          value_parser = parse_network)]
    pub webhook_networks: Vec<IpNet>,

    /// Certificates in PEM of further authorities whose word counts when the bank connects to a webhook, beside those that
    /// browsers trust
    #[arg(long, env = "COFFER_WEBHOOK_CA", global = true, value_name = "FILE")]
    pub webhook_ca: Option<PathBuf>,

    /// PostgreSQL only: connections for reading
    #[arg(long, env = "COFFER_DATABASE_CONNECTIONS", global = true, default_value_t = 8, value_name = "COUNT",
          value_parser = number(1..=1_000_u32))]
    pub database_connections: u32,

    /// PostgreSQL only: batches of movements in flight at once
    #[arg(long, env = "COFFER_LEDGER_WRITERS", global = true, default_value_t = 2, value_name = "COUNT",
          value_parser = number(1..=64_u32))]
    pub ledger_writers: u32,

    /// PostgreSQL only: the tables are spread over several machines, as Citus does it: rows are locked without select for
    /// update, and the doctor joins none that lie on different machines
    #[arg(long, env = "COFFER_SHARDED", global = true, default_value_t = false, default_missing_value = "true",
          num_args = 0..=1, require_equals = true, value_name = "BOOL", action = clap::ArgAction::Set,
          value_parser = BOOLEAN)]
    pub sharded: bool,

    /// PostgreSQL only: prepared statements kept per connection; 0 behind a pooler such as pgbouncer
    #[arg(long, env = "COFFER_STATEMENT_CACHE", global = true, default_value_t = 100, value_name = "COUNT",
          value_parser = number(0..=10_000_usize))]
    pub statement_cache: usize,

    /// PostgreSQL only: take an advisory lock while migrating; false for databases and poolers without them
    #[arg(long, env = "COFFER_MIGRATION_LOCK", global = true, default_value_t = true, value_name = "BOOL",
          action = clap::ArgAction::Set, value_parser = BOOLEAN)]
    pub migration_lock: bool,

    /// Serve Prometheus metrics at /metrics
    #[arg(long, env = "COFFER_METRICS", global = true, default_value_t = true, value_name = "BOOL",
          action = clap::ArgAction::Set, value_parser = BOOLEAN)]
    pub metrics: bool,

    /// Serve Swagger UI at /swagger-ui/; the OpenAPI document stays in any case
    #[arg(long, env = "COFFER_SWAGGER_UI", global = true, default_value_t = true, value_name = "BOOL",
          action = clap::ArgAction::Set, value_parser = BOOLEAN)]
    pub swagger_ui: bool,

    /// For a bank with other people's money: true refuses to start while a setting is missing that such a bank needs,
    /// and names each. Without it, a bank that serves other machines warns of the same
    #[arg(long, env = "COFFER_PRODUCTION", global = true, default_value_t = false, default_missing_value = "true",
          num_args = 0..=1, require_equals = true, value_name = "BOOL", action = clap::ArgAction::Set,
          value_parser = BOOLEAN)]
    pub production: bool,

    /// For a copy of a bank that is only tried out: true sends nothing to webhooks and no mail, and makes and deletes no backups
    #[arg(long, env = "COFFER_DRILL", global = true, default_value_t = false, default_missing_value = "true",
          num_args = 0..=1, require_equals = true, value_name = "BOOL", action = clap::ArgAction::Set,
          value_parser = BOOLEAN)]
    pub drill: bool,

    /// Seconds that requests in flight may take to finish when the server is told to stop
    #[arg(long, env = "COFFER_SHUTDOWN_SECONDS", global = true, default_value_t = 10, value_name = "SECONDS",
          value_parser = number(0..=86_400_u64))]
    pub shutdown_seconds: u64,

    /// What to log: error, warn, info, debug, trace, off, or a filter such as coffer=debug,sqlx=warn
    #[arg(long, env = "COFFER_LOG", global = true, default_value = "info,sqlx=warn", value_name = "FILTER",
          value_parser = log_filter)]
    pub log: String,

    /// How the log is written: text, json (one object a line), or auto: text on a terminal, in colours unless NO_COLOR is
    /// set, and json anywhere else
    #[arg(long, env = "COFFER_LOG_FORMAT", global = true, default_value = "auto", value_name = "FORMAT",
          value_parser = LOG_FORMAT)]
    pub log_format: LogFormat,

    /// Write a line to the log for each request that was answered: who, what, how long
    #[arg(long, env = "COFFER_ACCESS_LOG", global = true, default_value_t = false, value_name = "BOOL",
          action = clap::ArgAction::Set, value_parser = BOOLEAN)]
    pub access_log: bool,
}

/// A setting that cannot be used, named, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("DATABASE_URL (--database-url) must start with sqlite:// or postgres://, without quotes before that")]
    UnknownDatabase,
    #[error("DATABASE_URL (--database-url) is not a valid address: {0}")]
    DatabaseUrl(String),
    #[error("{name} has {bytes} bytes; it needs at least {MIN_SECRET_BYTES}. `openssl rand -hex 32` makes one")]
    ShortSecret { name: &'static str, bytes: usize },
    #[error("{path}, which holds {what}, has {bytes} bytes; it needs at least {MIN_SECRET_BYTES}. {way_out}")]
    ShortSecretFile { path: String, what: &'static str, bytes: usize, way_out: &'static str },
    #[error("COFFER_DATA_DIR (--data-dir): cannot use {path}: {cause}")]
    DataDir { path: String, cause: std::io::Error },
    #[error("COFFER_BACKUP_DIR (--backup-dir): cannot use {path}: {cause}")]
    BackupDir { path: String, cause: std::io::Error },
    #[error("the database file {path} (DATABASE_URL or COFFER_DATA_DIR) cannot be opened: {cause}")]
    DatabaseFile { path: String, cause: std::io::Error },
    #[error("COFFER_CURRENCY (--currency): {0}")]
    Currency(CurrentCurrencyError),
    #[error("the operating system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("COFFER_SECOND_FACTOR_KEY (--second-factor-key): {0}")]
    FactorKey(#[from] SealError),
    #[error("COFFER_SMTP_URL (--smtp-url): {0}")]
    SmtpUrl(String),
    #[error(
        "COFFER_SMTP_URL (--smtp-url) needs COFFER_MAIL_FROM (--mail-from) beside it, the sender of the bank's mail, such as \
             \"Coffer <bank@example.org>\""
    )]
    NoSender,
    #[error(
        "COFFER_SMTP_URL (--smtp-url) needs COFFER_PUBLIC_URL (--public-url) beside it, the address that people open the web \
             app at, such as https://bank.example: links in mail begin with it"
    )]
    NoPublicUrl,
}

/// A secret that is generated into a file when none is set.
struct GeneratedSecret {
    file: &'static str,
    what: &'static str,
    /// The advice when the file is cut short.
    way_out: &'static str,
}

const SIGNING_SECRET: GeneratedSecret = GeneratedSecret {
    file: SECRET_FILE,
    what: "the signing secret",
    way_out: "Remove it and start again to get a new one; everyone must sign in again",
};
const FACTOR_KEY: GeneratedSecret = GeneratedSecret {
    file: FACTOR_KEY_FILE,
    what: "the key of the second factors",
    way_out: "Put back the whole file from a copy: without it nobody's authenticator app counts any more",
};

/// A secret that has to be kept beside a backup.
pub struct SecretBesideBackup {
    /// The file of a generated one, or the variable that it is set by.
    pub place: String,
    file: Option<PathBuf>,
    /// Why, in a few words.
    pub lost_without: &'static str,
}

impl SecretBesideBackup {
    /// Whether it is to be generated, so that another one would take its place.
    pub fn is_missing(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.exists())
    }
}

impl Settings {
    /// Where to connect. Creates the data directory if the database is to be in it and `create` says so.
    pub fn database(&self, create: bool) -> Result<DbOptions, ConfigError> {
        if let Some(url) = &self.database_url {
            for name in database_url::unknown_parameters(url.expose_secret()) {
                tracing::warn!("DATABASE_URL (--database-url): the parameter {name} is not known and changes nothing");
            }
            files::warn_of_wide(database_url::client_key(url.expose_secret()));
        }
        files::narrow(self.secret_files());
        Ok(DbOptions {
            target: self.database_target(create)?,
            checkpoints: self.checkpoints,
            max_connections: self.database_connections,
            ledger_writers: self.ledger_writers,
            layout: if self.sharded { Layout::Sharded } else { Layout::OneMachine },
            statement_cache: self.statement_cache,
            migration_lock: self.migration_lock,
        })
    }

    pub fn database_target(&self, create: bool) -> Result<DbTarget, ConfigError> {
        let Some(url) = self.database_url.as_ref().map(ExposeSecret::expose_secret) else {
            if create {
                self.create_data_dir()?;
            }
            let file = SqliteConnectOptions::new().filename(self.data_dir.join(DATABASE_FILE));
            return Ok(DbTarget::Sqlite(prepare_file(file, create)?));
        };
        match database_url::parse(url)? {
            DbTarget::Sqlite(file) => Ok(DbTarget::Sqlite(prepare_file(file, create)?)),
            servers @ DbTarget::Postgres(_) => Ok(servers),
        }
    }

    pub fn signing_secrets(&self) -> Result<SigningSecrets, ConfigError> {
        let previous = self.jwt_secret_previous.clone();
        refuse_short("COFFER_JWT_SECRET_PREVIOUS (--jwt-secret-previous)", previous.as_ref())?;
        refuse_short("COFFER_JWT_SECRET (--jwt-secret)", self.jwt_secret.as_ref())?;
        let current = self.jwt_secret.clone().map_or_else(|| self.generated_secret(&SIGNING_SECRET), Ok)?;
        Ok(SigningSecrets { current, previous })
    }

    /// The keys that encrypt the secrets of authenticator apps.
    pub fn factor_keys(&self) -> Result<FactorKeys, ConfigError> {
        let previous = self.second_factor_key_previous.as_ref();
        refuse_short("COFFER_SECOND_FACTOR_KEY_PREVIOUS (--second-factor-key-previous)", previous)?;
        refuse_short("COFFER_SECOND_FACTOR_KEY (--second-factor-key)", self.second_factor_key.as_ref())?;
        let current = self.second_factor_key.clone().map_or_else(|| self.generated_secret(&FACTOR_KEY), Ok)?;
        Ok(FactorKeys::new(&current, previous)?)
    }

    /// The same, for those who only look: None when there is no key yet.
    pub fn existing_factor_keys(&self) -> Result<Option<FactorKeys>, ConfigError> {
        let is_there = self.second_factor_key.is_some() || self.factor_key_file().exists();
        if is_there { self.factor_keys().map(Some) } else { Ok(None) }
    }

    /// The secret that is stored in the data directory, generated on first use.
    fn generated_secret(&self, generated: &GeneratedSecret) -> Result<SecretString, ConfigError> {
        self.create_data_dir()?;
        let path = self.data_dir.join(generated.file);
        let unusable = |cause| ConfigError::DataDir { path: path.display().to_string(), cause };
        let secret = match fs::read_to_string(&path) {
            Ok(secret) => secret.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => store_new_secret(&path)?,
            Err(error) => return Err(unusable(error)),
        };
        if secret.len() < MIN_SECRET_BYTES {
            let (path, bytes) = (path.display().to_string(), secret.len());
            let GeneratedSecret { what, way_out, .. } = *generated;
            return Err(ConfigError::ShortSecretFile { path, what, bytes, way_out });
        }
        Ok(secret.into())
    }

    /// The currency of accounts that are opened without naming one. Ask once the units are known.
    pub fn default_currency(&self) -> Result<Currency, ConfigError> {
        self.currency.parse::<CurrentCurrency>().map(Currency::from).map_err(ConfigError::Currency)
    }

    /// How the bank sends mail, if it does.
    pub fn mail(&self) -> Result<Option<MailSettings>, ConfigError> {
        let Some(url) = self.smtp_url.as_ref().filter(|_| !self.drill) else { return Ok(None) };
        let server = smtp_url::parse(url.expose_secret()).map_err(ConfigError::SmtpUrl)?;
        let server = SmtpServer { authority: self.smtp_ca.clone(), ..server };
        let from = self.mail_from.clone().ok_or(ConfigError::NoSender)?;
        let bank = self.public_url.clone().ok_or(ConfigError::NoPublicUrl)?;
        Ok(Some(MailSettings { server, from, bank }))
    }

    /// The TLS certificate, if one is configured.
    pub fn certificate(&self) -> Result<Option<Certificate>, TlsError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => {
                files::warn_of_wide([key]);
                Certificate::read(chain.clone(), key.clone()).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub fn secret_file(&self) -> PathBuf {
        self.data_dir.join(SECRET_FILE)
    }

    pub fn factor_key_file(&self) -> PathBuf {
        self.data_dir.join(FACTOR_KEY_FILE)
    }

    /// The files of all generated secrets.
    fn secret_files(&self) -> [PathBuf; 2] {
        [self.secret_file(), self.factor_key_file()]
    }

    pub fn shutdown_deadline(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }

    /// At least as long as approvals wait, if there are any: a request that is sent again meanwhile must not become
    /// another one.
    pub fn idempotency_retention(&self) -> Duration {
        let configured = Duration::from_secs(u64::from(self.idempotency_days) * 24 * 60 * 60);
        if self.approval_above.is_some() { configured.max(approval::LIFETIME) } else { configured }
    }

    /// The database in a few words, without its password.
    pub fn database_place(&self) -> String {
        self.database_target(false).map_or_else(|error| error.to_string(), |target| target.place())
    }

    /// The directory for backups, which is made if it is not there.
    pub fn backup_directory(&self) -> Result<Option<&Path>, ConfigError> {
        let Some(directory) = self.backup_dir.as_ref().filter(|_| !self.drill) else { return Ok(None) };
        let made = create_for_owner(directory);
        made.map_err(|cause| ConfigError::BackupDir { path: directory.display().to_string(), cause })?;
        Ok(Some(directory))
    }

    /// The secrets that no backup has.
    pub fn secrets_beside_backup(&self) -> [SecretBesideBackup; 2] {
        let secret = |is_set: bool, variable: &str, file: PathBuf, lost_without: &'static str| SecretBesideBackup {
            place: if is_set { variable.to_owned() } else { file.display().to_string() },
            file: (!is_set).then_some(file),
            lost_without,
        };
        [
            secret(
                self.second_factor_key.is_some(),
                "COFFER_SECOND_FACTOR_KEY",
                self.factor_key_file(),
                "without it authenticator apps and webhooks have to be set up anew",
            ),
            secret(
                self.jwt_secret.is_some(),
                "COFFER_JWT_SECRET",
                self.secret_file(),
                "without it everybody has to sign in again",
            ),
        ]
    }

    /// Where the bank looks for its books. Makes the data directory if they are to be in it, and nothing else.
    pub fn place_for_books(&self) -> Result<DbTarget, ConfigError> {
        if self.database_url.is_none() {
            self.create_data_dir()?;
        }
        self.database_target(false)
    }

    fn create_data_dir(&self) -> Result<(), ConfigError> {
        create_for_owner(&self.data_dir)
            .map_err(|cause| ConfigError::DataDir { path: self.data_dir.display().to_string(), cause })
    }
}

/// For the owner alone: it holds the books or the secrets.
fn create_for_owner(directory: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn refuse_short(name: &'static str, secret: Option<&SecretString>) -> Result<(), ConfigError> {
    let bytes = secret.map_or(MIN_SECRET_BYTES, |secret| secret.expose_secret().len());
    if bytes < MIN_SECRET_BYTES { Err(ConfigError::ShortSecret { name, bytes }) } else { Ok(()) }
}

/// Makes an empty database file that only its owner can read (SQLite gives its side files the same mode). It holds the
/// password hashes. Whatever looks beside it looks beside the file that a link leads to.
fn prepare_file(file: SqliteConnectOptions, create: bool) -> Result<SqliteConnectOptions, ConfigError> {
    let mut path = files::behind_links(file.get_filename());
    // SQLite would take the name for a URI.
    if path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        path = Path::new(".").join(path);
    }
    let file = file.filename(&path);
    if create {
        // One that is there already is not touched: closing it would take away the locks that this process has on it.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => {
                return Err(ConfigError::DatabaseFile { path: path.display().to_string(), cause });
            }
            _ => {}
        }
    }
    Ok(file.create_if_missing(create))
}

/// Writes a new secret next to `path` and links it there, so that of two instances that start at once both end up with
/// the same whole secret.
fn store_new_secret(path: &Path) -> Result<String, ConfigError> {
    let unusable = |cause| ConfigError::DataDir { path: path.display().to_string(), cause };
    let mut bytes = [0; MIN_SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    // Not by the process id: in containers that share the directory it is 1 in each.
    let draft = path.with_extension(format!("new.{}", hex::encode(name)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(unusable)?;
    file.write_all(hex::encode(bytes).as_bytes()).and_then(|()| file.sync_all()).map_err(unusable)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(unusable)?;
    // Before anything is sealed or signed with it: a power cut must not take its name away.
    files::sync_directory_of(path).map_err(unusable)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(unusable(error)),
        _ => fs::read_to_string(path).map_err(unusable),
    }
}

/// A network such as 10.0.0.0/8, or a single address.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "send addresses such as 10.0.0.1 or networks such as 10.0.0.0/8".to_owned())
}

/// An origin as a browser sends it.
fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    let origin = web_origin::canonical(text)?;
    HeaderValue::from_str(&origin).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_make_the_secret_at_once_get_the_same_whole_one() {
        let directory = tempfile::TempDir::new().expect("a directory");
        for round in 0..50 {
            let path = directory.path().join(format!("secret{round}"));
            let secrets: Vec<String> = std::thread::scope(|scope| {
                let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| store_new_secret(&path))).collect();
                makers.into_iter().map(|maker| maker.join().expect("no panic").expect("a secret")).collect()
            });
            assert_eq!(secrets[0].len(), 2 * MIN_SECRET_BYTES);
            assert!(secrets.iter().all(|secret| *secret == secrets[0]), "{secrets:?}");
        }
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 50, "no draft is left behind");
    }
}
