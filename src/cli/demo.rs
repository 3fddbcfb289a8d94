//! `coffer demo`: fills a new bank, and says how to sign in.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::config::Settings;
use crate::demo;
use crate::server::ServerError;

use super::output::reveal;
use super::{AnyError, open_to_change};

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = open_to_change(&settings.database(true)?).await?;
    db.migrate().await.map_err(ServerError::from)?;
    let is_watched = std::io::stderr().is_terminal();
    let progress = |booked, of| {
        if is_watched {
            let end = if booked == of { "\n" } else { "" };
            let _ = write!(std::io::stderr(), "\r{booked} of {of} movements booked{end}");
        }
    };
    let show = |filled: &demo::Filled| reveal(&describe(filled, &settings.database_place()));
    let filled = demo::fill(&db, settings.max_amount, &settings.time_zone, progress, show).await;
    db.close().await;
    filled?;
    Ok(ExitCode::SUCCESS)
}

fn describe(filled: &demo::Filled, place: &str) -> String {
    let demo::Filled { name, email, password, movements, since } = filled;
    format!(
        "The bank at {place} has a customer now: {name},\n\
         with accounts in USD and EUR and {movements} movements since {since}. Start it with `coffer serve`\n\
         and sign in as {email}. The password, which is shown only now:\n\
         {password}"
    )
}
