//! For those who work at the bank: looking people up, freezing, roles.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Admin, Caller, Proven, Reader, Staff};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields::UserId;
use crate::api::http::page::{self, Limit, Page};
use crate::api::money::accounts::{self, ACCOUNT_NUMBER, AccountBody};
use crate::api::money::approvals::done_or_waiting;
use crate::api::people::access_changes::{self, Admins};
use crate::api::people::proof;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::{Account, AccountStatus};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::by_name::read_by_name;
use coffer_core::db::Tx;
use coffer_core::db::access_changes::AccessChangeKind;
use coffer_core::db::users::{Role, User, UserFilter, UserStatus};
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::{Reason, UserSearch};
use coffer_core::timestamp::Timestamp;

/// How many requests a search costs beside itself: it reads every user.
const SEARCH_COST: u32 = 20;

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// Part of a name or an address, whatever its case and accents, or the number of an account for its owner.
    #[param(inline, example = "ada")]
    search: Option<UserSearch>,
    /// Only users with this role; all if left out.
    role: Option<Role>,
    /// How many users, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// The role that a user gets.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "staff"}))]
pub struct RoleRequest {
    role: Role,
}

/// The status that a user gets, and why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "frozen", "reason": "Card and phone stolen"}))]
pub struct UserStatusRequest {
    status: UserStatus,
    /// For the audit log, up to 140 characters.
    #[schema(example = "Card and phone stolen")]
    reason: Option<Reason>,
}

/// The status that staff may give an account. `open`: it takes movements. `frozen`: it takes none.
/// `DELETE /accounts/{account_number}` closes an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
pub enum FreezeStatus {
    Open,
    Frozen,
}

read_by_name!(FreezeStatus);

/// The status that an account gets, and why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "frozen", "reason": "Court order 12/2026"}))]
pub struct AccountStatusRequest {
    status: FreezeStatus,
    /// For the audit log, up to 140 characters.
    #[schema(example = "Court order 12/2026")]
    reason: Option<Reason>,
}

/// Look people up
///
/// The newest first. `GET /accounts?owner_id=` lists what they have.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "list_users",
    tag = "Staff",
    params(UsersQuery),
    responses(
        (status = OK, description = "A page of users", body = Page<User>),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    Reader(caller): Reader,
    Query(query): Query<UsersQuery>,
) -> Result<Json<Page<User>>> {
    let limit = query.limit.unwrap_or_default().rows();
    let before = query.cursor.map(Cursor::id);
    if query.search.is_some() {
        app.auth.requests.take_many(caller.user_id, SEARCH_COST)?;
    }
    let search = query.search.map(|search| search.folded()).unwrap_or_default();
    let account_number = AccountNumber::from_typed(&search);
    let look = context.event(Action::UsersListed).detail(describe(&search, query.role));
    let filter = UserFilter { search, account_number, role: query.role, before };
    let users = app.db.users(&filter, i64::from(limit) + 1).await?;

    let (data, next_cursor) = page::cut(users, limit, |user| Cursor::at_id(user.id));
    let others = data.iter().map(|user| user.id).filter(|id| *id != caller.user_id);
    app.viewed(others.fold(look, Event::about))?;
    Ok(Json(Page::new(data, next_cursor)))
}

/// Show somebody's profile
///
/// For staff, admins and auditors, on record.
#[utoipa::path(
    get,
    path = "/users/{user_id}",
    operation_id = "show_user",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The profile", body = User),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    Reader(caller): Reader,
    PathParam(UserId(id)): PathParam<UserId>,
) -> Result<Json<User>> {
    let user = app.db.user(id).await?.ok_or_else(Error::user_not_found)?;
    if id == caller.user_id {
        context.set_on_record();
    } else {
        app.viewed(context.event(Action::UserViewed).on(id))?;
    }
    Ok(Json(user))
}

/// The search terms, for the audit log.
pub fn describe(search: &str, role: Option<Role>) -> String {
    let role = role.map(|role| format!("role {}", role.name()));
    let search = (!search.is_empty()).then(|| format!("search {search}"));
    let parts: Vec<String> = [search, role].into_iter().flatten().collect();
    if parts.is_empty() { "everybody".to_owned() } else { parts.join(", ") }
}

