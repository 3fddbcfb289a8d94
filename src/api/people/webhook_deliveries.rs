//! What was sent to a webhook: `/webhooks/{id}/deliveries`, and sending it again.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Admin, Overseer};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, PathParams, Query};
use crate::api::http::fields::{EventId, WebhookId};
use crate::api::http::page::{self, Limit, Page};
use crate::api::people::webhooks::{WebhookBody, find, not_found, secrets_of};
use crate::webhooks::destinations::WebhookUrl;
use crate::webhooks::sender::Message;
use coffer_core::books::audit_event::Action;
use coffer_core::db::webhook_deliveries::{Delivery, DeliveryStatus};
use coffer_core::db::webhooks::Webhook;
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// The cursor of a delivery has no other part than its position.
const DELIVERIES: i64 = 0;

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    /// Only those with this status.
    status: Option<DeliveryStatus>,
    /// How many deliveries, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// The time whose events are to be sent anew.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-11-28T08:00:00Z"}))]
pub struct ReplayRequest {
    /// The moment of the first event.
    from: Timestamp,
    /// The moment of the last event; now if left out.
    to: Option<Timestamp>,
}

/// An event on its way to a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct DeliveryBody {
    /// The id of the event, which is sent as `webhook-id`.
    event_id: Uuid,
    /// The kind of the event.
    #[serde(rename = "type")]
    #[schema(example = "transaction.posted")]
    kind: String,
    status: DeliveryStatus,
    /// How often it was tried, since somebody last asked for it.
    #[schema(example = 1)]
    attempts: i32,
    /// When it is tried next; null when it is not.
    next_attempt_at: Option<Timestamp>,
    last_attempt_at: Option<Timestamp>,
    /// The status that the receiver has answered with last; null when there was no answer.
    #[schema(minimum = 100, maximum = 999, example = 204)]
    last_status: Option<i32>,
    /// What went wrong last; null when nothing did.
    #[schema(example = "answered 503 Service Unavailable")]
    last_error: Option<String>,
    created_at: Timestamp,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookTest {
    /// Whether the receiver has answered with a 2xx.
    delivered: bool,
    /// The status of the answer; null when there was none.
    #[schema(minimum = 100, maximum = 999, example = 204)]
    status: Option<u16>,
    /// What went wrong; null when it is delivered.
    error: Option<String>,
    /// How long it took, in milliseconds.
    #[schema(example = 87)]
    took_ms: u64,
}

/// The body of a test message.
#[derive(Serialize)]
struct TestMessage {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: TestData,
}

#[derive(Serialize)]
struct TestData {
    webhook_id: Uuid,
}

/// How many events are sent anew.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replay {
    /// Events of that time. Those of other types than the webhook wants are left out.
    #[schema(example = 12)]
    events: i64,
    webhook: WebhookBody,
}

