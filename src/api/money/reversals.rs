//! Undoing a movement, `POST /transactions/{id}/reverse`, or all of its group, `POST /transactions/{id}/reverse_group`.
//!
//! The books are append-only, so this books another movement the other way round, by the same rules. The ledger sees
//! that it happens once: [`coffer_core::committer`].

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Staff;
use crate::api::http::context::RequestContext;
use crate::api::http::entity_tags::NoIfMatch;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{IdempotencyKey, Json, PathParam};
use crate::api::http::fields::TransactionId;
use crate::api::money::batch::{self, BatchResult};
use crate::api::money::conditions::Conditions;
use crate::api::money::movements::{self, Answer, PendingResponse, PostedResponse, PreviewResponse, Terms};
use crate::api::money::preview::PreviewQuery;
use crate::api::money::tags::{self, Metadata};
use crate::api::money::transactions;
use coffer_core::bank_account::{BankAccount, BankAccountId, OpenedBankAccount};
use coffer_core::books::audit_event::Action;
use coffer_core::books::command::{Command, DualControl, Reverses};
use coffer_core::books::entry::Transaction;
use coffer_core::books::movement::Movement;
use coffer_core::books::tags::Tags;
use coffer_core::money::Amount;
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::{Reason, Reference};

/// The whole movement is undone, so there is nothing to say but why, and how to find it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "Booked twice"}))]
pub struct ReversalRequest {
    /// What the statements and the audit log say, up to 140 characters; `Reversal of` and the movement's id if left out.
    #[schema(example = "Booked twice")]
    reason: Option<Reason>,
    /// Your own name for the reversal, up to 64 characters. It names one movement of yours for good.
    reference: Option<Reference>,
    /// Pairs of texts by which you find the reversal.
    metadata: Option<Metadata>,
}

/// All of the group is undone, so there is nothing to say but why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "Paid twice"}))]
pub struct GroupReversalRequest {
    /// The text for the statements and the audit log, up to 140 characters. If it is left out, each reversal says
    /// `Reversal of` and the id of its movement.
    #[schema(example = "Paid twice")]
    reason: Option<Reason>,
}

/// Reverse a movement
///
/// Books the same amount the other way round, once: a withdrawal for a deposit, a deposit for a withdrawal, a transfer
/// back from the receiver to the sender. Answers with the new movement as the account sees it that gives the money back, or
/// gets it back from the bank. A reversal itself is not reversed.
#[utoipa::path(
    post,
    path = "/transactions/{id}/reverse",
    operation_id = "reverse_transaction",
    tag = "Staff",
    request_body(content = ReversalRequest, description = "The reason for the reversal; `{}` gives none"),
    params(
        ("id" = Uuid, Path, description = "The movement to undo", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        transactions::IdempotencyKeyHeader,
        PreviewQuery,
    ),
    responses(
        PreviewResponse,
        PostedResponse,
        PendingResponse,
        (status = FORBIDDEN, description = "For staff and admins"),
        (status = NOT_FOUND, description = "No such movement"),
        (status = CONFLICT, description = "It has been reversed before or is a reversal, the money is no longer there, one of the accounts takes no movements, or the reference is taken",
         headers(("Location" = Option<String>, description = "The movement that has the reference, if it is taken"))),
    ),
    security(("bearer" = []))
)]
pub async fn reverse(
    State(app): State<App>,
    context: RequestContext,
    Staff(caller): Staff,
    PathParam(TransactionId(id)): PathParam<TransactionId>,
    Conditions { key, preview, .. }: Conditions<NoIfMatch>,
    Json(request): Json<ReversalRequest>,
) -> Result<Answer> {
    // The journal never changes: what is read here is what the ledger would find.
    let booked = app.db.transaction(id).await?.ok_or_else(not_found)?;
    let terms = terms(&booked, request.reason, tags::of_request(request.reference, request.metadata));
    let opened = bank_accounts_of(&app, std::slice::from_ref(&booked)).await?;
    let command = movements::command(&app, &context, caller, key, mirror(&booked, &opened)?, terms);
    let command = Command { reverses: Some(reverses(&context, id)), ..command };
    movements::carry_out(&app, &context, caller, command, preview).await
}

