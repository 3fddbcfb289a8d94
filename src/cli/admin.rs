//! `coffer admin`: makes admins, and helps who lost the second factor.

use std::io::IsTerminal;
use std::process::ExitCode;

use coffer::admin::{self, Created};
use coffer::config::Settings;
use coffer::db::Db;
use coffer::server::ServerError;

use super::output::{reveal, tell};
use super::{AnyError, open_existing};

pub async fn create(settings: &Settings, email: &str, promote: bool) -> Result<ExitCode, AnyError> {
    let mut password = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut password)?;
    }
    let password = Some(password.trim_end_matches(['\r', '\n']).to_owned()).filter(|password| !password.is_empty());
    let db = Db::connect(&settings.database(true)?).await.map_err(ServerError::from)?;
    db.migrate().await.map_err(ServerError::from)?;
    let show =
        |password: &str| reveal(&format!("{email} is an admin. The password, which is shown only now:\n{password}"));
    let created = admin::create(&db, email, password, promote, show).await?;
    db.close().await;
    match created {
        Created::New => tell(format_args!("{email} is an admin.")),
        Created::WithPassword => {}
        Created::Promoted => tell(format_args!("{email} is an admin now; the password is what it was.")),
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn reset_second_factor(settings: &Settings, email: &str) -> Result<ExitCode, AnyError> {
    let db = open_existing(settings).await?;
    admin::reset_second_factor(&db, email).await?;
    db.close().await;
    tell(format_args!("{email} signs in with the password alone."));
    Ok(ExitCode::SUCCESS)
}
