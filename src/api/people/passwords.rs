//! Passwords that were lost, or never there: one-time links, from an admin (`POST /users/{user_id}/password_reset`) or by mail
//! (`POST /password_reset`), and setting a password by one (`POST /password_reset/confirm`).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::bank_address::BankAddress;
use crate::api::http::caller::{Caller, Staff};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, MAX_AUTH_BODY_BYTES, PathParam};
use crate::api::http::fields::UserId;
use crate::api::money::approvals::done_or_waiting;
use crate::api::people::access_changes::{self, Admins};
use crate::api::people::email_verification::{MailOnItsWay, mark_verified, refuse_without_mail};
use crate::api::people::staff::lock_somebody_else;
use crate::api::people::users::refuse_own_name;
use crate::api::people::{proof, sessions};
use crate::email::Email;
use coffer_core::auth::api_keys;
use coffer_core::auth::hashing::Purpose;
use coffer_core::auth::password_links::{self, IssueError, LinkToken, Reason};
use coffer_core::auth::passwords::NewPassword;
use coffer_core::books::approval::ApprovalStatus;
use coffer_core::books::audit_event::Action;
use coffer_core::db::Tx;
use coffer_core::db::access_changes::AccessChangeKind;
use coffer_core::db::mailed_links::LinkPurpose;
use coffer_core::db::mails::{MailKind, NewMail};
use coffer_core::db::password_links::PasswordLink;
use coffer_core::db::users::{Role, User};
use coffer_core::limits::network_of;
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// A link by which a user sets a password, or the approval that it waits for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PasswordLink)]
pub struct PasswordLinkBody {
    /// Who sets a password by it.
    user_id: Uuid,
    /// Where they set it, in the web app: hand it over yourself, and to nobody else. Null while it waits for a second admin.
    #[schema(example = "https://bank.example/#/set-password/q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    url: Option<String>,
    /// For `POST /password_reset/confirm`. Null while it waits for a second admin.
    #[schema(example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    token: Option<String>,
    /// It counts once, until then.
    expires_at: Option<Timestamp>,
    /// Present while it waits: the approval. Send the request again once that is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    approval_id: Option<Uuid>,
}

/// The address of somebody who has lost the password.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com"}))]
pub struct RequestResetRequest {
    email: Email,
}

/// The secret of a link, and the password to set.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA", "new_password": "an even longer passphrase"}))]
pub struct ConfirmResetRequest {
    /// The end of the link, behind the last `/`.
    #[schema(value_type = String, max_length = 64, example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    token: SecretString,
    /// 8 to 128 characters, none of the common ones.
    new_password: NewPassword,
}

/// Give somebody a link to set a password
///
/// For who has lost theirs, once the bank knows who they are: it counts once and for an hour, and takes the place of any
/// other. The second factor stays. For admins; at a bank with an approval amount a second admin must approve it first: then the
/// answer is 202, and the request is sent again for the link. To a new customer who has not used theirs, staff give another
/// one by themselves.
#[utoipa::path(
    post,
    path = "/users/{user_id}/password_reset",
    operation_id = "create_password_link",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user's `id`", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The link, which is shown only now", body = PasswordLinkBody),
        (status = ACCEPTED, description = "Waits until another admin approves it", body = PasswordLinkBody,
         headers(("Location" = String, description = "The approval"))),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins, for staff to new customers, and not for oneself"),
        (status = NOT_FOUND, description = "No such user"),
        (status = CONFLICT, description = "The user is a program, or another change of this person's access waits"),
    ),
    security(("bearer" = []))
)]
pub async fn create_link(
    State(app): State<App>,
    context: RequestContext,
    address: BankAddress,
    Staff(caller): Staff,
    PathParam(UserId(id)): PathParam<UserId>,
) -> Result<PasswordLinkBody> {
    let mut tx = app.db.begin().await?;
    let admins = if caller.role == Role::Admin { Some(Admins::lock(&mut tx, caller).await?) } else { None };
    let user = lock_somebody_else(&mut tx, caller, id).await?;
    if user.is_service {
        let detail = "This user is a program: it has API keys, and no password.";
        return Err(Error::conflict(ProblemCode::ServiceUser, detail));
    }
    let last = tx.password_link(id).await?;
    let is_unused = last.is_some_and(|link| link.is_invitation && link.used_at.is_none());
    // Whoever has a role by now is no newcomer any more: staff would take it over.
    let is_invited = is_unused && user.role == Role::Customer;
    if is_invited {
        return issue(&context, tx, &user, Reason::Invited, &address).await;
    }
    if admins.is_none() {
        let detail =
            "This takes the role admin: staff give links to new customers alone, who have had no password yet.";
        return Err(Error::forbidden(ProblemCode::RoleRequired, detail));
    }
    caller.refuse_without_recent_proof()?;
    if app.approval_above.is_some() && !is_approved(&mut tx, caller, id, last).await? {
        let kind = AccessChangeKind::PasswordReset;
        let change = access_changes::ask_for(&app, tx, &context, caller, user.id, kind, None).await?;
        return Ok(PasswordLinkBody::waiting(id, change.id));
    }
    issue(&context, tx, &user, Reason::Lost, &address).await
}

