//! Users: `POST /create_account` and `/me`.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Actor, Caller, Proven};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, MAX_AUTH_BODY_BYTES};
use crate::api::http::fields::{self, WholeUnits};
use crate::api::money::accounts::{self, AccountBody};
use crate::api::people::access_changes::Admins;
use crate::api::people::email_verification::send_to_new_address;
use crate::api::people::proof::{self, confirm_password, still_the_same_password};
use crate::api::people::sign_up::SignedUpBy;
use crate::email::Email;
use coffer_core::auth::api_keys;
use coffer_core::auth::hashing::Purpose;
use coffer_core::auth::passwords::{self, NewPassword, Password};
use coffer_core::books::account::Account;
use coffer_core::books::audit_event::Action;
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::db::mails::{MailKind, NewMail};
use coffer_core::db::users::{Role, User};
use coffer_core::db::{Tx, errors};
use coffer_core::limits::network_of;
use coffer_core::money::{Currency, CurrentCurrency};
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::Name;
use coffer_core::timestamp::Timestamp;

/// A new customer, and the currency of their first account.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ada Lovelace", "email": "ada@example.com", "password": "correct horse battery staple", "currency": "USD"}))]
pub struct CreateAccountRequest {
    /// Up to 100 characters.
    #[schema(example = "Ada Lovelace")]
    name: Name,
    email: Email,
    /// 8 to 128 characters, none of the common ones.
    password: NewPassword,
    /// ISO 4217; the bank's default if left out.
    currency: Option<CurrentCurrency>,
}

/// A new user and their first account.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewUser {
    user: User,
    account: AccountBody,
}

/// Changes to the caller's profile. A field that is left out stays as it is.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ada King"}))]
pub struct UpdateMeRequest {
    /// Up to 100 characters.
    #[schema(example = "Ada King")]
    name: Option<Name>,
    /// A new address needs `current_password` beside it.
    email: Option<Email>,
    current_password: Option<Password>,
    /// Own withdrawals and transfers above it ask for the password or a code within the last five minutes: whole units of
    /// the account's currency, or null for none. Raising it, and null, ask for the same.
    #[serde(default, deserialize_with = "fields::present")]
    confirm_above: Option<Option<WholeUnits>>,
    /// Whether others may have your name compared before they pay: `POST /name_check`.
    name_check: Option<bool>,
    /// Whether to tell you by mail of sign-ins from a device and network that are new: once your address is verified.
    sign_in_notices: Option<bool>,
}

/// The caller's own profile.
#[derive(Debug, Serialize, ToSchema)]
pub struct Profile {
    #[serde(flatten)]
    user: User,
    /// Own withdrawals and transfers above it ask for a recent proof: whole units of the account's currency.
    confirm_above: Option<WholeUnits>,
    /// Whether others may have the name compared before they pay.
    name_check: bool,
    /// Whether mail to the address is known to arrive: `POST /email_verification`.
    email_verified: bool,
    /// Whether sign-ins from a device and network that are new are told of by mail, once the address is verified.
    sign_in_notices: bool,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        Self {
            confirm_above: user.confirm_above.map(WholeUnits),
            name_check: user.name_check,
            email_verified: user.email_verified_at.is_some(),
            sign_in_notices: user.sign_in_notices,
            user,
        }
    }
}

/// The present password of the caller and the one that replaces it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse battery staple", "new_password": "an even longer passphrase"}))]
pub struct ChangePasswordRequest {
    current_password: Password,
    /// 8 to 128 characters, none of the common ones.
    new_password: NewPassword,
}

