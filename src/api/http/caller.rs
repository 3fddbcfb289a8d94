//! The extractors that turn a bearer token into somebody who may do something, or into a 401 or 403.
//!
//! Extractors that decide who may use a route, by its handler's signature: [`Caller`] is anybody signed in, [`Actor`]
//! somebody who may change things, [`Staff`], [`Admin`], [`Reader`] and [`Overseer`] somebody with a role. [`Proven`]
//! around any of them asks for the password or a code within the last five minutes.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::waiting::AskedAgain;
use crate::auth::Auth;
use crate::books::account::Account;
use crate::db::users::Role;
use crate::problem_code::ProblemCode;
use crate::timestamp::Timestamp;

/// The user behind a request. A handler that takes one is closed to everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub user_id: Uuid,
    pub session_id: Uuid,
    /// As it is now, not as it was when the token was made. Of a frozen user, and of one whose second factor is
    /// missing: customer.
    pub role: Role,
    pub frozen: bool,
    /// The user's role takes a second factor, and the session began without, or with one that was taken away.
    pub lacks_second_factor: bool,
    /// Password or code was shown in this session within the last [`tokens::RECENT`](crate::auth::tokens::RECENT).
    pub recently_proven: bool,
    /// Own movements above it, in whole units of their currency, ask for a recent proof.
    pub confirm_above: Option<i64>,
}

/// In the extensions of a request for a route that writes something beside the money.
#[derive(Clone, Copy, Debug)]
pub struct ChangesSomething;

/// A caller who may change things: not frozen, and no auditor.
#[derive(Clone, Copy, Debug)]
pub struct Actor(pub Caller);

/// Staff or admin.
#[derive(Clone, Copy, Debug)]
pub struct Staff(pub Caller);

#[derive(Clone, Copy, Debug)]
pub struct Admin(pub Caller);

/// Somebody who may look at everybody: staff, admin or auditor.
#[derive(Clone, Copy, Debug)]
pub struct Reader(pub Caller);

/// Somebody who may look at what staff did: admin or auditor.
#[derive(Clone, Copy, Debug)]
pub struct Overseer(pub Caller);

/// Such a caller who has lately shown the password or a code: for what cannot be taken back.
#[derive(Clone, Copy, Debug)]
pub struct Proven<C>(pub C);

impl<S, C> FromRequestParts<S> for Proven<C>
where
    S: Send + Sync,
    C: FromRequestParts<S, Rejection = Error> + AsRef<Caller> + Send,
{
    type Rejection = Error;

    /// Refuses a caller without the role before one without a recent proof.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let caller = C::from_request_parts(parts, state).await?;
        caller.as_ref().refuse_without_recent_proof()?;
        Ok(Self(caller))
    }
}

impl Caller {
    pub fn refuse_without_recent_proof(&self) -> Result<()> {
        if self.recently_proven {
            return Ok(());
        }
        Err(Error::Unauthorized {
            code: ProblemCode::RecentSignInRequired,
            detail: "This takes your password or a code within the last five minutes: send one to POST /me/proof, or \
                     sign in again, and repeat the request with the new access token.",
        })
    }

    pub fn refuse_if_frozen(&self) -> Result<()> {
        if !self.frozen {
            return Ok(());
        }
        let detail = "The bank has frozen you: you may look, but change nothing. Ask the bank.";
        Err(Error::forbidden(ProblemCode::UserFrozen, detail))
    }

    pub fn refuse_if_lacking(&self) -> Result<()> {
        if !self.lacks_second_factor {
            return Ok(());
        }
        let detail = "Your role takes a second factor. Enrol one with POST /me/second_factor, then sign in with it.";
        Err(Error::forbidden(ProblemCode::SecondFactorEnrolmentRequired, detail))
    }

    pub fn may_read(&self, account: &Account) -> bool {
        account.owner_id == Some(self.user_id) || self.role.reads_any_account()
    }

