//! One-time links by which somebody sets a password without the one before.

use uuid::Uuid;

use super::mailed_links::LinkPurpose;
use super::{Db, Tx, in_transaction, on_reader};
use crate::timestamp::Timestamp;

/// A link of a user, without its secret.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct PasswordLink {
    pub user_id: Uuid,
    /// Of somebody who has had no password yet.
    pub is_invitation: bool,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// The columns of [`PasswordLink`].
macro_rules! password_link_columns {
    () => {
        "user_id, is_invitation, created_at, expires_at, used_at"
    };
}

/// The hash of the secret in a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkHash {
    pub hash: [u8; 32],
}

impl Db {
    /// Whose link has this secret, if it counts at `now`.
    pub async fn user_of_password_link(&self, link: &LinkHash, now: Timestamp) -> sqlx::Result<Option<Uuid>> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select user_id from password_links where token_hash = $1 and used_at is null and expires_at > $2",
        )
        .bind(&link.hash[..])
        .bind(now)
        .fetch_optional(conn)
        .await)
    }
}

impl Tx<'_> {
    /// The last link of this user, who must be locked.
    pub async fn password_link(&mut self, user_id: Uuid) -> sqlx::Result<Option<PasswordLink>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!("select ", password_link_columns!(), " from password_links where user_id = $1"),
        )
        .bind(user_id)
        .fetch_optional(conn)
        .await)
    }

    /// Stores a link in the place of the user's last one. The user must be locked.
    pub async fn put_password_link(&mut self, link: &PasswordLink, hash: &LinkHash) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into password_links (user_id, token_hash, is_invitation, created_at, expires_at)
             values ($1, $2, $3, $4, $5)
             on conflict (user_id) do update
             set token_hash = excluded.token_hash, is_invitation = excluded.is_invitation,
                 created_at = excluded.created_at, expires_at = excluded.expires_at, used_at = null",
        )
        .bind(link.user_id)
        .bind(&hash.hash[..])
        .bind(link.is_invitation)
        .bind(link.created_at)
        .bind(link.expires_at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Uses a link up. False when it does not count at `now`: true for exactly one of any number who try.
    pub async fn use_password_link(&mut self, link: &LinkHash, now: Timestamp) -> sqlx::Result<bool> {
        let used = in_transaction!(self, conn => sqlx::query(
            "update password_links set used_at = $2 where token_hash = $1 and used_at is null and expires_at > $2",
        )
        .bind(&link.hash[..])
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(used == 1)
    }

    /// Ends the user's links that were not used, handed over or mailed: a password was set in another way.
    pub async fn end_password_links(&mut self, user_id: Uuid, now: Timestamp) -> sqlx::Result<()> {
        self.end_mailed_links(user_id, LinkPurpose::Password, now).await?;
        in_transaction!(self, conn => sqlx::query(
            "update password_links set used_at = $2 where user_id = $1 and used_at is null",
        )
        .bind(user_id)
        .bind(now)
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
