//! Pending approvals: listing, approving and rejecting them.
//!
//! The rules say which commands need one ([`Refusal::ApprovalRequired`]), and the ledger stores it, under the id that
//! the transaction will have. Approving one is part of booking it: see [`coffer_core::committer`] for why it is booked once.

use std::cmp::Reverse;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Caller, Proven, Reader, Staff};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields::ApprovalId;
use crate::api::http::page::{self, Limit, Page};
use crate::api::money::conditions::NoConditions;
use crate::api::money::tags::Metadata;
use crate::api::money::{limit_changes, movements};
use crate::api::people::{access_changes, proof};
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccountCode;
use coffer_core::books::approval::{Approval, ApprovalStatus};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::books::command::{self, Command, DualControl, Reverses, Step};
use coffer_core::books::movement::MovementType;
use coffer_core::books::refusal::Refusal;
use coffer_core::db::access_changes::{AccessChange, AccessChangeKind};
use coffer_core::db::approvals::ApprovalFilter;
use coffer_core::db::limit_changes::LimitChange;
use coffer_core::db::users::Role;
use coffer_core::money::{Amount, Currency, Money};
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// A movement, a change of limits or one of access that waits for somebody else's approval, or has waited.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub struct ApprovalBody {
    /// The id of the approval. A movement that is approved keeps it as the id of its transaction.
    id: Uuid,
    status: ApprovalStatus,
    #[serde(rename = "type")]
    #[schema(example = "deposit")]
    approval_type: ApprovalType,
    /// Of a deposit, a withdrawal or a change of limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    account_number: Option<AccountNumber>,
    /// Of a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from_account: Option<AccountNumber>,
    /// Of a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    to_account: Option<AccountNumber>,
    /// The account of the bank's own on the other side of a deposit or a withdrawal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    against: Option<BankAccountCode>,
    /// Present for movements of money only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    amount: Option<Money>,
    /// Present for movements of money and for limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    currency: Option<Currency>,
    /// The limits that the bank is to set for the account, of a change of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limits: Option<RequestedLimits>,
    /// Whose role or second factor is to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_id: Option<Uuid>,
    /// The new role, of a role change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    role: Option<Role>,
    /// The text that statements will show; null if none was sent, and for changes of access.
    #[schema(example = "House sale")]
    description: Option<String>,
    /// The reference that it was requested with; null if none was sent, and for changes of access.
    #[schema(example = "INV-2026-0042")]
    reference: Option<String>,
    /// What it was requested with; `{}` if none was sent, and for changes of access.
    metadata: Metadata,
    /// The booked movement that this one is to undo.
    reverses: Option<Uuid>,
    /// When the hold is to expire that is placed when this is approved. Absent for what is booked at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hold_expires_at: Option<Timestamp>,
    /// The user who asked for it.
    requested_by: Uuid,
    requested_at: Timestamp,
    /// Nobody can approve it from then on.
    expires_at: Timestamp,
    /// The user who approved or rejected it.
    decided_by: Option<Uuid>,
    decided_at: Option<Timestamp>,
    /// The movement, once it is approved; null for a hold, which has the approval's id.
    transaction_id: Option<Uuid>,
}

/// Limits that the bank is to set for an account. Null is not limited.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestedLimits {
    /// How far below zero the balance may go.
    overdraft: Money,
    per_movement: Option<Money>,
    per_day: Option<Money>,
    per_month: Option<Money>,
    /// How often money leaves the account in a calendar day.
    #[schema(example = 10, minimum = 0)]
    movements_per_day: Option<i64>,
}

/// The kind of request that waits. `deposit`, `withdrawal` and `transfer` move money. `limit_change` sets the bank's limits
/// of an account, with an overdraft above the approval amount. `role_change` gives a user
/// another role, `second_factor_reset` takes a user's second factor away, `password_reset` lets an admin make a link to set a
/// password, and `erasure` erases a user for good; only admins decide these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalType {
    Deposit,
    Withdrawal,
    Transfer,
    LimitChange,
    /// Decided by admins.
    RoleChange,
    /// Decided by admins.
    SecondFactorReset,
    PasswordReset,
    /// Decided by admins.
    Erasure,
}

