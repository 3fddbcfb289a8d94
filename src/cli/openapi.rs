//! `coffer openapi`: prints the description of the API.

use std::process::ExitCode;

use coffer::api::docs;

use super::AnyError;

pub fn run() -> Result<ExitCode, AnyError> {
    println!("{}", docs::document().to_pretty_json()?);
    Ok(ExitCode::SUCCESS)
}
