//! Showing again who one is: `POST /me/proof`, and what passwords and codes beside a token have in common.
//!
//! Every route that takes one of them beside a token takes a [`Guess`] first. There are ten for each user, on all
//! instances and wherever from; the last one that is wrong ends the session that sent it.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, MAX_AUTH_BODY_BYTES};
use crate::api::http::fields;
use crate::api::people::failed_sign_ins::{self, Failure};
use crate::api::people::sessions::Tokens;
use crate::api::people::{second_factor, users};
use coffer_core::account_number::AccountNumber;
use coffer_core::auth::guesses::MAX_WITHIN_SESSIONS;
use coffer_core::auth::hashing::Purpose;
use coffer_core::auth::passwords::Password;
use coffer_core::auth::tokens::Subject;
use coffer_core::books::audit_event::Action;
use coffer_core::db::Tx;
use coffer_core::db::users::User;
use coffer_core::money::{Amount, Currency, Money};
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// The meaning of 401 for operations behind [`Proven`](crate::api::http::caller::Proven).
pub const REQUIRED: &str = "No access token that counts, or neither password nor code was shown within the last five \
     minutes (`recent_sign_in_required`): `POST /me/proof` takes one";

/// The meaning of 401 for operations that ask for a proof above the customer's own limit.
pub const REQUIRED_ABOVE: &str = "No access token that counts; or the caller's own `confirm_above` is exceeded, and neither \
     password nor code was shown within the last five minutes (`recent_sign_in_required`): `POST /me/proof` takes one";

/// The password or a code: one of them.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery staple"}))]
pub struct ProofRequest {
    password: Option<Password>,
    /// In its place: six digits of the authenticator app, or a recovery code.
    #[validate(custom(function = fields::code_length))]
    #[schema(max_length = 64)]
    code: Option<String>,
}

/// Show password or code again
///
/// For what cannot be taken back, which asks for one of them within the last five minutes. Answers with a new access token
/// that says so; the refresh token stays. The tenth wrong password or code since the last sign-in ends the session.
#[utoipa::path(
    post,
    path = "/me/proof",
    operation_id = "prove",
    tag = "Profile",
    request_body(content = ProofRequest, description = "Either the password or a code, not both"),
    responses(
        (status = OK, description = "Shown; go on with this access token", body = Tokens),
        (status = FORBIDDEN, description = "The password or the code is wrong"),
        (status = CONFLICT, description = "A code was sent, and there is no second factor"),
    ),
    security(("bearer" = []))
)]
pub async fn prove(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Json(request): Json<ProofRequest, MAX_AUTH_BODY_BYTES>,
) -> Result<Json<Tokens>> {
    let mut tx = match (request.password, request.code) {
        (Some(password), None) => {
            let user = users::callers_user(&app, caller).await?;
            confirm_password(&app, &context, caller, &user, password).await?;
            let mut tx = app.db.begin().await?;
            still_the_same_password(&users::lock_caller(&mut tx, caller).await?, &user)?;
            tx
        }
        (None, Some(code)) => second_factor::begin_with_code(&app, &context, caller, &code).await?,
        (None, None) => {
            return Err(Error::invalid(
                "/password",
                ProblemCode::MissingField,
                "send your password, or a code in its place",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "/code",
                ProblemCode::UnknownField,
                "leave it out beside a password: one of them will do",
            ));
        }
    };
    let proven = tx.prove_session(caller.session_id, Timestamp::now()).await?.ok_or_else(session_has_ended)?;
    tx.commit().await?;
    Ok(Json(Tokens::access(&app, Subject::from(&proven))?))
}

/// A guess at password or code, counted before it is checked. If it turns out neither right nor wrong and is not given
/// back, it stays counted: a client that hangs up in between has guessed.
#[must_use]
pub struct Guess<'a> {
    app: &'a App,
    context: &'a RequestContext,
    caller: Caller,
    is_last: bool,
}

impl<'a> Guess<'a> {
    /// Counts a guess. When none is left, a session that has guessed before ends; another is told to sign in again.
    pub async fn take(app: &'a App, context: &'a RequestContext, caller: Caller) -> Result<Self> {
        let mut tx = app.db.begin().await?;
        let (of_user, of_session) = tx.take_guess(caller.user_id, caller.session_id, MAX_WITHIN_SESSIONS).await?;
        match (of_user, of_session) {
            (Some(of_user), Some(of_session)) => {
                tx.commit().await?;
                Ok(Self { app, context, caller, is_last: of_user.max(of_session) >= MAX_WITHIN_SESSIONS })
            }
            (None, Some(1)) => Err(Error::Unauthorized {
                code: ProblemCode::RecentSignInRequired,
                detail: "Somebody has sent too many wrong passwords or codes for you: sign in again with POST /login.",
            }),
            _ => {
                tx.rollback().await?;
                end_session_of_guesser(app, context, caller).await?;
                Err(session_has_ended())
            }
        }
    }

