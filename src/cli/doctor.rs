//! `coffer doctor`: checks the whole books.

use std::process::ExitCode;

use coffer::config::Settings;
use coffer::doctor;

use super::output::tell;
use super::{AnyError, open_existing};

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = open_existing(settings).await?;
    let keys = settings.existing_factor_keys()?;
    let books_good = doctor::examine(&db, |finding| tell(finding)).await?;
    let secrets_good = doctor::examine_secrets(&db, keys.as_ref(), |finding| tell(finding)).await?;
    let all_good = books_good && secrets_good;
    db.close().await;
    tell(if all_good { "The books are right." } else { "The books are WRONG." });
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