/// Become a customer
///
/// Creates the user and a first account; no token is needed. Where `GET /bank` says `"sign_up": "staff"`, the bank's staff
/// make customers, with `POST /users`.
#[utoipa::path(
    post,
    path = "/create_account",
    tag = "Sign in",
    request_body(
        content = CreateAccountRequest,
        description = "The name, address and password of the new customer, and the currency of the first account",
    ),
    responses(
        (status = CREATED, description = "Created", body = NewUser,
         headers(("Location" = String, description = "The account"))),
        (status = FORBIDDEN, description = "Here the bank's staff make customers"),
        (status = CONFLICT, description = "There is a user with this address already"),
        (status = TOO_MANY_REQUESTS, description = "Too many new customers from this network"),
    ),
    security((), ("bearer" = []))
)]
pub async fn create_account(
    State(app): State<App>,
    context: RequestContext,
    SignedUpBy(by): SignedUpBy,
    Json(request): Json<CreateAccountRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<NewUser>)> {
    let (name, email) = (String::from(request.name), String::from(request.email));
    refuse_own_name("/password", &request.password, &name, &email)?;
    app.disk.refuse_if_reached()?;
    // Counted before anything is hashed, and never given back: so nobody finds out by many tries who is a customer, nor
    // keeps the queue for hashing full. Staff, who sign up many, are known.
    if by.is_none() {
        app.auth.sign_ups.take(network_of(context.address()))?;
    }
    let password_hash = app.auth.passwords.hash(request.password.into(), &context.asker(Purpose::SignUp)).await?;
    let user = User::new(name, email, Role::Customer, password_hash);
    let currency = request.currency.map_or(app.default_currency, Into::into);

    let mut tx = app.db.begin().await?;
    let account = insert_customer(&app, &context, &mut tx, &user, currency, by.unwrap_or(user.id)).await?;
    tx.commit().await?;
    let location = accounts::location_of(&account);
    Ok((StatusCode::CREATED, [location], Json(NewUser { user, account: account.into() })))
}

/// Stores a new customer, made one by `by`, with a first account.
pub async fn insert_customer(
    app: &App,
    context: &RequestContext,
    tx: &mut Tx<'_>,
    user: &User,
    currency: Currency,
    by: Uuid,
) -> Result<Account> {
    tx.insert_user(user).await.map_err(email_taken)?;
    let account = accounts::insert_account(app, tx, user.id, currency, None).await?;
    let created = context.event(Action::UserCreated).by(by).on(user.id);
    let opened = accounts::opened(&account, context).by(by);
    tx.append_to_audit_log(&[created, opened]).await?;
    send_to_new_address(app, tx, user).await?;
    let opened = BankEvent::of_account(EventKind::AccountOpened, account.account_number, account.owner_id);
    app.append_events(tx, &[opened]).await?;
    Ok(account)
}

/// Show the caller's profile
///
/// Name, address, role and what the caller has set for themselves.
#[utoipa::path(
    get,
    path = "/me",
    operation_id = "show_me",
    tag = "Profile",
    responses((status = OK, description = "The profile", body = Profile)),
    security(("bearer" = []))
)]
pub async fn me(State(app): State<App>, caller: Caller) -> Result<Json<Profile>> {
    Ok(Json(callers_user(&app, caller).await?.into()))
}

/// Change name, address, or what to confirm
///
/// Changing the address, which is what one signs in with, takes the current password; it is then to be verified anew, and the
/// one before is told. Whoever has set `confirm_above` and
/// raises or removes it must have shown password or code within the last five minutes.
#[utoipa::path(
    patch,
    path = "/me",
    tag = "Profile",
    request_body(content = UpdateMeRequest, description = "The fields to change; the others stay as they are"),
    responses(
        (status = OK, description = "Changed", body = Profile),
        (status = UNAUTHORIZED, description = "No access token that counts; or `confirm_above` is to be raised or removed, and neither password nor code was shown within the last five minutes"),
        (status = FORBIDDEN, description = "The current password is wrong"),
        (status = CONFLICT, description = "There is a user with this address already"),
    ),
    security(("bearer" = []))
)]
pub async fn update_me(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    Json(request): Json<UpdateMeRequest>,
) -> Result<Json<Profile>> {
    let before = callers_user(&app, caller).await?;
    let new_email = request.email.map(String::from).filter(|email| *email != before.email);
    if new_email.is_some() {
        let Some(password) = request.current_password else {
            let detail = "send your current password to change the address";
            return Err(Error::invalid("/current_password", ProblemCode::CurrentPasswordRequired, detail));
        };
        confirm_password(&app, &context, caller, &before, password).await?;
    }
    let mut tx = app.db.begin().await?;
    let mut user = lock_caller(&mut tx, caller).await?;
    let mut former_email = None;
    if let Some(email) = new_email {
        still_the_same_password(&user, &before)?;
        // Another request may have given the same address meanwhile.
        former_email = Some(std::mem::replace(&mut user.email, email)).filter(|former| *former != user.email);
    }
    if let Some(name) = request.name {
        user.name = name.into();
    }
    tx.update_user(user.id, &user.name, &user.email).await.map_err(email_taken)?;
    if let Some(former_email) = former_email {
        user.email_verified_at = None;
        app.send(&mut tx, NewMail::to_user(MailKind::AddressChanged, user.id).at(former_email)).await?;
        send_to_new_address(&app, &mut tx, &user).await?;
        tx.append_to_audit_log(&[context.event(Action::AddressChanged).on(user.id)]).await?;
    }
    if let Some(name_check) = request.name_check {
        tx.set_name_check(user.id, name_check).await?;
        user.name_check = name_check;
    }
    if let Some(notices) = request.sign_in_notices {
        tx.set_sign_in_notices(user.id, notices).await?;
        user.sign_in_notices = notices;
    }
    let confirm_above = request.confirm_above.map(|limit| limit.map(|WholeUnits(units)| units));
    let changed_at = match confirm_above.filter(|limit| *limit != user.confirm_above) {
        Some(limit) => Some(change_confirmation(&context, caller, &mut tx, &mut user, limit).await?),
        None => None,
    };
    tx.commit().await?;
    if let Some(changed_at) = changed_at {
        app.auth.standings.set(user.id, user.standing(), changed_at);
    }
    Ok(Json(user.into()))
}

