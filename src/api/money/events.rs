//! Events: `GET /events`, as a list or as a stream of server-sent events (WHATWG HTML 9.2).

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Deserializer, Serialize, de};
use tokio::sync::watch;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, parse_query};
use crate::api::http::fields;
use crate::api::http::negotiation::preferred;
use crate::api::http::page::Limit;
use crate::api::http::waiting::AskedAgain;
use crate::api::money::approvals::{self, ApprovalBody};
use crate::api::money::holds::HoldBody;
use crate::api::money::transaction::TransactionBody;
use crate::webhooks::sender::Message;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::audit_event::{Action, Event as AuditEvent};
use coffer_core::books::bank_event::EventKind;
use coffer_core::db::bank_events::{EventFilter, StoredEvent};
use coffer_core::listening::{Listener, MAX_OF_A_CALLER};
use coffer_core::presence::Client;
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";

/// Events that are looked through for a page, beyond those that are asked for.
const LOOKED_THROUGH: i64 = 500;
/// Events in one go of a stream.
const STREAMED_AT_ONCE: u32 = 100;
/// How often a stream looks for what other instances have written.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a stream asks whether its caller may still listen.
const CHECK_RIGHTS_EVERY: Duration = Duration::from_secs(5);
/// A line that says nothing, so that no proxy takes the stream for dead.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How soon a client should come back whose stream has ended.
const COME_BACK_AFTER: Duration = Duration::from_secs(2);
/// How long it takes until every instance has heard that somebody listens.
pub const HEARD_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The `id` of an event: only those after it. A stream that names none begins with what happens next.
    #[serde(default, deserialize_with = "fields::event_id")]
    after: Option<Uuid>,
    /// Only events of this kind, or of one of several, with commas between them.
    #[serde(default, rename = "type", deserialize_with = "kinds")]
    #[param(rename = "type", value_type = Option<Vec<EventKind>>, style = Form, explode = false, min_items = 1)]
    kinds: Vec<EventKind>,
    /// Only what happens to this account.
    account_number: Option<AccountNumber>,
    /// How many events, 1 to 100. For a list; a stream takes none.
    limit: Option<Limit<100>>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header for the OpenAPI document; the handler reads it")]
pub struct LastEventIdHeader {
    /// Of a stream that goes on: the `id` of the last event that the client has got, as `after`.
    #[param(rename = "Last-Event-ID", required = false, value_type = String)]
    last_event_id: String,
}

/// Something that has happened to an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// The id of the event: no other has it, however often it is sent.
    id: Uuid,
    #[serde(rename = "type")]
    kind: EventKind,
    created_at: Timestamp,
    /// Whose side it tells; null for what is about no account.
    account_number: Option<AccountNumber>,
    /// The movement, the hold or the approval that it is about; null for what is about the account itself.
    subject_id: Option<Uuid>,
    /// The movement as this account sees it, of `transaction.posted` and `balance.below`; of `transaction.reversed` the one that has undone
    /// `subject_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transaction: Option<TransactionBody>,
    /// The hold as it is by now, of `hold.created` and its like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hold: Option<HoldBody>,
    /// The approval as it is by now, of `approval.requested` and its like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    approval: Option<ApprovalBody>,
}

/// The body of a message to a webhook, as the Standard Webhooks specification has it. The OpenAPI document describes it in
/// `api/docs/openapi.rs`.
#[derive(Debug, Serialize)]
struct WebhookMessage {
    #[serde(rename = "type")]
    kind: EventKind,
    /// When it happened.
    timestamp: Timestamp,
    data: EventBody,
}

/// Some events, in the order in which they happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventPage {
    /// The events of this page, at most `limit`, the oldest first.
    data: Vec<EventBody>,
    /// Whether there are more by now.
    has_more: bool,
    /// Send it as `after` to go on; null when there were no events yet.
    last_id: Option<Uuid>,
}

