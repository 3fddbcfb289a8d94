//! `coffer serve`: opens the bank and serves it until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;

use coffer::config::Settings;
use coffer::server::Bank;
use coffer::signals::Signals;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::AnyError;
use super::output::TERMINAL;

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    // As many clients as the system allows; the server keeps some file descriptors for itself.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let listener = TcpListener::bind((&*settings.listen.host, settings.listen.port))
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
    if settings.swagger_ui {
        tell(&format!("  Swagger UI  {scheme}://{listen}/swagger-ui/"));
    }
    tell(&format!("  Database    {database} at {}", settings.database_place()));
    if settings.jwt_secret.is_none() {
        tell(&format!("  Secret      {}", settings.secret_file().display()));
    }
    tell("Press Ctrl-C to close.");
}

/// A line on standard output, which nobody may read any more.
fn tell(line: &str) {
    TERMINAL.line(line);
}
