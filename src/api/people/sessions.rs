//! Sessions: `POST /login`, `/refresh` and `/logout`, `/me/sessions`, and for those who work here
//! `/users/{user_id}/sessions`.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::AppendHeaders;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Caller, Proven, Reader, Staff};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, MAX_AUTH_BODY_BYTES, PathParam, PathParams, Query};
use crate::api::http::fields::{self, SessionId, UserId};
use crate::api::http::page::{self, Limit, Page};
use crate::api::http::web_client::{self, Client};
use crate::api::people::failed_sign_ins::{self, Failure};
use crate::api::people::{proof, second_factor, staff};
use crate::email::Email;
use coffer_core::auth::guesses::Taken;
use coffer_core::auth::hashing::{Asker, Purpose};
use coffer_core::auth::passwords::Password;
use coffer_core::auth::sessions::{self, RefreshToken};
use coffer_core::auth::tokens::{self, Subject};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::db::Tx;
use coffer_core::db::mails::{MailKind, NewMail};
use coffer_core::db::sessions::Session;
use coffer_core::db::users::{Role, User};
use coffer_core::limits::network_of;
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// A refused sign-in is answered at a multiple of this after it came: the database finds somebody in some ten microseconds
/// more than nobody, which many tries would show.
const REFUSAL_GRID: Duration = Duration::from_millis(100);
/// How much of the `User-Agent` a session stores, in characters.
const MAX_USER_AGENT_LENGTH: usize = 200;

/// A device and a network are new to somebody who has not signed in from them for so long.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The credentials of a user.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com", "password": "correct horse battery staple"}))]
pub struct LoginRequest {
    /// The e-mail address of the user, up to 254 characters. Upper and lower case do not matter.
    #[validate(custom(function = fields::email_length))]
    #[schema(max_length = 254, example = "ada@example.com")]
    email: String,
    password: Password,
    /// Of those who have a second factor: six digits of the authenticator app, or a recovery code.
    #[validate(custom(function = fields::code_length))]
    #[schema(max_length = 64)]
    code: Option<String>,
}

/// The refresh token of a session.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"}))]
pub struct RefreshRequest {
    /// Left out by the web app alone, whose token is in a cookie.
    #[schema(value_type = Option<String>, example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    refresh_token: Option<SecretString>,
}

/// The tokens of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tokens {
    /// A JWT. Send it as `Authorization: Bearer <access_token>`.
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTlhIn0.c2lnbmF0dXJl")]
    access_token: String,
    /// The scheme of the `Authorization` header: always `Bearer` (RFC 6750).
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 900)]
    expires_in: u64,
    /// Good for one `POST /refresh`, which gives the next one. The web app gets it in a cookie instead. `POST /me/proof`
    /// leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    refresh_token: Option<String>,
}

/// The tokens, in the body and, for the web app, in a cookie.
type TokensAnswer = (AppendHeaders<Option<(HeaderName, String)>>, Json<Tokens>);

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// How many sessions, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// One session of the caller, and whether it is the one that asks.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionBody {
    #[serde(flatten)]
    session: Session,
    /// Whether this is the session that asks.
    current: bool,
}

