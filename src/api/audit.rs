//! The audit log: `GET /audit`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::App;
use super::cursor::{self, Cursor};
use super::extract::{Json, Query};
use super::fields;
use crate::auth::Overseer;
use crate::db::audit::{Action, AuditFilter, AuditRecord};
use crate::error::Result;
use crate::timestamp::Timestamp;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    #[param(inline, example = json!(null))]
    action: Option<Action>,
    /// Only what this user did.
    #[serde(default, deserialize_with = "fields::user_id")]
    #[param(example = json!(null))]
    actor_id: Option<Uuid>,
    /// Only from this moment on.
    #[param(value_type = Option<String>, format = DateTime, example = json!(null))]
    from: Option<Timestamp>,
    /// Only before this moment.
    #[param(value_type = Option<String>, format = DateTime, example = json!(null))]
    to: Option<Timestamp>,
    /// How many records, 1 to 200.
    #[serde(default, deserialize_with = "fields::limit::<_, MAX_LIMIT>")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]{22}$", example = json!(null))]
    cursor: Option<String>,
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    data: Vec<AuditRecord>,
    has_more: bool,
    /// Send it as `cursor` to get the next page.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// Read the audit log
///
/// What matters to security, the newest first. Each record's hash covers the one before it; `coffer doctor` checks them.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "list_audit_records",
    tag = "Staff",
    params(AuditQuery),
    responses(
        (status = OK, description = "A page of records", body = AuditPage),
        (status = FORBIDDEN, description = "For admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn list(State(app): State<App>, _: Overseer, Query(query): Query<AuditQuery>) -> Result<Json<AuditPage>> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let before = query.cursor.as_deref().map(Cursor::decode).transpose()?.map(|cursor| cursor.sequence);
    let filter = AuditFilter { before, action: query.action, actor_id: query.actor_id, from: query.from, to: query.to };
    let records = app.db.audit_records(filter, i64::from(limit) + 1).await?;

    let (data, next_cursor) = cursor::page(records, limit, |record| Cursor::at_record(record.sequence));
    Ok(Json(AuditPage { data, has_more: next_cursor.is_some(), next_cursor }))
}