/// Whether a second admin has lately approved that this one makes a link for the user, and none was made since.
async fn is_approved(tx: &mut Tx<'_>, caller: Caller, user_id: Uuid, last: Option<PasswordLink>) -> Result<bool> {
    let since = Timestamp::now().minus(password_links::RESET_LIFETIME);
    let decided = tx.last_password_reset_of(user_id, caller.user_id).await?;
    let approved = decided.filter(|change| change.status == ApprovalStatus::Approved);
    let decided_at = approved.and_then(|change| change.decided_at);
    Ok(decided_at.is_some_and(|at| at > since && last.is_none_or(|link| link.created_at <= at)))
}

async fn issue(
    context: &RequestContext,
    mut tx: Tx<'static>,
    user: &User,
    reason: Reason,
    address: &BankAddress,
) -> Result<PasswordLinkBody> {
    let (link, token) = password_links::issue(&mut tx, user.id, reason).await?;
    tx.append_to_audit_log(&[context.event(Action::PasswordLinkCreated).on(user.id)]).await?;
    tx.commit().await?;
    Ok(PasswordLinkBody::of(link, &token, address))
}

/// Have a link mailed to set a password
///
/// Answers the same, after the same time, whether or not anybody has the address; the rest happens afterwards. The link counts
/// once and for an hour. An address gets three in an hour, quietly. Those who work at the bank are told by mail to ask an admin.
/// Where `GET /bank` says `"mail": false`, nothing is mailed.
#[utoipa::path(
    post,
    path = "/password_reset",
    operation_id = "request_password_reset",
    tag = "Sign in",
    request_body(content = RequestResetRequest, description = "The address that one signs in with"),
    responses(
        (status = ACCEPTED, description = "If somebody has this address, a link is on its way", body = MailOnItsWay),
        (status = NOT_FOUND, description = "This bank sends no mail"),
        (status = TOO_MANY_REQUESTS, description = "Too many links were asked for from this network"),
    )
)]
pub async fn request_reset(
    State(app): State<App>,
    context: RequestContext,
    Json(request): Json<RequestResetRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<(StatusCode, Json<MailOnItsWay>)> {
    let came = Instant::now();
    refuse_without_mail(&app)?;
    app.auth.resets_from.take(network_of(context.address()))?;
    let email = String::from(request.email);
    // Nobody is looked up here. Whether there is such a user, whoever sends the mail finds out.
    if app.auth.resets_to.take(email.clone()).is_ok() {
        let mut tx = app.db.begin().await?;
        let mail = NewMail::to_address(MailKind::PasswordReset, email).detail(context.address().to_string());
        app.send(&mut tx, mail).await?;
        tx.commit().await?;
    }
    // What is being sent for somebody else's request delays this one, perhaps.
    sessions::wait_for_the_next_100_ms(came).await;
    Ok(MailOnItsWay::answer())
}

/// Set a password by a link
///
/// The link counts once. Ends every session; the second factor stays, and a sign-in asks for it. By a link that was mailed the
/// address is verified, and the API keys are revoked that were created before it was, because somebody else may have done so.
#[utoipa::path(
    post,
    path = "/password_reset/confirm",
    operation_id = "confirm_password_reset",
    tag = "Sign in",
    request_body(content = ConfirmResetRequest, description = "What the link has behind its last `/`, and the password to set"),
    responses(
        (status = NO_CONTENT, description = "Set: sign in with it"),
        (status = NOT_FOUND, description = "There is no such link, or it was used or has expired"),
    )
)]
pub async fn confirm_reset(
    State(app): State<App>,
    context: RequestContext,
    Json(request): Json<ConfirmResetRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<StatusCode> {
    let link = LinkToken::from(request.token).hash();
    let now = Timestamp::now();
    // Before anything is hashed, so that nobody has the bank hash for a link that they have made up.
    let user_id = match app.db.user_of_password_link(&link, now).await? {
        Some(user_id) => Some(user_id),
        None => app.db.user_of_mailed_link(&link, LinkPurpose::Password, now).await?,
    };
    let user_id = user_id.ok_or_else(link_not_found)?;
    let user = app.db.user(user_id).await?.ok_or_else(link_not_found)?;
    refuse_own_name("/new_password", &request.new_password, &user.name, &user.email)?;
    let password_hash = app.auth.passwords.hash(request.new_password.into(), &context.asker(Purpose::Proof)).await?;

    let mut tx = app.db.begin().await?;
    let user = tx.lock_user(user_id).await?.ok_or_else(link_not_found)?;
    let is_mailed = tx.use_mailed_link(&link, LinkPurpose::Password, &user.email, now).await?;
    if !is_mailed && !tx.use_password_link(&link, now).await? {
        return Err(link_not_found());
    }
    tx.end_password_links(user_id, now).await?;
    tx.update_password(user_id, &password_hash).await?;
    tx.reset_wrong_guesses(user_id).await?;
    // Somebody who knew the former password may have begun it, and still have the secret.
    tx.delete_pending_second_factor_of(user_id).await?;
    let ended = tx.end_sessions_of(user_id, None, now).await?;
    tx.append_to_audit_log(&[context.event(Action::PasswordReset).by(user_id).on(user_id)]).await?;
    let revoked = if is_mailed { take_over(&context, &mut tx, &user, now).await? } else { Vec::new() };
    app.send(&mut tx, NewMail::to_user(MailKind::PasswordChanged, user_id)).await?;
    tx.commit().await?;
    app.auth.ended_sessions.add(ended, now);
    app.auth.api_keys.drop_changed(&revoked);
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever reads the mail of an address has it now. Before it was verified anybody may have signed up with it, and wait with a
/// key for what its owner pays in. Returns the keys that were revoked.
async fn take_over(context: &RequestContext, tx: &mut Tx<'_>, user: &User, now: Timestamp) -> Result<Vec<Uuid>> {
    if user.email_verified_at.is_none() {
        mark_verified(context, tx, user, now).await?;
    }
    let event = || context.event(Action::ApiKeyRevoked).by(user.id).detail("before the address was verified");
    let mut revoked = Vec::new();
    for id in tx.api_keys_made_before(user.id, user.email_verified_at.unwrap_or(now)).await? {
        revoked.extend(api_keys::revoke(tx, user.id, Some(id), event).await?);
    }
    Ok(revoked)
}

fn link_not_found() -> Error {
    let detail = "There is no such link, or it was used or has expired: ask the bank for another one.";
    Error::not_found(ProblemCode::PasswordLinkNotFound, detail)
}

impl PasswordLinkBody {
    pub fn of(link: PasswordLink, token: &LinkToken, BankAddress(address): &BankAddress) -> Self {
        Self {
            user_id: link.user_id,
            url: Some(format!("{}{}", address.as_deref().unwrap_or_default(), token.path())),
            token: Some(token.expose().to_owned()),
            expires_at: Some(link.expires_at),
            approval_id: None,
        }
    }

    fn waiting(user_id: Uuid, approval_id: Uuid) -> Self {
        Self { user_id, url: None, token: None, expires_at: None, approval_id: Some(approval_id) }
    }
}

impl IntoResponse for PasswordLinkBody {
    fn into_response(self) -> Response {
        done_or_waiting(self.approval_id, self)
    }
}

impl From<IssueError> for Error {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::NoRandomNumbers(error) => sessions::no_random_numbers(error),
            IssueError::Database(error) => error.into(),
        }
    }
}
