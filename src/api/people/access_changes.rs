//! Roles given or taken, second factors reset, links to set a password and people erased: with approval switched on, by two
//! admins.
//!
//! The first asks with `PUT /users/{user_id}/role`, `DELETE /users/{user_id}/second_factor`, `POST
//! /users/{user_id}/password_reset` or `POST /users/{user_id}/erase`, which then answer 202;
//! the second approves or rejects with the routes of [`super::approvals`].

use axum::http::StatusCode;
use uuid::Uuid;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::money::approvals::not_found;
use crate::api::people::erasure;
use crate::api::people::second_factor::no_second_factor;
use crate::api::people::users::Left;
use coffer_core::books::approval::{ApprovalStatus, LIFETIME, MAX_PENDING_PER_PERSON};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::books::refusal::Refusal;
use coffer_core::db::Tx;
use coffer_core::db::access_changes::{AccessChange, AccessChangeKind};
use coffer_core::db::mails::{MailKind, NewMail};
use coffer_core::db::second_factors::Reset;
use coffer_core::db::users::{Role, Standing, User};
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

const LAST_ADMIN: &str = "This is the last admin who could act: make another one first.";

/// Stores the change until another admin decides. The same change, requested again, is the same row. The user must be
/// locked.
pub async fn ask_for(
    app: &App,
    mut tx: Tx<'static>,
    context: &RequestContext,
    caller: Caller,
    user_id: Uuid,
    kind: AccessChangeKind,
    role: Option<Role>,
) -> Result<AccessChange> {
    let now = Timestamp::now();
    if let Some(waiting) = tx.pending_access_change(user_id, now).await? {
        return if (waiting.kind, waiting.role) == (kind, role) { Ok(waiting) } else { Err(waits(&waiting)) };
    }
    if tx.count_pending_access_changes(caller.user_id, now).await? >= MAX_PENDING_PER_PERSON {
        return Err(Refusal::TooManyPending { most: MAX_PENDING_PER_PERSON }.into());
    }
    let change = AccessChange {
        id: Uuid::now_v7(),
        kind,
        user_id,
        role,
        requested_by: caller.user_id,
        requested_at: now,
        expires_at: now.plus(LIFETIME),
        status: ApprovalStatus::Pending,
        decided_by: None,
        decided_at: None,
    };
    tx.insert_access_change(&change).await?;
    let record = context.event(Action::ApprovalRequested).on(change.id).detail(change.in_words()).about(change.user_id);
    tx.append_to_audit_log(&[record]).await?;
    app.append_events(&mut tx, &[BankEvent::of_approval(EventKind::ApprovalRequested, change.id, None)]).await?;
    tx.commit().await?;
    Ok(change)
}

/// Refuses a change that needs no approval while another one waits, such as from when changes did: that one would undo it later.
pub async fn refuse_while_another_waits(tx: &mut Tx<'_>, user_id: Uuid) -> Result<()> {
    let waiting = tx.pending_access_change(user_id, Timestamp::now()).await?;
    waiting.map_or(Ok(()), |waiting| Err(waits(&waiting)))
}

fn waits(waiting: &AccessChange) -> Error {
    let detail = format!("Another change of this person's access waits: {}. Have that decided first.", waiting.id);
    Error::client(StatusCode::CONFLICT, ProblemCode::AccessChangePending, detail)
}

/// Carries out a change that another admin has asked for.
pub async fn approve(app: &App, context: &RequestContext, approver: Caller, id: Uuid) -> Result<AccessChange> {
    let asked = app.db.access_change(id).await?.ok_or_else(not_found)?;
    if asked.user_id == approver.user_id {
        return Err(Error::forbidden(ProblemCode::OwnAccount, "This is about you: another admin must approve it."));
    }
    let now = Timestamp::now();
    let mut tx = app.db.begin().await?;
    let admins = Admins::lock(&mut tx, approver).await?;
    if !admins.may_act(asked.requested_by) {
        let detail = "Whoever asked for this is no longer an admin, or is frozen: reject it, and ask for it yourself.";
        return Err(Error::conflict(ProblemCode::RequesterNotStaff, detail));
    }
    let user = tx.lock_user(asked.user_id).await?;
    let active = || user.ok_or_else(Error::user_not_found);
    let approved = tx.decide_access_change(id, ApprovalStatus::Approved, approver.user_id, now).await?;
    let approved = approved.ok_or(Refusal::ApprovalNotPending)?;
    let record = context.event(Action::ApprovalApproved).on(id).detail(approved.in_words()).about(approved.user_id);
    let done = match (approved.kind, approved.role) {
        (AccessChangeKind::RoleChange, Some(role)) => {
            Done::Standing(set_role(&mut tx, context, &admins, active()?, role, vec![record]).await?)
        }
        (AccessChangeKind::RoleChange, None) => {
            return Err(Error::Internal(format!("the role change {id} lacks its role")));
        }
        (AccessChangeKind::SecondFactorReset, _) => {
            refuse_another_factor(&mut tx, &approved).await?;
            Done::Reset(reset_second_factor(app, &mut tx, context, &active()?, vec![record]).await?)
        }
        // Whoever has asked for it makes the link, which the approver never sees.
        (AccessChangeKind::PasswordReset, _) => {
            active()?;
            tx.append_to_audit_log(&[record]).await?;
            Done::Nothing
        }
        // Of somebody who may have left meanwhile.
        (AccessChangeKind::Erasure, _) => {
            Done::Erased(erasure::erase(&mut tx, context, &admins, asked.user_id, vec![record]).await?)
        }
    };
    app.append_events(&mut tx, &[BankEvent::of_approval(EventKind::ApprovalApproved, id, None)]).await?;
    tx.commit().await?;
    match done {
        Done::Standing((user, changed_at)) => app.auth.standings.set(user.id, user.standing(), changed_at),
        Done::Reset(reset) => tell_of_reset(app, reset, now),
        Done::Erased(left) => {
            left.tell(app);
            erasure::erase_texts(app, asked.user_id).await;
        }
        Done::Nothing => {}
    }
    Ok(approved)
}

