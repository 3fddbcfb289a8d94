//! The second factor: `/me/second_factor`, and how a login passes it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Admin, Caller, Proven};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, MAX_AUTH_BODY_BYTES, PathParam};
use crate::api::http::fields::{self, UserId};
use crate::api::money::approvals::{self, WaitingResponse};
use crate::api::people::access_changes::{self, Admins};
use crate::api::people::failed_sign_ins::{self, Failure};
use crate::api::people::proof::{self, Guess};
use crate::api::people::staff;
use crate::api::people::users;
use coffer_core::auth::passwords::Password;
use coffer_core::auth::second_factor::{self, Code, Enrolment};
use coffer_core::books::audit_event::Action;
use coffer_core::db::Tx;
use coffer_core::db::access_changes::AccessChangeKind;
use coffer_core::db::mails::{MailKind, NewMail};
use coffer_core::db::second_factors::SecondFactor;
use coffer_core::db::users::{Role, User};
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// The state of the caller's second factor.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecondFactorStatus {
    /// Whether a login takes a code beside the password.
    enabled: bool,
    /// Whether the caller's role may only be used with a second factor.
    required: bool,
    /// How many recovery codes have not been used yet.
    #[schema(minimum = 0, example = 10)]
    recovery_codes_left: i64,
}

/// The proof that a new second factor requires.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery staple"}))]
pub struct EnrolSecondFactorRequest {
    password: Password,
}

/// What an authenticator app needs. It is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Enrolment)]
pub struct EnrolmentBody {
    /// To be typed into the app, in base 32.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// The same, as a link that opens the app.
    #[schema(
        example = "otpauth://totp/Coffer:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Coffer"
    )]
    otpauth_uri: String,
    /// The same, as a QR code: a picture in SVG.
    #[schema(example = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>")]
    qr_svg: String,
}

/// The proof that the authenticator app has the secret.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "287082"}))]
pub struct ConfirmSecondFactorRequest {
    /// Six digits, as the app shows them.
    #[validate(custom(function = fields::code_length))]
    #[schema(max_length = 64, example = "287082")]
    code: String,
}

/// Codes to sign in with when the authenticator app is lost. They are shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// Ten codes. Each replaces a code of the app once; hyphens, spaces and capitals do not matter.
    #[schema(example = json!(["mfrg-gzdf-mztw-q2lk-nfrg-gzdf"]))]
    recovery_codes: Vec<String>,
}

/// The proof that removing the second factor requires.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery staple", "code": "287082"}))]
pub struct RemoveSecondFactorRequest {
    password: Password,
    /// Six digits of the app, or a recovery code.
    #[validate(custom(function = fields::code_length))]
    #[schema(max_length = 64, example = "287082")]
    code: String,
}

/// See whether there is a second factor
///
/// And how many recovery codes are left.
#[utoipa::path(
    get,
    path = "/me/second_factor",
    operation_id = "show_second_factor",
    tag = "Profile",
    responses((status = OK, description = "Whether logins take a code", body = SecondFactorStatus)),
    security(("bearer" = []))
)]
pub async fn show(State(app): State<App>, caller: Caller) -> Result<Json<SecondFactorStatus>> {
    let user = users::callers_user(&app, caller).await?;
    Ok(Json(status_of(&app, &user).await?))
}

pub async fn status_of(app: &App, user: &User) -> Result<SecondFactorStatus> {
    let (enabled, recovery_codes_left) = app.db.second_factor_of(user.id).await?;
    Ok(SecondFactorStatus { enabled, required: is_required(app, user.role), recovery_codes_left })
}