/// List deliveries
///
/// What was sent to a webhook, and what is to be, of the newest events first. They are kept as long as events: 30 days.
#[utoipa::path(
    get,
    path = "/webhooks/{id}/deliveries",
    operation_id = "list_webhook_deliveries",
    tag = "Webhooks",
    params(
        ("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        DeliveriesQuery,
    ),
    responses(
        (status = OK, description = "A page of deliveries", body = Page<DeliveryBody>),
        (status = FORBIDDEN, description = "For admins and auditors"),
        (status = NOT_FOUND, description = "No such webhook"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    _: Overseer,
    PathParam(WebhookId(id)): PathParam<WebhookId>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Page<DeliveryBody>>> {
    // It tells of programs, and nothing of people.
    context.set_on_record();
    find(&app, id).await?;
    let limit = query.limit.unwrap_or_default().rows();
    let before = query.cursor.map_or(i64::MAX, |cursor| cursor.sequence);
    let found = app.db.deliveries(id, query.status, before, i64::from(limit) + 1).await?;
    let (found, next_cursor) = page::cut(found, limit, |delivery| Cursor::at_record(DELIVERIES, delivery.position));
    let data = found.into_iter().map(DeliveryBody::try_from).collect::<sqlx::Result<_>>()?;
    Ok(Json(Page::new(data, next_cursor)))
}

/// Send an event to a webhook again
///
/// At once, whether it was delivered, has failed or waits; and as often as a new one, if it has to be.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/deliveries/{event_id}/retry",
    operation_id = "retry_webhook_delivery",
    tag = "Webhooks",
    params(
        ("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        ("event_id" = Uuid, Path, description = "The event", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
    ),
    responses(
        (status = ACCEPTED, description = "It will be sent in a moment", body = DeliveryBody),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such webhook, or no such delivery to it"),
        (status = CONFLICT, description = "The webhook is disabled"),
    ),
    security(("bearer" = []))
)]
pub async fn retry(
    State(app): State<App>,
    context: RequestContext,
    _: Admin,
    PathParams(WebhookId(id), EventId(event_id)): PathParams<WebhookId, EventId>,
) -> Result<(StatusCode, Json<DeliveryBody>)> {
    let no_delivery = || {
        let detail = "There is no delivery of this event; GET /webhooks/{id}/deliveries lists them.";
        Error::not_found(ProblemCode::DeliveryNotFound, detail)
    };
    let position = app.db.event_position(event_id).await?;
    let mut tx = app.db.begin().await?;
    refuse_disabled(tx.lock_webhook(id).await?.ok_or_else(not_found)?)?;
    let position = position.ok_or_else(no_delivery)?;
    if !tx.retry_delivery(id, position, Timestamp::now()).await? {
        return Err(no_delivery());
    }
    let event = context.event(Action::WebhookResent).on(id).detail(format!("event {event_id}"));
    tx.append_to_audit_log(&[event]).await?;
    tx.commit().await?;
    app.listening.tell();
    let delivery = app.db.delivery(id, position).await?.ok_or_else(no_delivery)?;
    Ok((StatusCode::ACCEPTED, Json(delivery.try_into()?)))
}

/// Send events of a time to a webhook anew
///
/// Whether or not they were delivered before: receivers know them again by `webhook-id`. Events are kept for 30 days, and
/// written only while somebody listens.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/replay",
    operation_id = "replay_webhook",
    tag = "Webhooks",
    params(("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    request_body(content = ReplayRequest, description = "The first and the last moment"),
    responses(
        (status = ACCEPTED, description = "They will be sent", body = Replay),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such webhook"),
        (status = CONFLICT, description = "The webhook is disabled, or a replay is under way"),
    ),
    security(("bearer" = []))
)]
pub async fn replay(
    State(app): State<App>,
    context: RequestContext,
    _: Admin,
    PathParam(WebhookId(id)): PathParam<WebhookId>,
    Json(request): Json<ReplayRequest>,
) -> Result<(StatusCode, Json<Replay>)> {
    let to = request.to.unwrap_or_else(Timestamp::now);
    if to < request.from {
        return Err(Error::invalid("/to", ProblemCode::PeriodReversed, "it lies before `from`"));
    }
    let mut tx = app.db.begin().await?;
    let webhook = refuse_disabled(tx.lock_webhook(id).await?.ok_or_else(not_found)?)?;
    if webhook.is_replaying() {
        let detail = "A replay is under way; GET /webhooks/{id} tells when it has ended.";
        return Err(Error::conflict(ProblemCode::ReplayUnderWay, detail));
    }
    let events = tx.start_replay(id, request.from, to).await?;
    let event = context.event(Action::WebhookResent).on(id).detail(format!("events from {} to {to}", request.from));
    tx.append_to_audit_log(&[event]).await?;
    tx.commit().await?;
    app.listening.tell();
    Ok((StatusCode::ACCEPTED, Json(Replay { events, webhook: find(&app, id).await?.into() })))
}

/// Send a test to a webhook
///
/// A message of the type `webhook.test`, at once, signed like any other, also to one that is disabled. The answer says what
/// came of it.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/test",
    operation_id = "test_webhook",
    tag = "Webhooks",
    params(("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "What came of it", body = WebhookTest),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such webhook"),
    ),
    security(("bearer" = []))
)]
pub async fn test(
    State(app): State<App>,
    context: RequestContext,
    _: Admin,
    PathParam(WebhookId(id)): PathParam<WebhookId>,
) -> Result<Json<WebhookTest>> {
    let webhook = find(&app, id).await?;
    let url = WebhookUrl::parse(&webhook.url).map_err(|error| Error::Internal(error.to_string()))?;
    let secrets = secrets_of(&app, id).await?;
    let message = TestMessage { kind: "webhook.test", timestamp: Timestamp::now(), data: TestData { webhook_id: id } };
    let body = serde_json::to_string(&message).map_err(|error| Error::Internal(error.to_string()))?;
    app.audit.note(context.event(Action::WebhookResent).on(id).detail("a test"));
    let outcome = app.webhook_sender.send(&url, &secrets, &Message { id: Uuid::now_v7(), body }).await;
    Ok(Json(WebhookTest {
        delivered: outcome.is_delivered(),
        status: outcome.status.map(|status| status.as_u16()),
        error: outcome.error,
        took_ms: u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
    }))
}

fn refuse_disabled(webhook: Webhook) -> Result<Webhook> {
    if webhook.disabled_at.is_none() {
        return Ok(webhook);
    }
    let detail = "The webhook is disabled, and nothing is sent to it: enable it with PATCH /webhooks/{id}.";
    Err(Error::conflict(ProblemCode::WebhookDisabled, detail))
}

impl TryFrom<Delivery> for DeliveryBody {
    type Error = sqlx::Error;

    fn try_from(delivery: Delivery) -> sqlx::Result<Self> {
        Ok(Self {
            status: delivery.status()?,
            event_id: delivery.event_id,
            kind: delivery.kind,
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            last_attempt_at: delivery.last_attempt_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
        })
    }
}
