//! `coffer doctor`: checks the whole books.

use std::process::ExitCode;

use crate::config::Settings;
use crate::doctor::{self, Finding};
use coffer_core::db::DbTarget;
use coffer_core::db::heads::Head;
use coffer_core::db::serving::LogOfFile;

use super::output::tell;
use super::{AnyError, open_to_examine};

pub async fn run(settings: &Settings, since: &[Head]) -> Result<ExitCode, AnyError> {
    // Before the file is opened, and whoever closes it takes the log away.
    let log = match settings.database_target(false)? {
        DbTarget::Sqlite(file) => LogOfFile::of(file.get_filename()).ok(),
        DbTarget::Postgres(_) => None,
    };
    let db = open_to_examine(&settings.database(false)?).await?;
    let keys = settings.existing_factor_keys()?;
    let mut all_good = true;
    let mut note = |finding: &Finding| {
        all_good &= finding.is_good();
        tell(finding);
    };
    let of_heads = if since.is_empty() { None } else { Some(doctor::heads(&db, since).await?) };
    if let Some(log) = log {
        note(&doctor::database::log(log, of_heads.as_ref().is_some_and(Finding::is_good)));
    }
    if let Some(finding) = of_heads {
        note(&finding);
    }
    doctor::examine(&db, &mut note).await?;
    doctor::examine_secrets(&db, keys.as_ref(), &mut note).await?;
    let heads = db.heads().await?;
    db.close().await;
    tell(if all_good { "The books are right." } else { "The books are WRONG." });
    tell(format_args!("Heads: {heads}"));
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