/// Start to use an authenticator app
///
/// Nothing changes until `POST /me/second_factor/confirm` shows that the app has the secret.
#[utoipa::path(
    post,
    path = "/me/second_factor",
    operation_id = "enrol_second_factor",
    tag = "Profile",
    request_body(content = EnrolSecondFactorRequest, description = "The password of the caller"),
    responses(
        (status = OK, description = "Scan the picture with the app, then confirm a code", body = EnrolmentBody),
        (status = FORBIDDEN, description = "The password is wrong"),
        (status = CONFLICT, description = "There is a second factor already"),
    ),
    security(("bearer" = []))
)]
pub async fn enrol(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Json(request): Json<EnrolSecondFactorRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<Json<EnrolmentBody>> {
    caller.refuse_if_frozen()?;
    let user = users::callers_user(&app, caller).await?;
    proof::confirm_password(&app, &context, caller, &user, request.password).await?;
    let secret = second_factor::new_secret().map_err(|error| Error::Internal(error.to_string()))?;
    let enrolment = Enrolment::new(&secret, &user.email);
    let Enrolment { secret: shown, otpauth_uri, qr_svg } =
        enrolment.ok_or_else(|| Error::Internal("no QR code could be made".to_owned()))?;
    let mut tx = app.db.begin().await?;
    proof::still_the_same_password(&users::lock_caller(&mut tx, caller).await?, &user)?;
    let sealed = seal(&app, &mut tx, user.id, &secret).await?;
    if !tx.enrol_second_factor(user.id, &sealed).await? {
        let detail = "There is a second factor already. POST /me/second_factor/remove takes it away.";
        return Err(Error::conflict(ProblemCode::SecondFactorEnabled, detail));
    }
    tx.commit().await?;
    Ok(Json(EnrolmentBody { secret: shown, otpauth_uri, qr_svg }))
}

/// Confirm the authenticator app
///
/// From now on a login takes a code. Ends every other session.
#[utoipa::path(
    post,
    path = "/me/second_factor/confirm",
    operation_id = "confirm_second_factor",
    tag = "Profile",
    request_body(content = ConfirmSecondFactorRequest, description = "The code that the authenticator app shows now"),
    responses(
        (status = OK, description = "Confirmed; keep the recovery codes safe", body = RecoveryCodes),
        (status = FORBIDDEN, description = "The code is wrong"),
        (status = CONFLICT, description = "There is nothing to confirm"),
    ),
    security(("bearer" = []))
)]
pub async fn confirm(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Json(request): Json<ConfirmSecondFactorRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<Json<RecoveryCodes>> {
    caller.refuse_if_frozen()?;
    let codes = second_factor::new_recovery_codes().map_err(|error| Error::Internal(error.to_string()))?;
    let now = Timestamp::now();
    let mut tx = begin_with_code_of(Which::Pending, &app, &context, caller, &request.code).await?;
    tx.confirm_second_factor(caller.user_id, now).await?;
    let standing = tx.standing_has_changed(caller.user_id, now).await?;
    for (_, hash) in &codes {
        tx.insert_recovery_code(caller.user_id, hash).await?;
    }
    tx.confirm_second_factor_of_session(caller.session_id).await?;
    let ended = tx.end_sessions_of(caller.user_id, Some(caller.session_id), now).await?;
    tx.append_to_audit_log(&[context.event(Action::SecondFactorEnabled).on(caller.user_id)]).await?;
    tx.commit().await?;
    app.auth.ended_sessions.add(ended, now);
    app.auth.standings.take_in(standing);
    Ok(Json(RecoveryCodes { recovery_codes: codes.into_iter().map(|(shown, _)| shown).collect() }))
}

/// Stop using a second factor
///
/// Takes password and code. Ends every other session; this one too, if the caller's role takes a second factor.
#[utoipa::path(
    post,
    path = "/me/second_factor/remove",
    operation_id = "remove_second_factor",
    tag = "Profile",
    request_body(content = RemoveSecondFactorRequest, description = "The password of the caller, and a code"),
    responses(
        (status = NO_CONTENT, description = "Removed, with the recovery codes"),
        (status = FORBIDDEN, description = "The password or the code is wrong"),
        (status = CONFLICT, description = "There is none"),
    ),
    security(("bearer" = []))
)]
pub async fn remove(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Json(request): Json<RemoveSecondFactorRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<StatusCode> {
    caller.refuse_if_frozen()?;
    let user = users::callers_user(&app, caller).await?;
    proof::confirm_password(&app, &context, caller, &user, request.password).await?;
    let now = Timestamp::now();
    let mut tx = begin_with_code(&app, &context, caller, &request.code).await?;
    proof::still_the_same_password(&users::lock_caller(&mut tx, caller).await?, &user)?;
    let standing = tx.remove_second_factor(user.id, now).await?.ok_or_else(no_second_factor)?;
    // A role that takes a second factor is not used from a session that has none any more.
    let stays = (!is_required(&app, user.role)).then_some(caller.session_id);
    let ended = tx.end_sessions_of(user.id, stays, now).await?;
    tx.append_to_audit_log(&[context.event(Action::SecondFactorRemoved).on(user.id)]).await?;
    app.send(&mut tx, NewMail::to_user(MailKind::SecondFactorRemoved, user.id)).await?;
    tx.commit().await?;
    app.auth.ended_sessions.add(ended, now);
    app.auth.standings.take_in(standing);
    Ok(StatusCode::NO_CONTENT)
}

/// Take away somebody's second factor
///
/// For those who have lost app and recovery codes, once the bank knows who they are. Ends all of their sessions. At a bank
/// with an approval amount a second admin must approve it first: then the answer is 202.
#[utoipa::path(
    delete,
    path = "/users/{user_id}/second_factor",
    operation_id = "reset_second_factor",
    tag = "Staff",
    params(("user_id" = Uuid, Path, description = "The user", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = NO_CONTENT, description = "Removed; a login takes the password alone"),
        WaitingResponse,
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins, and not for themselves"),
        (status = NOT_FOUND, description = "No such user"),
        (status = CONFLICT, description = "The user has none, or another change of this person's access waits"),
    ),
    security(("bearer" = []))
)]
pub async fn reset(
    State(app): State<App>,
    context: RequestContext,
    Proven(Admin(caller)): Proven<Admin>,
    PathParam(UserId(id)): PathParam<UserId>,
) -> Result<Response> {
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    Admins::lock(&mut tx, caller).await?;
    let user = staff::lock_somebody_else(&mut tx, caller, id).await?;
    // An enrolment that was begun is none yet: nobody is asked for it.
    confirmed(&mut tx, user.id).await?.ok_or_else(no_second_factor)?;
    if app.approval_above.is_some() {
        let kind = AccessChangeKind::SecondFactorReset;
        let change = access_changes::ask_for(&app, tx, &context, caller, user.id, kind, None).await?;
        return Ok(approvals::waiting(change.into()));
    }
    let reset = access_changes::reset_second_factor(&app, &mut tx, &context, &user, Vec::new()).await?;
    tx.commit().await?;
    access_changes::tell_of_reset(&app, reset, now);
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn is_required(app: &App, role: Role) -> bool {
    app.auth.staff_second_factor && role != Role::Customer
}

/// The user's second factor, if a login takes one. The user must be locked.
pub async fn confirmed(tx: &mut Tx<'_>, user_id: Uuid) -> Result<Option<SecondFactor>> {
    Ok(tx.second_factor(user_id).await?.filter(|factor| factor.confirmed_at.is_some()))
}

/// Whether the code completes a sign-in; it is used up with the transaction. Six digits can be guessed, so tries at
/// them are limited for each user, wherever they come from. A recovery code cannot, so it counts even while somebody
/// uses up those tries.
pub async fn check_code_at_sign_in(
    app: &App,
    context: &RequestContext,
    tx: &mut Tx<'_>,
    user_id: Uuid,
    factor: &SecondFactor,
    code: &str,
) -> Result<bool> {
    let (guesses, address, code) = (&app.auth.guesses, context.address(), Code::parse(code));
    let taken = match code {
        Code::OneTime(_) => guesses.take_code(user_id),
        Code::Recovery(_) => guesses.take_recovery_code(user_id, address),
    };
    taken.inspect_err(|_| failed_sign_ins::tell(context, Failure::TooMany))?;
    if !use_code(app, tx, user_id, factor, &code).await? {
        failed_sign_ins::tell(context, Failure::WrongCode);
        app.audit.note(context.event(Action::SecondFactorFailed).by(user_id).on(user_id));
        return Ok(false);
    }
    match code {
        Code::OneTime(_) => guesses.give_back_code(user_id),
        Code::Recovery(_) => guesses.give_back_recovery_code(user_id, address),
    }
    Ok(true)
}

/// Begins a transaction that holds the caller's user, whose code was right and is used up with it.
pub async fn begin_with_code(app: &App, context: &RequestContext, caller: Caller, code: &str) -> Result<Tx<'static>> {
    begin_with_code_of(Which::Confirmed, app, context, caller, code).await
}

