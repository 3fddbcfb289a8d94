//! What a request that moves money says beside its body.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use validator::Validate;

use crate::api::http::entity_tags::{IfMatch, NoIfMatch};
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{IdempotencyKey, Query};
use crate::api::money::preview::PreviewQuery;

/// Its name, which account it expects, and whether it is to happen at all. `Precondition` is
/// [`NoIfMatch`](crate::api::http::entity_tags::NoIfMatch) where no single account could be meant.
pub struct Conditions<Precondition = IfMatch> {
    pub key: IdempotencyKey,
    pub if_match: Precondition,
    pub preview: PreviewQuery,
}

/// Refuses a request with any of these, where it could not be kept: to ignore one would be to do what the client has asked
/// not to be done.
pub struct NoConditions;

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

impl<S: Send + Sync> FromRequestParts<S> for NoConditions {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Query(NoParameters {}) = Query::from_request_parts(parts, state).await?;
        let NoIfMatch = NoIfMatch::from_request_parts(parts, state).await?;
        Ok(Self)
    }
}

impl<S, Precondition> FromRequestParts<S> for Conditions<Precondition>
where
    S: Send + Sync,
    Precondition: FromRequestParts<S, Rejection = Error> + Send,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let key = IdempotencyKey::from_request_parts(parts, state).await?;
        let if_match = Precondition::from_request_parts(parts, state).await?;
        let Query(preview) = Query::from_request_parts(parts, state).await?;
        Ok(Self { key, if_match, preview })
    }
}