    pub fn may_manage(&self, account: &Account) -> bool {
        account.owner_id == Some(self.user_id) || self.role.acts_on_any_account()
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let auth = Auth::from_ref(state);
        let token = bearer_token(parts)?;
        let now = Timestamp::now();
        let claims = auth.tokens.verify(token, now);
        let claims = claims.filter(|claims| !auth.ended_sessions.contains(claims.sid));
        let claims = claims.ok_or(Error::Unauthorized {
            code: ProblemCode::InvalidToken,
            detail: "The access token is not valid, has expired, or its session has ended. \
                     Get a new one with POST /refresh or POST /login.",
        })?;
        let standing = auth.standings.get(claims.sub);
        let frozen = standing.is_some_and(|standing| standing.frozen);
        let role = standing.map_or(claims.role, |standing| standing.role);
        let has_second_factor = claims.has_second_factor() && standing.is_none_or(|standing| standing.second_factor);
        let lacks_second_factor = auth.staff_second_factor && role != Role::Customer && !has_second_factor;
        let caller = Self {
            user_id: claims.sub,
            session_id: claims.sid,
            role: if frozen || lacks_second_factor { Role::Customer } else { role },
            frozen,
            lacks_second_factor,
            recently_proven: claims.has_recent_proof(now),
            confirm_above: standing.map_or(claims.confirm_above, |standing| standing.confirm_above),
        };
        // A request that waits counts once, however often its answer is made anew.
        let is_counted = parts.extensions.get::<AskedAgain>().is_some();
        let allowance = if is_counted { None } else { auth.requests.take(caller.user_id)? };
        if !parts.method.is_safe() && parts.extensions.get::<ChangesSomething>().is_some() {
            auth.changes.take(caller.user_id)?;
        }
        if let Some(context) = parts.extensions.get::<RequestContext>() {
            context.set_caller(caller, allowance);
        }
        Ok(caller)
    }
}

/// Makes an extractor of a caller whom `$admit` lets in.
macro_rules! extractor {
    ($name:ident, $admit:expr) => {
        impl<S> FromRequestParts<S> for $name
        where
            S: Send + Sync,
            Auth: FromRef<S>,
        {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
                let caller = Caller::from_request_parts(parts, state).await?;
                let admit: fn(&Caller) -> Result<()> = $admit;
                admit(&caller).map(|()| Self(caller))
            }
        }

        impl AsRef<Caller> for $name {
            fn as_ref(&self) -> &Caller {
                &self.0
            }
        }
    };
}

extractor!(Actor, may_change_things);
extractor!(Staff, |caller| has_role(caller, Role::acts_on_any_account, "This takes the role staff or admin."));
extractor!(Admin, |caller| has_role(caller, |role| role == Role::Admin, "This takes the role admin."));
extractor!(Reader, |caller| has_role(caller, Role::reads_any_account, "This takes the role staff, admin or auditor."));
extractor!(Overseer, |caller| has_role(caller, Role::oversees, "This takes the role admin or auditor."));

fn may_change_things(caller: &Caller) -> Result<()> {
    caller.refuse_if_frozen()?;
    caller.refuse_if_lacking()?;
    if caller.role == Role::Auditor {
        return Err(Error::forbidden(
            ProblemCode::AuditorChangesNothing,
            "Auditors read everything and change nothing.",
        ));
    }
    Ok(())
}

fn has_role(caller: &Caller, is_enough: fn(Role) -> bool, otherwise: &'static str) -> Result<()> {
    if is_enough(caller.role) {
        return Ok(());
    }
    // A caller who has the role and may not use it is told why.
    caller.refuse_if_frozen()?;
    caller.refuse_if_lacking()?;
    Err(Error::forbidden(ProblemCode::RoleRequired, otherwise))
}

/// The token of `Authorization: Bearer <token>` (RFC 6750). The scheme's name is case-insensitive.
fn bearer_token(parts: &Parts) -> Result<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        }),
        _ => None,
    };
    token.filter(|token| !token.is_empty()).ok_or(Error::Unauthorized {
        code: ProblemCode::MissingToken,
        detail: "Send one header \"Authorization: Bearer <access_token>\"; POST /login gives the token.",
    })
}