/// Sign in
///
/// Answers the same, after the same time, whether the address is unknown or the password wrong.
#[utoipa::path(
    post,
    path = "/login",
    tag = "Sign in",
    params(web_client::ClientHeader),
    request_body(
        content = LoginRequest,
        description = "The address, the password, and the code of a second factor where there is one",
    ),
    responses(
        (status = OK, description = "Signed in", body = Tokens),
        (status = UNAUTHORIZED, description = "The address or the password is wrong"),
    )
)]
pub async fn login(
    State(app): State<App>,
    context: RequestContext,
    client: Client,
    headers: HeaderMap,
    Json(request): Json<LoginRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<TokensAnswer> {
    let came = Instant::now();
    let answer = sign_in(&app, &context, client, &headers, request).await;
    // For every reason alike: no refusal tells by its time whether there is such a user.
    if answer.is_err() {
        wait_for_the_next_100_ms(came).await;
    }
    answer
}

async fn sign_in(
    app: &App,
    context: &RequestContext,
    client: Client,
    headers: &HeaderMap,
    request: LoginRequest,
) -> Result<TokensAnswer> {
    let asker = context.asker(Purpose::Proof);
    let (user, taken) = check_password(app, context, &asker, &request).await?;
    let stronger = if app.auth.passwords.is_outdated(&user.password_hash) {
        match app.auth.passwords.hash(request.password, &asker).await {
            Ok(stronger) => Some(stronger),
            Err(error) => {
                app.auth.guesses.give_back(taken);
                return Err(error.into());
            }
        }
    } else {
        None
    };

    let mut tx = app.db.begin().await?;
    // The password may have been changed while this one was being verified.
    let still = tx.lock_user(user.id).await?.filter(|still| still.password_hash == user.password_hash);
    let user = still.ok_or_else(invalid_credentials)?;
    // The password was right, whatever the code is: those have a quota of their own. Without one, it was a try.
    let missing = if request.code.is_some() {
        app.auth.guesses.give_back(taken);
        None
    } else {
        Some(taken)
    };
    app.auth.passwords.queue.note_customer_at(asker.network);
    let second_factor = pass_second_factor(app, context, &mut tx, user.id, request.code).await?;
    missing.into_iter().for_each(|taken| app.auth.guesses.give_back(taken));
    app.auth.guesses.take_sign_in(user.id)?;
    if let Some(password_hash) = stronger {
        tx.update_password(user.id, &password_hash).await?;
    }
    tx.reset_wrong_guesses(user.id).await?;
    let device = user_agent(headers);
    tell_of_new_sign_in(app, context, &mut tx, &user, device.as_deref()).await?;
    let (session, token) = begin_session(&mut tx, context, device, user.id, second_factor).await?;
    let ended = end_oldest_sessions(&mut tx, context, &session).await?;
    tx.append_to_audit_log(&[context.event(Action::Login).by(user.id).on(session.id)]).await?;
    tx.commit().await?;
    metrics::counter!("coffer_sign_ins_total", "outcome" => "succeeded").increment(1);
    app.auth.ended_sessions.add(ended, session.created_at);
    let subject = Subject {
        user_id: user.id,
        session_id: session.id,
        role: user.role,
        second_factor,
        proven_at: session.proven_at,
        confirm_above: user.confirm_above,
    };
    Tokens::answer(app, client, subject, &token)
}

/// Finds the user whose password this is. The guess stays counted until the code is checked as well.
async fn check_password(
    app: &App,
    context: &RequestContext,
    asker: &Asker,
    request: &LoginRequest,
) -> Result<(User, Taken)> {
    // A text that is no address is not looked up, and answered like an unknown address.
    let email = Email::parse(&request.email).ok();
    let known = match &email {
        Some(email) => app.db.login_addresses_of(email.as_str()).await?,
        None => Vec::new(),
    };
    let taken = take_guess(app, context, email.as_ref().ok_or(&*request.email), &known)?;
    let user = match &email {
        Some(email) => app.db.user_by_email(email.as_str()).await?,
        None => None,
    };
    let password_hash = user.as_ref().map(|user| user.password_hash.clone());
    let matches = match app.auth.passwords.verify(request.password.clone(), password_hash, asker).await {
        Ok(matches) => matches,
        // The queue of hashes is full: nothing was guessed.
        Err(error) => {
            app.auth.guesses.give_back(taken);
            return Err(error.into());
        }
    };
    let known_user = user.as_ref().map(|user| user.id);
    let Some(user) = user.filter(|_| matches) else {
        failed_sign_ins::tell(context, Failure::WrongPassword);
        let event = sign_in_event(Action::LoginFailed, context, email.as_ref());
        app.audit.note(known_user.into_iter().fold(event, Event::about));
        return Err(invalid_credentials());
    };
    Ok((user, taken))
}

fn invalid_credentials() -> Error {
    Error::Unauthorized {
        code: ProblemCode::InvalidCredentials,
        detail: "The e-mail address or the password is wrong.",
    }
}

async fn begin_session(
    tx: &mut Tx<'_>,
    context: &RequestContext,
    user_agent: Option<String>,
    user_id: Uuid,
    second_factor: bool,
) -> Result<(Session, RefreshToken)> {
    let now = Timestamp::now();
    let session = Session {
        id: Uuid::now_v7(),
        user_agent,
        address: Some(context.address().to_string()),
        created_at: now,
        last_used_at: now,
        expires_at: now.plus(sessions::LIFETIME),
        second_factor,
        proven_at: now,
        user_id,
    };
    let token = RefreshToken::first(session.id).map_err(no_random_numbers)?;
    tx.insert_session(&session, &token.hashes()).await?;
    Ok((session, token))
}

/// Tells somebody who wants it, and whose address is known to be theirs, of a sign-in with a device in a network that no
/// session of the last months has come from.
async fn tell_of_new_sign_in(
    app: &App,
    context: &RequestContext,
    tx: &mut Tx<'_>,
    user: &User,
    device: Option<&str>,
) -> Result<()> {
    if !app.sends_mail || !user.sign_in_notices || user.email_verified_at.is_none() {
        return Ok(());
    }
    let network = network_of(context.address());
    let is_here = |address: &str| address.parse().is_ok_and(|address| network_of(address) == network);
    let before = tx.sign_ins_since(user.id, Timestamp::now().minus(KNOWN_FOR)).await?;
    let is_known = |(known, address): &(Option<String>, Option<String>)| {
        known.as_deref() == device && address.as_deref().is_some_and(is_here)
    };
    if !before.iter().any(is_known) {
        let from = format!("{}, {}", context.address(), device.unwrap_or("a program without a name"));
        app.send(tx, NewMail::to_user(MailKind::SignIn, user.id).detail(from)).await?;
    }
    Ok(())
}

/// Ends the user's oldest sessions beyond the most that may live, and deletes those that ended long enough ago. Returns
/// those that ended now.
async fn end_oldest_sessions(tx: &mut Tx<'_>, context: &RequestContext, newest: &Session) -> Result<Vec<Uuid>> {
    let (user_id, now) = (newest.user_id, newest.created_at);
    let ended = tx.end_oldest_sessions(user_id, newest.id, sessions::MAX_LIVING, now).await?;
    let record = |id: &Uuid| {
        let event = context.event(Action::SessionEnded).by(user_id).on(id);
        event.detail(format!("the oldest of more than {}", sessions::MAX_LIVING))
    };
    let records: Vec<Event> = ended.iter().map(record).collect();
    tx.append_to_audit_log(&records).await?;
    let before = now.minus(tokens::LONGEST_LIFE * 2);
    tx.delete_older_ended_sessions(user_id, sessions::MAX_LIVING + sessions::MAX_ENDED, before).await?;
    Ok(ended)
}

/// Get a new access token
///
/// Each refresh token is good once and is replaced by the answer. One that comes back a second time has been copied:
/// its session ends, for both parties.
#[utoipa::path(
    post,
    path = "/refresh",
    tag = "Sign in",
    params(web_client::ClientHeader),
    request_body(
        content = RefreshRequest,
        description = "The refresh token of the last answer; `{}` where it is in the cookie of the web app",
    ),
    responses(
        (status = OK, description = "The next pair of tokens", body = Tokens),
        (status = UNAUTHORIZED, description = "The refresh token is not valid, or was used before"),
    )
)]
pub async fn refresh(
    State(app): State<App>,
    context: RequestContext,
    client: Client,
    headers: HeaderMap,
    Json(request): Json<RefreshRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<TokensAnswer> {
    let invalid = || Error::Unauthorized {
        code: ProblemCode::InvalidRefreshToken,
        detail: "The refresh token is not valid, was used before, or its session has ended. Sign in again.",
    };
    let presented = presented_token(client, &headers, request)?.ok_or_else(invalid)?;
    let presented = RefreshToken::parse(presented.expose_secret()).ok_or_else(invalid)?;
    let next = presented.next().map_err(no_random_numbers)?;
    let now = Timestamp::now();

    let mut tx = app.db.begin().await?;
    let session = tx.session_to_renew(&presented.hashes()).await?.ok_or_else(invalid)?;
    let is_idle = session.last_used_at.plus(sessions::IDLE_LIFETIME) <= now;
    if session.ended_at.is_some() || session.expires_at <= now || is_idle {
        return Err(invalid());
    }
    if !tx.rotate_token(&presented.hashes(), &next.hashes(), now).await? {
        if tx.end_session(session.session_id, session.user_id, now).await? {
            let event = context.event(Action::RefreshTokenReused).by(session.user_id).on(session.session_id);
            tx.append_to_audit_log(&[event]).await?;
        }
        tx.commit().await?;
        app.auth.ended_sessions.add([session.session_id], now);
        return Err(invalid());
    }
    tx.commit().await?;
    Tokens::answer(&app, client, Subject::from(&session), &next)
}

/// Sign out
///
/// Ends the session: its refresh token and its access tokens no longer count.
#[utoipa::path(
    post,
    path = "/logout",
    tag = "Sign in",
    params(web_client::ClientHeader),
    responses((status = NO_CONTENT, description = "Signed out")),
    security(("bearer" = []))
)]
pub async fn logout(
    State(app): State<App>,
    context: RequestContext,
    client: Client,
    caller: Caller,
) -> Result<(AppendHeaders<Option<(HeaderName, String)>>, StatusCode)> {
    end_session(&app, &context, caller, caller.session_id).await?;
    Ok((AppendHeaders((client == Client::Web).then(web_client::cleared)), StatusCode::NO_CONTENT))
}