/// How much there is to decide.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalCount {
    /// Approvals of any kind that are pending and have not expired.
    #[schema(example = 3, minimum = 0)]
    waiting: i64,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApprovalsQuery {
    /// Only approvals with this status; all if left out.
    status: Option<ApprovalStatus>,
    /// How many approvals, 1 to 200.
    limit: Option<Limit<200>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// Waits until another admin approves it
#[derive(IntoResponses)]
#[response(status = ACCEPTED, headers(("Location" = String, description = "The approval")))]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document")]
pub struct WaitingResponse(ApprovalBody);

/// 202 with the change of access that waits, and its address.
pub fn waiting(approval: ApprovalBody) -> Response {
    done_or_waiting(Some(approval.id), approval)
}

/// 200 or, of what waits for this approval, 202 and where that is.
pub fn done_or_waiting(approval_id: Option<Uuid>, body: impl Serialize) -> Response {
    match approval_id {
        None => Json(body).into_response(),
        Some(id) => (StatusCode::ACCEPTED, [(LOCATION, format!("/approvals/{id}"))], Json(body)).into_response(),
    }
}

/// List what waits for approval
///
/// And what has waited, the newest first.
#[utoipa::path(
    get,
    path = "/approvals",
    operation_id = "list_approvals",
    tag = "Staff",
    params(ApprovalsQuery),
    responses(
        (status = OK, description = "A page of approvals", body = Page<ApprovalBody>),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    _: Reader,
    Query(query): Query<ApprovalsQuery>,
) -> Result<Json<Page<ApprovalBody>>> {
    let limit = query.limit.unwrap_or_default().rows();
    let before = query.cursor.map(Cursor::id);
    let filter = ApprovalFilter { status: query.status, before };
    let (now, rows) = (Timestamp::now(), i64::from(limit) + 1);
    let movements = app.db.approvals(filter, now, rows).await?.into_iter().map(ApprovalBody::from);
    let changes = app.db.access_changes(filter, now, rows).await?.into_iter().map(ApprovalBody::from);
    let limits = app.db.limit_changes(filter, now, rows).await?.into_iter().map(ApprovalBody::from);
    // All are sorted by their ids, which grow with time.
    let mut all: Vec<ApprovalBody> = movements.chain(changes).chain(limits).collect();
    all.sort_by_key(|approval| Reverse(approval.id));

    let (data, next_cursor) = page::cut(all, limit, |approval| Cursor::at_id(approval.id));
    let look = data.iter().fold(context.event(Action::ApprovalsListed), |look, approval| approval.concerns(look));
    if !look.concerns.is_empty() {
        app.viewed(look)?;
    }
    Ok(Json(Page::new(data, next_cursor)))
}

/// Count what waits for approval
///
/// For a badge that asks again and again: the number says nothing about anybody, so it leaves no record in the audit log, as
/// `GET /approvals` does.
#[utoipa::path(
    get,
    path = "/approvals/count",
    operation_id = "count_approvals",
    tag = "Staff",
    responses(
        (status = OK, description = "The number", body = ApprovalCount),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn count(State(app): State<App>, context: RequestContext, _: Reader) -> Result<Json<ApprovalCount>> {
    context.set_on_record();
    Ok(Json(ApprovalCount { waiting: app.db.count_waiting_approvals(Timestamp::now()).await? }))
}

/// Show what waits for approval
///
/// Or what has waited, and how it was decided.
#[utoipa::path(
    get,
    path = "/approvals/{id}",
    operation_id = "show_approval",
    tag = "Staff",
    params(("id" = Uuid, Path, description = "The approval", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "The approval", body = ApprovalBody),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
        (status = NOT_FOUND, description = "No such approval"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    _: Reader,
    PathParam(ApprovalId(id)): PathParam<ApprovalId>,
) -> Result<Json<ApprovalBody>> {
    let approval = body_of(&app, id).await?.ok_or_else(not_found)?;
    app.viewed(approval.concerns(context.event(Action::ApprovalViewed).on(id)))?;
    Ok(Json(approval))
}

/// Approve what somebody else has asked for
///
/// Books the movement, once, as the books are now, or makes the change. When the rules refuse it now, that is the answer,
/// and it goes on waiting. Nobody approves what they asked for, what goes to or from their own account, or what is about
/// themselves. Changes of roles and second factors are approved by admins.
#[utoipa::path(
    post,
    path = "/approvals/{id}/approve",
    operation_id = "approve",
    tag = "Staff",
    params(("id" = Uuid, Path, description = "The approval", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "Approved and booked", body = ApprovalBody),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = FORBIDDEN, description = "For staff and admins, not for whoever asked for it, and not for the owner of an account"),
        (status = NOT_FOUND, description = "No such approval, or one of its accounts is gone"),
        (status = CONFLICT, description = "It waits no longer, whoever asked is no longer staff, what it was to reverse has been reversed, or the accounts do not allow the movement now"),
    ),
    security(("bearer" = []))
)]
pub async fn approve(
    State(app): State<App>,
    context: RequestContext,
    Proven(Staff(caller)): Proven<Staff>,
    PathParam(ApprovalId(id)): PathParam<ApprovalId>,
    _: NoConditions,
) -> Result<Json<ApprovalBody>> {
    let found = find(&app, id).await?;
    if found.requested_by() == caller.user_id {
        let detail = "You have asked for this yourself: somebody else of the staff must approve it.";
        return Err(Error::forbidden(ProblemCode::OwnApproval, detail));
    }
    match found {
        AnyApproval::Movement(approval) => {
            approve_movement(&app, &context, caller, approval).await.map(|done| Json(done.into()))
        }
        AnyApproval::AccessChange(_) => {
            require_admin(caller)?;
            access_changes::approve(&app, &context, caller, id).await.map(|done| Json(done.into()))
        }
        AnyApproval::LimitChange(change) => {
            limit_changes::approve(&app, &context, caller, change).await.map(|done| Json(done.into()))
        }
    }
}

