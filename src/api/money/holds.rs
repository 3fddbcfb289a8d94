//! Holds: `POST /holds` keeps money on its account for a movement to come; `/holds/{id}/capture` moves it, and
//! `/holds/{id}/release` lets it go.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Actor, Caller};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields::HoldId;
use crate::api::http::page::{self, Limit, Page};
use crate::api::http::problem::FieldError;
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::{about_owner, readable_account};
use crate::api::money::conditions::{Conditions, NoConditions};
use crate::api::money::movements::{self, Answer, PendingResponse, PostedResponse, PreviewResponse, Terms};
use crate::api::money::preview::PreviewQuery;
use crate::api::money::tags::{self, Metadata};
use crate::api::money::transaction::TransactionBody;
use crate::api::money::{transactions, versions};
use crate::api::people::proof;
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccount;
use coffer_core::books::account::Account;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::books::command::{Command, Step};
use coffer_core::books::hold::{Hold, HoldStatus};
use coffer_core::books::movement::Movement;
use coffer_core::books::refusal::Refusal;
use coffer_core::db::holds::HoldFilter;
use coffer_core::money::{Amount, Currency, Money};
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::{Description, Reference};
use coffer_core::timestamp::Timestamp;

/// Money to keep: with `account_number` to be paid out, with `from_account` and `to_account` to be transferred.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"account_number": "10000000000180", "amount": "40.00", "description": "Deposit for the bicycle"}))]
pub struct HoldRequest {
    /// The account whose money is kept, to be paid out.
    account_number: Option<AccountNumber>,
    /// The account whose money is kept, to be transferred.
    from_account: Option<AccountNumber>,
    /// The account that will get it. Needs `from_account`.
    to_account: Option<AccountNumber>,
    /// A positive decimal as a string, with at most as many decimals as the account's currency has.
    amount: Amount,
    /// If sent, must be the account's currency.
    currency: Option<Currency>,
    /// What the statement will say once it is captured, up to 140 characters.
    #[schema(example = "Deposit for the bicycle")]
    description: Option<Description>,
    /// Your own name for the movement to come, up to 64 characters. It names one movement of yours for good, also when
    /// the hold is released.
    reference: Option<Reference>,
    /// Pairs of texts by which you find the movement to come. The other side of a transfer does not see them.
    metadata: Option<Metadata>,
    /// When the money is free again if nobody captures it: in the future, and at most 31 days away. In seven days if left
    /// out.
    expires_at: Option<Timestamp>,
}

/// How much of a hold to move.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": "25.00"}))]
pub struct CaptureRequest {
    /// At most what is held; all of it if left out. The rest is free again.
    amount: Option<Amount>,
}

/// Money that an account keeps for one movement, or has kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldBody {
    /// The id of the hold. A hold that is captured keeps it as the id of its transaction.
    id: Uuid,
    status: HoldStatus,
    /// The account whose money is kept.
    account_number: AccountNumber,
    /// The account that the money is to go to; null if it is to be paid out.
    to_account: Option<AccountNumber>,
    /// What is kept, or was.
    amount: Money,
    currency: Currency,
    /// What was moved; null unless it is captured.
    captured_amount: Option<Money>,
    /// The text that the statement will show; null if none was sent.
    #[schema(example = "Deposit for the bicycle")]
    description: Option<String>,
    /// The reference that it was created with; null if none was sent.
    #[schema(example = "INV-2026-0042")]
    reference: Option<String>,
    /// What it was created with; `{}` if none was sent.
    metadata: Metadata,
    /// Whether somebody who works at the bank has created it. Then only the bank captures or releases it.
    created_by_bank: bool,
    created_at: Timestamp,
    /// The money is free from then on, unless it has moved before.
    expires_at: Timestamp,
    /// When it was captured or released; null while it was neither.
    decided_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HoldsQuery {
    /// The account whose money is held.
    account_number: AccountNumber,
    /// Only holds with this status; all if left out.
    status: Option<HoldStatus>,
    /// How many holds, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// Held
#[derive(IntoResponses)]
#[response(status = CREATED, headers(
    ("Location" = String, description = "The hold, which has the id of the movement to come"),
    ("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier request used the same key: this is what became of it")
))]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document")]
pub struct HeldResponse(TransactionBody);

