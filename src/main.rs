//! The `coffer` command: arguments, exit codes, nothing else.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};
use coffer::admin::{self, Created};
use coffer::api::docs;
use coffer::config::Settings;
use coffer::db::Db;
use coffer::demo;
use coffer::doctor;
use coffer::server::{Bank, ServerError};
use coffer::signals::Signals;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// glibc's allocator keeps what a burst of logins (19 MiB each) once took; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A bank in one binary: accounts, money and history over a REST API, on SQLite or PostgreSQL
#[derive(Parser)]
#[command(
    version,
    after_help = "Without a command, coffer serves. Every setting can also stand in the environment or in a file .env."
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
    Doctor,
    /// Try it out: fill a new bank with a customer, accounts in dollars and euros, and a year of movements
    ///
    /// Prints the customer's password once. Goes through the same ledger as everything else, only dated back; the past
    /// is the same each time. Touches no bank that has customers. May run beside the server.
    Demo,
    /// Those who run the bank
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Ask the server at --listen whether it is ready; exit 1 if not
    Healthcheck,
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
    },
    /// Take away the second factor of whoever has lost authenticator app and recovery codes. Their sessions end, on a
    /// server that runs within a second
    ResetSecondFactor {
        /// The user's e-mail address
        email: String,
    },
}

