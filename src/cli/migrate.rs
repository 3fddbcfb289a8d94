//! `coffer migrate`: brings the schema up to date.

use std::process::ExitCode;

use crate::config::Settings;
use crate::server::ServerError;
use coffer_core::db::Db;

use super::AnyError;
use super::output::tell;

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = Db::connect(&settings.database(true)?).await.map_err(ServerError::from)?;
    db.migrate().await.map_err(ServerError::from)?;
    db.close().await;
    tell(format_args!("The schema of {} is up to date.", settings.database_place()));
    Ok(ExitCode::SUCCESS)
}
