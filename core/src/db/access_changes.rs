//! Changes of what somebody may do that wait for a second admin.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::approvals::{ApprovalFilter, count_pending, select_newest, update_decided};
use super::users::Role;
use super::{Db, Tx, in_transaction, on_reader};
use crate::books::approval::ApprovalStatus;
use crate::timestamp::Timestamp;

/// A change that an admin has asked for.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AccessChange {
    pub id: Uuid,
    pub kind: AccessChangeKind,
    /// Whose access is to change: neither the requester nor the approver.
    pub user_id: Uuid,
    /// The new role, of a role change only.
    pub role: Option<Role>,
    pub requested_by: Uuid,
    pub requested_at: Timestamp,
    pub expires_at: Timestamp,
    /// As stored. Nothing is stored as expired: ask [`ApprovalStatus::at`].
    pub status: ApprovalStatus,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum AccessChangeKind {
    RoleChange,
    SecondFactorReset,
    /// An admin may give the user a link to set a password.
    PasswordReset,
    /// An admin may erase the user for good.
    Erasure,
}

/// The columns of [`AccessChange`].
macro_rules! access_change_columns {
    () => {
        "id, kind, user_id, role, requested_by, requested_at, expires_at, status, decided_by, decided_at"
    };
}

impl AccessChange {
    /// For the audit log: `role staff for 019a8f3e-…`
    pub fn in_words(&self) -> String {
        match (self.kind, self.role) {
            (AccessChangeKind::RoleChange, Some(role)) => format!("role {} for {}", role.name(), self.user_id),
            (AccessChangeKind::RoleChange, None) => format!("role for {}", self.user_id),
            (AccessChangeKind::SecondFactorReset, _) => format!("removal of the second factor of {}", self.user_id),
            (AccessChangeKind::PasswordReset, _) => format!("link for {} to set a password", self.user_id),
            (AccessChangeKind::Erasure, _) => format!("erasure of {}", self.user_id),
        }
    }
}

impl Db {
    pub async fn access_change(&self, id: Uuid) -> sqlx::Result<Option<AccessChange>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", access_change_columns!(), " from access_changes where id = $1"),
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    /// Changes of access, the newest first.
    pub async fn access_changes(
        &self,
        filter: ApprovalFilter,
        now: Timestamp,
        limit: i64,
    ) -> sqlx::Result<Vec<AccessChange>> {
        self.newest_of(select_newest!(access_change_columns, "access_changes"), filter, now, limit).await
    }
}

impl Tx<'_> {
    /// The change that waits for this user at `now`. The caller must hold the user's row lock.
    pub async fn pending_access_change(&mut self, user_id: Uuid, now: Timestamp) -> sqlx::Result<Option<AccessChange>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "select ", access_change_columns!(), " from access_changes
                 where user_id = $1 and status = 'pending' and expires_at > $2 limit 1",
            ),
        )
        .bind(user_id)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }

    /// The last link to set a password that `requested_by` has asked to make for this user, since the user's role or rights
    /// changed: an approval for a customer says nothing about an admin.
    pub async fn last_password_reset_of(
        &mut self,
        user_id: Uuid,
        requested_by: Uuid,
    ) -> sqlx::Result<Option<AccessChange>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "select ", access_change_columns!(), " from access_changes
                 where user_id = $1 and requested_by = $2 and kind = 'password_reset'
                   and requested_at > (select standing_changed_at from users where users.id = $1)
                 order by id desc limit 1",
            ),
        )
        .bind(user_id)
        .bind(requested_by)
        .fetch_optional(conn)
        .await)
    }

    /// How many changes wait at `now` that this user has asked for.
    pub async fn count_pending_access_changes(&mut self, requested_by: Uuid, now: Timestamp) -> sqlx::Result<i64> {
        self.count_pending_of(count_pending!("access_changes"), requested_by, now).await
    }

    pub async fn insert_access_change(&mut self, change: &AccessChange) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into access_changes (id, kind, user_id, role, requested_by, requested_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(change.id)
        .bind(change.kind)
        .bind(change.user_id)
        .bind(change.role)
        .bind(change.requested_by)
        .bind(change.requested_at)
        .bind(change.expires_at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// See [`Tx::decide_one_of`].
    pub async fn decide_access_change(
        &mut self,
        id: Uuid,
        decision: ApprovalStatus,
        by: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<Option<AccessChange>> {
        self.decide_one_of(update_decided!(access_change_columns, "access_changes"), id, decision, by, now).await
    }
}
