//! `coffer doctor`: checks the whole books.

use std::process::ExitCode;

use coffer::config::Settings;
use coffer::db::Db;
use coffer::doctor;
use coffer::server::ServerError;

use super::AnyError;
use super::output::tell;

pub async fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    let db = Db::connect(&settings.database(false)?).await.map_err(ServerError::from)?;
    let place = settings.database_place();
    match db.is_migrated().await {
        Ok(true) => {}
        Ok(false) => return Err(format!("the books at {place} are of an older version; run coffer migrate").into()),
        Err(error) => return Err(format!("there are no books that can be read at {place}: {error}").into()),
    }
    let all_good = doctor::examine(&db, |finding| tell(finding)).await?;
    db.close().await;
    tell(if all_good { "The books are right." } else { "The books are WRONG." });
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