    /// Gives it back, in the transaction of what it was sent for.
    pub async fn was_right(self, tx: &mut Tx<'_>) -> Result<()> {
        Ok(tx.give_back_guess(self.caller.user_id, self.caller.session_id).await?)
    }

    /// Gives it back, because it was not checked.
    pub async fn give_back(self) -> Result<()> {
        let mut tx = self.app.db.begin().await?;
        tx.give_back_guess(self.caller.user_id, self.caller.session_id).await?;
        Ok(tx.commit().await?)
    }

    /// Records it, and ends the session if it was the last. Returns what to answer.
    pub async fn was_wrong(self, answer: Error) -> Error {
        let Self { app, context, caller, is_last } = self;
        failed_sign_ins::tell(context, Failure::WrongProof);
        app.audit.note(context.event(Action::ProofFailed).on(caller.user_id));
        if is_last && let Err(error) = end_session_of_guesser(app, context, caller).await {
            return error;
        }
        answer
    }
}

async fn end_session_of_guesser(app: &App, context: &RequestContext, caller: Caller) -> Result<()> {
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    if tx.end_session(caller.session_id, caller.user_id, now).await? {
        let event = context.event(Action::SessionEnded).on(caller.session_id);
        let detail = format!("{MAX_WITHIN_SESSIONS} wrong passwords or codes");
        tx.append_to_audit_log(&[event.detail(detail)]).await?;
    }
    tx.commit().await?;
    app.auth.ended_sessions.add([caller.session_id], now);
    Ok(())
}

fn session_has_ended() -> Error {
    Error::Unauthorized {
        code: ProblemCode::InvalidToken,
        detail: "The session has ended: there were too many wrong passwords or codes, or somebody has ended it. Sign in \
                 again with POST /login.",
    }
}

/// 403, not 401: the caller is known, and a client must not take this for a token that needs a refresh.
pub async fn confirm_password(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    user: &User,
    password: Password,
) -> Result<()> {
    let guess = Guess::take(app, context, caller).await?;
    let asker = context.asker(Purpose::Proof);
    match app.auth.passwords.verify(password, Some(user.password_hash.clone()), &asker).await {
        Ok(true) => guess.give_back().await,
        Ok(false) => Err(guess.was_wrong(wrong_password()).await),
        // The queue of hashes is full.
        Err(error) => {
            guess.give_back().await?;
            Err(error.into())
        }
    }
}

/// Hashing takes too long to hold a lock meanwhile, so the password is confirmed before: it must not have changed since.
pub fn still_the_same_password(now: &User, confirmed: &User) -> Result<()> {
    if now.password_hash == confirmed.password_hash { Ok(()) } else { Err(wrong_password()) }
}

fn wrong_password() -> Error {
    Error::client(StatusCode::FORBIDDEN, ProblemCode::WrongPassword, "The current password is wrong.")
}

/// Refuses a customer's own movements above the limit that they have set themselves, unless password or code was shown
/// lately. What `debits` take from their accounts counts as one sum for each currency. Asks the database only about those
/// who have set a limit and have not shown anything lately.
pub async fn confirm_amounts(app: &App, caller: Caller, debits: &[(AccountNumber, Amount)]) -> Result<()> {
    let Some(limit) = caller.confirm_above.filter(|_| !caller.recently_proven) else { return Ok(()) };
    let mut sums: Vec<(Currency, i128)> = Vec::new();
    for (number, currency) in app.db.currencies_of(caller.user_id).await? {
        let amounts = debits.iter().filter(|(from, _)| *from == number);
        // The ledger refuses an amount that this currency does not have.
        let minor_units = amounts.filter_map(|(_, amount)| amount.to_money(currency, i64::MAX).ok());
        let sum: i128 = minor_units.map(|money| i128::from(money.minor_units)).sum();
        match sums.iter_mut().find(|(known, _)| *known == currency) {
            Some((_, known)) => *known += sum,
            None => sums.push((currency, sum)),
        }
    }
    let is_above =
        |(currency, sum): &(Currency, i128)| *sum > i128::from(Money::of_major_units(limit, *currency).minor_units);
    if sums.iter().any(is_above) { caller.refuse_without_recent_proof() } else { Ok(()) }
}
