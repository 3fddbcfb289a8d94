//! What a request that moves money says beside its body.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::api::http::entity_tags::IfMatch;
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
