//! Sign-up: `COFFER_SIGN_UP` decides who may make somebody a customer.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::App;
use crate::api::http::caller::{Caller, Staff};
use crate::api::http::error::{Error, Result};
use crate::problem_code::ProblemCode;

/// The people who may sign up customers. `open`: everybody signs up for themselves. `staff`: only staff and admins sign
/// people up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Everybody themselves.
    #[default]
    Open,
    /// Staff and admins, for others.
    Staff,
}

/// The user of the staff who signs somebody up, or None for people themselves. Callers who may not sign anybody up are
/// refused.
#[derive(Clone, Copy, Debug)]
pub struct SignedUpBy(pub Option<Uuid>);

impl FromRequestParts<App> for SignedUpBy {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        match app.sign_up {
            // People need no token, so one that does not count is ignored.
            SignUp::Open => match Staff::from_request_parts(parts, app).await {
                Ok(Staff(caller)) => Ok(Self(Some(caller.user_id))),
                Err(error @ Error::TooMany(_)) => Err(error),
                Err(_) => Ok(Self(None)),
            },
            SignUp::Staff => require_staff(parts, app).await.map(|caller| Self(Some(caller.user_id))),
        }
    }
}

async fn require_staff(parts: &mut Parts, app: &App) -> Result<Caller> {
    let by_staff_only = || {
        let detail =
            "Here the bank's staff open the first account: ask the bank. Whoever has one signs in with POST /login.";
        Error::forbidden(ProblemCode::SignUpByStaffOnly, detail)
    };
    if !parts.headers.contains_key(AUTHORIZATION) {
        return Err(by_staff_only());
    }
    let caller = Caller::from_request_parts(parts, app).await?;
    let standing = caller.refuse_if_frozen().and_then(|()| caller.refuse_if_lacking());
    if caller.role.acts_on_any_account() { Ok(caller) } else { Err(standing.err().unwrap_or_else(by_staff_only)) }
}
