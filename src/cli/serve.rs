//! `coffer serve`: opens the bank and serves it until it is told to stop.

use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::config::Settings;
use crate::config::listen::ListenAddress;
use crate::log_lines::Style;
use crate::mailing::MailSettings;
use crate::server::{Bank, Listeners};
use crate::service_manager::while_opening;
use crate::signals::Signals;
use coffer_core::db::heads::Heads;
use coffer_core::traces::Exporter;

use super::AnyError;
use super::output::{TERMINAL, style_of_log};

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    // As many clients as the system allows; the server keeps some file descriptors for itself.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let public = bind("COFFER_LISTEN (--listen)", &settings.listen).await?;
    let admin = match &settings.admin_listen {
        Some(listen) => Some(bind("COFFER_ADMIN_LISTEN (--admin-listen)", listen).await?),
        None => None,
    };
    let listeners = Listeners { public, admin };
    let (bank, _claim) = while_opening(Bank::open_alone(settings)).await?;
    let mut signals = Signals::catch()?;
    let traces = Exporter::start()?;
    let database = bank.db().version().await?;
    print_banner(settings, &listeners, &database, &bank.db().heads().await?)?;
    log_opening(&listeners, &database)?;
    let (close, closed) = oneshot::channel();
    let impatience = async {
        signals.next().await;
        if style_of_log() == Style::Json {
            tracing::info!("the bank closes");
        }
        tell("Closing: requests in flight are finished first. Press Ctrl-C again to end at once.");
        let _ = close.send(());
        signals.insistent().await;
    };
    let serve = async {
        let ended = bank.serve(listeners, async { drop(closed.await) }).await;
        traces.end().await;
        ended
    };
    tokio::select! {
        ended = serve => ended.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        () = impatience => {
            tell("Ended at once. What was not answered may or may not be booked; what was answered is.");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn bind(setting: &str, listen: &ListenAddress) -> Result<TcpListener, String> {
    let bound = TcpListener::bind((&*listen.host, listen.port)).await;
    bound.map_err(|error| format!("{setting}: cannot serve on {listen}: {error}"))
}

fn print_banner(settings: &Settings, listeners: &Listeners, database: &str, heads: &Heads) -> Result<(), AnyError> {
    let listen = listeners.public.local_addr()?;
    tell(&format!("Coffer {} is open.", env!("CARGO_PKG_VERSION")));
    let scheme = if settings.tls_cert.is_some() { "https" } else { "http" };
    tell(&format!("  Web app     {scheme}://{listen}/"));
    tell(&format!("  API         {scheme}://{listen}"));
    if settings.swagger_ui {
        tell(&format!("  Swagger UI  {scheme}://{listen}/swagger-ui/"));
    }
    if let Some(admin) = &listeners.admin {
        let metrics = if settings.metrics { ", /metrics" } else { "" };
        tell(&format!("  Operations  http://{} (/livez, /readyz{metrics})", admin.local_addr()?));
    }
    tell(&format!("  Database    {database} at {}", settings.database_place()));
    tell(&format!("  Heads       {heads}"));
    if settings.drill {
        tell("  Drill       nothing is sent to webhooks or by mail, no backups are made or deleted");
    }
    if let (Some(directory), is_on_time) = (settings.backup_directory()?, settings.backup_every.duration().is_some()) {
        let when = if is_on_time { format!("every {}", settings.backup_every) } else { "on SIGUSR1".to_owned() };
        tell(&format!("  Backups     {when} to {}", directory.display()));
    }
    if let Ok(Some(MailSettings { server, .. })) = settings.mail() {
        tell(&format!("  Mail        by {}, port {}, {}", server.host, server.port, server.protection.in_words()));
    }
    if settings.jwt_secret.is_none() {
        tell(&format!("  Secret      {}", settings.secret_file().display()));
    }
    if settings.second_factor_key.is_none() {
        tell(&format!("  Factor key  {}", settings.factor_key_file().display()));
    }
    tell("Press Ctrl-C to close.");
    Ok(())
}

/// The beginning, for a program that reads the log; people have the banner.
fn log_opening(listeners: &Listeners, database: &str) -> std::io::Result<()> {
    if style_of_log() == Style::Json {
        let (version, address) = (env!("CARGO_PKG_VERSION"), listeners.public.local_addr()?);
        tracing::info!(version, %address, database, "the bank is open");
    }
    Ok(())
}

/// A line on standard output, which nobody may read any more.
fn tell(line: &str) {
    TERMINAL.line(line);
}