/// List or stream events
///
/// What has happened to the caller's accounts, or for those who work here to anybody's, in the order in which it was committed.
/// With `Accept: text/event-stream` it is a stream of server-sent events, each with its `id`, and goes on with `Last-Event-ID`
/// where another one ended. The bank writes events only while somebody listens: a list or a stream has it write them for a day
/// more, and who comes back within that has missed none. They are kept for 30 days. Who asks for more gets 410.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "History",
    params(EventsQuery, LastEventIdHeader),
    responses(
        (status = OK, description = "A page of events, or a stream of them", content(
            (EventPage = "application/json"),
            (String = "text/event-stream", example = "id: 019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88\nevent: account.frozen\ndata: {}\n\n"),
        )),
        (status = NOT_FOUND, description = "No such account among the caller's"),
        (status = GONE, description = "Events after this one were deleted, or not written because nobody listened"),
    ),
    security(("bearer" = []))
)]
pub async fn list(State(app): State<App>, context: RequestContext, caller: Caller, asked: Asked) -> Result<Response> {
    let filter = filter_of(&app, caller, asked.query.account_number).await?;
    let now = Timestamp::now();
    let was_listening = app.listening.is_wanted(now);
    if app.listening.is_to_be_extended(now) {
        app.listen(now).await?;
    }
    if !was_listening {
        // Until every instance writes events, so that none is missing behind the answer.
        tokio::time::sleep(HEARD_WITHIN).await;
    }
    let after = match asked.after() {
        Some(id) => Some((id, place_of(&app, id).await?)),
        None => None,
    };
    match asked.is_stream {
        false => {
            let limit = asked.query.limit.unwrap_or_default().rows();
            let page = page(&app, filter, &asked.query.kinds, after, limit).await?;
            record(&app, &context, caller, &page, asked.query.account_number)?;
            Ok(Json::<_>(page).into_response())
        }
        true => {
            let listener =
                app.listening.begin(caller.user_id, caller.role.reads_any_account()).ok_or_else(too_many_streams)?;
            if caller.role.reads_any_account() {
                let look = context.event(Action::EventsStreamed);
                app.viewed(asked.query.account_number.into_iter().fold(look, AuditEvent::about))?;
            } else {
                context.set_on_record();
            }
            let place = match after {
                Some((_, place)) => place,
                None => app.db.event_head().await?.position,
            };
            Ok(stream_of(app, context, listener, filter, place, asked).into_response())
        }
    }
}

/// What is asked for, with what it takes to ask again whether the caller may.
pub struct Asked {
    query: EventsQuery,
    last_event_id: Option<Uuid>,
    is_stream: bool,
    parts: Parts,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = parse_query(parts.uri.query().unwrap_or_default())?;
        let mut again = parts.clone();
        again.extensions.insert(AskedAgain);
        Ok(Self {
            query,
            last_event_id: last_event_id(&parts.headers)?,
            is_stream: preferred(&parts.headers, &[("application/json", false), (EVENT_STREAM, true)])
                .ok_or_else(not_acceptable)?,
            parts: again,
        })
    }
}

impl Asked {
    /// A client that comes back sends the header beside the query that it began with.
    fn after(&self) -> Option<Uuid> {
        self.last_event_id.or(self.query.after)
    }
}

/// None for an empty one, too, which is how a client says that it knows of no event (HTML, section 9.2.4).
fn last_event_id(headers: &HeaderMap) -> Result<Option<Uuid>> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| Uuid::try_parse(text).ok());
    let malformed = || Error::invalid("Last-Event-ID", ProblemCode::IdMalformed, "send the id of an event, a UUID");
    id.map(Some).ok_or_else(malformed)
}

fn not_acceptable() -> Error {
    let detail = "Events are application/json, or text/event-stream.";
    Error::client(StatusCode::NOT_ACCEPTABLE, ProblemCode::NotAcceptable, detail)
}

fn too_many_streams() -> Error {
    let detail =
        format!("Too many streams are open; one caller has {MAX_OF_A_CALLER} at most. Close one, or try again.");
    Error::Busy { code: ProblemCode::TooManyWaiting, detail: detail.into() }
}

