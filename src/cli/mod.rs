//! The commands, one file each: what they print, and their exit codes.
//!
//! In the library, so that what serves is compiled here and not once more for the program.

mod admin;
mod backup;
mod completions;
mod copy;
mod demo;
mod doctor;
mod environment;
mod healthcheck;
mod man;
mod migrate;
mod openapi;
mod output;
mod serve;
mod version;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use rustix::fs::Mode;
use secrecy::SecretString;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;

use crate::config::Settings;
use crate::config::values::ROLE;
use crate::doctor::database::{self, NotWhole};
use crate::log_lines::{Lines, Style, error_line};
use crate::server::ServerError;
use coffer_core::account_number::AccountNumber;
use coffer_core::api_key::{Network, Scope};
use coffer_core::auth::api_keys::{DEFAULT_OVERLAP, MAX_OVERLAP};
use coffer_core::db::heads::Head;
use coffer_core::db::users::Role;
use coffer_core::db::{Db, DbOptions, DbTarget, Schema, of_query, refuse_no_bank};
use coffer_core::files;
use coffer_core::text::ApiKeyName;
use coffer_core::timestamp::Timestamp;

use self::environment::{unknown_variables, without_empty_variables, without_variables};
use self::output::{LOG, complain, set_style_of_log, style_of_log};
use self::version::LONG_VERSION;

/// What reads whole tables is slow, and that is no news.
const QUIET_QUERIES: Option<&str> = Some("sqlx::query");

/// How long it may take at the end to give up work that waits for a disk.
const LAST_THREADS_WITHIN: Duration = Duration::from_secs(2);

pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A bank in one binary: accounts, money and history over a REST API, on SQLite or PostgreSQL
#[derive(Parser)]
#[command(
    version,
    long_version = LONG_VERSION.as_str(),
    after_help = "Without a command, coffer serves. Every setting can also stand in the environment or in a file .env, and \
                  a secret in a file that the variable with _FILE behind its name names: COFFER_JWT_SECRET_FILE."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// Open the bank: migrate the database and serve the API (the default)
    Serve,
    /// Bring the database schema up to date, then exit
    Migrate,
    /// Print the OpenAPI document of the API as JSON
    Openapi,
    /// Check the whole books; exit 1 if anything is wrong. May run beside the server
    ///
    /// Says as well whether a SQLite file was copied without the log beside it, and whether the books are older than a head that
    /// was noted elsewhere.
    Doctor {
        /// A head that the books must have: a hash from the banner, from /readyz or from a backup. May be given several times
        #[arg(long, value_name = "HASH")]
        since: Vec<Head>,
    },
    /// Make a backup: the whole books as of now in a new SQLite file. May run beside the server
    ///
    /// The file has mode 0600 and overwrites none. The doctor looks at it before it gets its name; whatever is wrong, there is
    /// no file and the exit code is 1. The generated secrets are not in it: what is to be kept beside it is said at the end.
    Backup {
        /// The file to make; - for standard output
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
    },
    /// Put a backup where the settings have the books, once the doctor has found it right
    ///
    /// Overwrites nothing and deletes nothing: where there are books already, or a log that SQLite would play into the restored
    /// ones, it says what to do and exits 1. A backup of an older version is brought up to date on the way.
    Restore {
        /// The backup, which stays as it is
        file: PathBuf,
        /// A head that the books must have, as for coffer doctor
        #[arg(long, value_name = "HASH")]
        since: Vec<Head>,
    },
    /// Try it out: fill a new bank with a customer, accounts in dollars and euros, and a year of movements
    ///
    /// Prints the customer's password once. Goes through the same ledger as everything else, only dated back; the past
    /// is the same each time. Touches no bank that has customers. May run beside the server.
    Demo,
    /// Copy a whole bank to another database: from SQLite to PostgreSQL, back, or to another of the same kind
    ///
    /// The target is a database without tables, an empty one, a file that is not there yet, or a copy that was broken off: that
    /// is gone on with. At the end numbers, balances and chains of both are compared, and the doctor looks at both; before that
    /// no server opens the target. Passwords are better in PGPASSWORD or ~/.pgpass than here, where others may see them.
    Copy {
        /// Where the books are. Stop its server first: what it books meanwhile stays behind. Default: --database-url
        #[arg(long, value_name = "URL")]
        from: Option<SecretString>,
        /// Where they are to be
        #[arg(long, value_name = "URL")]
        to: SecretString,
    },
    /// Those who run the bank
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Ask the server at --admin-listen, or at --listen without one, whether it is ready; exit 1 if not
    Healthcheck,
    /// Print the script by which a shell completes commands and settings
    ///
    /// For bash: source <(coffer completions bash), in ~/.bashrc.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page coffer(1), in roff
    Man {
        /// Write the pages of all commands into this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Clone, Subcommand)]
enum AdminCommand {
    /// Make an admin with this address. May run beside the server. The password is read from standard input, or generated
    /// and printed if that is a terminal or empty
    Create {
        /// The admin's e-mail address
        email: String,
        /// Make somebody an admin who has signed up with the address already
        #[arg(long)]
        promote: bool,
        /// Make a user that is a program: it has API keys, and no password (see coffer admin key create)
        #[arg(long, conflicts_with = "promote")]
        service: bool,
        /// The role of the program
        #[arg(long, requires = "service", default_value = "staff", value_parser = ROLE)]
        role: Role,
    },
    /// API keys, by which programs call in a user's name
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make a link by which whoever has lost the password sets another one, once and within an hour, and print it. May run
    /// beside the server
    ResetPassword {
        /// The user's e-mail address
        email: String,
    },
    /// Take away the second factor of whoever has lost authenticator app and recovery codes. Their sessions end, on a
    /// server that runs within a second
    ResetSecondFactor {
        /// The user's e-mail address
        email: String,
    },
}

#[derive(Clone, Subcommand)]
enum KeyCommand {
    /// Create a key for a user, and print its secret, which is shown only now. May run beside the server
    Create(NewKeyArguments),
    /// List a user's keys that count
    List {
        /// The user's e-mail address
        email: String,
    },
    /// Give a key another secret, and print it. The former one counts for a while
    Rotate {
        /// The id of the key, which coffer admin key list shows
        id: Uuid,
        /// For how many seconds the former secret counts
        #[arg(long, default_value_t = DEFAULT_OVERLAP.as_secs(), value_parser = clap::value_parser!(u64).range(..=MAX_OVERLAP.as_secs()))]
        overlap: u64,
    },
    /// Revoke a key: a server that runs refuses it within a second
    Revoke {
        /// The id of the key, which coffer admin key list shows
        id: Uuid,
    },
}

/// What a key is for, and how far it reaches.
#[derive(Clone, clap::Args)]
pub struct NewKeyArguments {
    /// The e-mail address of the user in whose name the key calls
    pub email: String,
    /// By which people tell it from other keys
    #[arg(long, value_parser = parse_key_name)]
    pub name: ApiKeyName,
    /// How far it reaches: read, move, staff. Several with commas between them
    #[arg(long, required = true, value_delimiter = ',')]
    pub scopes: Vec<Scope>,
    /// The only accounts that it is for. Any if left out
    #[arg(long, value_delimiter = ',')]
    pub accounts: Option<Vec<AccountNumber>>,
    /// The most that it moves within 24 hours, in whole units of each currency. Any amount if left out
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    pub per_day: Option<i64>,
    /// The only networks that it calls from. Any if left out
    #[arg(long, value_delimiter = ',')]
    pub networks: Vec<Network>,
    /// When it stops counting, such as 2027-01-31T12:00:00Z. Never if left out
    #[arg(long)]
    pub expires_at: Option<Timestamp>,
}

fn parse_key_name(text: &str) -> Result<ApiKeyName, String> {
    ApiKeyName::parse(text.to_owned()).map_err(|error| error.to_string())
}

impl Cli {
    /// Flags, then the environment, which `.env` has been added to. A setting in it that is wrong is no reason not to print a
    /// manual page.
    fn read() -> Self {
        let prints_of_program = env::args_os().nth(1).is_some_and(|first| first == "man" || first == "completions");
        let command = Self::command();
        let command = if prints_of_program { without_variables(command) } else { without_empty_variables(command) };
        let matches = command.try_get_matches().unwrap_or_else(|error| exit_with_usage(&error));
        Self::from_arg_matches(&matches).unwrap_or_else(|error| exit_with_usage(&error))
    }
}

/// Names the environment variable beside the flag: whoever set it in `.env` would look for a flag in vain.
fn exit_with_usage(error: &clap::Error) -> ! {
    let arguments = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => std::slice::from_ref(argument),
        Some(ContextValue::Strings(arguments)) => arguments,
        _ => &[],
    };
    let fault = if error.kind() == ErrorKind::MissingRequiredArgument { "missing" } else { "wrong" };
    for flag in arguments.iter().filter_map(|argument| argument.strip_prefix("--")?.split([' ', '[']).next()) {
        if let Some(variable) = variable_of(flag) {
            complain(format_args!("coffer: the setting --{flag} ({variable} in the environment or .env) is {fault}."));
        }
    }
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && value.starts_with(['"', '\''])
    {
        complain("coffer: the value has quotes around it, which docker's --env-file keeps: leave them out.");
    }
    error.exit()
}

