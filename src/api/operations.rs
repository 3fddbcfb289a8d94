//! For those who run it: `/livez`, `/readyz` and `/metrics`.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::extract::Json;
use crate::error::{Error, Result};

/// How Prometheus wants its text format named.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(get, path = "/livez", tag = "Operations", responses((status = OK, description = "Alive", body = Health)))]
pub async fn livez() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Can it serve?
///
/// Yes when the database answers and its schema is up to date.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operations",
    responses(
        (status = OK, description = "Ready", body = Health),
        (status = SERVICE_UNAVAILABLE, description = "Not ready"),
    )
)]
pub async fn readyz(State(app): State<App>) -> Result<Json<Health>> {
    match app.db.is_migrated().await {
        Ok(true) => Ok(Json(Health { status: "ok" })),
        Ok(false) => Err(Error::Busy { code: "not_ready", detail: "The database schema is not up to date." }),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Error::Busy { code: "not_ready", detail: "The database does not answer." })
        }
    }
}

/// Prometheus metrics
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operations",
    responses(
        (status = OK, description = "Counters and histograms", body = String, content_type = "text/plain"),
        (status = NOT_FOUND, description = "Switched off"),
    )
)]
pub async fn metrics(State(app): State<App>) -> Result<Response> {
    let metrics = app.metrics.as_ref().ok_or_else(|| Error::not_found("metrics_off", "Metrics are switched off."))?;
    Ok(([(CONTENT_TYPE, PROMETHEUS_TEXT)], metrics.render()).into_response())
}
