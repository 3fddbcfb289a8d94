//! API keys: `/me/api_keys`, by which people let programs call in their name, and `/users/{user_id}/api_keys` for those who
//! oversee them. What a key may do is in [`coffer_core::api_key`]; what it reaches, in `api/router.rs`.

use std::collections::HashSet;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::api::App;
use crate::api::http::caller::{Admin, Caller, Overseer, Proven};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields::{ApiKeyId, UserId, WholeUnits};
use crate::api::http::page::{self, Limit, Page};
use crate::api::people::{proof, users};
use coffer_core::account_number::AccountNumber;
use coffer_core::api_key::{MAX_ACCOUNTS, MAX_LIVING, MAX_NETWORKS, Network, Networks, Scope, Scopes};
use coffer_core::auth::api_keys::{self, ApiKeyError, DEFAULT_OVERLAP, MAX_OVERLAP, NewApiKey, Uncommitted};
use coffer_core::books::audit_event::Action;
use coffer_core::db::api_keys::ApiKey;
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::ApiKeyName;
use coffer_core::timestamp::Timestamp;

/// What the key is for, and how far it reaches.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Web shop", "scopes": ["read", "move"], "per_day": "500"}))]
pub struct CreateApiKeyRequest {
    /// By which you tell it from your other keys, up to 100 characters.
    #[schema(example = "Web shop")]
    name: ApiKeyName,
    /// How far it reaches.
    #[validate(custom(function = some_scopes))]
    #[schema(min_items = 1, max_items = 3, example = json!(["read", "move"]))]
    scopes: Vec<Scope>,
    /// The only accounts that it is for, of your own; any if left out. Not beside the scope `staff`.
    #[validate(custom(function = some_accounts))]
    #[schema(min_items = 1, max_items = 10)]
    accounts: Option<Vec<AccountNumber>>,
    /// The most that it moves within 24 hours, in whole units of each currency; any amount if left out.
    #[schema(example = "500")]
    per_day: Option<WholeUnits>,
    /// The only networks that it calls from; any if left out.
    #[validate(custom(function = some_networks))]
    #[schema(min_items = 1, max_items = 10)]
    networks: Option<Vec<Network>>,
    /// When it stops counting; never if left out.
    expires_at: Option<Timestamp>,
}