async fn approve_movement(app: &App, context: &RequestContext, caller: Caller, approval: Approval) -> Result<Approval> {
    let id = approval.id;
    if approval.status_at(Timestamp::now()) != ApprovalStatus::Pending {
        return Err(Refusal::ApprovalNotPending.into());
    }
    refuse_unless_both_are_staff(app, approval.requested_by, caller.user_id).await?;
    let record = context.event(Action::ApprovalApproved).on(id).detail(approval.in_words());
    let record = approval.accounts().fold(record, Event::about);
    context.note_accounts(approval.accounts());
    let dual_control = DualControl::Approved { by: caller.user_id, record: Box::new(record) };
    // The audit log names the approver; the journal names the requester.
    let record = || Box::new(context.event(Action::MovementReversed));
    let reverses = approval.reverses.map(|transaction_id| Reverses { transaction_id, record: record() });
    let command = Command { reverses, ..approved_command(app, &approval, dual_control)? };
    app.committer.submit(command).await??;

    // It is booked, by this request or by another: a failure from here on must not sound like "try again".
    let unknown = |_| Error::OutcomeUnknown { transactions: vec![id] };
    let approved = app.db.approval(id).await.map_err(unknown)?.ok_or_else(not_found)?;
    // A commit whose answer was lost may turn out to have been somebody else's, of the same movement.
    if approved.decided_by != Some(caller.user_id) {
        return Err(Refusal::ApprovalNotPending.into());
    }
    Ok(approved)
}

/// Reject what waits for approval
///
/// Whoever asked for it may do this, too, and so take it back. Nobody else may whose account it is, or whom it is about.
#[utoipa::path(
    post,
    path = "/approvals/{id}/reject",
    operation_id = "reject",
    tag = "Staff",
    params(("id" = Uuid, Path, description = "The approval", example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")),
    responses(
        (status = OK, description = "Rejected: no money has moved, and none will", body = ApprovalBody),
        (status = FORBIDDEN, description = "For staff and admins"),
        (status = NOT_FOUND, description = "No such approval"),
        (status = CONFLICT, description = "It waits no longer"),
    ),
    security(("bearer" = []))
)]
pub async fn reject(
    State(app): State<App>,
    context: RequestContext,
    Staff(caller): Staff,
    PathParam(ApprovalId(id)): PathParam<ApprovalId>,
    _: NoConditions,
) -> Result<Json<ApprovalBody>> {
    let approval = match find(&app, id).await? {
        AnyApproval::Movement(approval) => approval,
        AnyApproval::AccessChange(_) => {
            require_admin(caller)?;
            return access_changes::reject(&app, &context, caller, id).await.map(|done| Json(done.into()));
        }
        AnyApproval::LimitChange(change) => {
            return limit_changes::reject(&app, &context, caller, change).await.map(|done| Json(done.into()));
        }
    };
    if approval.requested_by != caller.user_id && owns_an_account(&app, &approval, caller.user_id).await? {
        return Err(Error::forbidden(
            ProblemCode::OwnAccount,
            "One of the accounts is yours: somebody else must decide.",
        ));
    }
    let mut tx = app.db.begin().await?;
    let rejected = tx.reject_approval(id, caller.user_id, Timestamp::now()).await?;
    let rejected = rejected.ok_or(Refusal::ApprovalNotPending)?;
    let event = context.event(Action::ApprovalRejected).on(id).detail(rejected.in_words());
    let event = rejected.accounts().fold(event, Event::about);
    tx.append_to_audit_log(&[event]).await?;
    let event = BankEvent::of_approval(EventKind::ApprovalRejected, id, rejected.accounts().next());
    app.append_events(&mut tx, &[event]).await?;
    tx.commit().await?;
    app.watches.changed(|| rejected.from_account);
    Ok(Json(rejected.into()))
}

