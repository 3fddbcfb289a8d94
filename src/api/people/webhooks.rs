//! Webhooks: `/webhooks`, by which admins have events sent to programs. What is sent and when is decided in
//! `dispatcher.rs`; what was sent is in [`super::webhook_deliveries`].

use std::time::Duration;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::api::App;
use crate::api::http::caller::{Admin, Overseer, Proven};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam};
use crate::api::http::fields::{self, WebhookId};
use crate::api::money::events::HEARD_WITHIN;
use crate::api::people::{proof, second_factor};
use crate::webhooks::destinations::WebhookUrl;
use crate::webhooks::secret::{SECRET_BYTES, WebhookSecret, public_key_in_words};
use coffer_core::books::audit_event::Action;
use coffer_core::books::bank_event::{EventKind, EventKinds};
use coffer_core::by_name::by_name;
use coffer_core::db::Tx;
use coffer_core::db::webhooks::{DisabledBecause, StoredWebhookSecret, Webhook, WebhookTerms};
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::Description;
use coffer_core::timestamp::Timestamp;

/// The most webhooks of a bank: a few programs, each with one for trying out.
const MAX_WEBHOOKS: i64 = 20;
/// The most secrets of one webhook that sign at once: each adds its signatures to every message.
const MAX_SECRETS: i64 = 5;
/// So long the former secret still signs after a rotation.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// Where events are to be sent, and which.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"url": "https://shop.example.com/coffer", "types": ["transaction.posted"]}))]
pub struct CreateWebhookRequest {
    url: WebhookUrl,
    /// The kinds of events that are sent; all if left out.
    #[validate(custom(function = some_types))]
    #[schema(min_items = 1, max_items = 14, example = json!(["transaction.posted"]))]
    types: Option<Vec<EventKind>>,
    /// For whoever looks after it, up to 140 characters.
    #[schema(example = "Ships what is paid")]
    description: Option<Description>,
}

/// What is to change; what is left out stays as it is.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "disabled"}))]
pub struct UpdateWebhookRequest {
    /// Where events are sent from now on, those that wait among them.
    url: Option<WebhookUrl>,
    /// The kinds of events that are sent; null for all.
    #[serde(default, deserialize_with = "fields::present")]
    #[validate(custom(function = some_types))]
    #[schema(value_type = Option<Vec<EventKind>>, min_items = 1, max_items = 14)]
    types: Option<Option<Vec<EventKind>>>,
    /// For whoever looks after it, up to 140 characters; null for none.
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<Description>>,
    /// `enabled` has events sent, `disabled` ends that.
    #[schema(value_type = Option<String>, pattern = "^(enabled|disabled)$", example = "disabled")]
    status: Option<WebhookStatus>,
}

/// `enabled`: events are sent. `disabled`: none are, and what happens meanwhile is sent only by a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
pub enum WebhookStatus {
    Enabled,
    Disabled,
}

by_name!(WebhookStatus);

/// A webhook, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookBody {
    /// The id of the webhook.
    id: Uuid,
    /// Where events are sent.
    #[schema(example = "https://shop.example.com/coffer")]
    url: String,
    /// The kinds of events that are sent; null for all.
    types: Option<Vec<EventKind>>,
    /// For whoever looks after it; null for none.
    #[schema(example = "Ships what is paid")]
    description: Option<String>,
    status: WebhookStatus,
    /// Why it is disabled: `by_admin`; `gone`, it has answered 410; `failing`, a delivery has failed ten times over more than
    /// three days, and none has succeeded meanwhile. Null while it is not.
    #[schema(value_type = Option<String>, example = "gone")]
    disabled_because: Option<DisabledBecause>,
    /// Since when it is disabled; null while it is not.
    disabled_at: Option<Timestamp>,
    /// By which receivers check signatures of version `v1a` (Ed25519): `whpk_` and base64.
    #[schema(example = "whpk_vRZ2qi7p9UgsIBZQ9D2O3eU0N8IEpQ3MSEvhT1M0Wvc=")]
    public_key: String,
    /// Whether events that were sent before, or were not, are being sent anew.
    is_replaying: bool,
    created_at: Timestamp,
    /// When something was last delivered.
    last_delivered_at: Option<Timestamp>,
}

