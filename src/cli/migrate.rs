//! `coffer migrate`: brings the schema up to date.

use std::process::ExitCode;

use crate::config::Settings;
use crate::server::ServerError;

use super::output::tell;
use super::{AnyError, open_to_change};

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = open_to_change(&settings.database(true)?).await?;
    db.migrate().await.map_err(ServerError::from)?;
    db.close().await;
    tell(format_args!("The schema of {} is up to date.", settings.database_place()));
    Ok(ExitCode::SUCCESS)
}
