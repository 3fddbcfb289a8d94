//! `coffer admin`: makes admins and programs with their API keys, and helps who lost the second factor.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use uuid::Uuid;

use crate::admin::{self, Created};
use crate::config::Settings;
use crate::server::ServerError;
use coffer_core::api_key::{Networks, Scopes};
use coffer_core::auth::api_keys::NewApiKey;
use coffer_core::db::api_keys::ApiKey;
use coffer_core::db::users::Role;

use super::output::{complain, reveal, tell};
use super::{AnyError, NewKeyArguments, open_existing, open_to_change};

pub async fn create(settings: &Settings, email: &str, promote: bool) -> Result<ExitCode, AnyError> {
    let mut password = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut password)?;
    }
    let password = Some(password.trim_end_matches(['\r', '\n']).to_owned()).filter(|password| !password.is_empty());
    // Before there is a bank because of it.
    admin::parse_email(email)?;
    let db = open_to_change(&settings.database(true)?).await?;
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

pub async fn create_service(settings: &Settings, email: &str, role: Role) -> Result<ExitCode, AnyError> {
    admin::parse_email(email)?;
    let db = open_to_change(&settings.database(true)?).await?;
    db.migrate().await.map_err(ServerError::from)?;
    admin::create_service(&db, email, role).await?;
    db.close().await;
    tell(format_args!(
        "{email} is a program with the role {}. It gets a key with coffer admin key create {email}.",
        role.name()
    ));
    Ok(ExitCode::SUCCESS)
}

pub async fn create_key(settings: &Settings, arguments: NewKeyArguments) -> Result<ExitCode, AnyError> {
    let NewKeyArguments { email, name, scopes, accounts, per_day, networks, expires_at } = arguments;
    let scopes = Scopes::of(&scopes).ok_or("name at least one scope")?;
    let new = NewApiKey { name, scopes, accounts, per_day, networks: Networks(networks), expires_at };
    let db = open_existing(settings).await?;
    admin::create_key(&db, &email, new, show_secret).await?;
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

pub async fn rotate_key(settings: &Settings, id: Uuid, overlap: u64) -> Result<ExitCode, AnyError> {
    let db = open_existing(settings).await?;
    admin::rotate_key(&db, id, Duration::from_secs(overlap), show_secret).await?;
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The secret alone goes to standard output, so that a script takes it as it is.
fn show_secret(key: &ApiKey, secret: &str) -> std::io::Result<()> {
    complain(format_args!("The secret of the key {} ({}), which is shown only now:", key.id, key.name));
    reveal(secret)
}

pub async fn list_keys(settings: &Settings, email: &str) -> Result<ExitCode, AnyError> {
    let db = open_existing(settings).await?;
    let keys = admin::keys_of(&db, email).await?;
    db.close().await;
    for key in &keys {
        let used = key.last_used_at.map_or_else(|| "never".to_owned(), |moment| moment.to_string());
        tell(format_args!("{} …{}: {}; last used {used}", key.id, key.hint, key.in_words()));
    }
    if keys.is_empty() {
        tell(format_args!("{email} has no API keys."));
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn revoke_key(settings: &Settings, id: Uuid) -> Result<ExitCode, AnyError> {
    let db = open_existing(settings).await?;
    admin::revoke_key(&db, id).await?;
    db.close().await;
    tell(format_args!("The key {id} counts no more."));
    Ok(ExitCode::SUCCESS)
}

pub async fn reset_password(settings: &Settings, email: &str) -> Result<ExitCode, AnyError> {
    let db = open_existing(settings).await?;
    let show = |path: &str| {
        complain(format_args!(
            "{email} sets a password, once and within an hour, at the bank's address with this behind it:"
        ));
        reveal(path)
    };
    admin::reset_password(&db, email, show).await?;
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

pub async fn reset_second_factor(settings: &Settings, email: &str) -> Result<ExitCode, AnyError> {
    let db = open_existing(settings).await?;
    admin::reset_second_factor(&db, email).await?;
    db.close().await;
    tell(format_args!("{email} signs in with the password alone."));
    Ok(ExitCode::SUCCESS)
}