/// A webhook with its secret, which is shown only now.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewWebhookBody {
    #[serde(flatten)]
    webhook: WebhookBody,
    /// By which receivers check signatures of version `v1` (HMAC-SHA256): `whsec_` and base64.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
    secret: String,
}

/// Every webhook of the bank.
#[derive(Debug, Serialize, ToSchema)]
pub struct Webhooks {
    /// The newest first.
    data: Vec<WebhookBody>,
}

/// Create a webhook
///
/// From now on the bank sends what happens to its URL, by the Standard Webhooks specification: `POST` with the headers
/// `webhook-id` (the id of the event, the same whenever it is sent), `webhook-timestamp` and `webhook-signature`. Answer with
/// any 2xx within 15 seconds; otherwise it comes again, nine times more over three days. The order may differ from that of `/events`.
#[utoipa::path(
    post,
    path = "/webhooks",
    operation_id = "create_webhook",
    tag = "Webhooks",
    request_body(content = CreateWebhookRequest, description = "Where to send, and what"),
    responses(
        (status = CREATED, description = "Created; the secret is shown only now", body = NewWebhookBody,
         headers(("Location" = String, description = "The webhook"))),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins"),
        (status = CONFLICT, description = "There are as many webhooks as a bank may have"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    context: RequestContext,
    _: Proven<Admin>,
    Json(request): Json<CreateWebhookRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<NewWebhookBody>)> {
    check(&app, &request.url)?;
    let terms = WebhookTerms {
        url: request.url.as_str().to_owned(),
        description: request.description.map(String::from),
        kinds: request.types.map(EventKinds),
    };
    let (id, now) = (Uuid::now_v7(), Timestamp::now());
    let was_listening = app.listening.is_wanted(now);
    // By itself, because movements wait for the place where events go.
    app.listen(now).await?;
    let mut tx = app.db.begin().await?;
    // From here on the log is locked, so that nobody creates another one before this one counts.
    tx.append_to_audit_log(&[context.event(Action::WebhookCreated).on(id).detail(terms.in_words())]).await?;
    if tx.count_webhooks().await? >= MAX_WEBHOOKS {
        return Err(too_many());
    }
    tx.insert_webhook(id, &terms, now).await?;
    let secret = add_secret(&app, &mut tx, id, now).await?;
    tx.commit().await?;
    if !was_listening {
        // Until every instance writes events, so that none is missing behind the answer.
        tokio::time::sleep(HEARD_WITHIN).await;
    }
    let webhook = find(&app, id).await?.into();
    let location = [(LOCATION, format!("/webhooks/{id}"))];
    Ok((StatusCode::CREATED, location, Json(NewWebhookBody { webhook, secret: secret.symmetric_key() })))
}

/// List webhooks
///
/// All of them, the newest first. No secret is among what is shown.
#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "list_webhooks",
    tag = "Webhooks",
    responses(
        (status = OK, description = "Every webhook", body = Webhooks),
        (status = FORBIDDEN, description = "For admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn list(State(app): State<App>, context: RequestContext, _: Overseer) -> Result<Json<Webhooks>> {
    // It is about programs.
    context.set_on_record();
    let data = app.db.webhooks().await?.into_iter().map(WebhookBody::from).collect();
    Ok(Json(Webhooks { data }))
}

/// Show a webhook
///
/// Where it leads, what is sent, and whether it is enabled.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    operation_id = "show_webhook",
    tag = "Webhooks",
    params(("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The webhook", body = WebhookBody),
        (status = FORBIDDEN, description = "For admins and auditors"),
        (status = NOT_FOUND, description = "No such webhook"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    _: Overseer,
    PathParam(WebhookId(id)): PathParam<WebhookId>,
) -> Result<Json<WebhookBody>> {
    context.set_on_record();
    Ok(Json(find(&app, id).await?.into()))
}

/// Change a webhook
///
/// What waits to be sent goes to the new URL. One that is enabled again gets what happens from then on, and what was
/// pending; `POST /webhooks/{id}/replay` sends what happened meanwhile.
#[utoipa::path(
    patch,
    path = "/webhooks/{id}",
    operation_id = "update_webhook",
    tag = "Webhooks",
    params(("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    request_body(content = UpdateWebhookRequest, description = "What is to change"),
    responses(
        (status = OK, description = "Changed", body = WebhookBody),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such webhook"),
    ),
    security(("bearer" = []))
)]
pub async fn update(
    State(app): State<App>,
    context: RequestContext,
    _: Proven<Admin>,
    PathParam(WebhookId(id)): PathParam<WebhookId>,
    Json(request): Json<UpdateWebhookRequest>,
) -> Result<Json<WebhookBody>> {
    if let Some(url) = &request.url {
        check(&app, url)?;
    }
    let now = Timestamp::now();
    if request.status == Some(WebhookStatus::Enabled) {
        app.listen(now).await?;
    }
    let mut tx = app.db.begin().await?;
    let webhook = tx.lock_webhook(id).await?.ok_or_else(not_found)?;
    let terms = WebhookTerms {
        url: request.url.map_or_else(|| webhook.url.clone(), |url| url.as_str().to_owned()),
        description: request
            .description
            .map_or_else(|| webhook.description.clone(), |description| description.map(String::from)),
        kinds: request.types.map_or_else(|| webhook.kinds(), |types| types.map(EventKinds)),
    };
    tx.set_webhook_terms(id, &terms).await?;
    let mut in_words = terms.in_words();
    match request.status {
        Some(WebhookStatus::Enabled) => {
            tx.enable_webhook(id).await?;
            in_words.push_str(", enabled");
        }
        Some(WebhookStatus::Disabled) => {
            tx.disable_webhook(id, DisabledBecause::ByAdmin, now).await?;
            in_words.push_str(", disabled");
        }
        None => {}
    }
    tx.append_to_audit_log(&[context.event(Action::WebhookChanged).on(id).detail(in_words)]).await?;
    tx.commit().await?;
    Ok(Json(find(&app, id).await?.into()))
}

/// Delete a webhook
///
/// Nothing is sent any more, and what was sent is not listed any more.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    operation_id = "delete_webhook",
    tag = "Webhooks",
    params(("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = NO_CONTENT, description = "Deleted"),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such webhook"),
    ),
    security(("bearer" = []))
)]
pub async fn delete(
    State(app): State<App>,
    context: RequestContext,
    _: Proven<Admin>,
    PathParam(WebhookId(id)): PathParam<WebhookId>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let webhook = tx.lock_webhook(id).await?.ok_or_else(not_found)?;
    tx.delete_webhook(id, Timestamp::now()).await?;
    tx.append_to_audit_log(&[context.event(Action::WebhookDeleted).on(id).detail(webhook.url)]).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a webhook another secret
///
/// Symmetric key and key pair, both. The former one signs beside it for 24 hours, so that nothing is refused until receivers
/// have the new one.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/secret",
    operation_id = "rotate_webhook_secret",
    tag = "Webhooks",
    params(("id" = Uuid, Path, description = "The webhook", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The webhook with its new secret, which is shown only now", body = NewWebhookBody),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For admins"),
        (status = NOT_FOUND, description = "No such webhook"),
        (status = CONFLICT, description = "It has got several secrets within 24 hours"),
    ),
    security(("bearer" = []))
)]
pub async fn rotate_secret(
    State(app): State<App>,
    context: RequestContext,
    _: Proven<Admin>,
    PathParam(WebhookId(id)): PathParam<WebhookId>,
) -> Result<Json<NewWebhookBody>> {
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    tx.lock_webhook(id).await?.ok_or_else(not_found)?;
    if tx.count_webhook_secrets(id, now).await? >= MAX_SECRETS {
        let detail = "Several secrets of this webhook still sign: wait until the first of them has ended.";
        return Err(Error::conflict(ProblemCode::TooManyWebhookSecrets, detail));
    }
    let secret = add_secret(&app, &mut tx, id, now).await?;
    tx.append_to_audit_log(&[context.event(Action::WebhookSecretRotated).on(id)]).await?;
    tx.commit().await?;
    Ok(Json(NewWebhookBody { webhook: find(&app, id).await?.into(), secret: secret.symmetric_key() }))
}

