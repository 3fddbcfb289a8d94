//! `coffer admin`: how the bank gets its first admin, how the last one gets back in, and how programs get their keys. There
//! is no default account and no default password.

use std::time::Duration;

use uuid::Uuid;

use crate::email::Email;
use coffer_core::api_key::MAX_LIVING;
use coffer_core::auth::api_keys::{self, ApiKeyError, NewApiKey, Uncommitted};
use coffer_core::auth::password_links::{self, Reason};
use coffer_core::auth::passwords::{self, NewPassword, Password};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::db::Db;
use coffer_core::db::api_keys::ApiKey;
use coffer_core::db::users::{Role, Standing, User};
use coffer_core::text;
use coffer_core::timestamp::Timestamp;

/// The name of a user that is a program, until an admin looks it up by its address.
const SERVICE_NAME: &str = "Service";

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The outcome of a command, for the terminal.
pub enum Created {
    /// A new user with the password that was given.
    New,
    /// A new user with a password that was shown, and is nowhere else.
    WithPassword,
    /// A user that was there already, whose password stays.
    Promoted,
}

/// Makes a new user with this address who is an admin. Without a `password` one is generated and handed to `show`
/// before anything is written: if it cannot be shown, nothing is done. A user who is there already is made an admin
/// only if `promote_existing`: anybody may have signed up with an address.
pub async fn create(
    db: &Db,
    email: &str,
    password: Option<String>,
    promote_existing: bool,
    show: impl FnOnce(&str) -> std::io::Result<()>,
) -> Result<Created, AnyError> {
    let email = parse_email(email)?;
    if let Some(user) = db.user_by_email(email.as_str()).await? {
        return promote(db, user, promote_existing).await;
    }
    let (generated, created) = match &password {
        Some(_) => (None, Created::New),
        None => (Some(passwords::generate()?), Created::WithPassword),
    };
    let password = Password::from(generated.clone().or(password).unwrap_or_default());
    let password = NewPassword::try_from(password).map_err(|error| in_words(&error))?;
    let password_hash = passwords::hash_now(&password.into())?;
    let user = User::new("Admin".to_owned(), email.into(), Role::Admin, password_hash);
    let mut tx = db.begin().await?;
    tx.insert_user(&user).await?;
    tx.append_to_audit_log(&[Event::at(Action::AdminCreated, Timestamp::now()).on(user.id)]).await?;
    if let Some(password) = generated {
        show(&password)?;
    }
    tx.commit().await?;
    Ok(created)
}

/// Makes a user that is a program: it has API keys, and no password that anybody knows.
pub async fn create_service(db: &Db, email: &str, role: Role) -> Result<(), AnyError> {
    let email = parse_email(email)?;
    if db.user_by_email(email.as_str()).await?.is_some() {
        return Err(format!("{} is somebody's address already: a program has one of its own", email.as_str()).into());
    }
    let nobodys_password = Password::from(passwords::generate()?);
    let password_hash = passwords::hash_now(&nobodys_password)?;
    let user = User { is_service: true, ..User::new(SERVICE_NAME.to_owned(), email.into(), role, password_hash) };
    let mut tx = db.begin().await?;
    tx.insert_user(&user).await?;
    let event = Event::at(Action::ServiceUserCreated, Timestamp::now()).on(user.id).detail(role.name());
    tx.append_to_audit_log(&[event]).await?;
    tx.commit().await?;
    Ok(())
}

/// Creates an API key for the user with this address. Its secret is handed to `show` before anything is written.
pub async fn create_key(
    db: &Db,
    email: &str,
    key: NewApiKey,
    show: impl FnOnce(&ApiKey, &str) -> std::io::Result<()>,
) -> Result<(), AnyError> {
    let user = user_with(db, email).await?;
    let event = Event::at(Action::ApiKeyCreated, Timestamp::now());
    finish(key.create(db, user.id, event).await?, show).await
}

/// Gives an API key another secret, which is handed to `show` before anything is written.
pub async fn rotate_key(
    db: &Db,
    id: Uuid,
    overlap: Duration,
    show: impl FnOnce(&ApiKey, &str) -> std::io::Result<()>,
) -> Result<(), AnyError> {
    let user_id = db.user_of_api_key(id).await?.ok_or(ApiKeyError::NotFound)?;
    let event = Event::at(Action::ApiKeyRotated, Timestamp::now());
    finish(api_keys::rotate(db, user_id, id, overlap, event).await?, show).await
}