/// Refuses when the user has enrolled another factor since the request: that one is not lost.
async fn refuse_another_factor(tx: &mut Tx<'_>, change: &AccessChange) -> Result<()> {
    let confirmed_at = tx.second_factor(change.user_id).await?.and_then(|factor| factor.confirmed_at);
    if confirmed_at.is_none_or(|at| at > change.requested_at) {
        let detail = "The second factor that this was asked for is gone; there is another one, or none. Reject it.";
        return Err(Error::conflict(ProblemCode::SecondFactorMissing, detail));
    }
    Ok(())
}

/// A change that this instance's memory must learn of after the commit.
enum Done {
    Standing((User, Timestamp)),
    Reset(Reset),
    Erased(Left),
    Nothing,
}

/// Rejects a change, or takes it back.
pub async fn reject(app: &App, context: &RequestContext, caller: Caller, id: Uuid) -> Result<AccessChange> {
    let asked = app.db.access_change(id).await?.ok_or_else(not_found)?;
    if asked.user_id == caller.user_id {
        return Err(Error::forbidden(ProblemCode::OwnAccount, "This is about you: another admin must decide."));
    }
    let mut tx = app.db.begin().await?;
    let rejected = tx.decide_access_change(id, ApprovalStatus::Rejected, caller.user_id, Timestamp::now()).await?;
    let rejected = rejected.ok_or(Refusal::ApprovalNotPending)?;
    let event = context.event(Action::ApprovalRejected).on(id).detail(rejected.in_words()).about(rejected.user_id);
    tx.append_to_audit_log(&[event]).await?;
    app.append_events(&mut tx, &[BankEvent::of_approval(EventKind::ApprovalRejected, id, None)]).await?;
    tx.commit().await?;
    Ok(rejected)
}

/// Gives the role within the transaction. Tell [`coffer_core::auth::standings`] of it after the commit.
pub async fn set_role(
    tx: &mut Tx<'_>,
    context: &RequestContext,
    admins: &Admins,
    user: User,
    role: Role,
    mut records: Vec<Event>,
) -> Result<(User, Timestamp)> {
    if role != Role::Admin {
        admins.refuse_to_lose(user.id)?;
    }
    let change = format!("{} to {}", user.role.name(), role.name());
    let user = User { role, ..user };
    let now = Timestamp::now();
    let changed_at = tx.set_standing(user.id, user.standing(), now).await?;
    // Whoever made the link could set the password of somebody with a role.
    tx.end_password_links(user.id, now).await?;
    records.push(context.event(Action::RoleChanged).on(user.id).detail(change));
    tx.append_to_audit_log(&records).await?;
    Ok((user, changed_at))
}

/// Takes the second factor away within the transaction. Call [`tell_of_reset`] after the commit.
pub async fn reset_second_factor(
    app: &App,
    tx: &mut Tx<'_>,
    context: &RequestContext,
    user: &User,
    records: Vec<Event>,
) -> Result<Reset> {
    let event = context.event(Action::SecondFactorRemoved);
    let reset = tx.reset_second_factor(user.id, event, Timestamp::now()).await?.ok_or_else(no_second_factor)?;
    tx.append_to_audit_log(&records).await?;
    app.send(tx, NewMail::to_user(MailKind::SecondFactorRemoved, user.id)).await?;
    Ok(reset)
}

/// Tells this instance that the sessions have ended, and that tokens made with the factor count no more than others.
pub fn tell_of_reset(app: &App, reset: Reset, now: Timestamp) {
    app.auth.ended_sessions.add(reset.ended, now);
    app.auth.standings.take_in(reset.standing);
}

/// The admins, held until the transaction ends: so that of two who take each other's role at once, the second finds that
/// they are no admin any more, and the last one stays. Take them before any other user.
pub struct Admins(Vec<(Uuid, Standing)>);

impl Admins {
    /// Fails unless the caller is an admin still.
    pub async fn lock(tx: &mut Tx<'_>, caller: Caller) -> Result<Self> {
        let admins = Self(tx.lock_admins().await?);
        if !admins.may_act(caller.user_id) {
            return Err(Error::forbidden(ProblemCode::RoleRequired, "This takes the role admin: you have it no more."));
        }
        Ok(admins)
    }

    /// For a user who wants to leave. They need not be an admin: they may have become one a moment ago.
    pub async fn lock_before_leaving(tx: &mut Tx<'_>) -> Result<Self> {
        Ok(Self(tx.lock_admins().await?))
    }

    pub fn include(&self, user_id: Uuid) -> bool {
        self.0.iter().any(|(id, _)| *id == user_id)
    }

    fn may_act(&self, user_id: Uuid) -> bool {
        self.0.iter().any(|(id, standing)| *id == user_id && !standing.frozen)
    }

    /// Whether there is another admin who could act without this one.
    pub fn refuse_to_lose(&self, user_id: Uuid) -> Result<()> {
        let is_last = self.may_act(user_id) && !self.0.iter().any(|(id, standing)| *id != user_id && !standing.frozen);
        if is_last { Err(Error::conflict(ProblemCode::LastAdmin, LAST_ADMIN)) } else { Ok(()) }
    }
}
