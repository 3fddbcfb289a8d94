//! Moving money: `POST /deposit`, `/withdraw` and `/transfer`.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Actor, Caller};
use crate::api::http::context::RequestContext;
use crate::api::http::entity_tags::IfMatch;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{IdempotencyKey, Json};
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::readable_account;
use crate::api::money::conditions::Conditions;
use crate::api::money::preview::PreviewQuery;
use crate::api::money::tags::{self, Metadata};
use crate::api::money::transaction::{StoredAs, TransactionBody};
use crate::api::money::{bank_accounts, transactions, versions};
use crate::api::people::proof;
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccountCode;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::command::{Command, DualControl, Requester, Step};
use coffer_core::books::decisions::Receipt;
use coffer_core::books::movement::Movement;
use coffer_core::books::tags::Tags;
use coffer_core::books::texts::{Salt, Texts};
use coffer_core::money::{Amount, Currency};
use coffer_core::text::{Description, Reference};

/// A deposit or a withdrawal.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"account_number": "10000000000180", "amount": "100.50", "description": "Salary"}))]
pub struct MovementRequest {
    /// 14 digits, the last two are check digits.
    account_number: AccountNumber,
    /// A positive decimal as a string, with at most as many decimals as the account's currency has.
    amount: Amount,
    /// If sent, must be the account's currency.
    currency: Option<Currency>,
    /// The account of the bank's own on the other side: one of `GET /bank_accounts`; its `cash` if left out. Only staff
    /// send it.
    against: Option<BankAccountCode>,
    /// What the statement says, up to 140 characters.
    #[schema(example = "Salary")]
    description: Option<Description>,
    /// Your own name for the movement, up to 64 characters. It names one movement of yours for good: another request
    /// with it is refused, whatever has become of the first.
    reference: Option<Reference>,
    /// Pairs of texts by which you find the movement. The other side of a transfer does not see them.
    metadata: Option<Metadata>,
}

/// A transfer to another account in the same currency, whoever owns it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from_account": "10000000000180", "to_account": "10000000000277", "amount": "25.00", "description": "Rent"}))]
pub struct TransferRequest {
    /// 14 digits, the last two are check digits.
    from_account: AccountNumber,
    /// 14 digits, the last two are check digits.
    to_account: AccountNumber,
    /// A positive decimal as a string, with at most as many decimals as the accounts' currency has.
    amount: Amount,
    /// If sent, must be the accounts' currency.
    currency: Option<Currency>,
    /// What both statements say, up to 140 characters.
    #[schema(example = "Rent")]
    description: Option<Description>,
    /// Your own name for the movement, up to 64 characters. It names one movement of yours for good: another request
    /// with it is refused, whatever has become of the first.
    reference: Option<Reference>,
    /// Pairs of texts by which you find the movement. The other side of a transfer does not see them.
    metadata: Option<Metadata>,
}

impl MovementRequest {
    fn terms(self, if_match: IfMatch) -> Terms {
        let Self { amount, currency, description, reference, metadata, .. } = self;
        let tags = tags::of_request(reference, metadata);
        Terms { amount, currency, description: description.map(Into::into), tags, if_match: Some(if_match) }
    }
}

impl TransferRequest {
    fn terms(self, if_match: IfMatch) -> Terms {
        let Self { amount, currency, description, reference, metadata, .. } = self;
        let tags = tags::of_request(reference, metadata);
        Terms { amount, currency, description: description.map(Into::into), tags, if_match: Some(if_match) }
    }
}

/// Pay money in
///
/// Books money into the account and answers with the transaction. Durable when it answers. It comes in cash, or `against`
/// another account of the bank's own.
#[utoipa::path(
    post,
    path = "/deposit",
    tag = "Money",
    request_body(content = MovementRequest, description = "The account that the money goes to, and the amount"),
    params(transactions::IdempotencyKeyHeader, versions::IfMatchHeader, PreviewQuery),
    responses(
        PreviewResponse,
        PostedResponse,
        PendingResponse,
        (status = NOT_FOUND, description = "No such account among the caller's"),
        (status = CONFLICT, description = "The account is closed, frozen or full, or the reference is taken",
         headers(("Location" = Option<String>, description = "The movement that has the reference, if it is taken"))),
        (status = PRECONDITION_FAILED, description = versions::MOVED_ON),
    ),
    security(("bearer" = []))
)]
pub async fn deposit(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    Conditions { key, if_match, preview }: Conditions,
    Json(request): Json<MovementRequest>,
) -> Result<Answer> {
    let against = bank_accounts::against(&app, caller, request.against).await?;
    let movement = Movement::Deposit { to: request.account_number, against };
    let command = command(&app, &context, caller, key, movement, request.terms(if_match));
    carry_out(&app, &context, caller, command, preview).await
}

