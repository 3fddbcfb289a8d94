//! Whom one pays: `/me/payees`, and whether an account is theirs: `POST /name_check`.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Actor, Caller};
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields::PayeeId;
use crate::api::http::page::{self, Limit, Page};
use crate::api::people::users;
use crate::names::{Likeness, compare};
use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::AccountStatus;
use coffer_core::db::errors;
use coffer_core::db::payees::Payee;
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::Name;
use coffer_core::timestamp::Timestamp;

/// The most payees of one user.
const MAX_PAYEES: i64 = 500;

/// Whom to pay.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ada Lovelace", "account_number": "10000000000180"}))]
pub struct CreatePayeeRequest {
    /// Your own name for them, up to 100 characters.
    #[schema(example = "Ada Lovelace")]
    name: Name,
    account_number: AccountNumber,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PayeesQuery {
    /// How many payees, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// An account, and whose it should be.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"account_number": "10000000000180", "name": "Ada Lovelace"}))]
pub struct NameCheckRequest {
    account_number: AccountNumber,
    /// The name of whom you mean to pay.
    #[schema(example = "Ada Lovelace")]
    name: Name,
}

/// How a name compares with that of an account's owner. `match`: it is theirs. `close_match`: it is nearly theirs, and the
/// answer says how they are called. `no_match`: it is not, there is no such account, or its owner does not take part.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NameCheckResult {
    Match,
    CloseMatch,
    NoMatch,
}

/// Whether the account is theirs.
#[derive(Debug, Serialize, ToSchema)]
pub struct NameCheck {
    result: NameCheckResult,
    /// The name of the owner, of a `close_match`; null otherwise.
    #[schema(example = "Ada Lovelace")]
    name: Option<String>,
}

/// List the caller's payees
///
/// The newest first.
#[utoipa::path(
    get,
    path = "/me/payees",
    operation_id = "list_payees",
    tag = "Profile",
    params(PayeesQuery),
    responses((status = OK, description = "A page of payees, newest first", body = Page<Payee>)),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PayeesQuery>,
) -> Result<Json<Page<Payee>>> {
    let limit = query.limit.unwrap_or_default().rows();
    let payees = app.db.payees_of(caller.user_id, query.cursor.map(Cursor::id), i64::from(limit) + 1).await?;
    let (data, next_cursor) = page::cut(payees, limit, |payee| Cursor::at_id(payee.id));
    Ok(Json(Page::new(data, next_cursor)))
}

/// Remember a payee
///
/// An account that the caller pays, by a name of their own. `POST /name_check` says whether it is theirs.
#[utoipa::path(
    post,
    path = "/me/payees",
    operation_id = "create_payee",
    tag = "Profile",
    request_body(content = CreatePayeeRequest, description = "The account and a name for it"),
    responses(
        (status = CREATED, description = "Remembered", body = Payee,
         headers(("Location" = String, description = "The payee"))),
        (status = CONFLICT, description = "The caller has a payee with this account, or as many as one may have"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    Actor(caller): Actor,
    Json(request): Json<CreatePayeeRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Payee>)> {
    app.disk.refuse_if_reached()?;
    let payee = Payee {
        id: Uuid::now_v7(),
        name: request.name.into(),
        account_number: request.account_number,
        created_at: Timestamp::now(),
        user_id: caller.user_id,
    };
    let mut tx = app.db.begin().await?;
    users::lock_caller(&mut tx, caller).await?;
    if tx.count_payees(caller.user_id).await? >= MAX_PAYEES {
        let detail = "You have 500 payees, which is the most: delete one that you no longer pay.";
        return Err(Error::conflict(ProblemCode::TooManyPayees, detail));
    }
    tx.insert_payee(&payee).await.map_err(|error| match errors::is_unique_violation(&error) {
        true => Error::conflict(ProblemCode::PayeeExists, "You have a payee with this account already."),
        false => error.into(),
    })?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/me/payees/{}", payee.id))], Json(payee)))
}

/// Forget a payee
///
/// What was paid stays in the books.
#[utoipa::path(
    delete,
    path = "/me/payees/{id}",
    operation_id = "delete_payee",
    tag = "Profile",
    params(("id" = Uuid, Path, description = "The payee", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = NO_CONTENT, description = "Forgotten"),
        (status = NOT_FOUND, description = "No such payee of the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn delete(
    State(app): State<App>,
    Actor(caller): Actor,
    PathParam(PayeeId(id)): PathParam<PayeeId>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let deleted = tx.delete_payees(caller.user_id, Some(id)).await?;
    tx.commit().await?;
    match deleted {
        0 => Err(Error::not_found(ProblemCode::PayeeNotFound, "You have no such payee; GET /me/payees lists them.")),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Check whose account it is
///
/// Before one pays: whether the account is that of whom one means. A slip of the keys, and an initial for a first name, make a
/// close match, which tells the real name. An account that does not exist, and one whose owner takes no part (`name_check` of
/// `PATCH /me`), answer like somebody else's. Twenty an hour for each caller.
#[utoipa::path(
    post,
    path = "/name_check",
    operation_id = "check_name",
    tag = "Money",
    request_body(content = NameCheckRequest, description = "The account, and whose it should be"),
    responses(
        (status = OK, description = "How the names compare", body = NameCheck),
        (status = TOO_MANY_REQUESTS, description = "Too many names were checked in an hour"),
    ),
    security(("bearer" = []))
)]
pub async fn check_name(
    State(app): State<App>,
    Actor(caller): Actor,
    Json(request): Json<NameCheckRequest>,
) -> Result<Json<NameCheck>> {
    app.auth.name_checks.take(caller.user_id)?;
    let account = app.db.account(request.account_number).await?;
    // A closed account takes no money, so that nobody's name belongs to it.
    let account = account.filter(|account| account.status != AccountStatus::Closed);
    let owner = match account.and_then(|account| account.owner_id) {
        Some(id) => app.db.user(id).await?.filter(|user| user.name_check),
        None => None,
    };
    let likeness = owner.as_ref().map_or(Likeness::None, |owner| compare(request.name.as_str(), &owner.name));
    let (result, name) = match likeness {
        Likeness::Match => (NameCheckResult::Match, None),
        Likeness::Close => (NameCheckResult::CloseMatch, owner.map(|owner| owner.name)),
        Likeness::None => (NameCheckResult::NoMatch, None),
    };
    Ok(Json(NameCheck { result, name }))
}
