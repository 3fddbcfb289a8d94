//! One-time links that were mailed, each bound to the address that it went to.

use uuid::Uuid;

use super::password_links::LinkHash;
use super::{Db, Tx, in_transaction, on_reader};
use crate::timestamp::Timestamp;

/// What a mailed link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum LinkPurpose {
    /// To set a password without the one before.
    Password,
    /// To show that mail to the address arrives.
    Address,
}

/// A mailed link, without its secret.
#[derive(Clone, Debug)]
pub struct MailedLink {
    /// That of the mail.
    pub id: Uuid,
    pub user_id: Uuid,
    pub purpose: LinkPurpose,
    pub address: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Db {
    /// Whose link has this secret, if it counts at `now` and went to the address that the user has.
    pub async fn user_of_mailed_link(
        &self,
        link: &LinkHash,
        purpose: LinkPurpose,
        now: Timestamp,
    ) -> sqlx::Result<Option<Uuid>> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select l.user_id from mailed_links l join users u on u.id = l.user_id and u.email = l.address
             where l.token_hash = $1 and l.purpose = $2 and l.expires_at > $3",
        )
        .bind(&link.hash[..])
        .bind(purpose)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }
}

impl Tx<'_> {
    /// Stores the link of a mail, in the place of the one with which it was tried before. True when there was none.
    pub async fn put_mailed_link(&mut self, link: &MailedLink, hash: &LinkHash) -> sqlx::Result<bool> {
        let before = in_transaction!(self, conn => sqlx::query("delete from mailed_links where id = $1")
            .bind(link.id)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        in_transaction!(self, conn => sqlx::query(
            "insert into mailed_links (id, user_id, purpose, address, token_hash, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(link.id)
        .bind(link.user_id)
        .bind(link.purpose)
        .bind(&link.address)
        .bind(&hash.hash[..])
        .bind(link.created_at)
        .bind(link.expires_at)
        .execute(conn)
        .await
        .map(|_| ()))?;
        Ok(before == 0)
    }

    /// How many links of this kind other mails than `mail_id` have brought the user, or whoever has the address, since then.
    pub async fn count_mailed_links(
        &mut self,
        user_id: Uuid,
        address: &str,
        purpose: LinkPurpose,
        mail_id: Uuid,
        since: Timestamp,
    ) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "select count(*) from mailed_links
             where (user_id = $1 or address = $5) and purpose = $2 and created_at > $3 and id <> $4",
        )
        .bind(user_id)
        .bind(purpose)
        .bind(since)
        .bind(mail_id)
        .bind(address)
        .fetch_one(conn)
        .await)
    }

    /// Uses up a link that went to the address that the user, who must be locked, has now. False when there is none that
    /// counts at `now`: true for exactly one of any number who try.
    pub async fn use_mailed_link(
        &mut self,
        link: &LinkHash,
        purpose: LinkPurpose,
        address: &str,
        now: Timestamp,
    ) -> sqlx::Result<bool> {
        let used = in_transaction!(self, conn => sqlx::query(
            "update mailed_links set expires_at = $4
             where token_hash = $1 and purpose = $2 and address = $3 and expires_at > $4",
        )
        .bind(&link.hash[..])
        .bind(purpose)
        .bind(address)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(used == 1)
    }

    /// Ends the links of this kind that the user has and has not used.
    pub async fn end_mailed_links(&mut self, user_id: Uuid, purpose: LinkPurpose, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update mailed_links set expires_at = $3 where user_id = $1 and purpose = $2 and expires_at > $3",
        )
        .bind(user_id)
        .bind(purpose)
        .bind(now)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Deletes links that have not counted since `before`.
    pub async fn delete_mailed_links_older_than(&mut self, before: Timestamp) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query("delete from mailed_links where expires_at < $1")
            .bind(before)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}
