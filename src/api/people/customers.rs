//! Staff serve customers: `POST /users`, which makes one with a link in place of a password, and `GET, POST
//! /users/{user_id}/notes`.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::bank_address::BankAddress;
use crate::api::http::caller::{Reader, Staff};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields::UserId;
use crate::api::http::page::{self, Limit, Page};
use crate::api::money::accounts::AccountBody;
use crate::api::people::passwords::PasswordLinkBody;
use crate::api::people::{sessions, users};
use crate::email::Email;
use coffer_core::auth::hashing::Purpose;
use coffer_core::auth::password_links::{self, Reason};
use coffer_core::auth::passwords::{self, Password};
use coffer_core::books::audit_event::Action;
use coffer_core::db::user_notes::UserNote;
use coffer_core::db::users::{Role, User};
use coffer_core::money::CurrentCurrency;
use coffer_core::text::{Name, NoteText};
use coffer_core::timestamp::Timestamp;

/// Somebody who is to become a customer, and the currency of their first account.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Grace Hopper", "email": "grace@example.com", "currency": "USD"}))]
pub struct CreateCustomerRequest {
    /// Up to 100 characters.
    #[schema(example = "Grace Hopper")]
    name: Name,
    email: Email,
    /// ISO 4217; the bank's default if left out.
    currency: Option<CurrentCurrency>,
}

/// A new customer, their first account, and the link by which they set a password.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewCustomer {
    user: User,
    account: AccountBody,
    invitation: PasswordLinkBody,
}

/// What to note on a customer.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "Called about a lost card; identity checked by passport."}))]
pub struct NoteRequest {
    /// For those who work at the bank, up to 1,000 characters.
    #[schema(example = "Called about a lost card; identity checked by passport.")]
    text: NoteText,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NotesQuery {
    /// How many notes, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// Make somebody a customer
///
/// With a first account, and a link in place of a password: whoever has it sets one, once and within 7 days. Hand it over
/// yourself; nobody can sign in before. Should it be lost, `POST /users/{user_id}/password_reset` makes another.
#[utoipa::path(
    post,
    path = "/users",
    operation_id = "create_customer",
    tag = "Staff",
    request_body(
        content = CreateCustomerRequest,
        description = "The name and address of the new customer, and the currency of the first account",
    ),
    responses(
        (status = CREATED, description = "Made; the link is shown only now", body = NewCustomer,
         headers(("Location" = String, description = "The user"))),
        (status = FORBIDDEN, description = "For staff and admins"),
        (status = CONFLICT, description = "There is a user with this address already"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    context: RequestContext,
    address: BankAddress,
    Staff(caller): Staff,
    Json(request): Json<CreateCustomerRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<NewCustomer>)> {
    app.disk.refuse_if_reached()?;
    let nobodys_password = Password::from(passwords::generate().map_err(sessions::no_random_numbers)?);
    let password_hash = app.auth.passwords.hash(nobodys_password, &context.asker(Purpose::Proof)).await?;
    let user = User::new(request.name.into(), request.email.into(), Role::Customer, password_hash);
    let currency = request.currency.map_or(app.default_currency, Into::into);
    let mut tx = app.db.begin().await?;
    let account = users::insert_customer(&app, &context, &mut tx, &user, currency, caller.user_id).await?;
    let (link, token) = password_links::issue(&mut tx, user.id, Reason::Invited).await?;
    tx.append_to_audit_log(&[context.event(Action::PasswordLinkCreated).on(user.id)]).await?;
    tx.commit().await?;
    let location = [(LOCATION, format!("/users/{}", user.id))];
    let invitation = PasswordLinkBody::of(link, &token, &address);
    Ok((StatusCode::CREATED, location, Json(NewCustomer { user, account: account.into(), invitation })))
}

/// List the notes on somebody
///
/// What staff have noted for each other, the newest first. For staff, admins and auditors, on record.
#[utoipa::path(
    get,
    path = "/users/{user_id}/notes",
    operation_id = "list_notes",
    tag = "Staff",
    params(
        ("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        NotesQuery,
    ),
    responses(
        (status = OK, description = "A page of notes, newest first", body = Page<UserNote>),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn notes(
    State(app): State<App>,
    context: RequestContext,
    Reader(caller): Reader,
    PathParam(UserId(id)): PathParam<UserId>,
    Query(query): Query<NotesQuery>,
) -> Result<Json<Page<UserNote>>> {
    refuse_about_oneself(id, caller.user_id)?;
    app.db.user(id).await?.ok_or_else(Error::user_not_found)?;
    app.viewed(context.event(Action::NotesListed).on(id))?;
    let limit = query.limit.unwrap_or_default().rows();
    let notes = app.db.notes_on(id, query.cursor.map(Cursor::id), i64::from(limit) + 1).await?;
    let (data, next_cursor) = page::cut(notes, limit, |note| Cursor::at_id(note.id));
    Ok(Json(Page::new(data, next_cursor)))
}

/// Note something on somebody
///
/// For those who work at the bank. It is never changed, and goes when the user leaves the bank. No screen shows it to the user, but
/// `GET /me/export` has it, without its author, as the law asks (GDPR, Article 15): write nothing that they must not read.
#[utoipa::path(
    post,
    path = "/users/{user_id}/notes",
    operation_id = "create_note",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    request_body(content = NoteRequest, description = "What to note"),
    responses(
        (status = CREATED, description = "Noted", body = UserNote,
         headers(("Location" = String, description = "The notes on this user"))),
        (status = FORBIDDEN, description = "For staff and admins, and not on oneself"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn note(
    State(app): State<App>,
    context: RequestContext,
    Staff(caller): Staff,
    PathParam(UserId(id)): PathParam<UserId>,
    Json(request): Json<NoteRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<UserNote>)> {
    refuse_about_oneself(id, caller.user_id)?;
    app.disk.refuse_if_reached()?;
    let note = UserNote {
        id: Uuid::now_v7(),
        user_id: id,
        author_id: caller.user_id,
        text: request.text.into(),
        created_at: Timestamp::now(),
    };
    let mut tx = app.db.begin().await?;
    tx.lock_user(id).await?.ok_or_else(Error::user_not_found)?;
    tx.insert_note(&note).await?;
    tx.append_to_audit_log(&[context.event(Action::NoteAdded).on(id)]).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/users/{id}/notes"))], Json(note)))
}

/// What colleagues note on somebody who works here is not for that one.
fn refuse_about_oneself(id: Uuid, caller_id: Uuid) -> Result<()> {
    if id == caller_id { Err(super::staff::not_for_oneself()) } else { Ok(()) }
}
