//! The extractors that turn a bearer token, an access token or an API key, into somebody who may do something, or into a
//! 401 or 403.
//!
//! Extractors that decide who may use a route, by its handler's signature: [`Caller`] is anybody signed in, [`Actor`]
//! somebody who may change things, [`Staff`], [`Admin`], [`Reader`] and [`Overseer`] somebody with a role. [`Proven`]
//! around any of them asks for the password or a code within the last five minutes. API keys reach only routes that say
//! [`OpenToKeys`].

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::waiting::AskedAgain;
use coffer_core::account_number::AccountNumber;
use coffer_core::api_key::{KeyBounds, Scope, Scopes};
use coffer_core::auth::Auth;
use coffer_core::auth::api_keys::{ApiKeySecret, KnownKey};
use coffer_core::books::account::Account;
use coffer_core::db::users::Role;
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// The user behind a request. A handler that takes one is closed to everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub user_id: Uuid,
    /// Nil of an API key, which reaches no route that has to do with sessions.
    pub session_id: Uuid,
    /// As it is now, not as it was when the token was made. Of a frozen user, of one whose second factor is missing, and
    /// of an API key without the scope `staff`: customer.
    pub role: Role,
    pub frozen: bool,
    /// The user's role takes a second factor, and the session began without, or with one that was taken away.
    pub lacks_second_factor: bool,
    /// Password or code was shown in this session within the last [`tokens::RECENT`](coffer_core::auth::tokens::RECENT).
    pub recently_proven: bool,
    /// Own movements above it, in whole units of their currency, ask for a recent proof.
    pub confirm_above: Option<i64>,
    /// The API key that calls in the user's name; None with an access token.
    pub key: Option<CallerKey>,
}

/// The reach of an API key that calls.
#[derive(Clone, Copy, Debug)]
pub struct CallerKey {
    pub scopes: Scopes,
    /// The role of its user, whether or not the key has the scope `staff`.
    pub users_role: Role,
    pub bounds: KeyBounds,
}

/// In the extensions of a request for a route that API keys reach: what is read takes the scope `read`, what is changed the
/// scope that stands here. A route that does not say it is for people alone.
#[derive(Clone, Copy, Debug)]
pub enum OpenToKeys {
    /// A key reads here, and changes nothing.
    Reading,
    Changing(Scope),
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
        self.refuse_key()?;
        Err(Error::Unauthorized {
            code: ProblemCode::RecentSignInRequired,
            detail: "This takes your password or a code within the last five minutes: send one to POST /me/proof, or \
                     sign in again, and repeat the request with the new access token.",
        })
    }

    /// Refuses an API key: this is for people.
    pub fn refuse_key(&self) -> Result<()> {
        match self.key {
            None => Ok(()),
            Some(_) => Err(Error::forbidden(
                ProblemCode::SessionRequired,
                "No API key does this, whatever its scopes: sign in with POST /login, and do it yourself.",
            )),
        }
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
        self.may_see(account.owner_id, account.account_number)
    }

    /// The same for an account of which only this is known.
    pub fn may_see(&self, owner_id: Option<Uuid>, number: AccountNumber) -> bool {
        self.has(owner_id, number) || self.role.reads_any_account()
    }

    pub fn may_manage(&self, account: &Account) -> bool {
        self.has(account.owner_id, account.account_number) || self.role.acts_on_any_account()
    }

    /// Whether the account is the user's own, and none that the API key is not for.
    fn has(&self, owner_id: Option<Uuid>, number: AccountNumber) -> bool {
        owner_id == Some(self.user_id) && self.key.is_none_or(|key| key.bounds.accounts.admit(number))
    }

    fn of_token(auth: &Auth, token: &str, now: Timestamp) -> Result<Self> {
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
        Ok(Self {
            user_id: claims.sub,
            session_id: claims.sid,
            role: if frozen || lacks_second_factor { Role::Customer } else { role },
            frozen,
            lacks_second_factor,
            recently_proven: claims.has_recent_proof(now),
            confirm_above: standing.map_or(claims.confirm_above, |standing| standing.confirm_above),
            key: None,
        })
    }

    fn of_key(auth: &Auth, known: &KnownKey) -> Self {
        let (found, key) = (&known.found, &known.found.key);
        let standing = auth.standings.get(key.user_id).unwrap_or(found.standing);
        let is_customer = standing.role == Role::Customer;
        let has_second_factor = standing.second_factor || found.is_service;
        let lacks_second_factor = auth.staff_second_factor && !is_customer && !has_second_factor;
        let is_in_role = key.scopes.include(Scope::Staff) && !standing.frozen && !lacks_second_factor;
        Self {
            user_id: key.user_id,
            session_id: Uuid::nil(),
            role: if is_in_role { standing.role } else { Role::Customer },
            frozen: standing.frozen,
            lacks_second_factor,
            recently_proven: false,
            confirm_above: standing.confirm_above,
            key: Some(CallerKey { scopes: key.scopes, users_role: standing.role, bounds: key.bounds() }),
        }
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
        let (caller, key) = match ApiKeySecret::parse(token) {
            None => (Self::of_token(&auth, token, now)?, None),
            Some(secret) => {
                let known = auth.api_keys.find(&secret, now).await?.ok_or_else(api_key_invalid)?;
                (Self::of_key(&auth, &known), Some(known))
            }
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
        if let Some(key) = key {
            refuse_beyond_reach(parts, &caller, &key)?;
        }
        Ok(caller)
    }
}

