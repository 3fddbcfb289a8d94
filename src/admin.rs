//! `coffer admin`: how the bank gets its first admin, and how the last one gets back in. There is no default account
//! and no default password.

use uuid::Uuid;

use crate::auth::passwords::{self, NewPassword, Password};
use crate::books::audit_event::{Action, Event};
use crate::db::Db;
use crate::db::users::{Role, Standing, User, UserStatus};
use crate::email::Email;
use crate::text;
use crate::timestamp::Timestamp;

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
    let user = User {
        id: Uuid::now_v7(),
        name: "Admin".to_owned(),
        email: email.into(),
        role: Role::Admin,
        status: UserStatus::Active,
        created_at: Timestamp::now(),
        password_hash: passwords::hash_now(&password.into())?,
        confirm_above: None,
        second_factor: false,
    };
    let mut tx = db.begin().await?;
    tx.insert_user(&user).await?;
    tx.append_to_audit_log(&[Event::at(Action::AdminCreated, Timestamp::now()).on(user.id)]).await?;
    if let Some(password) = generated {
        show(&password)?;
    }
    tx.commit().await?;
    Ok(created)
}

/// Takes away the second factor of the user with this address, and ends their sessions.
pub async fn reset_second_factor(db: &Db, email: &str) -> Result<(), AnyError> {
    let unknown = || format!("there is no user with the address {email}");
    let user = db.user_by_email(parse_email(email)?.as_str()).await?.ok_or_else(unknown)?;
    let mut tx = db.begin().await?;
    tx.lock_user(user.id).await?.ok_or_else(unknown)?;
    let event = Event::at(Action::SecondFactorRemoved, Timestamp::now());
    let reset = tx.reset_second_factor(user.id, event, Timestamp::now()).await?;
    let _ended = reset.ok_or_else(|| format!("{email} has no second factor"))?;
    tx.commit().await?;
    Ok(())
}

fn parse_email(text: &str) -> Result<Email, AnyError> {
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
        tx.set_standing(user.id, Standing { role: Role::Admin, ..user.standing() }, Timestamp::now()).await?;
        let change = format!("{} to {}", user.role.name(), Role::Admin.name());
        tx.append_to_audit_log(&[Event::at(Action::RoleChanged, Timestamp::now()).on(user.id).detail(change)]).await?;
        tx.commit().await?;
    }
    Ok(Created::Promoted)
}