/// The requester's command, now approved by another. It has no key: the approval takes effect once by itself.
fn approved_command(app: &App, approval: &Approval, dual_control: DualControl) -> Result<Command> {
    let movement =
        approval.movement().ok_or_else(|| Error::Internal(format!("approval {} lacks an account", approval.id)))?;
    Ok(Command {
        id: approval.id,
        requester: command::Requester {
            user_id: approval.requested_by,
            acts_on_any_account: true,
            deposits_to_own: app.self_service_deposits,
            approval_above: None,
            // The key has asked, and its user's colleague decides.
            key: None,
        },
        movement,
        step: approval.hold_expires_at.map_or(Step::Post, |until| Step::Hold { expires_at: Some(until) }),
        amount: Amount::from(approval.money()),
        currency: Some(approval.currency),
        texts: movements::texts(approval.description.clone(), approval.tags.clone()),
        idempotency_key: None,
        dual_control,
        expected_sequences: None,
        reverses: None,
        record: None,
        at: None,
    })
}

/// An approval of any kind.
enum AnyApproval {
    Movement(Approval),
    AccessChange(AccessChange),
    LimitChange(LimitChange),
}

impl AnyApproval {
    fn requested_by(&self) -> Uuid {
        match self {
            Self::Movement(approval) => approval.requested_by,
            Self::AccessChange(change) => change.requested_by,
            Self::LimitChange(change) => change.requested_by,
        }
    }
}

/// The approval as it is shown, whatever it is about.
pub async fn body_of(app: &App, id: Uuid) -> Result<Option<ApprovalBody>> {
    Ok(any(app, id).await?.map(|found| match found {
        AnyApproval::Movement(approval) => approval.into(),
        AnyApproval::AccessChange(change) => change.into(),
        AnyApproval::LimitChange(change) => change.into(),
    }))
}

async fn find(app: &App, id: Uuid) -> Result<AnyApproval> {
    any(app, id).await?.ok_or_else(not_found)
}

async fn any(app: &App, id: Uuid) -> Result<Option<AnyApproval>> {
    if let Some(approval) = app.db.approval(id).await? {
        return Ok(Some(AnyApproval::Movement(approval)));
    }
    if let Some(change) = app.db.access_change(id).await? {
        return Ok(Some(AnyApproval::AccessChange(change)));
    }
    Ok(app.db.limit_change(id).await?.map(AnyApproval::LimitChange))
}

pub fn not_found() -> Error {
    Error::not_found(ProblemCode::ApprovalNotFound, "There is no such approval.")
}

fn require_admin(caller: Caller) -> Result<()> {
    match caller.role {
        Role::Admin => Ok(()),
        Role::Staff | Role::Auditor | Role::Customer => Err(Error::forbidden(
            ProblemCode::RoleRequired,
            "Changes of roles and second factors are for admins to decide.",
        )),
    }
}