/// List the caller's sessions
///
/// Those that live, the newest first; `current` marks the one that asks.
#[utoipa::path(
    get,
    path = "/me/sessions",
    operation_id = "list_sessions",
    tag = "Profile",
    params(SessionsQuery),
    responses((status = OK, description = "A page of living sessions, newest first", body = Page<SessionBody>)),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<SessionsQuery>,
) -> Result<Json<Page<SessionBody>>> {
    page_of(&app, caller, caller.user_id, query).await
}

/// List somebody's sessions
///
/// Those that live, the newest first. Staff see those of customers; admins and auditors anybody's. On record.
#[utoipa::path(
    get,
    path = "/users/{user_id}/sessions",
    operation_id = "list_sessions_of_user",
    tag = "Staff",
    params(
        ("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        SessionsQuery,
    ),
    responses(
        (status = OK, description = "A page of living sessions, newest first", body = Page<SessionBody>),
        (status = FORBIDDEN, description = "For staff, admins and auditors; of those who work here, for admins and auditors"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn list_of_user(
    State(app): State<App>,
    context: RequestContext,
    Reader(caller): Reader,
    PathParam(UserId(id)): PathParam<UserId>,
    Query(query): Query<SessionsQuery>,
) -> Result<Json<Page<SessionBody>>> {
    let user = app.db.user(id).await?.ok_or_else(Error::user_not_found)?;
    if id == caller.user_id {
        context.set_on_record();
    } else if user.role != Role::Customer && !caller.role.oversees() {
        let detail = "Only admins and auditors see the sessions of those who work at the bank.";
        return Err(Error::forbidden(ProblemCode::RoleRequired, detail));
    } else {
        app.viewed(context.event(Action::SessionsListed).on(id))?;
    }
    page_of(&app, caller, id, query).await
}

async fn page_of(app: &App, caller: Caller, user_id: Uuid, query: SessionsQuery) -> Result<Json<Page<SessionBody>>> {
    let limit = query.limit.unwrap_or_default().rows();
    let before = query.cursor.map(Cursor::id);
    let now = Timestamp::now();
    let idle_since = now.minus(sessions::IDLE_LIFETIME);
    let sessions = app.db.sessions_of(user_id, before, i64::from(limit) + 1, now, idle_since).await?;

    let (sessions, next_cursor) = page::cut(sessions, limit, |session| Cursor::at_id(session.id));
    let with_mark = |session: Session| SessionBody { current: session.id == caller.session_id, session };
    let data = sessions.into_iter().map(with_mark).collect();
    Ok(Json(Page::new(data, next_cursor)))
}

/// End one of the caller's sessions
///
/// Its access token counts no more from the next request on, on other instances within a second.
#[utoipa::path(
    delete,
    path = "/me/sessions/{id}",
    operation_id = "end_session",
    tag = "Profile",
    params(("id" = Uuid, Path, description = "The session", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = NO_CONTENT, description = "Ended"),
        (status = NOT_FOUND, description = "No such living session"),
    ),
    security(("bearer" = []))
)]
pub async fn end(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    PathParam(SessionId(id)): PathParam<SessionId>,
) -> Result<StatusCode> {
    if end_session(&app, &context, caller, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::not_found(ProblemCode::SessionNotFound, "You have no such session; GET /me/sessions lists them."))
    }
}

