//! History: `GET /transactions` and `GET /transactions/{id}`.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;
use validator::Validate;

use crate::account_number::AccountNumber;
use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::{self, Cursor};
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields::TransactionId;
use crate::api::http::page::{self, Limit, Page};
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::readable_account;
use crate::api::money::transaction::{StoredAs, TransactionBody};
use crate::books::account::Account;
use crate::books::approval::ApprovalStatus;
use crate::books::audit_event::Action;
use crate::books::entry::Entry;
use crate::books::hold::HoldStatus;
use crate::books::movement::MovementType;
use crate::db::history::{EntryRange, Sides};
use crate::problem_code::ProblemCode;
use crate::text::{self, DescriptionSearch};
use crate::timestamp::Timestamp;

/// Entries that one request may look through for those that it asks for: some milliseconds of the database's time. A page
/// may end there with less than was asked for, or nothing.
const MAX_LOOKED_THROUGH: i64 = 5_000;
/// Entries that are read at once, of those. They cost the caller as much as one request.
const LOOKED_THROUGH_AT_ONCE: i64 = 200;

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The number of the account: 14 digits, the last two are check digits.
    account_number: AccountNumber,
    /// How many entries, 1 to 200.
    limit: Option<Limit<200>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
    /// Only movements of this type. At most 5,000 entries are looked through for a page: one with few entries or none is
    /// not the last while `has_more` is true. Every 200 count as one request.
    #[serde(rename = "type")]
    movement_type: Option<MovementType>,
    /// Only movements with this text in their description, whatever its case and accents. At most 5,000 entries are looked
    /// through for a page: one with few entries or none is not the last while `has_more` is true. Every 200 count as one
    /// request.
    #[param(inline)]
    text: Option<DescriptionSearch>,
    /// Only entries made at this moment or later.
    from: Option<Timestamp>,
    /// Only entries made before this moment.
    to: Option<Timestamp>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header for the OpenAPI document; extract::IdempotencyKey reads it")]
pub struct IdempotencyKeyHeader {
    /// A name for this request that is new for each new movement, such as a UUID. Sent again with the same request, the
    /// money moves once and the first answer comes again.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!#-\\[\\]-~]+$"
    )]
    idempotency_key: String,
}

