//! History: `GET /transactions` and `GET /transactions/{id}`.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::{self, Cursor};
use crate::api::http::entity_tags::IfNoneMatch;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam};
use crate::api::http::fields::TransactionId;
use crate::api::http::page::{Limit, Page};
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::readable_account;
use crate::api::money::search::{self, Place, Wanted};
use crate::api::money::tags::{MetadataParameter, WithMetadata};
use crate::api::money::transaction::{Direction, StoredAs, TransactionBody};
use crate::api::money::versions::{self, NotModified, Version};
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccountCode;
use coffer_core::books::account::Account;
use coffer_core::books::approval::ApprovalStatus;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::entry::Entry;
use coffer_core::books::hold::HoldStatus;
use coffer_core::books::movement::MovementType;
use coffer_core::books::tags::Tag;
use coffer_core::db::history::{BankRange, EntryRange, Sides};
use coffer_core::money::Amount;
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::{DescriptionSearch, Group, Reference};
use coffer_core::timestamp::{Timestamp, first_uuid_of};

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The number of the account: 14 digits, the last two are check digits. Staff, admins and auditors may leave it
    /// out: then the list has every movement of the bank, as the account saw it that was acted on, in the order of the
    /// ids, which is that in which they were asked for.
    account_number: Option<AccountNumber>,
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
    /// Only the movement that was requested with this reference. Found by an index, and only on the account that was
    /// acted on.
    #[param(inline)]
    reference: Option<Reference>,
    /// Only movements of batches that were requested with this group. Found as `reference` is.
    #[param(inline)]
    group: Option<Group>,
    /// Only movements of this amount or more. Looked for as `type` is.
    #[param(inline)]
    min_amount: Option<Amount>,
    /// Only movements of this amount or less. Looked for as `type` is.
    #[param(inline)]
    max_amount: Option<Amount>,
    /// Only movements that go this way, seen from the account. Looked for as `type` is.
    direction: Option<Direction>,
    /// Only transfers from and to this account. Looked for as `type` is.
    #[param(inline)]
    counterparty: Option<AccountNumber>,
    /// Only deposits and withdrawals against this account of the bank's own, by its code. Looked for as `type` is.
    #[param(inline)]
    against: Option<BankAccountCode>,
    /// Only entries made at this moment or later. Over the whole bank: only movements that were asked for then.
    from: Option<Timestamp>,
    /// Only entries made before this moment. Over the whole bank: only movements that were asked for before.
    to: Option<Timestamp>,
}

/// What is asked of the history, with the metadata that it is to have.
pub type HistoryRequest = WithMetadata<HistoryQuery>;

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