/// End one of somebody's sessions
///
/// Its access token counts no more from the next request on, on other instances within a second. Staff end those of customers,
/// admins anybody's; one's own are ended with `DELETE /me/sessions/{id}`.
#[utoipa::path(
    delete,
    path = "/users/{user_id}/sessions/{session_id}",
    operation_id = "end_session_of_user",
    tag = "Staff",
    params(
        ("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        ("session_id" = Uuid, Path, description = "The session", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
    ),
    responses(
        (status = NO_CONTENT, description = "Ended"),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For staff and admins, and not for oneself; of those who work here, for admins"),
        (status = NOT_FOUND, description = "No such user, or no such living session of theirs"),
    ),
    security(("bearer" = []))
)]
pub async fn end_of_user(
    State(app): State<App>,
    context: RequestContext,
    Proven(Staff(caller)): Proven<Staff>,
    PathParams(UserId(id), SessionId(session_id)): PathParams<UserId, SessionId>,
) -> Result<StatusCode> {
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    let user = staff::lock_somebody_else(&mut tx, caller, id).await?;
    if user.role != Role::Customer && caller.role != Role::Admin {
        let detail = "Only an admin ends sessions of those who work at the bank.";
        return Err(Error::forbidden(ProblemCode::RoleRequired, detail));
    }
    if !tx.end_session(session_id, id, now).await? {
        let detail = "They have no such session, or it has ended: GET /users/{user_id}/sessions lists them.";
        return Err(Error::not_found(ProblemCode::SessionNotFound, detail));
    }
    tx.append_to_audit_log(&[context.event(Action::SessionEnded).on(session_id).about(id)]).await?;
    tx.commit().await?;
    app.auth.ended_sessions.add([session_id], now);
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of the caller's sessions, here at once and within a second on other instances.
async fn end_session(app: &App, context: &RequestContext, caller: Caller, session_id: Uuid) -> Result<bool> {
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    let ended = tx.end_session(session_id, caller.user_id, now).await?;
    if ended {
        tx.append_to_audit_log(&[context.event(Action::SessionEnded).on(session_id)]).await?;
    }
    tx.commit().await?;
    if ended {
        app.auth.ended_sessions.add([session_id], now);
    }
    Ok(ended)
}

/// Whether the user has a second factor; if so, the code is right, and used up.
async fn pass_second_factor(
    app: &App,
    context: &RequestContext,
    tx: &mut Tx<'_>,
    user_id: Uuid,
    code: Option<String>,
) -> Result<bool> {
    let Some(factor) = second_factor::confirmed(tx, user_id).await? else { return Ok(false) };
    let code = code.ok_or_else(second_factor_required)?;
    if second_factor::check_code_at_sign_in(app, context, tx, user_id, &factor, &code).await? {
        return Ok(true);
    }
    Err(second_factor::wrong_code(StatusCode::UNAUTHORIZED))
}

/// So that the time of an answer tells nothing finer.
pub async fn wait_for_the_next_100_ms(came: Instant) {
    let steps = came.elapsed().as_nanos() / REFUSAL_GRID.as_nanos() + 1;
    tokio::time::sleep_until(came + REFUSAL_GRID * u32::try_from(steps).unwrap_or(u32::MAX)).await;
}

/// Names the address only if it is one: people type passwords there too.
fn sign_in_event(action: Action, context: &RequestContext, email: Option<&Email>) -> Event {
    let event = context.event(action);
    match email {
        Some(email) => event.on(email),
        None => event,
    }
}

/// Counts the try before anything is hashed, whether or not there is such a user. `known` are the addresses that the user
/// signed in from before.
fn take_guess(app: &App, context: &RequestContext, email: Result<&Email, &str>, known: &[String]) -> Result<Taken> {
    let network = network_of(context.address());
    let is_known = known.iter().filter_map(|text| text.parse().ok()).any(|address| network_of(address) == network);
    let text = email.map_or_else(|no_address| no_address, Email::as_str);
    app.auth.guesses.take(text, context.address(), is_known).map_err(|exceeded| {
        failed_sign_ins::tell(context, Failure::TooMany);
        if app.auth.guesses.is_worth_a_record(context.address()) {
            app.audit.note(sign_in_event(Action::LoginThrottled, context, email.ok()));
        }
        exceeded.into()
    })
}

fn second_factor_required() -> Error {
    Error::Unauthorized {
        code: ProblemCode::SecondFactorRequired,
        detail: "The password is right. Send it again with `code`: six digits of your authenticator app, or a recovery code.",
    }
}

pub fn no_random_numbers(error: getrandom::Error) -> Error {
    Error::Internal(error.to_string())
}

/// The name that the login's client gives itself, cut to size and without control characters.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT_LENGTH).collect())
}