/// List an account's movements
///
/// Newest first. The `Link` header (RFC 8288) has the address of the next page.
#[utoipa::path(
    get,
    path = "/transactions",
    operation_id = "list_transactions",
    tag = "History",
    params(HistoryQuery),
    responses(
        (status = OK, description = "A page of entries", body = Page<TransactionBody>,
         headers(("Link" = Option<String>, description = "`rel=\"next\"` while there are older entries"))),
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Query(query): Query<HistoryQuery>,
) -> Result<Response> {
    let look = AccountLook::new(Action::HistoryViewed);
    let head = readable_account(&app, &context, caller, query.account_number, look).await?.sequence;
    let limit = query.limit.unwrap_or_default().rows();
    let range = query.range(&app, head, i64::from(limit) + 1).await?;
    let (entries, next_cursor) = if query.text.is_none() && query.movement_type.is_none() {
        page::cut(app.db.entries(range).await?, limit, cursor_at)
    } else {
        let wanted = query.text.as_ref().map(|text| text.folded()).unwrap_or_default();
        let may_go_on = || app.auth.requests.take(caller.user_id).is_ok();
        page_looked_for(&app, range, limit, &wanted, may_go_on).await?
    };
    let link = next_cursor.as_deref().and_then(|cursor| query.next_link(cursor));
    let data = entries.into_iter().map(TransactionBody::from).collect();
    let mut response = Json(Page::new(data, next_cursor)).into_response();
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// Show one movement
///
/// As the caller's account saw it; for a transfer between two of the caller's accounts, and for staff, as the sender's.
/// A hold has the same id before it is captured and after, and so, for staff, has what waits for approval, or has waited.
#[utoipa::path(
    get,
    path = "/transactions/{id}",
    operation_id = "show_transaction",
    tag = "History",
    params(("id" = Uuid, Path, description = "The movement", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The movement", body = TransactionBody),
        (status = NOT_FOUND, description = "No such movement on the caller's accounts"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    PathParam(TransactionId(id)): PathParam<TransactionId>,
) -> Result<Json<TransactionBody>> {
    let not_found =
        || Error::not_found(ProblemCode::TransactionNotFound, "There is no such movement on your accounts.");
    let look = AccountLook::at(Action::TransactionViewed, id);
    if let Some(waiting) = unposted(&app, id).await? {
        let account = app.db.account(waiting.account_number).await?;
        let may_see = |account: &Account| match waiting.stored_as {
            StoredAs::Entry | StoredAs::Hold => caller.may_read(account),
            StoredAs::Approval => caller.role.reads_any_account(),
        };
        let account = account.filter(may_see).ok_or_else(not_found)?;
        app.viewed_account(&context, caller, &account, look)?;
        return Ok(Json(waiting));
    }
    let sides = app.db.sides_of(id).await?.ok_or_else(not_found)?;
    let may_see = |owner: Option<Uuid>| owner == Some(caller.user_id) || caller.role.reads_any_account();
    let debit = sides.debit().filter(|_| may_see(sides.debit_owner));
    let credit = sides.credit().filter(|_| may_see(sides.credit_owner));
    let (account, sequence) = debit.or(credit).ok_or_else(not_found)?;
    readable_account(&app, &context, caller, account, look).await?;
    Ok(Json(of_side(&app, &sides, (account, sequence)).await?.ok_or_else(not_found)?))
}

/// The movement of a command that an earlier request has sent: as the sender's account saw it, or the only account.
pub async fn earlier(app: &App, id: Uuid) -> Result<TransactionBody> {
    match unposted(app, id).await? {
        Some(waiting) => Ok(waiting),
        None => posted(app, id).await,
    }
}

/// The movement with this id, which is in the journal: as the sender's account saw it, or the only one.
async fn posted(app: &App, id: Uuid) -> Result<TransactionBody> {
    let missing = || Error::Internal(format!("movement {id} is not in the journal"));
    let sides = app.db.sides_of(id).await?.ok_or_else(missing)?;
    let side = sides.debit().or(sides.credit()).ok_or_else(missing)?;
    of_side(app, &sides, side).await?.ok_or_else(missing)
}

/// The movement as one side saw it: the account, and the sequence of its entry there.
async fn of_side(
    app: &App,
    sides: &Sides,
    (account, sequence): (AccountNumber, i64),
) -> sqlx::Result<Option<TransactionBody>> {
    let entry = app.db.entry(account, sequence).await?;
    Ok(entry.map(|entry| TransactionBody::from(entry).with_other_half(sides.reverses, sides.reversed_by)))
}

/// The approval with this id that is pending, rejected or expired, or the hold that was not captured. They are looked up
/// in the order in which one becomes the other, and before the journal, so that none is missed that moves on in between.
async fn unposted(app: &App, id: Uuid) -> Result<Option<TransactionBody>> {
    if let Some(approval) = app.db.approval(id).await?.filter(|approval| approval.status != ApprovalStatus::Approved) {
        return TransactionBody::try_from(approval).map(Some);
    }
    let hold = app.db.hold(id).await?.filter(|hold| hold.status != HoldStatus::Captured);
    Ok(hold.map(TransactionBody::from))
}

fn cursor_at(entry: &Entry) -> Cursor {
    Cursor::at_entry(entry.account_number, entry.sequence)
}

/// At most `limit` entries of a range that are of its type and whose [folded](text::fold) description contains
/// `wanted`, and the cursor of the next page. When fewer are found among the newest [`MAX_LOOKED_THROUGH`], or when the
/// caller has no requests left, the next page begins behind the entries that were looked through.
async fn page_looked_for(
    app: &App,
    range: EntryRange,
    limit: u32,
    wanted: &str,
    may_go_on: impl Fn() -> bool,
) -> sqlx::Result<(Vec<Entry>, Option<String>)> {
    let is_wanted = |entry: &Entry| {
        wanted.is_empty() || entry.texts.description.as_deref().is_some_and(|it| text::fold(it).contains(wanted))
    };
    // Sequences have no gaps, so this bounds the rows, too, whatever their type.
    let floor = range.above.max(range.below - 1 - MAX_LOOKED_THROUGH);
    let (mut found, mut below) = (Vec::new(), range.below);
    // The first ones are what the request itself has paid for.
    while found.len() <= limit as usize && below > floor + 1 && (below == range.below || may_go_on()) {
        let above = floor.max(below - 1 - LOOKED_THROUGH_AT_ONCE);
        let permit = app.long_answers.read_permit().await;
        let entries = app.db.entries(EntryRange { below, above, limit: LOOKED_THROUGH_AT_ONCE, ..range }).await?;
        drop(permit);
        found.extend(entries.into_iter().filter(is_wanted));
        below = above + 1;
    }
    let (found, next_cursor) = page::cut(found, limit, cursor_at);
    let goes_on = || (below > range.above + 1).then(|| Cursor::at_entry(range.account_number, below).encode());
    Ok((found, next_cursor.or_else(goes_on)))
}

impl Sides {
    fn debit(&self) -> Option<(AccountNumber, i64)> {
        Some((self.debit_account, self.debit_sequence?))
    }

    fn credit(&self) -> Option<(AccountNumber, i64)> {
        Some((self.credit_account, self.credit_sequence?))
    }
}

impl HistoryQuery {
    /// The part of the history that is asked for. `head` is the account's last sequence.
    async fn range(&self, app: &App, head: i64, limit: i64) -> Result<EntryRange> {
        let account_number = self.account_number;
        let mut below = match self.cursor {
            Some(cursor) => {
                if cursor.account_number != account_number.as_i64() || !(1..=head).contains(&cursor.sequence) {
                    return Err(cursor::invalid());
                }
                cursor.sequence
            }
            None => head + 1,
        };
        if let Some(to) = self.to {
            below = below.min(app.db.sequence_before(account_number, head, to).await? + 1);
        }
        let above = match self.from {
            Some(from) => app.db.sequence_before(account_number, head, from).await?,
            None => 0,
        };
        Ok(EntryRange { account_number, below, above, movement_type: self.movement_type, limit })
    }

    /// The same query with another cursor.
    fn next_link(&self, cursor: &str) -> Option<HeaderValue> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("account_number", &self.account_number.to_string());
        for (name, value) in [
            ("limit", self.limit.map(|limit| limit.rows().to_string())),
            ("type", self.movement_type.map(|movement_type| movement_type.name().to_owned())),
            ("text", self.text.as_ref().map(|text| text.as_str().to_owned())),
            ("from", self.from.map(|from| from.to_string())),
            ("to", self.to.map(|to| to.to_string())),
        ] {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        query.append_pair("cursor", cursor);
        HeaderValue::from_str(&format!("</transactions?{}>; rel=\"next\"", query.finish())).ok()
    }
}