/// List movements
///
/// Those of an account, newest first; or, for staff, admins and auditors, those of the whole bank. Filters combine: a
/// movement must have all that is asked for. The `Link` header (RFC 8288) has the address of the next page.
#[utoipa::path(
    get,
    path = "/transactions",
    operation_id = "list_transactions",
    tag = "History",
    params(HistoryQuery, MetadataParameter, versions::ConditionalHeaders),
    responses(
        (status = OK, description = "A page of entries", body = Page<TransactionBody>,
         headers(
            ("Link" = Option<String>, description = "`rel=\"next\"` while there are older entries"),
            ("ETag" = Option<String>, description = "The version of a first page: the account's sequence, and a hash where more shows in the answer"),
            ("Preference-Applied" = Option<String>, description = "For how long the answer may have waited, if that was asked for"),
        )),
        NotModified,
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    known: IfNoneMatch,
    request: HistoryRequest,
) -> Result<Response> {
    let limit = request.query.limit.unwrap_or_default().rows();
    let (place, account) = match request.query.account_number {
        Some(number) => {
            let look = AccountLook::new(Action::HistoryViewed);
            let account = readable_account(&app, &context, caller, number, look).await?;
            (Place::Account(request.query.range(&app, number, account.sequence).await?), Some(account))
        }
        None if caller.role.reads_any_account() => (Place::Bank(request.query.bank_range()), None),
        None => return Err(account_missing()),
    };
    let wanted = request.wanted();
    let may_go_on = || app.auth.requests.take(caller.user_id).is_ok();
    let (entries, next_cursor) = search::page(&app, place, &wanted, limit, may_go_on).await?;
    if let Place::Bank(_) = place {
        app.viewed(look_at_the_bank(&context, &entries))?;
    }
    let link = next_cursor.as_deref().and_then(|cursor| request.next_link(cursor));
    let is_whole = request.query.from.is_none() && request.query.to.is_none() && wanted.is_anything();
    let is_plain = is_whole && entries.iter().all(|entry| !entry.texts.is_erased());
    let page = Page::new(entries.into_iter().map(TransactionBody::from).collect(), next_cursor);
    // Only the first page of an account tells of what is new there.
    let mut response = match account.filter(|_| request.query.cursor.is_none()) {
        Some(account) => Version::of_page(account.sequence, is_plain, &page)?.answer(&account, &known, page),
        None => Json::<_>(page).into_response(),
    };
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// Whoever has only accounts of their own must say which.
fn account_missing() -> Error {
    let detail = "send the number of one of your accounts, which GET /accounts lists";
    Error::invalid("?account_number", ProblemCode::MissingField, detail)
}

/// The record of a look at the movements of the whole bank, about every account that was shown.
fn look_at_the_bank(context: &RequestContext, entries: &[Entry]) -> Event {
    let look = context.event(Action::MovementsListed);
    let accounts = entries.iter().flat_map(|entry| [Some(entry.account_number), entry.counterparty]).flatten();
    accounts.collect::<BTreeSet<_>>().into_iter().fold(look, Event::about)
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
    let debit = sides.debit().filter(|(number, _)| caller.may_see(sides.debit_owner, *number));
    let credit = sides.credit().filter(|(number, _)| caller.may_see(sides.credit_owner, *number));
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

impl HistoryQuery {
    /// The part of an account's history that is asked for. `head` is the account's last sequence.
    async fn range(&self, app: &App, account_number: AccountNumber, head: i64) -> Result<EntryRange> {
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
        Ok(EntryRange { account_number, below, above, movement_type: self.movement_type, limit: 0 })
    }

    /// The part of the journal that is asked for, by ids.
    fn bank_range(&self) -> BankRange {
        let below = self.cursor.map_or(Uuid::max(), Cursor::id);
        let to = self.to.map_or(Uuid::max(), first_uuid_of);
        BankRange { below: below.min(to), from: self.from.map_or(Uuid::nil(), first_uuid_of), limit: 0 }
    }
}

impl HistoryRequest {
    fn wanted(&self) -> Wanted {
        let Self { query, metadata } = self;
        let reference = query.reference.as_ref().map(|reference| Tag::reference(reference.as_str()));
        let group = query.group.as_ref().map(|group| Tag::group(group.as_str()));
        Wanted {
            movement_type: query.movement_type,
            text: query.text.as_ref().map(|text| text.folded()).unwrap_or_default(),
            direction: query.direction,
            counterparty: query.counterparty,
            against: query.against,
            min_amount: query.min_amount,
            max_amount: query.max_amount,
            tags: reference.into_iter().chain(group).chain(metadata.iter().cloned()).collect(),
        }
    }

    /// The same request with another cursor.
    fn next_link(&self, cursor: &str) -> Option<HeaderValue> {
        let Self { query: asked, metadata } = self;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("account_number", asked.account_number.map(|number| number.to_string())),
            ("limit", asked.limit.map(|limit| limit.rows().to_string())),
            ("type", asked.movement_type.map(|movement_type| movement_type.name().to_owned())),
            ("text", asked.text.as_ref().map(|text| text.as_str().to_owned())),
            ("reference", asked.reference.as_ref().map(|reference| reference.as_str().to_owned())),
            ("group", asked.group.as_ref().map(|group| group.as_str().to_owned())),
            ("min_amount", asked.min_amount.map(|amount| amount.to_string())),
            ("max_amount", asked.max_amount.map(|amount| amount.to_string())),
            ("direction", asked.direction.map(|direction| direction.name().to_owned())),
            ("counterparty", asked.counterparty.map(|number| number.to_string())),
            ("against", asked.against.map(|code| code.to_string())),
            ("from", asked.from.map(|from| from.to_string())),
            ("to", asked.to.map(|to| to.to_string())),
        ] {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        for Tag { key, value } in metadata {
            query.append_pair(&format!("metadata[{key}]"), value);
        }
        query.append_pair("cursor", cursor);
        HeaderValue::from_str(&format!("</transactions?{}>; rel=\"next\"", query.finish())).ok()
    }
}