/// The refresh token that the client sent, from where its kind of client keeps it.
fn presented_token(client: Client, headers: &HeaderMap, request: RefreshRequest) -> Result<Option<SecretString>> {
    match (client, request.refresh_token) {
        (Client::Api, Some(token)) => Ok(Some(token)),
        (Client::Api, None) => {
            Err(Error::invalid("/refresh_token", ProblemCode::MissingField, "this field is required"))
        }
        (Client::Web, None) => Ok(web_client::refresh_token(headers).map(SecretString::from)),
        (Client::Web, Some(_)) => {
            let detail = "leave it out: with \"Coffer-Client: web\" the token is taken from the cookie";
            Err(Error::invalid("/refresh_token", ProblemCode::UnknownField, detail))
        }
    }
}

impl Tokens {
    /// A new access token; the refresh token stays what it is.
    pub fn access(app: &App, subject: Subject) -> Result<Self> {
        let access_token =
            app.auth.tokens.issue(subject, Timestamp::now()).map_err(|error| Error::Internal(error.to_string()))?;
        let expires_in = tokens::LIFETIME.as_secs();
        Ok(Self { access_token, token_type: "Bearer", expires_in, refresh_token: None })
    }

    fn answer(app: &App, client: Client, subject: Subject, refresh_token: &RefreshToken) -> Result<TokensAnswer> {
        let refresh_token = refresh_token.encode();
        let (cookie, refresh_token) = match client {
            Client::Api => (None, Some(refresh_token)),
            Client::Web => (Some(web_client::keep(&refresh_token)), None),
        };
        let tokens = Self { refresh_token, ..Self::access(app, subject)? };
        Ok((AppendHeaders(cookie), Json(tokens)))
    }
}