fn variable_of(flag: &str) -> Option<String> {
    let command = Cli::command();
    let argument = command.get_arguments().find(|known| known.get_long() == Some(flag))?;
    Some(argument.get_env()?.display().to_string())
}

/// The whole program: reads the settings from `.env`, the environment and the arguments, and carries out the command.
pub fn main() -> ExitCode {
    let loaded = if asks_about_program() { Ok(()) } else { environment::load(&Cli::command()) };
    let ended = match loaded {
        Ok(()) => run(Cli::read()),
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| {
        complain(format_args!("coffer: {error}"));
        ExitCode::FAILURE
    })
}

/// Whether the arguments ask for nothing that depends on settings: then `.env` is not read, which may be another program's.
fn asks_about_program() -> bool {
    let mut arguments = env::args_os().skip(1);
    let is_flag = |argument: &OsString| ["--version", "-V", "--help", "-h"].iter().any(|flag| argument == flag);
    let is_command = |argument: &OsString| ["help", "man", "completions"].iter().any(|name| argument == name);
    arguments.next().is_some_and(|first| is_command(&first) || is_flag(&first) || arguments.any(|it| is_flag(&it)))
}

fn run(cli: Cli) -> Result<ExitCode, AnyError> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Openapi => openapi::run(&cli.settings),
        Command::Healthcheck => healthcheck::run(&cli.settings),
        Command::Completions { shell } => completions::run(shell),
        Command::Man { dir } => man::run(dir.as_deref()),
        Command::Serve => serve_with_log(&cli.settings),
        Command::Migrate => with_log(&cli.settings, None, migrate::run(&cli.settings)),
        Command::Demo => with_log(&cli.settings, None, demo::run(&cli.settings)),
        Command::Doctor { since } => with_log(&cli.settings, QUIET_QUERIES, doctor::run(&cli.settings, &since)),
        Command::Backup { file } => with_log(&cli.settings, QUIET_QUERIES, backup::make(&cli.settings, &file)),
        Command::Restore { file, since } => {
            with_log(&cli.settings, QUIET_QUERIES, backup::restore(&cli.settings, &file, &since))
        }
        Command::Copy { from, to } => with_log(&cli.settings, QUIET_QUERIES, copy::run(&cli.settings, from, to)),
        Command::Admin(AdminCommand::Create { email, service: true, role, .. }) => {
            with_log(&cli.settings, None, admin::create_service(&cli.settings, &email, role))
        }
        Command::Admin(AdminCommand::Create { email, promote, .. }) => {
            with_log(&cli.settings, None, admin::create(&cli.settings, &email, promote))
        }
        Command::Admin(AdminCommand::Key(KeyCommand::Create(key))) => {
            with_log(&cli.settings, None, admin::create_key(&cli.settings, key))
        }
        Command::Admin(AdminCommand::Key(KeyCommand::List { email })) => {
            with_log(&cli.settings, None, admin::list_keys(&cli.settings, &email))
        }
        Command::Admin(AdminCommand::Key(KeyCommand::Rotate { id, overlap })) => {
            with_log(&cli.settings, None, admin::rotate_key(&cli.settings, id, overlap))
        }
        Command::Admin(AdminCommand::Key(KeyCommand::Revoke { id })) => {
            with_log(&cli.settings, None, admin::revoke_key(&cli.settings, id))
        }
        Command::Admin(AdminCommand::ResetPassword { email }) => {
            with_log(&cli.settings, None, admin::reset_password(&cli.settings, &email))
        }
        Command::Admin(AdminCommand::ResetSecondFactor { email }) => {
            with_log(&cli.settings, None, admin::reset_second_factor(&cli.settings, &email))
        }
    }
}