/// Owners never change, so this needs no lock.
async fn owns_an_account(app: &App, approval: &Approval, user_id: Uuid) -> Result<bool> {
    for number in [approval.from_account, approval.to_account].into_iter().flatten() {
        if app.db.account(number).await?.is_some_and(|account| account.owner_id == Some(user_id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads both users from the database, because another instance may have changed them a moment ago.
pub async fn refuse_unless_both_are_staff(app: &App, requester: Uuid, approver: Uuid) -> Result<()> {
    if !is_staff(app, requester).await? {
        let detail = "Whoever asked for this is no longer staff, or is frozen: reject it, and request it yourself.";
        return Err(Error::conflict(ProblemCode::RequesterNotStaff, detail));
    }
    if !is_staff(app, approver).await? {
        return Err(Error::forbidden(
            ProblemCode::RoleRequired,
            "Only the bank's staff may approve: you are not any more.",
        ));
    }
    Ok(())
}

async fn is_staff(app: &App, user_id: Uuid) -> Result<bool> {
    let standing = app.db.user(user_id).await?.map(|user| user.standing());
    Ok(standing.is_some_and(|standing| !standing.frozen && standing.role.acts_on_any_account()))
}

impl From<Approval> for ApprovalBody {
    fn from(approval: Approval) -> Self {
        let amount = approval.money();
        let is_transfer = approval.movement_type == MovementType::Transfer;
        Self {
            id: approval.id,
            status: approval.status_at(Timestamp::now()),
            approval_type: approval.movement_type.into(),
            account_number: approval.from_account.or(approval.to_account).filter(|_| !is_transfer),
            from_account: approval.from_account.filter(|_| is_transfer),
            to_account: approval.to_account.filter(|_| is_transfer),
            against: (!is_transfer).then_some(approval.against.code),
            amount: Some(amount),
            currency: Some(approval.currency),
            limits: None,
            user_id: None,
            role: None,
            reference: approval.tags.reference().map(str::to_owned),
            metadata: Metadata(approval.tags.metadata().clone()),
            description: approval.description,
            reverses: approval.reverses,
            hold_expires_at: approval.hold_expires_at,
            requested_by: approval.requested_by,
            requested_at: approval.requested_at,
            expires_at: approval.expires_at,
            decided_by: approval.decided_by,
            decided_at: approval.decided_at,
            transaction_id: (approval.status == ApprovalStatus::Approved && approval.hold_expires_at.is_none())
                .then_some(approval.id),
        }
    }
}

impl ApprovalBody {
    /// Names in the record the accounts and the person that it is about.
    fn concerns(&self, record: Event) -> Event {
        let accounts = [self.account_number, self.from_account, self.to_account].into_iter().flatten();
        self.user_id.into_iter().fold(accounts.fold(record, Event::about), Event::about)
    }
}

impl From<AccessChange> for ApprovalBody {
    fn from(change: AccessChange) -> Self {
        Self {
            id: change.id,
            status: change.status.at(Timestamp::now(), change.expires_at),
            approval_type: change.kind.into(),
            account_number: None,
            from_account: None,
            to_account: None,
            against: None,
            amount: None,
            currency: None,
            limits: None,
            user_id: Some(change.user_id),
            role: change.role,
            description: None,
            reference: None,
            metadata: Metadata::default(),
            reverses: None,
            hold_expires_at: None,
            requested_by: change.requested_by,
            requested_at: change.requested_at,
            expires_at: change.expires_at,
            decided_by: change.decided_by,
            decided_at: change.decided_at,
            transaction_id: None,
        }
    }
}

impl From<LimitChange> for ApprovalBody {
    fn from(change: LimitChange) -> Self {
        let money = |minor_units: i64| Money::new(minor_units, change.currency);
        Self {
            id: change.id,
            status: change.status.at(Timestamp::now(), change.expires_at),
            approval_type: ApprovalType::LimitChange,
            account_number: Some(change.account_number),
            from_account: None,
            to_account: None,
            against: None,
            amount: None,
            currency: Some(change.currency),
            limits: Some(RequestedLimits {
                overdraft: money(change.overdraft),
                per_movement: change.per_movement.map(money),
                per_day: change.per_day.map(money),
                per_month: change.per_month.map(money),
                movements_per_day: change.movements_per_day,
            }),
            user_id: None,
            role: None,
            description: None,
            reference: None,
            metadata: Metadata::default(),
            reverses: None,
            hold_expires_at: None,
            requested_by: change.requested_by,
            requested_at: change.requested_at,
            expires_at: change.expires_at,
            decided_by: change.decided_by,
            decided_at: change.decided_at,
            transaction_id: None,
        }
    }
}

impl From<MovementType> for ApprovalType {
    fn from(movement_type: MovementType) -> Self {
        match movement_type {
            MovementType::Deposit => Self::Deposit,
            MovementType::Withdrawal => Self::Withdrawal,
            MovementType::Transfer => Self::Transfer,
        }
    }
}

impl From<AccessChangeKind> for ApprovalType {
    fn from(kind: AccessChangeKind) -> Self {
        match kind {
            AccessChangeKind::RoleChange => Self::RoleChange,
            AccessChangeKind::SecondFactorReset => Self::SecondFactorReset,
            AccessChangeKind::PasswordReset => Self::PasswordReset,
            AccessChangeKind::Erasure => Self::Erasure,
        }
    }
}