/// For how long the former secret still counts.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"overlap_seconds": 86_400}))]
pub struct RotateApiKeyRequest {
    /// Seconds, up to 30 days; a day if left out. 0 ends it at once.
    #[validate(custom(function = overlap))]
    #[schema(minimum = 0, maximum = 2_592_000, example = 86_400)]
    overlap_seconds: Option<u64>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyBody {
    /// The id of the key, which rotations leave as it is.
    id: Uuid,
    /// By which its owner tells it from others.
    #[schema(example = "Web shop")]
    name: String,
    /// The last characters of its secret.
    #[schema(example = "9f3c")]
    hint: String,
    /// How far it reaches.
    #[schema(value_type = Vec<Scope>, example = json!(["read", "move"]))]
    scopes: Scopes,
    /// The only accounts that it is for; null for any.
    accounts: Option<Vec<AccountNumber>>,
    /// The most that it moves within 24 hours, in whole units of each currency; null for any amount.
    per_day: Option<WholeUnits>,
    /// The only networks that it calls from; null for any.
    networks: Option<Vec<Network>>,
    created_at: Timestamp,
    /// When it stops counting; null for never.
    expires_at: Option<Timestamp>,
    /// When it last called, to the minute.
    last_used_at: Option<Timestamp>,
    /// After a rotation: until when the former secret counts, or has counted.
    former_secret_until: Option<Timestamp>,
}

/// A key with its secret, which is shown only now.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewApiKeyBody {
    #[serde(flatten)]
    key: ApiKeyBody,
    /// Send it as `Authorization: Bearer <api_key>`. The bank stores its hash alone, so nobody can show it again.
    #[schema(example = "coffer_51c3b9e07f0ad84b2f6b7f0c6a1de9cbb1f4a3d2e5c60798a1b2c3d4e5f69f3c")]
    api_key: String,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApiKeysQuery {
    /// How many keys, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// Create an API key
///
/// By it a program calls in your name: it may do what your role allows today, as far as the scopes and bounds of the key
/// reach. No key manages keys, passwords, second factors, sessions or roles, nor decides what waits for approval.
#[utoipa::path(
    post,
    path = "/me/api_keys",
    operation_id = "create_api_key",
    tag = "API keys",
    request_body(content = CreateApiKeyRequest, description = "Its name, its scopes, and what bounds it"),
    responses(
        (status = CREATED, description = "Created; the secret is shown only now", body = NewApiKeyBody,
         headers(("Location" = String, description = "The key"))),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = CONFLICT, description = "The caller has as many keys as one may have"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    context: RequestContext,
    Proven(caller): Proven<Caller>,
    Json(request): Json<CreateApiKeyRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<NewApiKeyBody>)> {
    refuse_who_may_change_nothing(caller)?;
    let new = NewApiKey {
        name: request.name,
        scopes: Scopes::of(&request.scopes).ok_or_else(|| Error::Internal("a key without scopes".to_owned()))?,
        accounts: request.accounts.map(each_once),
        per_day: request.per_day.map(|WholeUnits(units)| units),
        networks: Networks(request.networks.unwrap_or_default()),
        expires_at: request.expires_at,
    };
    let created = new.create(&app.db, caller.user_id, context.event(Action::ApiKeyCreated)).await?;
    let location = [(LOCATION, format!("/me/api_keys/{}", created.key.id))];
    Ok((StatusCode::CREATED, location, Json(commit(created).await?)))
}

/// List the caller's API keys
///
/// Those that count, the newest first. No secret is among what is shown.
#[utoipa::path(
    get,
    path = "/me/api_keys",
    operation_id = "list_api_keys",
    tag = "API keys",
    params(ApiKeysQuery),
    responses((status = OK, description = "A page of keys, newest first", body = Page<ApiKeyBody>)),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ApiKeysQuery>,
) -> Result<Json<Page<ApiKeyBody>>> {
    page_of(&app, caller.user_id, query).await
}

/// Show an API key
///
/// What it may do, and when it was used last.
#[utoipa::path(
    get,
    path = "/me/api_keys/{id}",
    operation_id = "show_api_key",
    tag = "API keys",
    params(("id" = Uuid, Path, description = "The key", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The key", body = ApiKeyBody),
        (status = NOT_FOUND, description = "No such key of the caller's that counts"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    PathParam(ApiKeyId(id)): PathParam<ApiKeyId>,
) -> Result<Json<ApiKeyBody>> {
    let key = app.db.api_key(id, caller.user_id, Timestamp::now()).await?.ok_or_else(not_found)?;
    Ok(Json(key.into()))
}

/// Give an API key another secret
///
/// The former one still counts for a while, so that nothing stands still until every program has the new one.
#[utoipa::path(
    post,
    path = "/me/api_keys/{id}/rotate",
    operation_id = "rotate_api_key",
    tag = "API keys",
    params(("id" = Uuid, Path, description = "The key", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    request_body(content = RotateApiKeyRequest, description = "For how long the former secret counts; `{}` for a day"),
    responses(
        (status = OK, description = "Rotated; the new secret is shown only now", body = NewApiKeyBody),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = NOT_FOUND, description = "No such key of the caller's that counts"),
    ),
    security(("bearer" = []))
)]
pub async fn rotate(
    State(app): State<App>,
    context: RequestContext,
    Proven(caller): Proven<Caller>,
    PathParam(ApiKeyId(id)): PathParam<ApiKeyId>,
    Json(request): Json<RotateApiKeyRequest>,
) -> Result<Json<NewApiKeyBody>> {
    refuse_who_may_change_nothing(caller)?;
    let overlap = request.overlap_seconds.map_or(DEFAULT_OVERLAP, Duration::from_secs);
    let event = context.event(Action::ApiKeyRotated);
    let rotated = api_keys::rotate(&app.db, caller.user_id, id, overlap, event).await?;
    let body = commit(rotated).await?;
    app.auth.api_keys.drop_changed(&[id]);
    Ok(Json(body))
}

/// Revoke an API key
///
/// It counts no more from the next request on, on other instances within a second.
#[utoipa::path(
    delete,
    path = "/me/api_keys/{id}",
    operation_id = "revoke_api_key",
    tag = "API keys",
    params(("id" = Uuid, Path, description = "The key", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = NO_CONTENT, description = "Revoked"),
        (status = NOT_FOUND, description = "No such key of the caller's that counts"),
    ),
    security(("bearer" = []))
)]
pub async fn revoke(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    PathParam(ApiKeyId(id)): PathParam<ApiKeyId>,
) -> Result<StatusCode> {
    match revoke_and_drop(&app, &context, caller.user_id, Some(id)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(not_found()),
    }
}

