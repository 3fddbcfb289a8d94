//! `coffer demo`: fills a new bank, and says how to sign in.

use std::io::IsTerminal;
use std::process::ExitCode;

use coffer::config::Settings;
use coffer::db::Db;
use coffer::demo;
use coffer::server::ServerError;

use super::{AnyError, tell};

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
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