/// Another secret, which signs from now on.
async fn add_secret(app: &App, tx: &mut Tx<'_>, webhook_id: Uuid, now: Timestamp) -> Result<WebhookSecret> {
    let secret = WebhookSecret::generate().map_err(|error| Error::Internal(error.to_string()))?;
    let id = Uuid::now_v7();
    let sealed = second_factor::seal(app, tx, id, secret.as_bytes()).await?;
    let stored = StoredWebhookSecret { id, webhook_id, secret: sealed };
    tx.add_webhook_secret(&stored, secret.public_key(), now.plus(OVERLAP), now).await?;
    Ok(secret)
}

/// What signs for a webhook, the newest first.
pub async fn secrets_of(app: &App, webhook_id: Uuid) -> Result<Vec<WebhookSecret>> {
    let stored = app.db.webhook_secrets(webhook_id, Timestamp::now()).await?;
    let open = |stored: StoredWebhookSecret| {
        let bytes = app.auth.factor_keys.open::<SECRET_BYTES>(stored.id, &stored.secret);
        bytes.and_then(|bytes| WebhookSecret::from_bytes(bytes).ok()).ok_or_else(|| unreadable(webhook_id))
    };
    let secrets: Vec<_> = stored.into_iter().map(open).collect::<Result<_>>()?;
    // It was deleted a moment ago: nothing goes out unsigned.
    if secrets.is_empty() { Err(not_found()) } else { Ok(secrets) }
}