async fn finish(
    Uncommitted { tx, key, secret }: Uncommitted,
    show: impl FnOnce(&ApiKey, &str) -> std::io::Result<()>,
) -> Result<(), AnyError> {
    show(&key, secret.expose())?;
    Ok(tx.commit().await?)
}

/// Revokes an API key.
pub async fn revoke_key(db: &Db, id: Uuid) -> Result<(), AnyError> {
    let user_id = db.user_of_api_key(id).await?.ok_or(ApiKeyError::NotFound)?;
    let mut tx = db.begin().await?;
    let event = || Event::at(Action::ApiKeyRevoked, Timestamp::now());
    if api_keys::revoke(&mut tx, user_id, Some(id), event).await?.is_empty() {
        return Err(ApiKeyError::NotFound.into());
    }
    Ok(tx.commit().await?)
}

/// The living API keys of the user with this address, the newest first.
pub async fn keys_of(db: &Db, email: &str) -> Result<Vec<ApiKey>, AnyError> {
    let user = user_with(db, email).await?;
    Ok(db.api_keys_of(user.id, None, MAX_LIVING, Timestamp::now()).await?)
}

async fn user_with(db: &Db, email: &str) -> Result<User, AnyError> {
    let user = db.user_by_email(parse_email(email)?.as_str()).await?;
    Ok(user.ok_or_else(|| format!("there is no user with the address {email}"))?)
}

/// Makes a link by which the user with this address sets a password, and hands it to `show` before anything is written: its
/// path, from the bank's address on.
pub async fn reset_password(
    db: &Db,
    email: &str,
    show: impl FnOnce(&str) -> std::io::Result<()>,
) -> Result<(), AnyError> {
    let user = user_with(db, email).await?;
    if user.is_service {
        return Err(format!("{email} is a program: it has API keys, and no password").into());
    }
    let mut tx = db.begin().await?;
    tx.lock_user(user.id).await?.ok_or("the user has just left")?;
    let (_link, token) = password_links::issue(&mut tx, user.id, Reason::Lost).await?;
    let event = Event::at(Action::PasswordLinkCreated, Timestamp::now()).on(user.id);
    tx.append_to_audit_log(&[event]).await?;
    show(&token.path())?;
    Ok(tx.commit().await?)
}

/// Takes away the second factor of the user with this address, and ends their sessions.
pub async fn reset_second_factor(db: &Db, email: &str) -> Result<(), AnyError> {
    let user = user_with(db, email).await?;
    let mut tx = db.begin().await?;
    tx.lock_user(user.id).await?.ok_or("the user has just left")?;
    let event = Event::at(Action::SecondFactorRemoved, Timestamp::now());
    let reset = tx.reset_second_factor(user.id, event, Timestamp::now()).await?;
    let _ended = reset.ok_or_else(|| format!("{email} has no second factor"))?;
    tx.commit().await?;
    Ok(())
}

pub fn parse_email(text: &str) -> Result<Email, AnyError> {
    let no_address = |_| format!("{} is not an e-mail address such as ada@example.com", text::quoted(text, text.len()));
    Ok(Email::parse(text).map_err(no_address)?)
}

/// Without the code that stands before it for programs.
fn in_words(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or(text.clone(), |(_, words)| words.to_owned())
}

async fn promote(db: &Db, user: User, promote_existing: bool) -> Result<Created, AnyError> {
    if !promote_existing {
        let name = user.name;
        return Err(format!(
            "{} has signed up already, as {name:?}; if that is who you mean, add --promote",
            user.email
        )
        .into());
    }
    let mut tx = db.begin().await?;
    let user = tx.lock_user(user.id).await?.ok_or("the user has just left")?;
    if user.role != Role::Admin {
        let now = Timestamp::now();
        tx.set_standing(user.id, Standing { role: Role::Admin, ..user.standing() }, now).await?;
        tx.end_password_links(user.id, now).await?;
        let change = format!("{} to {}", user.role.name(), Role::Admin.name());
        tx.append_to_audit_log(&[Event::at(Action::RoleChanged, now).on(user.id).detail(change)]).await?;
        tx.commit().await?;
    }
    Ok(Created::Promoted)
}