/// Serves. Where a program reads the log, the reason to stop is a line of it, too: what other commands answer is for
/// whoever has called them.
fn serve_with_log(settings: &Settings) -> Result<ExitCode, AnyError> {
    with_log(settings, None, serve::run(settings)).or_else(|error| match style_of_log() {
        Style::Json => {
            LOG.line(&error_line(Style::Json, "coffer", &error.to_string()));
            output::flush();
            Ok(ExitCode::FAILURE)
        }
        Style::Plain | Style::Coloured => Err(error),
    })
}

/// Runs a command that works on a bank: what it notices goes to the log, in which `quiet` has only its errors.
fn with_log(
    settings: &Settings,
    quiet: Option<&str>,
    command: impl Future<Output = Result<ExitCode, AnyError>>,
) -> Result<ExitCode, AnyError> {
    start_log(settings, quiet)?;
    // Behind a pointer, so that the runtime is compiled once, not for each command.
    block_on(pin!(command))
}

fn block_on(command: Pin<&mut dyn Future<Output = Result<ExitCode, AnyError>>>) -> Result<ExitCode, AnyError> {
    // Whatever a library makes has secrets of the bank in it.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(command);
    output::flush();
    // A disk that stands still may keep a thread, which nobody should wait for.
    runtime.shutdown_timeout(LAST_THREADS_WITHIN);
    ended
}

/// A database that is there already, with the tables of this program.
async fn open_existing(settings: &Settings) -> Result<Db, AnyError> {
    let options = settings.database(false)?;
    if let DbTarget::Sqlite(file) = &options.target {
        refuse_no_bank(file.get_filename()).map_err(ServerError::from)?;
    }
    with_current_tables(open_to_change(&options).await?, &options).await
}

/// A database that may be new, or of an older version.
async fn open_to_change(options: &DbOptions) -> Result<Db, AnyError> {
    // A file that cannot be read is refused with better words when it is opened.
    if let DbTarget::Sqlite(file) = &options.target
        && let Err(why @ NotWhole::WithoutLog(_)) = database::refuse_without_log(file.get_filename())
    {
        return Err(why.into());
    }
    Ok(Db::connect(options).await.map_err(ServerError::from)?)
}

/// The same, for those who change nothing: it may be a file that cannot be written.
async fn open_to_examine(options: &DbOptions) -> Result<Db, AnyError> {
    let db = Db::connect_to_examine(options).await.map_err(ServerError::from)?;
    with_current_tables(db, options).await
}

async fn with_current_tables(db: Db, options: &DbOptions) -> Result<Db, AnyError> {
    let place = options.target.place();
    let refusal = match db.schema().await {
        Ok(Schema::Current) => {
            db.learn_first_units().await.map_err(ServerError::from)?;
            return Ok(db);
        }
        Ok(Schema::Older) => format!("the books at {place} are of an older version; run coffer migrate"),
        Ok(Schema::Unreleased) => format!("the books at {place}: {}", Db::refusal_of_unreleased()),
        Ok(Schema::HalfCopied) => format!("the books at {place}: {}", Db::refusal_of_half_copied()),
        Ok(Schema::Newer(version)) => format!("the books at {place}: {}", Db::refusal_of_newer(version)),
        Err(error) => format!("there are no books that can be read at {place}: {}", of_query(&error)),
    };
    // So that SQLite leaves nothing beside a file that was only looked at.
    db.close().await;
    Err(refusal.into())
}

fn start_log(settings: &Settings, quiet: Option<&str>) -> Result<(), AnyError> {
    let mut filter: Targets =
        settings.log.parse().map_err(|error| format!("COFFER_LOG (--log) is not a log filter: {error}"))?;
    if let Some(target) = quiet {
        filter = filter.with_target(target, LevelFilter::ERROR);
    }
    let wants_colours = env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let style = settings.log_format.style(io::stderr().is_terminal(), wants_colours);
    set_style_of_log(style);
    // A failure to write is not reported: that would be written to the same place.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let lines = lines.with_ansi(style == Style::Coloured).event_format(Lines::new(style)).with_writer(|| *LOG);
    tracing_subscriber::registry().with(filter).with(lines).init();
    output::log_panics();
    for warning in unknown_variables(&Cli::command()) {
        tracing::warn!("{warning}");
    }
    files::warn_of_wide(environment::file_with_secret(&Cli::command()));
    Ok(())
}