/// Create a hold
///
/// Keeps money on the account for a movement to come, so that nobody takes it meanwhile: `available` falls by it, and
/// `balance` does not. Refused for whatever would refuse the movement now. It ends when it is captured or released, or by
/// itself when it expires.
#[utoipa::path(
    post,
    path = "/holds",
    operation_id = "create_hold",
    tag = "Money",
    request_body(content = HoldRequest, description = "The account or accounts, the amount, and how long to keep it"),
    params(transactions::IdempotencyKeyHeader, versions::IfMatchHeader, PreviewQuery),
    responses(
        PreviewResponse,
        HeldResponse,
        PendingResponse,
        (status = UNAUTHORIZED, description = proof::REQUIRED_ABOVE),
        (status = NOT_FOUND, description = "No such account among the caller's, or no such receiver"),
        (status = CONFLICT, description = "Insufficient funds, a limit of the account is exceeded, too many holds, one of the accounts takes no movements, or the reference is taken",
         headers(("Location" = Option<String>, description = "The movement that has the reference, if it is taken"))),
        (status = PRECONDITION_FAILED, description = versions::MOVED_ON),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    Conditions { key, if_match, preview }: Conditions,
    Json(request): Json<HoldRequest>,
) -> Result<Answer> {
    let HoldRequest { account_number, from_account, to_account, amount, currency, expires_at, .. } = request;
    let movement = movement_to_come(account_number, from_account, to_account);
    let movement = movement.map_err(|error| Error::Invalid(vec![error]))?;
    if let (Some(from), _) = movement.sides() {
        preview.confirm_amounts(&app, caller, &[(from, amount)]).await?;
    }
    let tags = tags::of_request(request.reference, request.metadata);
    let terms =
        Terms { amount, currency, description: request.description.map(Into::into), tags, if_match: Some(if_match) };
    let command = movements::command(&app, &context, caller, key, movement, terms);
    let record = record(&context, &command, Action::HoldCreated);
    let command = Command { step: Step::Hold { expires_at }, record, ..command };
    movements::carry_out(&app, &context, caller, command, preview).await
}

/// Capture a hold
///
/// Moves what is held, or less, once; the rest is free again in the same moment. Customers capture
/// what they have created, and staff what the bank has.
#[utoipa::path(
    post,
    path = "/holds/{id}/capture",
    operation_id = "capture_hold",
    tag = "Money",
    request_body(content = CaptureRequest, description = "The amount, if it is to be less than what is held"),
    params(
        ("id" = Uuid, Path, description = "The hold", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        transactions::IdempotencyKeyHeader,
        versions::IfMatchHeader,
        PreviewQuery,
    ),
    responses(
        PreviewResponse,
        PostedResponse,
        (status = FORBIDDEN, description = "The other side has created the hold, or the caller changes nothing here"),
        (status = NOT_FOUND, description = "No such hold on the caller's accounts"),
        (status = CONFLICT, description = "It was captured or released before, or has expired, or one of the accounts takes no movements"),
        (status = PRECONDITION_FAILED, description = versions::MOVED_ON),
    ),
    security(("bearer" = []))
)]
pub async fn capture(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    PathParam(HoldId(id)): PathParam<HoldId>,
    Conditions { key, if_match, preview }: Conditions,
    Json(request): Json<CaptureRequest>,
) -> Result<Answer> {
    // Only its status changes, and of that the ledger decides.
    let (hold, account) = readable(&app, caller, id).await?;
    refuse_capture(&hold, &account, caller)?;
    let amount = request.amount.unwrap_or_else(|| hold.money().into());
    let (description, tags) = (hold.description.clone(), hold.tags.clone());
    let terms = Terms { amount, currency: Some(hold.currency), description, tags, if_match: Some(if_match) };
    let command = movements::command(&app, &context, caller, key, hold.movement(), terms);
    let record = record(&context, &command, Action::HoldCaptured);
    let command = Command { id, step: Step::Capture, record, ..command };
    movements::carry_out(&app, &context, caller, command, preview).await
}

