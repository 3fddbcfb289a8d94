//! Showing that mail to one's address arrives: `POST /email_verification` and `POST /me/email_verification`.

use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, MAX_AUTH_BODY_BYTES};
use crate::api::people::users::{callers_user, lock_caller};
use coffer_core::auth::password_links::LinkToken;
use coffer_core::books::audit_event::Action;
use coffer_core::db::Tx;
use coffer_core::db::mailed_links::LinkPurpose;
use coffer_core::db::mails::{MailKind, NewMail};
use coffer_core::db::users::User;
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// The secret of a link.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"}))]
pub struct VerifyEmailRequest {
    /// The end of the link, behind the last `/`.
    #[schema(value_type = String, max_length = 64, example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    token: SecretString,
}

/// The answer to whoever has asked for a link: it comes by mail.
#[derive(Debug, Serialize, ToSchema)]
pub struct MailOnItsWay {
    /// Always `on_its_way`.
    #[schema(value_type = String, example = "on_its_way")]
    status: &'static str,
}

impl MailOnItsWay {
    pub fn answer() -> (StatusCode, Json<Self>) {
        (StatusCode::ACCEPTED, Json(Self { status: "on_its_way" }))
    }
}

/// Verify an address by a link
///
/// The link was mailed to it, counts once and for a day, and only while the address is the user's.
#[utoipa::path(
    post,
    path = "/email_verification",
    operation_id = "verify_email",
    tag = "Sign in",
    request_body(content = VerifyEmailRequest, description = "What the link has behind its last `/`"),
    responses(
        (status = NO_CONTENT, description = "Verified"),
        (status = NOT_FOUND, description = "There is no such link, or it was used or has expired, or the address has changed"),
    )
)]
pub async fn verify(
    State(app): State<App>,
    context: RequestContext,
    Json(request): Json<VerifyEmailRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<StatusCode> {
    let link = LinkToken::from(request.token).hash();
    let now = Timestamp::now();
    let user_id = app.db.user_of_mailed_link(&link, LinkPurpose::Address, now).await?.ok_or_else(link_not_found)?;
    let mut tx = app.db.begin().await?;
    let user = tx.lock_user(user_id).await?.ok_or_else(link_not_found)?;
    if !tx.use_mailed_link(&link, LinkPurpose::Address, &user.email, now).await? {
        return Err(link_not_found());
    }
    mark_verified(&context, &mut tx, &user, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Have another link mailed
///
/// To the caller's address, which is verified by it. Three in an hour.
#[utoipa::path(
    post,
    path = "/me/email_verification",
    operation_id = "send_email_verification",
    tag = "Profile",
    responses(
        (status = ACCEPTED, description = "On its way", body = MailOnItsWay),
        (status = NOT_FOUND, description = "This bank sends no mail"),
        (status = CONFLICT, description = "The address is verified already"),
        (status = TOO_MANY_REQUESTS, description = "Too many in an hour"),
    ),
    security(("bearer" = []))
)]
pub async fn send(State(app): State<App>, caller: Caller) -> Result<(StatusCode, Json<MailOnItsWay>)> {
    caller.refuse_if_frozen()?;
    refuse_without_mail(&app)?;
    if callers_user(&app, caller).await?.email_verified_at.is_some() {
        return Err(Error::conflict(ProblemCode::EmailVerified, "Your address is verified already."));
    }
    app.auth.address_checks.take(caller.user_id)?;
    let mut tx = app.db.begin().await?;
    let user = lock_caller(&mut tx, caller).await?;
    app.send(&mut tx, NewMail::to_user(MailKind::AddressCheck, user.id)).await?;
    tx.commit().await?;
    Ok(MailOnItsWay::answer())
}

/// Has a link mailed to an address that is new. Quietly none where somebody changes theirs over and over: mail is nobody's
/// means to pester others.
pub async fn send_to_new_address(app: &App, tx: &mut Tx<'_>, user: &User) -> Result<()> {
    if app.auth.address_checks.take(user.id).is_ok() {
        app.send(tx, NewMail::to_user(MailKind::AddressCheck, user.id)).await?;
    }
    Ok(())
}

/// The user has shown that mail to their address arrives. The user must be locked.
pub async fn mark_verified(context: &RequestContext, tx: &mut Tx<'_>, user: &User, now: Timestamp) -> Result<()> {
    tx.verify_email(user.id, now).await?;
    tx.end_mailed_links(user.id, LinkPurpose::Address, now).await?;
    tx.append_to_audit_log(&[context.event(Action::AddressVerified).by(user.id).on(user.id)]).await?;
    Ok(())
}

pub fn refuse_without_mail(app: &App) -> Result<()> {
    if app.sends_mail {
        return Ok(());
    }
    let detail =
        "This bank sends no mail. Who has lost the password asks its staff: an admin gives a link to set another one.";
    Err(Error::not_found(ProblemCode::MailNotSetUp, detail))
}

fn link_not_found() -> Error {
    let detail = "There is no such link, or it was used or has expired, or the address has changed since. Sign in, and have \
                  another one sent.";
    Error::not_found(ProblemCode::VerificationLinkNotFound, detail)
}