fn unreadable(webhook_id: Uuid) -> Error {
    Error::Internal(format!(
        "the secret of webhook {webhook_id} cannot be decrypted: COFFER_SECOND_FACTOR_KEY is not the one of the other \
         instances, or the row was changed; POST /webhooks/{{id}}/secret gives it another"
    ))
}

pub async fn find(app: &App, id: Uuid) -> Result<Webhook> {
    app.db.webhook(id).await?.ok_or_else(not_found)
}

/// Early, for whoever writes an address. A name is looked at whenever something is sent.
fn check(app: &App, url: &WebhookUrl) -> Result<()> {
    let refused = |refused: crate::webhooks::destinations::RefusedAddress| {
        Error::invalid("/url", ProblemCode::AddressNotAllowed, refused.to_string())
    };
    app.webhook_sender.check(url).map_err(refused)
}

pub fn not_found() -> Error {
    Error::not_found(ProblemCode::WebhookNotFound, "There is no such webhook; GET /webhooks lists them.")
}

fn too_many() -> Error {
    let detail = "The bank has as many webhooks as it may have: delete one that is not needed any more.";
    Error::conflict(ProblemCode::TooManyWebhooks, detail)
}

fn some_types(types: &[EventKind]) -> std::result::Result<(), ValidationError> {
    let mut each = types.to_vec();
    each.sort_unstable();
    each.dedup();
    if !types.is_empty() && each.len() == types.len() {
        return Ok(());
    }
    let detail = "name at least one type, each once; leave the field out for all";
    Err(ValidationError::new(ProblemCode::EventTypesMalformed.name()).with_message(detail.into()))
}

impl From<Webhook> for WebhookBody {
    fn from(webhook: Webhook) -> Self {
        let status = match webhook.disabled_at {
            None => WebhookStatus::Enabled,
            Some(_) => WebhookStatus::Disabled,
        };
        Self {
            types: webhook.kinds().map(|EventKinds(kinds)| kinds),
            status,
            disabled_because: webhook.disabled_because(),
            is_replaying: webhook.is_replaying(),
            public_key: public_key_in_words(&webhook.public_key),
            id: webhook.id,
            url: webhook.url,
            description: webhook.description,
            disabled_at: webhook.disabled_at,
            created_at: webhook.created_at,
            last_delivered_at: webhook.last_delivered_at,
        }
    }
}