/// Release a hold
///
/// The money is free again. Customers release what they have created, and staff any hold.
#[utoipa::path(
    post,
    path = "/holds/{id}/release",
    operation_id = "release_hold",
    tag = "Money",
    params(("id" = Uuid, Path, description = "The hold", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "Released: no money has moved, and none will", body = HoldBody),
        (status = FORBIDDEN, description = "The bank has created the hold, or the caller changes nothing here"),
        (status = NOT_FOUND, description = "No such hold on the caller's accounts"),
        (status = CONFLICT, description = "It was captured or released before, or has expired"),
    ),
    security(("bearer" = []))
)]
pub async fn release(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    PathParam(HoldId(id)): PathParam<HoldId>,
    _: NoConditions,
) -> Result<Json<HoldBody>> {
    let (hold, account) = readable(&app, caller, id).await?;
    refuse_release(&hold, &account, caller)?;
    context.note_accounts(hold.movement().accounts());
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    let Some(released) = tx.release_hold(id, caller.user_id, now).await? else {
        drop(tx);
        return Err(why_it_keeps_nothing(&app, id, now).await?.into());
    };
    if account.owner_id != Some(caller.user_id) {
        let event = context.event(Action::HoldReleased).on(hold.from_account);
        let event = event.detail(format!("{}, {id}", released.in_words()));
        tx.append_to_audit_log(&[about_owner(event, &account)]).await?;
    }
    let event = BankEvent::of_account(EventKind::HoldReleased, hold.from_account, account.owner_id).about(id);
    app.append_events(&mut tx, &[event]).await?;
    tx.commit().await?;
    app.watches.changed(|| [hold.from_account]);
    Ok(Json(HoldBody::of(released, &account, now)))
}

/// List the holds on an account
///
/// The newest first, with those that have ended.
#[utoipa::path(
    get,
    path = "/holds",
    operation_id = "list_holds",
    tag = "Money",
    params(HoldsQuery),
    responses(
        (status = OK, description = "A page of holds", body = Page<HoldBody>),
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Query(query): Query<HoldsQuery>,
) -> Result<Json<Page<HoldBody>>> {
    let look = AccountLook::new(Action::HoldsViewed);
    let account = readable_account(&app, &context, caller, query.account_number, look).await?;
    let limit = query.limit.unwrap_or_default().rows();
    let before = query.cursor.map(Cursor::id);
    let filter = HoldFilter { account_number: query.account_number, status: query.status, before };
    let now = Timestamp::now();
    let holds = app.db.holds(filter, now, i64::from(limit) + 1).await?;
    let (holds, next_cursor) = page::cut(holds, limit, |hold| Cursor::at_id(hold.id));
    let data = holds.into_iter().map(|hold| HoldBody::of(hold, &account, now)).collect();
    Ok(Json(Page::new(data, next_cursor)))
}