/// Counts here from the next request on, on other instances within a second. Returns the moment of the change. Whoever has
/// stolen a token must not be able to switch off what asks them for more.
async fn change_confirmation(
    context: &RequestContext,
    caller: Caller,
    tx: &mut Tx<'_>,
    user: &mut User,
    limit: Option<i64>,
) -> Result<Timestamp> {
    let before = user.confirm_above.unwrap_or(i64::MAX);
    if limit.unwrap_or(i64::MAX) > before {
        caller.refuse_without_recent_proof()?;
    }
    let in_words = |limit: Option<i64>| limit.map_or_else(|| "none".to_owned(), |units| units.to_string());
    let change = format!("{} to {}", in_words(user.confirm_above), in_words(limit));
    user.confirm_above = limit;
    tx.append_to_audit_log(&[context.event(Action::ConfirmationChanged).on(user.id).detail(change)]).await?;
    Ok(tx.set_standing(user.id, user.standing(), Timestamp::now()).await?)
}

/// Leave the bank
///
/// Needs every account closed. Revokes the API keys, and replaces name, address and password; the books keep what was booked.
#[utoipa::path(
    delete,
    path = "/me",
    operation_id = "close_me",
    tag = "Profile",
    responses(
        (status = NO_CONTENT, description = "Closed; every session has ended"),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = CONFLICT, description = "An account is not closed yet, or the caller is the last admin"),
    ),
    security(("bearer" = []))
)]
pub async fn close_me(
    State(app): State<App>,
    context: RequestContext,
    Proven(Actor(caller)): Proven<Actor>,
) -> Result<StatusCode> {
    let mut tx = begin_to_leave(&app, caller).await?;
    if tx.count_open_accounts(caller.user_id).await? > 0 {
        let detail = "Close your accounts first: DELETE /accounts/{account_number} each, at a balance of zero.";
        return Err(Error::conflict(ProblemCode::AccountsOpen, detail));
    }
    let left = close(&mut tx, &context, caller.user_id).await?;
    tx.commit().await?;
    left.tell(&app);
    Ok(StatusCode::NO_CONTENT)
}

/// Closes a user, who is locked and has closed every account. Call [`Left::tell`] after the commit.
pub async fn close(tx: &mut Tx<'_>, context: &RequestContext, id: Uuid) -> Result<Left> {
    let now = Timestamp::now();
    tx.close_user(id).await?;
    tx.remove_second_factor(id, now).await?;
    tx.end_password_links(id, now).await?;
    tx.delete_mail_to(id).await?;
    tx.delete_notes_on(id).await?;
    tx.delete_payees(id, None).await?;
    let revoked = api_keys::revoke(tx, id, None, || context.event(Action::ApiKeyRevoked)).await?;
    let ended = tx.end_sessions_of(id, None, now).await?;
    tx.append_to_audit_log(&[context.event(Action::UserClosed).on(id)]).await?;
    Ok(Left { ended, revoked, at: now })
}