fn api_key_invalid() -> Error {
    Error::Unauthorized {
        code: ProblemCode::ApiKeyInvalid,
        detail: "The API key is not valid, has expired or was revoked. Its owner creates another one with \
                 POST /me/api_keys.",
    }
}

/// Refuses an API key that calls from elsewhere than it may, or for what its scopes do not reach.
fn refuse_beyond_reach(parts: &Parts, caller: &Caller, key: &Arc<KnownKey>) -> Result<()> {
    let address = parts.extensions.get::<RequestContext>().map(RequestContext::address);
    let key = &key.found.key;
    if !address.is_some_and(|address| key.networks.admit(address)) {
        let detail =
            "This API key does not call from this address: its owner has named the networks that it calls from.";
        return Err(Error::forbidden(ProblemCode::ApiKeyNetwork, detail));
    }
    let open = parts.extensions.get::<OpenToKeys>();
    let scope = match (open, parts.method.is_safe()) {
        (None, _) | (Some(OpenToKeys::Reading), false) => return caller.refuse_key(),
        (Some(_), true) => Scope::Read,
        (Some(OpenToKeys::Changing(scope)), false) => *scope,
    };
    if !key.scopes.include(scope) {
        return Err(scope_required(scope));
    }
    match scope {
        Scope::Staff => has_role(caller, Role::acts_on_any_account, "This takes the role staff or admin."),
        Scope::Read | Scope::Move => Ok(()),
    }
}

fn scope_required(scope: Scope) -> Error {
    let detail = match scope {
        Scope::Read => "This takes an API key with the scope read.",
        Scope::Move => "This takes an API key with the scope move.",
        Scope::Staff => "This takes an API key with the scope staff, of somebody whose role allows it.",
    };
    Error::forbidden(ProblemCode::ScopeRequired, detail)
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

impl AsRef<Caller> for Caller {
    fn as_ref(&self) -> &Caller {
        self
    }
}

extractor!(Actor, may_change_things);
extractor!(Staff, |caller| has_role(caller, Role::acts_on_any_account, "This takes the role staff or admin."));
extractor!(Admin, |caller| has_role(caller, |role| role == Role::Admin, "This takes the role admin."));
extractor!(Reader, |caller| has_role(caller, Role::reads_any_account, "This takes the role staff, admin or auditor."));
extractor!(Overseer, |caller| has_role(caller, Role::oversees, "This takes the role admin or auditor."));

fn may_change_things(caller: &Caller) -> Result<()> {
    caller.refuse_if_frozen()?;
    caller.refuse_if_lacking()?;
    if caller.key.map_or(caller.role, |key| key.users_role) == Role::Auditor {
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
    if caller.key.is_some_and(|key| !key.scopes.include(Scope::Staff)) {
        return Err(scope_required(Scope::Staff));
    }
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