/// Take money out
///
/// Pays money out of the account and answers with the transaction. Never more than is available, nor than the limits of the
/// account allow. It goes out in cash, or `against` another account of the bank's own.
#[utoipa::path(
    post,
    path = "/withdraw",
    tag = "Money",
    request_body(content = MovementRequest, description = "The account that the money comes from, and the amount"),
    params(transactions::IdempotencyKeyHeader, versions::IfMatchHeader, PreviewQuery),
    responses(
        PreviewResponse,
        PostedResponse,
        PendingResponse,
        (status = NOT_FOUND, description = "No such account among the caller's"),
        (status = UNAUTHORIZED, description = proof::REQUIRED_ABOVE),
        (status = CONFLICT, description = "Insufficient funds, an exceeded limit of the account, a closed or frozen account, or a taken reference",
         headers(("Location" = Option<String>, description = "The movement that has the reference, if it is taken"))),
        (status = PRECONDITION_FAILED, description = versions::MOVED_ON),
    ),
    security(("bearer" = []))
)]
pub async fn withdraw(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    Conditions { key, if_match, preview }: Conditions,
    Json(request): Json<MovementRequest>,
) -> Result<Answer> {
    let against = bank_accounts::against(&app, caller, request.against).await?;
    preview.confirm_amounts(&app, caller, &[(request.account_number, request.amount)]).await?;
    let movement = Movement::Withdrawal { from: request.account_number, against };
    let command = command(&app, &context, caller, key, movement, request.terms(if_match));
    carry_out(&app, &context, caller, command, preview).await
}

/// Send money to another account
///
/// Moves money between two accounts of one currency, both sides or neither, and answers with the transaction as the
/// sender's history has it.
#[utoipa::path(
    post,
    path = "/transfer",
    tag = "Money",
    request_body(
        content = TransferRequest,
        description = "Both accounts, the amount, and the text for both statements",
    ),
    params(transactions::IdempotencyKeyHeader, versions::IfMatchHeader, PreviewQuery),
    responses(
        PreviewResponse,
        PostedResponse,
        PendingResponse,
        (status = NOT_FOUND, description = "No such account among the caller's, or no such receiver"),
        (status = UNAUTHORIZED, description = proof::REQUIRED_ABOVE),
        (status = CONFLICT, description = "Insufficient funds, an exceeded limit of the account, an account that takes no movements, or a taken reference",
         headers(("Location" = Option<String>, description = "The movement that has the reference, if it is taken"))),
        (status = PRECONDITION_FAILED, description = versions::MOVED_ON),
    ),
    security(("bearer" = []))
)]
pub async fn transfer(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    Conditions { key, if_match, preview }: Conditions,
    Json(request): Json<TransferRequest>,
) -> Result<Answer> {
    preview.confirm_amounts(&app, caller, &[(request.from_account, request.amount)]).await?;
    let movement = Movement::Transfer { from: request.from_account, to: request.to_account };
    let command = command(&app, &context, caller, key, movement, request.terms(if_match));
    carry_out(&app, &context, caller, command, preview).await
}

/// A preview: what would have happened
#[derive(IntoResponses)]
#[response(status = OK)]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document")]
pub struct PreviewResponse(TransactionBody);

/// Posted
#[derive(IntoResponses)]
#[response(status = CREATED, headers(
    ("Location" = String, description = "The movement"),
    ("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier request used the same key: this is its answer")
))]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document")]
pub struct PostedResponse(TransactionBody);

/// Waits until somebody else approves it
#[derive(IntoResponses)]
#[response(status = ACCEPTED, headers(
    ("Location" = String, description = "The approval, which has the movement's id"),
    ("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier request used the same key: this is what became of it")
))]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document")]
pub struct PendingResponse(TransactionBody);

