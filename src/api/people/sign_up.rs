//! Sign-up: `COFFER_SIGN_UP` decides who may make somebody a customer.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::App;
use crate::api::http::caller::Staff;
use crate::api::http::error::{Error, Result};
use coffer_core::problem_code::ProblemCode;

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

/// The user of the staff who signs somebody up where people do so themselves, too, or None for people themselves. Where the
/// bank's staff make customers, with a link in place of a password, nobody is let in.
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
            SignUp::Staff => {
                let detail = "Here the bank's staff make customers: ask the bank. Staff do so with POST /users; whoever is a \
                              customer signs in with POST /login.";
                Err(Error::forbidden(ProblemCode::SignUpByStaffOnly, detail))
            }
        }
    }
}
