//! `coffer openapi`: prints the description of the API.

use std::process::ExitCode;

use crate::api::docs::openapi;
use crate::config::Settings;

use super::AnyError;
use super::output::deliver;

pub fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    deliver(&serde_json::to_string_pretty(&openapi::document(settings.max_amount))?)
        .map_err(|error| format!("the document cannot be written to standard output: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
