//! Undoing a movement: `POST /transactions/{id}/reverse`.
//!
//! The books are append-only, so this books another movement the other way round, by the same rules. The ledger sees
//! that it happens once: [`crate::committer`].

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Staff;
use crate::api::http::context::RequestContext;
use crate::api::http::entity_tags::NoIfMatch;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam};
use crate::api::http::fields::TransactionId;
use crate::api::money::conditions::Conditions;
use crate::api::money::movements::{self, Answer, PendingResponse, PostedResponse, PreviewResponse, Terms};
use crate::api::money::preview::PreviewQuery;
use crate::api::money::tags::{self, Metadata};
use crate::api::money::transactions;
use crate::bank_account::BankAccount;
use crate::books::audit_event::Action;
use crate::books::command::{Command, Reverses};
use crate::books::entry::Transaction;
use crate::books::movement::Movement;
use crate::money::Amount;
use crate::problem_code::ProblemCode;
use crate::text::{Reason, Reference};

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

/// Reverse a movement
///
/// Books the same amount the other way round, once: a withdrawal for a deposit, a deposit for a withdrawal, a transfer
/// back from the receiver to the sender. Answers with the new movement as the account sees it that gives the money back, or
/// gets it back in cash. A reversal itself is not reversed.
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
    let not_found = || Error::not_found(ProblemCode::TransactionNotFound, "There is no such movement.");
    // The journal never changes: what is read here is what the ledger would find.
    let booked = app.db.transaction(id).await?.ok_or_else(not_found)?;
    let terms = Terms {
        amount: Amount::from(booked.money()),
        currency: Some(booked.currency),
        description: Some(request.reason.map_or_else(|| format!("Reversal of {id}"), Into::into)),
        tags: tags::of_request(request.reference, request.metadata),
        if_match: None,
    };
    let command = movements::command(&app, &context, caller, key, mirror(&app, &booked).await?, terms);
    let record = Box::new(context.event(Action::MovementReversed));
    let command = Command { reverses: Some(Reverses { transaction_id: id, record }), ..command };
    movements::carry_out(&app, &context, caller, command, preview).await
}

/// Against the account of the bank's that it went against.
async fn mirror(app: &App, booked: &Transaction) -> Result<Movement> {
    let (from, to) = booked.sides();
    let against = match booked.bank_account_id() {
        None => BankAccount::CASH,
        Some(id) => app.db.bank_account(id).await?.ok_or_else(|| {
            Error::Internal(format!("transaction {} is against an account that the bank does not have", booked.id))
        })?,
    };
    let movement = Movement::between(from, to, against).map(Movement::mirror);
    movement.ok_or_else(|| Error::Internal(format!("transaction {} has no customer's side", booked.id)))
}