/// Reverse a group
///
/// Reverses every booked movement of the group that this one belongs to, all or none, in one durable commit: those of all
/// batches of the same requester with the same `group`, up to 1,000. If one of them was reversed before, or a second
/// approver would have to agree, none is; then reverse them one by one.
#[utoipa::path(
    post,
    path = "/transactions/{id}/reverse_group",
    operation_id = "reverse_group",
    tag = "Staff",
    request_body(content = GroupReversalRequest, description = "The reason for the reversals; `{}` gives none"),
    params(
        ("id" = Uuid, Path, description = "One of the movements of the group", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
        transactions::IdempotencyKeyHeader,
        PreviewQuery,
    ),
    responses(
        (status = OK, description = "The reversals, in the order in which the movements were asked for", body = BatchResult),
        (status = FORBIDDEN, description = "For staff and admins"),
        (status = NOT_FOUND, description = "No such movement, or nothing of its group is booked"),
        (status = CONFLICT, description = "The movement is in no group, or one of its movements cannot be reversed: nothing was booked, `errors` says which and why"),
    ),
    security(("bearer" = []))
)]
pub async fn reverse_group(
    State(app): State<App>,
    context: RequestContext,
    Staff(caller): Staff,
    PathParam(TransactionId(id)): PathParam<TransactionId>,
    Conditions { key, preview, .. }: Conditions<NoIfMatch>,
    Json(request): Json<GroupReversalRequest>,
) -> Result<Json<BatchResult>> {
    let group = match app.db.group_of(id).await? {
        Some(group) => group,
        None => return Err(without_group(&app, id).await?),
    };
    let booked = app.db.transactions_of(&group, batch::MAX_ITEMS as i64 + 1).await?;
    if booked.is_empty() {
        return Err(not_found());
    }
    if booked.len() > batch::MAX_ITEMS {
        let detail = "The group has more than 1,000 movements. Reverse them one by one.";
        return Err(Error::conflict(ProblemCode::GroupTooLarge, detail));
    }
    batch::take_requests_for(&app, caller, booked.len())?;
    let opened = bank_accounts_of(&app, &booked).await?;
    let command = |booked: &Transaction| {
        let terms = terms(booked, request.reason.clone(), Tags::default());
        let movement = mirror(booked, &opened)?;
        Ok(Command {
            reverses: Some(reverses(&context, booked.id)),
            // Not by index: the group may have more movements by the next time.
            idempotency_key: key.of_item(caller.user_id, booked.id),
            // One that waits would split the group.
            dual_control: DualControl::Refuse,
            ..movements::command(&app, &context, caller, IdempotencyKey::default(), movement, terms)
        })
    };
    let commands = booked.iter().map(command).collect::<Result<_>>()?;
    batch::carry_out(&app, &context, caller, commands, true, preview).await
}

/// Why a movement has no group that could be reversed.
async fn without_group(app: &App, id: Uuid) -> Result<Error> {
    Ok(match app.db.transaction(id).await? {
        Some(_) => Error::conflict(ProblemCode::NotInAGroup, "The movement is in no group. Reverse it alone."),
        None => not_found(),
    })
}

fn not_found() -> Error {
    Error::not_found(ProblemCode::TransactionNotFound, "There is no such movement.")
}

/// The whole amount, in the words of whoever reverses it.
fn terms(booked: &Transaction, reason: Option<Reason>, tags: Tags) -> Terms {
    Terms {
        amount: Amount::from(booked.money()),
        currency: Some(booked.currency),
        description: Some(reason.map_or_else(|| format!("Reversal of {}", booked.id), Into::into)),
        tags,
        if_match: None,
    }
}

fn reverses(context: &RequestContext, transaction_id: Uuid) -> Reverses {
    Reverses { transaction_id, record: Box::new(context.event(Action::MovementReversed)) }
}

/// The bank's own accounts, if one of the movements is against another than the cash.
async fn bank_accounts_of(app: &App, booked: &[Transaction]) -> Result<Vec<OpenedBankAccount>> {
    let is_in_cash = |id: Option<BankAccountId>| id.is_none_or(|id| id == BankAccount::CASH.id);
    match booked.iter().all(|booked| is_in_cash(booked.bank_account_id())) {
        true => Ok(Vec::new()),
        false => Ok(app.db.bank_accounts().await?),
    }
}

/// The movement the other way round, against the account of the bank's that it went against.
fn mirror(booked: &Transaction, opened: &[OpenedBankAccount]) -> Result<Movement> {
    let (from, to) = booked.sides();
    let mut known = opened.iter().map(|opened| opened.account).chain([BankAccount::CASH]);
    let against = match booked.bank_account_id() {
        None => Some(BankAccount::CASH),
        Some(id) => known.find(|account| account.id == id),
    };
    let movement = against.and_then(|against| Movement::between(from, to, against)).map(Movement::mirror);
    movement.ok_or_else(|| Error::Internal(format!("transaction {} lacks a side", booked.id)))
}