/// List somebody's API keys
///
/// For admins and auditors, on record.
#[utoipa::path(
    get,
    path = "/users/{user_id}/api_keys",
    operation_id = "list_api_keys_of_user",
    tag = "Staff",
    params(
        ("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        ApiKeysQuery,
    ),
    responses(
        (status = OK, description = "A page of keys, newest first", body = Page<ApiKeyBody>),
        (status = FORBIDDEN, description = "For admins and auditors"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn list_of_user(
    State(app): State<App>,
    context: RequestContext,
    _: Overseer,
    PathParam(UserId(id)): PathParam<UserId>,
    Query(query): Query<ApiKeysQuery>,
) -> Result<Json<Page<ApiKeyBody>>> {
    app.db.user(id).await?.ok_or_else(Error::user_not_found)?;
    app.viewed(context.event(Action::ApiKeysListed).on(id))?;
    page_of(&app, id, query).await
}

/// Revoke somebody's API keys
///
/// All of them: what calls by one is refused from the next request on, on other instances within a second.
#[utoipa::path(
    delete,
    path = "/users/{user_id}/api_keys",
    operation_id = "revoke_api_keys_of_user",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = NO_CONTENT, description = "Revoked"),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn revoke_of_user(
    State(app): State<App>,
    context: RequestContext,
    _: Proven<Admin>,
    PathParam(UserId(id)): PathParam<UserId>,
) -> Result<StatusCode> {
    app.db.user(id).await?.ok_or_else(Error::user_not_found)?;
    revoke_and_drop(&app, &context, id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn page_of(app: &App, user_id: Uuid, query: ApiKeysQuery) -> Result<Json<Page<ApiKeyBody>>> {
    let limit = query.limit.unwrap_or_default().rows();
    let before = query.cursor.map(Cursor::id);
    let keys = app.db.api_keys_of(user_id, before, i64::from(limit) + 1, Timestamp::now()).await?;
    let (keys, next_cursor) = page::cut(keys, limit, |key| Cursor::at_id(key.id));
    Ok(Json(Page::new(keys.into_iter().map(ApiKeyBody::from).collect(), next_cursor)))
}

async fn commit(Uncommitted { tx, key, secret }: Uncommitted) -> Result<NewApiKeyBody> {
    tx.commit().await?;
    Ok(NewApiKeyBody { key: key.into(), api_key: secret.expose().to_owned() })
}

/// Whether there was one to revoke.
async fn revoke_and_drop(app: &App, context: &RequestContext, user_id: Uuid, id: Option<Uuid>) -> Result<bool> {
    let mut tx = app.db.begin().await?;
    let revoked = api_keys::revoke(&mut tx, user_id, id, || context.event(Action::ApiKeyRevoked)).await?;
    tx.commit().await?;
    app.auth.api_keys.drop_changed(&revoked);
    Ok(!revoked.is_empty())
}

/// Auditors may have keys, which read; a frozen user gets none.
fn refuse_who_may_change_nothing(caller: Caller) -> Result<()> {
    caller.refuse_if_frozen()?;
    caller.refuse_if_lacking()
}

fn not_found() -> Error {
    Error::not_found(ProblemCode::ApiKeyNotFound, "You have no such key that counts; GET /me/api_keys lists them.")
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            accounts: key.accounts.are_some().then(|| key.accounts.each().collect()),
            per_day: key.per_day.map(WholeUnits),
            networks: Some(key.networks.0).filter(|networks| !networks.is_empty()),
            id: key.id,
            name: key.name,
            hint: key.hint,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            former_secret_until: key.former_until,
        }
    }
}

impl From<ApiKeyError> for Error {
    fn from(error: ApiKeyError) -> Self {
        let detail = error.to_string();
        match error {
            ApiKeyError::UserHasLeft => users::user_has_left(),
            ApiKeyError::NotFound => not_found(),
            ApiKeyError::ScopeAboveRole => Self::invalid("/scopes", ProblemCode::ScopeAboveRole, detail),
            ApiKeyError::StaffScopeWithAccounts => {
                Self::invalid("/accounts", ProblemCode::StaffScopeWithAccounts, detail)
            }
            ApiKeyError::TooManyAccounts => Self::invalid("/accounts", ProblemCode::ListTooLong, detail),
            ApiKeyError::AccountNotFound { index } => {
                Self::invalid(format!("/accounts/{index}"), ProblemCode::AccountNotFound, detail)
            }
            ApiKeyError::ExpiresInThePast => Self::invalid("/expires_at", ProblemCode::ExpiresInThePast, detail),
            ApiKeyError::TooMany => {
                let detail = format!("You have {MAX_LIVING} API keys, which is the most: revoke one that is not used.");
                Self::client(StatusCode::CONFLICT, ProblemCode::TooManyApiKeys, detail)
            }
            ApiKeyError::NoRandomNumbers(_) => Self::Internal(detail),
            ApiKeyError::Database(error) => error.into(),
        }
    }
}

fn some_scopes(scopes: &[Scope]) -> Result<(), ValidationError> {
    length(scopes.len(), 3, "name at least one of read, move and staff")
}

fn each_once(accounts: Vec<AccountNumber>) -> Vec<AccountNumber> {
    let mut seen = HashSet::new();
    accounts.into_iter().filter(|number| seen.insert(*number)).collect()
}

fn some_accounts(accounts: &[AccountNumber]) -> Result<(), ValidationError> {
    length(accounts.len(), MAX_ACCOUNTS, "name at least one account, or leave it out for any")
}

fn some_networks(networks: &[Network]) -> Result<(), ValidationError> {
    length(networks.len(), MAX_NETWORKS, "name at least one network, or leave it out for any")
}

fn length(length: usize, max: usize, if_empty: &'static str) -> Result<(), ValidationError> {
    let refuse = |code: ProblemCode, detail: String| Err(ValidationError::new(code.name()).with_message(detail.into()));
    match length {
        0 => refuse(ProblemCode::ListEmpty, if_empty.to_owned()),
        _ if length > max => refuse(ProblemCode::ListTooLong, format!("name at most {max}")),
        _ => Ok(()),
    }
}

fn overlap(seconds: u64) -> Result<(), ValidationError> {
    if Duration::from_secs(seconds) <= MAX_OVERLAP {
        return Ok(());
    }
    let detail = format!("send at most {} seconds, which is 30 days", MAX_OVERLAP.as_secs());
    Err(ValidationError::new(ProblemCode::OverlapTooLong.name()).with_message(detail.into()))
}