/// The second factor that a code belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Confirmed,
    /// One whose enrolment the code is to confirm.
    Pending,
}

async fn begin_with_code_of(
    which: Which,
    app: &App,
    context: &RequestContext,
    caller: Caller,
    code: &str,
) -> Result<Tx<'static>> {
    let guess = Guess::take(app, context, caller).await?;
    let mut tx = app.db.begin().await?;
    match use_code_of(which, app, &mut tx, caller, code).await {
        Ok(true) => {
            guess.was_right(&mut tx).await?;
            Ok(tx)
        }
        Ok(false) => {
            tx.rollback().await?;
            Err(guess.was_wrong(wrong_code(StatusCode::FORBIDDEN)).await)
        }
        Err(error) => {
            tx.rollback().await?;
            guess.give_back().await?;
            Err(error)
        }
    }
}

async fn use_code_of(which: Which, app: &App, tx: &mut Tx<'_>, caller: Caller, code: &str) -> Result<bool> {
    let user = users::lock_caller(tx, caller).await?;
    let factor = tx.second_factor(user.id).await?;
    let factor = match which {
        Which::Confirmed => factor.filter(|factor| factor.confirmed_at.is_some()).ok_or_else(no_second_factor)?,
        Which::Pending => {
            let factor = factor.filter(|factor| factor.confirmed_at.is_none());
            let nothing = "Start with POST /me/second_factor; what is confirmed needs no more.";
            factor.ok_or_else(|| Error::conflict(ProblemCode::NothingToConfirm, nothing))?
        }
    };
    use_code(app, tx, user.id, &factor, &Code::parse(code)).await
}