/// Whose events: those of the caller's own accounts, unless the caller works here.
async fn filter_of(app: &App, caller: Caller, account_number: Option<AccountNumber>) -> Result<EventFilter> {
    if let Some(number) = account_number {
        let account = app.db.account(number).await?;
        account.filter(|account| caller.may_read(account)).ok_or_else(Error::account_not_found)?;
    } else if caller.key.is_some_and(|key| key.bounds.accounts.are_some()) {
        let detail = "this API key is for certain accounts: send the number of one of them";
        return Err(Error::invalid("?account_number", ProblemCode::MissingField, detail));
    }
    let owner_id = (!caller.role.reads_any_account()).then_some(caller.user_id);
    Ok(EventFilter { owner_id, account_number })
}

/// Where the event with this id stands, if all that came after it is there.
async fn place_of(app: &App, id: Uuid) -> Result<i64> {
    let place = app.db.event_position(id).await?;
    let first = app.db.event_head().await?.first_position;
    place.filter(|place| place + 1 >= first).ok_or_else(|| {
        let detail = "Events after this one were deleted, or not written because nobody listened: read what you need to \
                      know anew, and go on without `after`.";
        Error::client(StatusCode::GONE, ProblemCode::EventsMissed, detail)
    })
}

async fn page(
    app: &App,
    filter: EventFilter,
    kinds: &[EventKind],
    after: Option<(Uuid, i64)>,
    limit: u32,
) -> Result<EventPage> {
    let (last_id, place) = match after {
        Some((id, place)) => (Some(id), place),
        // What lies before a gap would lead to it, and there it is refused to go on.
        None => (None, app.db.event_head().await?.first_position - 1),
    };
    let found = app.db.events_after(place, filter, LOOKED_THROUGH + 1).await?;
    let mut page = EventPage { data: Vec::new(), has_more: false, last_id };
    for (index, event) in found.iter().enumerate() {
        if page.data.len() >= limit as usize || index as i64 >= LOOKED_THROUGH {
            page.has_more = true;
            break;
        }
        page.last_id = Some(event.id);
        page.data.extend(body_of(app, event, kinds).await?);
    }
    Ok(page)
}

/// None for an event of another kind than is wanted.
async fn body_of(app: &App, event: &StoredEvent, kinds: &[EventKind]) -> Result<Option<EventBody>> {
    let Some(kind) = event.kind().filter(|kind| kinds.is_empty() || kinds.contains(kind)) else { return Ok(None) };
    let (mut transaction, mut hold, mut approval) = (None, None, None);
    match (kind, event.account_number, event.sequence, event.subject_id) {
        (
            EventKind::TransactionPosted | EventKind::TransactionReversed | EventKind::BalanceBelow,
            Some(number),
            Some(sequence),
            _,
        ) => {
            transaction = app.db.entry(number, sequence).await?.map(TransactionBody::from);
        }
        (EventKind::HoldCreated | EventKind::HoldCaptured | EventKind::HoldReleased, Some(number), _, Some(id)) => {
            if let (Some(found), Some(account)) = (app.db.hold(id).await?, app.db.account(number).await?) {
                hold = Some(HoldBody::of(found, &account, Timestamp::now()));
            }
        }
        (EventKind::ApprovalRequested | EventKind::ApprovalApproved | EventKind::ApprovalRejected, _, _, Some(id)) => {
            approval = approvals::body_of(app, id).await?;
        }
        _ => {}
    }
    Ok(Some(EventBody {
        id: event.id,
        kind,
        created_at: event.created_at,
        account_number: event.account_number,
        subject_id: event.subject_id,
        transaction,
        hold,
        approval,
    }))
}

/// An event as a webhook gets it. None for one that a later version has written.
pub async fn message_of(app: &App, event: &StoredEvent) -> Result<Option<Message>> {
    let Some(data) = body_of(app, event, &[]).await? else { return Ok(None) };
    let message = WebhookMessage { kind: data.kind, timestamp: data.created_at, data };
    let body = serde_json::to_string(&message).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Some(Message { id: event.id, body }))
}

/// What those who work here see of others is on record.
fn record(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    page: &EventPage,
    asked: Option<AccountNumber>,
) -> Result<()> {
    if !caller.role.reads_any_account() {
        context.set_on_record();
        return Ok(());
    }
    let look = context.event(Action::EventsListed);
    let accounts = page.data.iter().filter_map(|event| event.account_number);
    app.viewed(accounts.chain(asked).fold(look, AuditEvent::about))
}

