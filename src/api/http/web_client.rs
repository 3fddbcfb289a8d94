//! Sessions of the web app: the refresh token lies in a cookie that no script can read.
//!
//! Such a cookie goes along with whatever the browser sends, so it counts only beside the header `Coffer-Client: web`,
//! which a page of another origin cannot set without asking (OWASP ASVS 5.0 3.3.1, 3.5.1). Without the header nothing
//! is read from a cookie or written to one: API clients keep both tokens themselves.

use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use utoipa::IntoParams;

use crate::api::http::error::{Error, Result};
use coffer_core::auth::sessions;
use coffer_core::problem_code::ProblemCode;

pub const CLIENT: HeaderName = HeaderName::from_static("coffer-client");
/// The prefix makes browsers insist: this host alone, over TLS (or to the machine itself), for all paths.
const COOKIE_NAME: &str = "__Host-coffer_refresh";

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header for the OpenAPI document; Client reads it")]
pub struct ClientHeader {
    /// `web` keeps the refresh token in a cookie that scripts cannot read.
    #[param(rename = "Coffer-Client", required = false, pattern = "^web$")]
    client: String,
}

/// The keeper of the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The client itself.
    Api,
    /// The browser, in a cookie.
    Web,
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match parts.headers.get(CLIENT).map(|value| value.as_bytes()) {
            None => Ok(Self::Api),
            Some(b"web") => Ok(Self::Web),
            Some(_) => {
                let detail = "send \"web\" to keep the refresh token in a cookie, or leave the header out";
                Err(Error::invalid("Coffer-Client", ProblemCode::UnknownClient, detail))
            }
        }
    }
}

/// The refresh token of the request's cookie, if there is exactly one.
pub fn refresh_token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut tokens = pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, token)| token);
    tokens.next().filter(|_| tokens.next().is_none())
}

/// The header that keeps the token for as long as its session can last.
pub fn keep(refresh_token: &str) -> (HeaderName, String) {
    cookie(refresh_token, sessions::LIFETIME.as_secs())
}

/// The header that makes the browser forget the token.
pub fn cleared() -> (HeaderName, String) {
    cookie("", 0)
}

fn cookie(value: &str, seconds: u64) -> (HeaderName, String) {
    let attributes = "Path=/; Secure; HttpOnly; SameSite=Strict";
    (SET_COOKIE, format!("{COOKIE_NAME}={value}; {attributes}; Max-Age={seconds}"))
}