/// Give somebody a role
///
/// Counts from their next request on; on other instances within a second. At a bank with an approval amount a second admin
/// must approve it first: then the answer is 202.
#[utoipa::path(
    put,
    path = "/users/{user_id}/role",
    operation_id = "set_role",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    request_body(content = RoleRequest, description = "The new role of the user"),
    responses(
        (status = OK, description = "Given", body = UserChange),
        (status = ACCEPTED, description = "Waits until another admin approves it: the user as before", body = UserChange,
         headers(("Location" = String, description = "The approval"))),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins, and not for oneself"),
        (status = NOT_FOUND, description = "No such user"),
        (status = CONFLICT, description = "It would take the role from the last admin, or another change of this person's access waits"),
    ),
    security(("bearer" = []))
)]
pub async fn set_role(
    State(app): State<App>,
    context: RequestContext,
    Proven(Admin(caller)): Proven<Admin>,
    PathParam(UserId(id)): PathParam<UserId>,
    Json(request): Json<RoleRequest>,
) -> Result<UserChange> {
    let mut tx = app.db.begin().await?;
    let admins = Admins::lock(&mut tx, caller).await?;
    let user = lock_somebody_else(&mut tx, caller, id).await?;
    if user.role == request.role {
        return Ok(UserChange::done(user));
    }
    if app.approval_above.is_some() {
        let kind = AccessChangeKind::RoleChange;
        let change = access_changes::ask_for(&app, tx, &context, caller, user.id, kind, Some(request.role)).await?;
        return Ok(UserChange { user, approval_id: Some(change.id) });
    }
    access_changes::refuse_while_another_waits(&mut tx, user.id).await?;
    let (user, changed_at) =
        access_changes::set_role(&mut tx, &context, &admins, user, request.role, Vec::new()).await?;
    tx.commit().await?;
    app.auth.standings.set(id, user.standing(), changed_at);
    Ok(UserChange::done(user))
}

/// Freeze or release somebody
///
/// A frozen user may look and sign out, but change nothing. Staff freeze customers, admins anybody but themselves. Whom an
/// admin has frozen, only an admin releases.
#[utoipa::path(
    put,
    path = "/users/{user_id}/status",
    operation_id = "set_user_status",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    request_body(content = UserStatusRequest, description = "`frozen` or `active`, with a reason for the audit log"),
    responses(
        (status = OK, description = "Done", body = User),
        (status = FORBIDDEN, description = "For staff and admins, and not for oneself"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn set_user_status(
    State(app): State<App>,
    context: RequestContext,
    Staff(caller): Staff,
    PathParam(UserId(id)): PathParam<UserId>,
    Json(request): Json<UserStatusRequest>,
) -> Result<Json<User>> {
    let is_admin = caller.role == Role::Admin;
    let mut tx = app.db.begin().await?;
    let admins = if is_admin { Some(Admins::lock(&mut tx, caller).await?) } else { None };
    let mut user = lock_somebody_else(&mut tx, caller, id).await?;
    if user.role != Role::Customer && caller.role != Role::Admin {
        return Err(Error::forbidden(
            ProblemCode::RoleRequired,
            "Only an admin freezes or releases those who work at the bank.",
        ));
    }
    if user.role != Role::Customer {
        // It takes their powers away.
        caller.refuse_without_recent_proof()?;
    }
    let was_frozen_by_admin = tx.is_frozen_by_admin(id).await?;
    let is_to_freeze = request.status == UserStatus::Frozen;
    if was_frozen_by_admin && !is_admin && !is_to_freeze {
        return Err(frozen_by_admin());
    }
    if let (Some(admins), true) = (&admins, is_to_freeze) {
        admins.refuse_to_lose(id)?;
    }
    let is_frozen_by_admin = is_to_freeze && (is_admin || was_frozen_by_admin);
    if user.status != request.status || was_frozen_by_admin != is_frozen_by_admin {
        user.status = request.status;
        tx.set_frozen_by_admin(id, is_frozen_by_admin).await?;
        let changed_at = tx.set_standing(id, user.standing(), Timestamp::now()).await?;
        let action = if user.standing().frozen { Action::UserFrozen } else { Action::UserReleased };
        tx.append_to_audit_log(&[context.event(action).on(id).with_reason(request.reason)]).await?;
        tx.commit().await?;
        app.auth.standings.set(id, user.standing(), changed_at);
    }
    Ok(Json(user))
}

/// End somebody's sessions
///
/// All of them: they must sign in again everywhere.
#[utoipa::path(
    delete,
    path = "/users/{user_id}/sessions",
    operation_id = "end_sessions_of_user",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = NO_CONTENT, description = "Ended"),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such user"),
    ),
    security(("bearer" = []))
)]
pub async fn end_sessions(
    State(app): State<App>,
    context: RequestContext,
    _: Proven<Admin>,
    PathParam(UserId(id)): PathParam<UserId>,
) -> Result<StatusCode> {
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    tx.lock_user(id).await?.ok_or_else(Error::user_not_found)?;
    let ended = tx.end_sessions_of(id, None, now).await?;
    tx.append_to_audit_log(&[context.event(Action::SessionsEnded).on(id)]).await?;
    tx.commit().await?;
    app.auth.ended_sessions.add(ended, now);
    Ok(StatusCode::NO_CONTENT)
}