/// The answer to a command that was not refused: 201 when it is posted or held, 202 when it waits, 200 when it was only
/// looked at.
pub struct Answer {
    transaction: TransactionBody,
    occasion: Occasion,
}

/// What has led to an answer.
enum Occasion {
    /// This request.
    Now,
    /// An earlier one with the same key.
    Before,
    /// Nothing: it is a preview.
    Never,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        if let Occasion::Never = self.occasion {
            return Json(self.transaction.into_preview()).into_response();
        }
        let id = self.transaction.id;
        let (status, location) = match self.transaction.stored_as {
            StoredAs::Entry => (StatusCode::CREATED, format!("/transactions/{id}")),
            StoredAs::Hold => (StatusCode::CREATED, format!("/holds/{id}")),
            StoredAs::Approval => (StatusCode::ACCEPTED, format!("/approvals/{id}")),
        };
        let mut response = (status, [(LOCATION, location)], Json(self.transaction)).into_response();
        if let Occasion::Before = self.occasion {
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

/// Amount, currency, texts and precondition, as a request has them.
pub struct Terms {
    pub amount: Amount,
    pub currency: Option<Currency>,
    pub description: Option<String>,
    pub tags: Tags,
    /// None where the route takes none.
    pub if_match: Option<IfMatch>,
}

/// Description and tags with a new salt for their commitment.
pub fn texts(description: Option<String>, tags: Tags) -> Texts {
    let is_written = description.is_some() || !tags.is_empty();
    let salt = if is_written { Uuid::new_v4().into_bytes() } else { Salt::default() };
    Texts::new(description, tags, salt)
}

pub fn command(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    key: IdempotencyKey,
    movement: Movement,
    terms: Terms,
) -> Command {
    let requester = app.requester(caller);
    context.note_accounts(movement.accounts());
    Command {
        id: Uuid::now_v7(),
        requester,
        movement,
        step: Step::Post,
        amount: terms.amount,
        currency: terms.currency,
        texts: texts(terms.description, terms.tags),
        idempotency_key: key.of_caller(caller.user_id),
        expected_sequences: terms.if_match.and_then(versions::expected_sequences),
        dual_control: dual_control(context, requester),
        reverses: None,
        record: record(context, requester),
        at: None,
    }
}

/// How a command is handled that needs a second approver.
fn dual_control(context: &RequestContext, requester: Requester) -> DualControl {
    match requester.approval_above {
        None => DualControl::Refuse,
        Some(_) => DualControl::Request { record: Box::new(context.event(Action::ApprovalRequested)) },
    }
}

/// The record for staff who move money on somebody else's account.
pub fn record(context: &RequestContext, requester: Requester) -> Option<Box<Event>> {
    requester.acts_on_any_account.then(|| Box::new(context.event(Action::MovementByStaff)))
}

/// Hands the command to the ledger: decided in [`coffer_core::books::rules`], written by [`coffer_core::committer`].
pub async fn carry_out(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    command: Command,
    preview: PreviewQuery,
) -> Result<Answer> {
    let reverses = command.reverses.as_ref().map(|reverses| reverses.transaction_id);
    let occasion = if preview.is_wanted() { Occasion::Never } else { Occasion::Now };
    let verdict = preview.submit(app, vec![command], false).await?.pop();
    let transaction = match verdict.ok_or_else(|| Error::Internal("a command got no verdict".to_owned()))?? {
        Receipt::Posted(entry) => TransactionBody::from(entry).with_other_half(reverses, None),
        Receipt::Pending(approval) => approval.try_into()?,
        Receipt::Held(hold) => hold.into(),
        Receipt::Replay { transaction_id } => {
            // It may show what the first answer did not: a movement that waited then. So it is a look like any other.
            let earlier = transactions::earlier(app, transaction_id).await?;
            let look = AccountLook::at(Action::TransactionViewed, transaction_id);
            readable_account(app, context, caller, earlier.account_number, look).await?;
            return Ok(Answer { transaction: earlier, occasion: Occasion::Before });
        }
    };
    preview.put_on_record(app, context, caller, [transaction.account_number]).await?;
    Ok(Answer { transaction, occasion })
}
