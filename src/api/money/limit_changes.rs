//! Limits of the bank whose overdraft is above the approval amount: two of the staff set them.
//!
//! The first asks with `PUT /accounts/{account_number}/limits`, which then answers 202; the second approves or rejects
//! with the routes of [`super::approvals`].

use axum::http::StatusCode;
use uuid::Uuid;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::money::account_limits::{Wanted, set_within};
use crate::api::money::accounts::about_owner;
use crate::api::money::approvals::{not_found, refuse_unless_both_are_staff};
use coffer_core::books::account::{Account, AccountStatus};
use coffer_core::books::approval::{ApprovalStatus, LIFETIME, MAX_PENDING_PER_PERSON};
use coffer_core::books::audit_event::Action;
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::books::refusal::Refusal;
use coffer_core::db::Tx;
use coffer_core::db::limit_changes::LimitChange;
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// Stores the change until somebody else decides. The same change, requested again, is the same row. The account must
/// be locked.
pub async fn ask_for(
    app: &App,
    mut tx: Tx<'static>,
    context: &RequestContext,
    caller: Caller,
    account: &Account,
    Wanted { overdraft, limits }: Wanted,
) -> Result<LimitChange> {
    let now = Timestamp::now();
    if let Some(waiting) = tx.pending_limit_change(account.account_number, now).await? {
        if (waiting.overdraft, waiting.limits()) == (overdraft, limits) {
            return Ok(waiting);
        }
        return Err(another_waits(&waiting));
    }
    if tx.count_pending_limit_changes(caller.user_id, now).await? >= MAX_PENDING_PER_PERSON {
        return Err(Refusal::TooManyPending { most: MAX_PENDING_PER_PERSON }.into());
    }
    let change = LimitChange {
        id: Uuid::now_v7(),
        account_number: account.account_number,
        currency: account.currency,
        overdraft,
        per_movement: limits.per_movement,
        per_day: limits.per_day,
        per_month: limits.per_month,
        movements_per_day: limits.movements_per_day,
        requested_by: caller.user_id,
        requested_at: now,
        expires_at: now.plus(LIFETIME),
        status: ApprovalStatus::Pending,
        decided_by: None,
        decided_at: None,
    };
    tx.insert_limit_change(&change).await?;
    let event = context.event(Action::ApprovalRequested).on(change.id).detail(change.in_words());
    tx.append_to_audit_log(&[about_owner(event.about(change.account_number), account)]).await?;
    app.append_events(&mut tx, &[event_of(EventKind::ApprovalRequested, &change)]).await?;
    tx.commit().await?;
    Ok(change)
}

/// Refuses to set limits while others wait, which would take their place when they are approved. The account must be locked.
pub async fn refuse_while_another_waits(tx: &mut Tx<'_>, account: &Account) -> Result<()> {
    match tx.pending_limit_change(account.account_number, Timestamp::now()).await? {
        Some(waiting) => Err(another_waits(&waiting)),
        None => Ok(()),
    }
}

fn another_waits(waiting: &LimitChange) -> Error {
    let detail = format!("Another change of this account's limits waits: {}. Have that decided first.", waiting.id);
    Error::client(StatusCode::CONFLICT, ProblemCode::LimitChangePending, detail)
}

/// Sets the limits that somebody else has asked for.
pub async fn approve(app: &App, context: &RequestContext, approver: Caller, asked: LimitChange) -> Result<LimitChange> {
    refuse_unless_both_are_staff(app, asked.requested_by, approver.user_id).await?;
    context.note_accounts([asked.account_number]);
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    let account = lock_account_of_others(&mut tx, approver, &asked).await?;
    if account.status == AccountStatus::Closed {
        return Err(Refusal::AccountClosed.into());
    }
    let approved = tx.decide_limit_change(asked.id, ApprovalStatus::Approved, approver.user_id, now).await?;
    let approved = approved.ok_or(Refusal::ApprovalNotPending)?;
    let record = context.event(Action::ApprovalApproved).on(approved.id).detail(approved.in_words());
    let record = about_owner(record.about(approved.account_number), &account);
    let wanted = Wanted { overdraft: approved.overdraft, limits: approved.limits() };
    set_within(app, context, &mut tx, account, wanted, vec![record]).await?;
    app.append_events(&mut tx, &[event_of(EventKind::ApprovalApproved, &approved)]).await?;
    tx.commit().await?;
    app.watches.changed(|| [approved.account_number]);
    Ok(approved)
}

/// Rejects a change, or takes it back.
pub async fn reject(app: &App, context: &RequestContext, caller: Caller, asked: LimitChange) -> Result<LimitChange> {
    let mut tx = app.db.begin().await?;
    let account = lock_account_of_others(&mut tx, caller, &asked).await?;
    let rejected = tx.decide_limit_change(asked.id, ApprovalStatus::Rejected, caller.user_id, Timestamp::now()).await?;
    let rejected = rejected.ok_or(Refusal::ApprovalNotPending)?;
    let event = context.event(Action::ApprovalRejected).on(rejected.id).detail(rejected.in_words());
    tx.append_to_audit_log(&[about_owner(event.about(rejected.account_number), &account)]).await?;
    app.append_events(&mut tx, &[event_of(EventKind::ApprovalRejected, &rejected)]).await?;
    tx.commit().await?;
    Ok(rejected)
}

fn event_of(kind: EventKind, change: &LimitChange) -> BankEvent {
    BankEvent::of_approval(kind, change.id, Some(change.account_number))
}

/// Nobody decides about an account of their own.
async fn lock_account_of_others(tx: &mut Tx<'_>, caller: Caller, asked: &LimitChange) -> Result<Account> {
    let account = tx.lock_account(asked.account_number).await?.ok_or_else(not_found)?;
    match account.owner_id == Some(caller.user_id) {
        true => Err(Error::forbidden(ProblemCode::OwnAccount, "The account is yours: somebody else must decide.")),
        false => Ok(account),
    }
}