/// A stream under way.
struct Streaming {
    app: App,
    _listener: Listener,
    filter: EventFilter,
    kinds: Vec<EventKind>,
    parts: Parts,
    context: RequestContext,
    /// Of the last event that was looked at.
    place: i64,
    written: watch::Receiver<u64>,
    checked_at: Instant,
    /// Events that are read and not sent yet, the last one first.
    ready: Vec<sse::Event>,
}

fn stream_of(
    app: App,
    context: RequestContext,
    listener: Listener,
    filter: EventFilter,
    place: i64,
    asked: Asked,
) -> Response {
    let written = app.listening.written();
    let streaming = Streaming {
        app,
        _listener: listener,
        filter,
        kinds: asked.query.kinds,
        parts: asked.parts,
        context,
        place,
        written,
        checked_at: Instant::now(),
        ready: vec![sse::Event::default().retry(COME_BACK_AFTER).comment("listening")],
    };
    Sse::new(events_of(streaming)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_EVERY)).into_response()
}

fn events_of(streaming: Streaming) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold(streaming, async |mut streaming| {
        loop {
            if let Some(event) = streaming.ready.pop() {
                return Some((Ok(event), streaming));
            }
            if !streaming.context.ids().clone().scope(streaming.goes_on()).await {
                return None;
            }
        }
    })
}

impl Streaming {
    /// Reads what has happened, or waits for it. False when the stream ends: the caller may listen no longer, the bank closes,
    /// or the database does not answer. The client comes back.
    async fn goes_on(&mut self) -> bool {
        // Marked as seen before the look, so that what is written meanwhile wakes.
        self.written.borrow_and_update();
        let found = match self.app.db.events_after(self.place, self.filter, i64::from(STREAMED_AT_ONCE)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "a stream of events ends; its client will come back");
                return false;
            }
        };
        // Looked at last, so that nothing is sent that was read with a right that has gone meanwhile.
        let is_due = !found.is_empty() || self.checked_at.elapsed() >= CHECK_RIGHTS_EVERY;
        if is_due && !self.may_listen().await {
            return false;
        }
        match found.is_empty() {
            true => self.wait().await,
            false => self.ready_to_send(&found).await,
        }
    }

    /// Whether the caller still sees what the stream shows: roles change, people are frozen, and sessions and keys end.
    async fn may_listen(&mut self) -> bool {
        self.checked_at = Instant::now();
        let Ok(caller) = Caller::from_request_parts(&mut self.parts, &self.app).await else { return false };
        let filter = filter_of(&self.app, caller, self.filter.account_number).await;
        filter.is_ok_and(|filter| filter == self.filter)
    }

    async fn wait(&mut self) -> bool {
        let watches = self.app.watches.clone();
        let goes_on = tokio::select! {
            () = watches.closing() => false,
            _ = tokio::time::timeout(LOOK_EVERY, self.written.changed()) => true,
        };
        match self.context.presence().look() {
            Client::Here => goes_on,
            // It may be reading still. If it is not, this line shows it.
            Client::EndedItsSide => {
                self.ready.push(sse::Event::default().comment(""));
                goes_on
            }
            Client::Gone => false,
        }
    }

    async fn ready_to_send(&mut self, found: &[StoredEvent]) -> bool {
        for event in found {
            let Ok(body) = body_of(&self.app, event, &self.kinds).await else { return false };
            if let Some(body) = body {
                let sent = sse::Event::default().id(body.id.to_string()).event(body.kind.name()).json_data(&body);
                let Ok(sent) = sent else { return false };
                self.ready.push(sent);
            }
            self.place = event.position;
        }
        self.ready.reverse();
        true
    }
}

/// Kinds of events with commas between them.
fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EventKind>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    let known: Option<Vec<EventKind>> = text.split(',').map(EventKind::from_name).collect();
    known.ok_or_else(|| {
        let names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        de::Error::custom(format!(
            "{}: send one of these, or several with commas: {}",
            ProblemCode::UnknownValue,
            names.join(", ")
        ))
    })
}
