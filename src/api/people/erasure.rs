//! Erasing people (GDPR, Article 17): `POST /users/{user_id}/erase`. What the books need stays: amounts, numbers, times, ids and
//! hashes. The audit log stays as it is, because each hash in it covers the whole record.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::api::App;
use crate::api::http::caller::{Admin, Proven};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam};
use crate::api::http::fields::UserId;
use crate::api::money::approvals::{self, WaitingResponse};
use crate::api::people::access_changes::{self, Admins};
use crate::api::people::users::Left;
use crate::api::people::{proof, staff, users};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::db::Tx;
use coffer_core::db::access_changes::AccessChangeKind;
use coffer_core::db::erasure::Erasure;
use coffer_core::problem_code::ProblemCode;
use coffer_core::request_ids;
use coffer_core::timestamp::Timestamp;

/// How long an answer waits for the texts to be gone: those of some ten thousand movements. The rest goes without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Erase somebody
///
/// For good: nobody brings it back. Closes the user first, if that has not happened, for which every account must be closed. What
/// goes: name, address, password, second factor, where sessions came from, names of API keys, payees, and what others call the
/// accounts as payees; notes; what accounts were called, and what was noted on them; and of movements, holds and approvals on
/// the accounts description, metadata and salt, and the references and groups that the user wrote. What stays: amounts, numbers,
/// times, ids and hashes; the texts of those who sent money to the user, which are theirs; and the audit log. Sent again, the
/// answer is the same. At a bank with an approval amount a second admin must approve it first: then the answer is 202.
#[utoipa::path(
    post,
    path = "/users/{user_id}/erase",
    operation_id = "erase_user",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "Erased; the last texts may take a while, and then `texts_erased_at` is null", body = Erasure),
        WaitingResponse,
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins, and not for themselves"),
        (status = NOT_FOUND, description = "No such user"),
        (status = CONFLICT, description = "An account is not closed yet, it is the last admin, or another change of this person's access waits"),
    ),
    security(("bearer" = []))
)]
pub async fn erase_user(
    State(app): State<App>,
    context: RequestContext,
    Proven(Admin(caller)): Proven<Admin>,
    PathParam(UserId(id)): PathParam<UserId>,
) -> Result<Response> {
    if id == caller.user_id {
        return Err(staff::not_for_oneself());
    }
    let mut tx = app.db.begin().await?;
    let admins = Admins::lock(&mut tx, caller).await?;
    let is_erased = matches!(lock(&mut tx, &admins, id).await?, Person::Erased);
    if !is_erased && app.approval_above.is_some() {
        let change = access_changes::ask_for(&app, tx, &context, caller, id, AccessChangeKind::Erasure, None).await?;
        return Ok(approvals::waiting(change.into()));
    }
    let left = erase(&mut tx, &context, &admins, id, Vec::new()).await?;
    tx.commit().await?;
    left.tell(&app);
    erase_texts(&app, id).await;
    let erasure = app.db.erasure(id).await?;
    let erasure = erasure.ok_or_else(|| Error::Internal(format!("user {id} was erased, and is not")))?;
    Ok(Json(erasure).into_response())
}

/// Somebody who is to be erased, and is locked.
enum Person {
    /// Every account is closed, and nothing else stands against it.
    Active,
    Closed,
    /// They were erased before: there is nothing more to do.
    Erased,
}

/// Fails for somebody who cannot be erased yet.
async fn lock(tx: &mut Tx<'_>, admins: &Admins, id: Uuid) -> Result<Person> {
    if tx.lock_user(id).await?.is_some() {
        admins.refuse_to_lose(id)?;
        if tx.count_open_accounts(id).await? > 0 {
            let detail = "Close their accounts first: DELETE /accounts/{account_number} each, at a balance of zero and with \
                          nothing held. GET /accounts?owner_id= lists them.";
            return Err(Error::conflict(ProblemCode::AccountsOpen, detail));
        }
        return Ok(Person::Active);
    }
    match tx.lock_closed_user(id).await?.ok_or_else(Error::user_not_found)? {
        None => Ok(Person::Closed),
        Some(_) => Ok(Person::Erased),
    }
}

/// Erases somebody within the transaction, but for the texts on their accounts: call [`Left::tell`] and [`erase_texts`] after the
/// commit. `records` are of what led to it.
pub async fn erase(
    tx: &mut Tx<'_>,
    context: &RequestContext,
    admins: &Admins,
    id: Uuid,
    mut records: Vec<Event>,
) -> Result<Left> {
    let now = Timestamp::now();
    let left = match lock(tx, admins, id).await? {
        Person::Active => users::close(tx, context, id).await?,
        Person::Closed => Left::earlier(now),
        Person::Erased => {
            tx.append_to_audit_log(&records).await?;
            return Ok(Left::earlier(now));
        }
    };
    tx.erase_person(id, now).await?;
    records.push(context.event(Action::UserErased).on(id));
    tx.append_to_audit_log(&records).await?;
    Ok(left)
}

/// Erases the texts on the accounts of somebody who was erased. What takes too long, or fails, goes on without the caller:
/// housekeeping comes back to it.
pub async fn erase_texts(app: &App, id: Uuid) {
    let db = app.db.clone();
    let erasing = request_ids::spawn(async move {
        if let Err(error) = db.erase_texts_of(id).await {
            tracing::warn!(user = %id, %error, "the texts of somebody who was erased are not all gone; it is tried again");
        }
    });
    let _ = tokio::time::timeout(PATIENCE, erasing).await;
}