/// Show a hold
///
/// As it is now, or as it ended.
#[utoipa::path(
    get,
    path = "/holds/{id}",
    operation_id = "show_hold",
    tag = "Money",
    params(("id" = Uuid, Path, description = "The hold", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The hold", body = HoldBody),
        (status = NOT_FOUND, description = "No such hold on the caller's accounts"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    PathParam(HoldId(id)): PathParam<HoldId>,
) -> Result<Json<HoldBody>> {
    let (hold, account) = readable(&app, caller, id).await?;
    app.viewed_account(&context, caller, &account, AccountLook::at(Action::HoldsViewed, id))?;
    Ok(Json(HoldBody::of(hold, &account, Timestamp::now())))
}

/// A hold on an account that the caller may look at; the same 404 for every other.
async fn readable(app: &App, caller: Caller, id: Uuid) -> Result<(Hold, Account)> {
    let hold = app.db.hold(id).await?.ok_or(Refusal::HoldNotFound)?;
    let account = app.db.account(hold.from_account).await?.filter(|account| caller.may_read(account));
    Ok((hold, account.ok_or(Refusal::HoldNotFound)?))
}

/// A customer's hold is captured by the customer, the bank's by the bank: by which right the money may move was decided
/// when the hold was created, for one or the other.
fn refuse_capture(hold: &Hold, account: &Account, caller: Caller) -> Result<()> {
    refuse_release(hold, account, caller)?;
    if hold.created_by != caller.user_id && is_owners(hold, account) {
        let detail = "The customer has created this hold: only the customer captures it. You may release it.";
        return Err(Error::forbidden(ProblemCode::HoldOfCustomer, detail));
    }
    Ok(())
}

/// What the bank holds, the bank releases: nobody whose money it is, even if they work there.
fn refuse_release(hold: &Hold, account: &Account, caller: Caller) -> Result<()> {
    let is_own = account.owner_id == Some(caller.user_id);
    let acts_for_the_bank = caller.role.acts_on_any_account() && !is_own;
    if hold.created_by != caller.user_id && !acts_for_the_bank {
        let detail = "The bank has created this hold: only the bank captures or releases it.";
        return Err(Error::forbidden(ProblemCode::HoldOfBank, detail));
    }
    Ok(())
}

/// Whether the owner of the money has created the hold.
fn is_owners(hold: &Hold, account: &Account) -> bool {
    account.owner_id == Some(hold.created_by)
}

async fn why_it_keeps_nothing(app: &App, id: Uuid, now: Timestamp) -> Result<Refusal> {
    let hold = app.db.hold(id).await?.ok_or(Refusal::HoldNotFound)?;
    Ok(match hold.status_at(now) {
        HoldStatus::Captured => Refusal::HoldCaptured,
        HoldStatus::Released => Refusal::HoldReleased,
        HoldStatus::Held | HoldStatus::Expired => Refusal::HoldExpired,
    })
}

/// The record of a command of staff, under a name of its own.
fn record(context: &RequestContext, command: &Command, action: Action) -> Option<Box<Event>> {
    command.record.is_some().then(|| Box::new(context.event(action)))
}

/// The movement that a hold is for, by the accounts that are named.
pub fn movement_to_come(
    account_number: Option<AccountNumber>,
    from_account: Option<AccountNumber>,
    to_account: Option<AccountNumber>,
) -> Result<Movement, FieldError> {
    let missing = |pointer| FieldError::new(pointer, ProblemCode::MissingField, "a hold for a transfer needs it");
    match (account_number, from_account, to_account) {
        (Some(from), None, None) => Ok(Movement::Withdrawal { from, against: BankAccount::CASH }),
        (None, Some(from), Some(to)) => Ok(Movement::Transfer { from, to }),
        (None, Some(_), None) => Err(missing("/to_account")),
        (None, None, Some(_)) => Err(missing("/from_account")),
        (None, None, None) => Err(FieldError::new(
            "/account_number",
            ProblemCode::MissingField,
            "send it for cash, or from_account and to_account for a transfer",
        )),
        (Some(_), ..) => Err(FieldError::new(
            "/account_number",
            ProblemCode::UnknownField,
            "leave it out beside from_account and to_account",
        )),
    }
}

impl HoldBody {
    pub fn of(hold: Hold, account: &Account, now: Timestamp) -> Self {
        Self {
            id: hold.id,
            status: hold.status_at(now),
            account_number: hold.from_account,
            to_account: hold.to_account,
            amount: hold.money(),
            currency: hold.currency,
            captured_amount: hold.captured_amount.map(|amount| Money::new(amount, hold.currency)),
            created_by_bank: !is_owners(&hold, account),
            reference: hold.tags.reference().map(str::to_owned),
            metadata: Metadata(hold.tags.metadata().clone()),
            description: hold.description,
            created_at: hold.created_at,
            expires_at: hold.expires_at,
            decided_at: hold.decided_at,
        }
    }
}
