//! The extractor that turns a bearer token into a caller, or into a 401.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use super::Auth;
use crate::db::accounts::Account;
use crate::db::users::Role;
use crate::error::{Error, Result};
use crate::ledger::rules;

/// The user behind a request. A handler that takes one is closed to everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub user_id: Uuid,
    pub session_id: Uuid,
    pub role: Role,
}

impl Caller {
    pub fn may_read(&self, account: &Account) -> bool {
        account.owner_id == Some(self.user_id) || self.role.reads_any_account()
    }

    pub fn may_manage(&self, account: &Account) -> bool {
        account.owner_id == Some(self.user_id) || self.role.acts_on_any_account()
    }

    /// The caller as the ledger's rules see one.
    pub fn at_the_ledger(&self) -> rules::Caller {
        rules::Caller { user_id: self.user_id, acts_on_any_account: self.role.acts_on_any_account() }
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
        let claims = auth.tokens.verify(token).filter(|claims| !auth.ended_sessions.contains(claims.sid));
        let claims = claims.ok_or(Error::Unauthorized {
            code: "invalid_token",
            detail: "The access token is not valid, has expired, or its session has ended. \
                     Get a new one with POST /refresh or POST /login.",
        })?;
        Ok(Self { user_id: claims.sub, session_id: claims.sid, role: claims.role })
    }
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
        code: "missing_token",
        detail: "Send one header \"Authorization: Bearer <access_token>\"; POST /login gives the token.",
    })
}
