//! `coffer openapi`: prints the description of the API.

use std::process::ExitCode;

use coffer::api::docs::openapi;

use super::AnyError;
use super::output::deliver;

pub fn run() -> Result<ExitCode, AnyError> {
    deliver(&serde_json::to_string_pretty(&openapi::document())?)
        .map_err(|error| format!("the document cannot be written to standard output: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