/// Freeze or release an account
///
/// No money moves on a frozen account, in or out. What an admin has frozen, only an admin releases.
#[utoipa::path(
    put,
    path = "/accounts/{account_number}/status",
    operation_id = "set_account_status",
    tag = "Staff",
    params((
        "account_number" = String,
        Path,
        description = ACCOUNT_NUMBER,
        pattern = "^[1-9][0-9]{13}$",
        example = "10000000000180",
    )),
    request_body(content = AccountStatusRequest, description = "`frozen` or `open`, with a reason for the audit log"),
    responses(
        (status = OK, description = "Done", body = AccountBody),
        (status = FORBIDDEN, description = "For staff and admins, and not for their own accounts"),
        (status = NOT_FOUND, description = "No such account"),
        (status = CONFLICT, description = "The account is closed"),
    ),
    security(("bearer" = []))
)]
pub async fn set_account_status(
    State(app): State<App>,
    context: RequestContext,
    Staff(caller): Staff,
    PathParam(number): PathParam<AccountNumber>,
    Json(request): Json<AccountStatusRequest>,
) -> Result<Json<AccountBody>> {
    let (status, action, kind) = match request.status {
        FreezeStatus::Frozen => (AccountStatus::Frozen, Action::AccountFrozen, EventKind::AccountFrozen),
        FreezeStatus::Open => (AccountStatus::Open, Action::AccountReleased, EventKind::AccountReleased),
    };
    let mut tx = app.db.begin().await?;
    let account: Account = tx.lock_account(number).await?.ok_or_else(Error::account_not_found)?;
    if account.owner_id == Some(caller.user_id) {
        return Err(not_for_oneself());
    }
    if account.status == AccountStatus::Closed {
        return Err(Error::conflict(ProblemCode::AccountClosed, "The account is closed: there is nothing to freeze."));
    }
    let is_admin = caller.role == Role::Admin;
    let is_to_freeze = status == AccountStatus::Frozen;
    let was_frozen_by_admin = tx.account_is_frozen_by_admin(number).await?;
    if was_frozen_by_admin && !is_admin && !is_to_freeze {
        return Err(frozen_by_admin());
    }
    let is_frozen_by_admin = is_to_freeze && (is_admin || was_frozen_by_admin);
    if account.status != status || was_frozen_by_admin != is_frozen_by_admin {
        tx.set_account_status(number, status, is_frozen_by_admin).await?;
        let event = context.event(action).on(number).with_reason(request.reason);
        tx.append_to_audit_log(&[accounts::about_owner(event, &account)]).await?;
        app.append_events(&mut tx, &[BankEvent::of_account(kind, number, account.owner_id)]).await?;
        tx.commit().await?;
        app.watches.changed(|| [number]);
    } else {
        tx.rollback().await?;
    }
    let reserved = app.db.reserved_on(number, Timestamp::now()).await?;
    let metadata = app.db.metadata_of(number).await?;
    Ok(Json(AccountBody::from(Account { status, reserved, ..account }).with(metadata)))
}

fn frozen_by_admin() -> Error {
    Error::forbidden(ProblemCode::FrozenByAdmin, "An admin has frozen this: only an admin releases it.")
}

/// The user after a change of their role, or before it while another admin has to approve it.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserChange {
    #[serde(flatten)]
    user: User,
    /// Present while the change waits: the approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    approval_id: Option<Uuid>,
}

impl UserChange {
    fn done(user: User) -> Self {
        Self { user, approval_id: None }
    }
}

impl IntoResponse for UserChange {
    fn into_response(self) -> Response {
        done_or_waiting(self.approval_id, self)
    }
}

pub async fn lock_somebody_else(tx: &mut Tx<'_>, caller: Caller, id: Uuid) -> Result<User> {
    if id == caller.user_id {
        return Err(not_for_oneself());
    }
    tx.lock_user(id).await?.ok_or_else(Error::user_not_found)
}

pub fn not_for_oneself() -> Error {
    Error::forbidden(ProblemCode::NotForOneself, "Nobody does this for themselves: ask somebody else who may.")
}