/// Whether the code is right, and was not used before. Recovery codes count too, once there are any.
async fn use_code(app: &App, tx: &mut Tx<'_>, user_id: Uuid, factor: &SecondFactor, code: &Code) -> Result<bool> {
    let digits = match code {
        Code::Recovery(hash) => return Ok(tx.use_recovery_code(user_id, hash).await?),
        Code::OneTime(digits) => digits,
    };
    let secret: [u8; second_factor::SECRET_BYTES] =
        app.auth.factor_keys.open(user_id, &factor.secret).ok_or_else(|| unreadable(user_id))?;
    match second_factor::step_of(digits, &secret, Timestamp::now()) {
        Some(step) => Ok(tx.use_step(user_id, step).await?),
        None => Ok(false),
    }
}

/// Encrypts with the key that all instances have agreed on. One that does not have it must store nothing that the others cannot
/// read. `owner` is whom or what the secret belongs to.
pub async fn seal(app: &App, tx: &mut Tx<'_>, owner: Uuid, secret: &[u8]) -> Result<Vec<u8>> {
    let keys = &app.auth.factor_keys;
    let key_id = tx.lock_second_factor_key(keys.current_id()).await?;
    let sealed = keys.seal(key_id, owner, secret);
    sealed.map_err(|_| Error::Internal("this instance lacks the COFFER_SECOND_FACTOR_KEY of the others".to_owned()))
}

fn unreadable(user_id: Uuid) -> Error {
    Error::Internal(format!(
        "the second factor of user {user_id} cannot be decrypted: COFFER_SECOND_FACTOR_KEY is not the one of the other \
         instances, or the row was changed; recovery codes count, and `coffer admin reset-second-factor` helps"
    ))
}

/// 401 at sign-in; 403 within a session, where the caller is known and need not sign in again.
pub fn wrong_code(status: StatusCode) -> Error {
    let detail = "The code is wrong, or was used before. Wait for the next one, or send a recovery code.";
    Error::client(status, ProblemCode::InvalidSecondFactor, detail)
}

pub fn no_second_factor() -> Error {
    Error::conflict(ProblemCode::SecondFactorMissing, "There is no second factor.")
}
