//! For those who run it: `/livez`, `/readyz` and `/metrics`.

use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::Json;
use crate::api::http::middleware::OnAdminListener;
use coffer_core::db::heads::Head;
use coffer_core::problem_code::ProblemCode;

/// How Prometheus wants its text format named.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: a process that is not alive does not answer.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// The ledger can book movements.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Always `ok`: otherwise the answer is 503.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    /// How far the clock is behind the newest movement, in seconds. More than a few mean that the clock is wrong, or was
    /// when that movement was booked: the accounts that it touched keep its date until the clock has caught up.
    #[schema(example = 0, minimum = 0)]
    clock_behind_seconds: u64,
    /// Whether new movements are refused, because the disk has less room than `COFFER_DISK_RESERVE`.
    disk_reserve_reached: bool,
    heads: Heads,
}

/// The newest hashes of the books, at most a second old. Noted elsewhere, they tell whether a backup is older: `coffer doctor
/// --since HASH`. Null where probes have a listener of their own, and this is not it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Heads {
    /// The hash of an entry of the newest movement; null before the first movement.
    #[schema(value_type = Option<String>, example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    entry: Option<Head>,
    /// The hash of the last record of the audit log; zeros before the first record.
    #[schema(value_type = Option<String>, example = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")]
    audit: Option<Head>,
}

/// Is the process alive?
///
/// Says nothing about the database: see `GET /readyz`.
#[utoipa::path(get, path = "/livez", tag = "Operations", responses((status = OK, description = "Alive", body = Health)))]
pub async fn livez() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Can it serve?
///
/// Yes when the ledger could write a moment ago. Answers within a second, from what is known: a ledger that has booked
/// nothing lately is asked to write something, at most once a second, however often this is called. While the disk has less
/// room than its reserve it says so, and stays ready: what is only read goes on.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operations",
    responses(
        (status = OK, description = "Ready", body = Readiness),
        (status = SERVICE_UNAVAILABLE, description = "Not ready: no movement can be booked"),
    )
)]
pub async fn readyz(State(app): State<App>, private: Option<Extension<OnAdminListener>>) -> Result<Json<Readiness>> {
    app.committer.readiness().await.map_err(|failure| {
        let detail = format!("No movement can be booked. {}", failure.in_words());
        Error::Busy { code: ProblemCode::NotReady, detail: detail.into() }
    })?;
    // Whoever sees them change knows how much is booked.
    let heads = app.heads.borrow().filter(|_| private.is_some() || !app.has_admin_listener);
    Ok(Json(Readiness {
        status: "ok",
        clock_behind_seconds: app.clock.behind_seconds(),
        disk_reserve_reached: app.disk.is_reached(),
        heads: heads.map(|heads| Heads { entry: heads.entry, audit: Some(heads.audit) }).unwrap_or_default(),
    }))
}

/// Prometheus metrics
///
/// In the text format, version 0.0.4.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operations",
    responses(
        (status = OK, description = "Counters and histograms", body = String, content_type = "text/plain"),
        (status = NOT_FOUND, description = "Switched off, or served on a listener of their own"),
    )
)]
pub async fn metrics(State(app): State<App>, private: Option<Extension<OnAdminListener>>) -> Result<Response> {
    let is_served_here = private.is_some() || !app.has_admin_listener;
    let metrics = app.metrics.as_ref().filter(|_| is_served_here);
    let metrics = metrics.ok_or_else(|| Error::not_found(ProblemCode::MetricsOff, "Metrics are not served here."))?;
    app.gauges.set(&app).await;
    Ok(([(CONTENT_TYPE, PROMETHEUS_TEXT)], metrics.render()).into_response())
}