fn main() -> ExitCode {
    if let Err(error) = dotenvy::from_path(".env")
        && !error.not_found()
    {
        eprintln!("coffer: {}", explain_dotenv(&error));
        return ExitCode::FAILURE;
    }
    let cli = Cli::try_parse().unwrap_or_else(|error| exit_with_usage(&error));
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("coffer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Never quotes the line: it may hold a secret.
fn explain_dotenv(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(line, _) => {
            let text = std::fs::read_to_string(".env").unwrap_or_default();
            let number = text.lines().position(|candidate| candidate.contains(line.as_str())).map_or(0, |at| at + 1);
            let name = text.lines().nth(number.saturating_sub(1)).and_then(|line| line.split('=').next());
            let name = name.unwrap_or_default().trim();
            format!(".env, line {number} ({name}): this cannot be read; put a value with spaces or signs in quotes")
        }
        dotenvy::Error::Io(cause) => format!(".env cannot be read: {cause}"),
        _ => ".env cannot be read".to_owned(),
    }
}

/// Names the environment variable beside the flag: whoever set it in `.env` would look for a flag in vain.
fn exit_with_usage(error: &clap::Error) -> ! {
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(flag) = argument.strip_prefix("--").and_then(|flag| flag.split(' ').next())
        && let Some(variable) = Cli::command()
            .get_arguments()
            .find(|known| known.get_long() == Some(flag))
            .and_then(|known| known.get_env())
    {
        eprintln!("coffer: the setting --{flag} ({} in the environment or .env) is wrong.", variable.display());
    }
    error.exit()
}

fn run(cli: Cli) -> Result<ExitCode, AnyError> {
    let command = cli.command.unwrap_or(Command::Serve);
    match command {
        Command::Openapi => {
            println!("{}", docs::document().to_pretty_json()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck => healthcheck(&cli.settings),
        Command::Serve | Command::Migrate | Command::Doctor | Command::Demo | Command::Admin(_) => {
            let mut filter = EnvFilter::try_new(&cli.settings.log)
                .map_err(|error| format!("COFFER_LOG (--log) is not a log filter: {error}"))?;
            if matches!(command, Command::Doctor) {
                // Its queries read whole tables: that they are slow is no news.
                filter = filter.add_directive("sqlx::query=error".parse()?);
            }
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                match &command {
                    Command::Admin(AdminCommand::Create { email, promote }) => {
                        create_admin(&cli.settings, email, *promote).await
                    }
                    Command::Admin(AdminCommand::ResetSecondFactor { email }) => {
                        reset_second_factor(&cli.settings, email).await
                    }
                    Command::Migrate => migrate(&cli.settings).await,
                    Command::Demo => fill_demo(&cli.settings).await,
                    Command::Doctor => examine(&cli.settings).await,
                    _ => serve(&cli.settings).await,
                }
            })
        }
    }
}

async fn serve(settings: &Settings) -> Result<ExitCode, AnyError> {
    // As many clients as the system allows; the server keeps some file descriptors for itself.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| format!("COFFER_LISTEN (--listen): cannot serve on {}: {error}", settings.listen))?;
    let bank = Bank::open(settings).await?;
    let mut signals = Signals::catch()?;
    print_banner(settings, listener.local_addr()?, &bank.db().version().await?);
    let (close, closed) = oneshot::channel();
    let impatience = async {
        signals.next().await;
        tell("Closing: requests in flight are finished first. Press Ctrl-C again to end at once.");
        let _ = close.send(());
        signals.insistent().await;
    };
    tokio::select! {
        ended = bank.serve(listener, async { drop(closed.await) }) => ended.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        () = impatience => {
            tell("Ended at once. What was not answered may or may not be booked; what was answered is.");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn print_banner(settings: &Settings, listen: SocketAddr, database: &str) {
    tell(&format!("Coffer {} is open.", env!("CARGO_PKG_VERSION")));
    let scheme = if settings.tls_cert.is_some() { "https" } else { "http" };
    tell(&format!("  Web app     {scheme}://{listen}/"));
    tell(&format!("  API         {scheme}://{listen}"));
    tell(&format!("  Swagger UI  {scheme}://{listen}/swagger-ui/"));
    tell(&format!("  Database    {database} at {}", settings.database_place()));
    if settings.jwt_secret.is_none() {
        tell(&format!("  Secret      {}", settings.secret_file().display()));
    }
    tell("Press Ctrl-C to close.");
}

/// A line on standard output. That nobody reads it any more is no reason to stop.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn migrate(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = Db::connect(&settings.database(true)?).await.map_err(ServerError::from)?;
    db.migrate().await.map_err(ServerError::from)?;
    db.close().await;
    println!("The schema of {} is up to date.", settings.database_place());
    Ok(ExitCode::SUCCESS)
}

async fn create_admin(settings: &Settings, email: &str, promote: bool) -> Result<ExitCode, AnyError> {
    let mut password = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut password)?;
    }
    let password = Some(password.trim_end_matches(['\r', '\n']).to_owned()).filter(|password| !password.is_empty());
    let db = Db::connect(&settings.database(true)?).await.map_err(ServerError::from)?;
    db.migrate().await.map_err(ServerError::from)?;
    let created = admin::create(&db, email, password, promote).await?;
    db.close().await;
    match created {
        Created::New => println!("{email} is an admin."),
        Created::WithPassword(password) => {
            println!("{email} is an admin. The password, which is shown only now:\n{password}");
        }
        Created::Promoted => println!("{email} is an admin now; the password is what it was."),
    }
    Ok(ExitCode::SUCCESS)
}

async fn reset_second_factor(settings: &Settings, email: &str) -> Result<ExitCode, AnyError> {
    let db = Db::connect(&settings.database(false)?).await.map_err(ServerError::from)?;
    admin::reset_second_factor(&db, email).await?;
    db.close().await;
    println!("{email} signs in with the password alone.");
    Ok(ExitCode::SUCCESS)
}

async fn fill_demo(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = Db::connect(&settings.database(true)?).await.map_err(ServerError::from)?;
    db.migrate().await.map_err(ServerError::from)?;
    let is_watched = std::io::stderr().is_terminal();
    let filled = demo::fill(&db, settings.max_amount, |booked, of| {
        if is_watched {
            eprint!("\r{booked} of {of} movements booked{}", if booked == of { "\n" } else { "" });
        }
    })
    .await;
    db.close().await;
    let demo::Filled { name, email, password, movements, since } = filled?;
    tell(&format!("The bank at {} has a customer now: {name},", settings.database_place()));
    tell(&format!(
        "with accounts in USD and EUR and {movements} movements since {since}. Start it with `coffer serve`"
    ));
    tell(&format!("and sign in as {email}. The password, which is shown only now:"));
    tell(&password);
    Ok(ExitCode::SUCCESS)
}

async fn examine(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = Db::connect(&settings.database(false)?).await.map_err(ServerError::from)?;
    let place = settings.database_place();
    match db.is_migrated().await {
        Ok(true) => {}
        Ok(false) => return Err(format!("the books at {place} are of an older version; run coffer migrate").into()),
        Err(error) => return Err(format!("there are no books that can be read at {place}: {error}").into()),
    }
    let all_good = doctor::examine(&db, |finding| println!("{finding}")).await?;
    db.close().await;
    println!("{}", if all_good { "The books are right." } else { "The books are WRONG." });
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A plain request over a plain socket: a container's health check needs no more. With TLS it only sees whether the
/// server accepts connections, because it has no way to know which certificate to trust.
fn healthcheck(settings: &Settings) -> Result<ExitCode, AnyError> {
    let listen = settings.listen;
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let address = SocketAddr::new(ip, listen.port());
    let unreachable = |error: std::io::Error| format!("no answer from {address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT).map_err(unreachable)?;
    if settings.tls_cert.is_some() {
        println!("{address}: accepts connections");
        return Ok(ExitCode::SUCCESS);
    }
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    let status = answer.lines().next().unwrap_or_default();
    println!("{address}: {status}");
    Ok(if status.starts_with("HTTP/1.1 200") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