/// What this instance's memory must learn of when somebody has left.
#[derive(Debug)]
pub struct Left {
    /// Sessions.
    ended: Vec<Uuid>,
    /// API keys.
    revoked: Vec<Uuid>,
    at: Timestamp,
}

impl Left {
    /// They had left already: there is nothing to tell.
    pub fn earlier(at: Timestamp) -> Self {
        Self { ended: Vec::new(), revoked: Vec::new(), at }
    }

    pub fn tell(self, app: &App) {
        app.auth.ended_sessions.add(self.ended, self.at);
        app.auth.api_keys.drop_changed(&self.revoked);
    }
}

/// Starts a transaction that holds the caller and all admins, of whom the caller is not the last. Whoever becomes an admin
/// while it waits is not among those that it was given: so it looks again.
async fn begin_to_leave(app: &App, caller: Caller) -> Result<Tx<'static>> {
    loop {
        let mut tx = app.db.begin().await?;
        let admins = Admins::lock_before_leaving(&mut tx).await?;
        admins.refuse_to_lose(caller.user_id)?;
        let user = lock_caller(&mut tx, caller).await?;
        if user.role != Role::Admin || admins.include(user.id) {
            return Ok(tx);
        }
        tx.rollback().await?;
    }
}

/// Change the password
///
/// Ends every other session.
#[utoipa::path(
    put,
    path = "/me/password",
    tag = "Profile",
    request_body(content = ChangePasswordRequest, description = "The present password and the new one"),
    responses(
        (status = NO_CONTENT, description = "Changed"),
        (status = FORBIDDEN, description = "The current password is wrong"),
    ),
    security(("bearer" = []))
)]
pub async fn change_password(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Json(request): Json<ChangePasswordRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<StatusCode> {
    caller.refuse_if_frozen()?;
    let user = callers_user(&app, caller).await?;
    refuse_own_name("/new_password", &request.new_password, &user.name, &user.email)?;
    confirm_password(&app, &context, caller, &user, request.current_password).await?;
    let password_hash = app.auth.passwords.hash(request.new_password.into(), &context.asker(Purpose::Proof)).await?;

    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    still_the_same_password(&lock_caller(&mut tx, caller).await?, &user)?;
    tx.update_password(user.id, &password_hash).await?;
    // Somebody who knew the former password may have begun it, and still have the secret.
    tx.delete_pending_second_factor_of(user.id).await?;
    tx.end_password_links(user.id, now).await?;
    let ended = tx.end_sessions_of(user.id, Some(caller.session_id), now).await?;
    tx.append_to_audit_log(&[context.event(Action::PasswordChanged).on(user.id)]).await?;
    app.send(&mut tx, NewMail::to_user(MailKind::PasswordChanged, user.id)).await?;
    tx.commit().await?;
    app.auth.ended_sessions.add(ended, now);
    Ok(StatusCode::NO_CONTENT)
}

pub async fn callers_user(app: &App, caller: Caller) -> Result<User> {
    app.db.user(caller.user_id).await?.ok_or_else(user_has_left)
}

/// The caller's user, held until the transaction ends.
pub async fn lock_caller(tx: &mut Tx<'_>, caller: Caller) -> Result<User> {
    tx.lock_user(caller.user_id).await?.ok_or_else(user_has_left)
}

pub fn user_has_left() -> Error {
    Error::Unauthorized { code: ProblemCode::InvalidToken, detail: "The user of this access token has left the bank." }
}

fn email_taken(error: sqlx::Error) -> Error {
    if errors::is_unique_violation(&error) {
        Error::conflict(ProblemCode::EmailTaken, "There is a user with this address already. Sign in with POST /login.")
    } else {
        error.into()
    }
}

pub fn refuse_own_name(pointer: &'static str, password: &NewPassword, name: &str, email: &str) -> Result<()> {
    if !passwords::is_own_name(password, name, email) {
        return Ok(());
    }
    Err(Error::invalid(pointer, ProblemCode::PasswordGuessable, "choose a password that is not your name or address"))
}
