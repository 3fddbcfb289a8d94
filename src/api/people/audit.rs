//! The audit log: `GET /audit`, a page at a time as JSON, or all that is wanted as CSV.

use std::borrow::Cow;
use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, de};
use sha2::{Digest, Sha256};
use utoipa::IntoParams;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::HANDLER_TIMEOUT;
use crate::api::http::caller::Overseer;
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::{self, Cursor};
use crate::api::http::error::Result;
use crate::api::http::extract::{Json, Query};
use crate::api::http::long_answers::{LongAnswers, UnderWay};
use crate::api::http::page::{self, Limit, Page};
use crate::api::http::pieces::{self, Pieces};
use crate::api::http::{csv, fields};
use crate::api::people::audit_csv;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::audit_event::{Action, Concern, Event};
use coffer_core::db::Db;
use coffer_core::db::audit::AuditRecord;
use coffer_core::db::audit_search::{AuditFilter, Position};
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// Records that one page may be looked for among: some ten milliseconds of the database's time. It may end there with less
/// than was asked for, or nothing.
const MAX_LOOKED_AT: usize = 5_000;
/// Records in one read for a file, for which all records that are read are wanted.
const RECORDS_IN_A_PIECE: i64 = 500;

/// Declares a query that takes the filters of the log, and what else is in the braces. (Flattened fields and the refusal of
/// unknown ones do not go together in serde.)
macro_rules! query_with_filters {
    ($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Deserialize, Validate, IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            /// Only this kind of event, or one of several, with commas between them.
            #[serde(default, deserialize_with = "actions")]
            #[param(value_type = Option<Vec<Action>>, style = Form, explode = false, min_items = 1)]
            action: Vec<Action>,
            /// Only what this user did.
            #[serde(default, deserialize_with = "fields::user_id")]
            actor_id: Option<Uuid>,
            /// Only what this user did, and what others did to or saw of them or their accounts.
            #[serde(default, deserialize_with = "fields::user_id")]
            user_id: Option<Uuid>,
            /// Only what was done by this API key, or to it.
            #[serde(default, deserialize_with = "fields::api_key_id")]
            api_key_id: Option<Uuid>,
            /// Only what is about this account.
            account_number: Option<AccountNumber>,
            /// Only from this moment on.
            from: Option<Timestamp>,
            /// Only before this moment.
            to: Option<Timestamp>,
            $($(#[$meta])* $field: $type,)*
        }

        impl $name {
            fn filter(&self) -> AuditFilter {
                let Self { actor_id, user_id, api_key_id, account_number, from, to, .. } = *self;
                AuditFilter { actions: self.action.clone(), actor_id, user_id, api_key_id, account_number, from, to }
            }
        }
    };
}

query_with_filters!(AuditQuery {
    /// How many records, 1 to 200; 50 if left out.
    limit: Option<Limit<200>>,
    /// `next_cursor` of the page before, with the same filters.
    cursor: Option<Cursor>,
});

query_with_filters!(AuditFileQuery {});

/// Read the audit log
///
/// What matters to security, the newest first, and all of it that the filters let through together. Each record's hash
/// covers the one before it; `coffer doctor` checks them. At most 5,000 records are looked through for a page: one with few
/// or none is not the last while `has_more` is true. Reading the log is recorded itself.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "list_audit_records",
    tag = "Staff",
    params(AuditQuery),
    responses(
        (status = OK, description = "A page of records", body = Page<AuditRecord>),
        (status = FORBIDDEN, description = "For admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    _: Overseer,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Page<AuditRecord>>> {
    let filter = query.filter();
    let before = query.position(&app, &filter).await?;
    record(&app, &context, &filter, "on the screen")?;
    page(&app.db, &filter, before, query.limit.unwrap_or_default().rows()).await
}

/// Take the audit log as CSV
///
/// All records that the filters let through, the newest first, in one file of any length: CSV (RFC 4180) in UTF-8 with a
/// byte order mark, in which a text that a spreadsheet would run as a formula has an apostrophe before it, as in a
/// statement. A file that breaks off ends in a broken connection. Reading the log is recorded itself.
#[utoipa::path(
    get,
    path = "/audit.csv",
    operation_id = "take_audit_log_as_csv",
    tag = "Staff",
    params(AuditFileQuery),
    responses(
        (status = OK, description = "A file of all records",
         headers(("Content-Disposition" = String, description = "A name for the file")), body = String, content_type = "text/csv",
         example = "sequence,created_at,action,actor_id,subject,concerns,detail,address,request_id,client_request_id,hash\r\n\
            1,2026-01-31T12:00:00.000000Z,login,019a8f3e-6a10-7c52-8f7d-0b1c2d3e4f50,019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88,,,192.0.2.1,\
            019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88,,9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\r\n"),
        (status = FORBIDDEN, description = "For admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn download(
    State(app): State<App>,
    context: RequestContext,
    Overseer(caller): Overseer,
    Query(query): Query<AuditFileQuery>,
) -> Result<Response> {
    let filter = query.filter();
    record(&app, &context, &filter, "as a file")?;
    let mut writing = Writing {
        db: app.db.clone(),
        long_answers: app.long_answers.clone(),
        under_way: None,
        filter,
        before: None,
        is_begun: false,
        is_done: false,
    };
    // What fails at once is answered with a problem, not with a broken connection.
    let first = writing.next_piece().await?;
    if !writing.is_done {
        writing.under_way = Some(app.long_answers.begin(caller.user_id)?);
    }
    Ok((csv::file_headers("audit"), pieces::body(first, writing, &context)).into_response())
}

/// Reading the log is on record: it tells where people signed in from, and what they were looked at for.
fn record(app: &App, context: &RequestContext, filter: &AuditFilter, how: &str) -> Result<()> {
    let mut look = context.event(Action::AuditRead).detail(how);
    look = filter.user_id.into_iter().chain(filter.actor_id).fold(look, Event::about);
    look = filter.api_key_id.map(Concern::ApiKey).into_iter().fold(look, Event::about);
    app.viewed(filter.account_number.into_iter().fold(look, Event::about))
}

async fn page(
    db: &Db,
    filter: &AuditFilter,
    mut before: Option<Position>,
    limit: u32,
) -> Result<Json<Page<AuditRecord>>> {
    let wanted = limit as usize;
    let (mut records, mut looked_at) = (Vec::new(), 0);
    loop {
        let found = db.find_audit_records(filter, before, i64::from(limit) + 1).await?;
        looked_at += found.looked_at;
        records.extend(found.records);
        before = found.next;
        if records.len() > wanted || looked_at >= MAX_LOOKED_AT || before.is_none() {
            break;
        }
    }
    let tag = tag_of(filter);
    let (data, next_cursor) = page::cut(records, limit, |record| Cursor::at_record(tag, record.sequence));
    let goes_on = || before.map(|position| Cursor::at_record(tag, position.sequence).encode());
    let next_cursor = next_cursor.or_else(goes_on);
    Ok(Json(Page::new(data, next_cursor)))
}

/// Where the page before ended. A cursor belongs to the filters that it came with: with others, its place means
/// nothing.
async fn position(db: &Db, filter: &AuditFilter, cursor: Cursor) -> Result<Position> {
    if cursor.tag() != tag_of(filter) {
        return Err(cursor::invalid());
    }
    db.audit_position(cursor.sequence).await?.ok_or_else(cursor::invalid)
}

/// A file that is being written. It holds one read of the log in memory.
struct Writing {
    db: Db,
    long_answers: LongAnswers,
    /// For a file of more than one read.
    under_way: Option<UnderWay>,
    filter: AuditFilter,
    before: Option<Position>,
    is_begun: bool,
    is_done: bool,
}

impl Pieces for Writing {
    const NAME: &'static str = "the audit log as a file";

    fn is_done(&self) -> bool {
        self.is_done
    }

    async fn next_piece(&mut self) -> Result<Vec<u8>> {
        let permit = self.long_answers.read_permit().await;
        let reading = self.db.find_audit_records(&self.filter, self.before, RECORDS_IN_A_PIECE);
        let found = tokio::time::timeout(HANDLER_TIMEOUT, reading).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        drop(permit);
        let mut piece = if self.is_begun { Vec::new() } else { audit_csv::header()? };
        self.is_begun = true;
        for record in &found.records {
            piece.extend(audit_csv::record(record)?);
        }
        self.before = found.next;
        self.is_done = self.before.is_none();
        Ok(piece)
    }
}

impl AuditQuery {
    /// Where the page before ended, if there is one.
    async fn position(&self, app: &App, filter: &AuditFilter) -> Result<Option<Position>> {
        match self.cursor {
            Some(cursor) => position(&app.db, filter, cursor).await.map(Some),
            None => Ok(None),
        }
    }
}

/// A hash of the filters: the same for the same ones, and hardly ever for others.
fn tag_of(filter: &AuditFilter) -> i64 {
    let digest: [u8; 32] = Sha256::digest(format!("{filter:?}")).into();
    digest.first_chunk().copied().map(i64::from_be_bytes).unwrap_or_default()
}

/// Kinds of events with commas between them, each once.
fn actions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Action>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    let named = |name: &str| Action::ALL.iter().copied().find(|action| action.name() == name);
    let known: Option<BTreeSet<Action>> = text.split(',').map(named).collect();
    known.map(|known| known.into_iter().collect()).ok_or_else(|| {
        let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        de::Error::custom(format!(
            "{}: send one of these, or several with commas: {}",
            ProblemCode::UnknownValue,
            names.join(", ")
        ))
    })
}
