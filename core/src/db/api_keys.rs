//! API keys, each with the hashes of its secret.

use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::api_key::{BoundAccounts, KeyBounds, Networks, Scopes};
use crate::db::users::Standing;
use crate::timestamp::Timestamp;

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKey {
    pub id: Uuid,
    pub user_id: Uuid,
    pub name: String,
    /// The last characters of the secret.
    pub hint: String,
    #[sqlx(try_from = "String")]
    pub scopes: Scopes,
    #[sqlx(try_from = "String")]
    pub accounts: BoundAccounts,
    /// In whole units of each currency.
    pub per_day: Option<i64>,
    #[sqlx(try_from = "String")]
    pub networks: Networks,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    /// Until when the secret before the last rotation counts.
    pub former_until: Option<Timestamp>,
}

/// A key that counts, or has counted.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct KeptApiKey {
    #[sqlx(flatten)]
    pub key: ApiKey,
    pub revoked_at: Option<Timestamp>,
}

/// The columns of [`ApiKey`].
macro_rules! api_key_columns {
    () => {
        "api_keys.id, user_id, api_keys.name, hint, scopes, coalesce(accounts, '') as accounts, per_day,
         coalesce(networks, '') as networks, api_keys.created_at, expires_at, last_used_at, former_until"
    };
}

pub(in crate::db) use api_key_columns;

/// A key with the rights of its user, as one of its secrets has found it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct FoundApiKey {
    #[sqlx(flatten)]
    pub key: ApiKey,
    #[sqlx(flatten)]
    pub standing: Standing,
    /// Its user is a program, which has no second factor.
    pub is_service: bool,
    /// By the secret before the last rotation.
    pub by_former_secret: bool,
}

/// The secret of a key as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct SecretHash {
    pub hash: [u8; 32],
}

impl ApiKey {
    pub fn bounds(&self) -> KeyBounds {
        KeyBounds { key_id: self.id, accounts: self.accounts, per_day: self.per_day }
    }

    /// As the audit log says that it was created, and the doctor compares: `read move; accounts any; per day 500;
    /// networks any; expires never; Backend`.
    pub fn in_words(&self) -> String {
        let or = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
        let per_day = self.per_day.map_or_else(|| "any".to_owned(), |units| units.to_string());
        let expires = self.expires_at.map_or_else(|| "never".to_owned(), |moment| moment.to_string());
        format!(
            "{}; accounts {}; per day {per_day}; networks {}; expires {expires}; {}",
            self.scopes,
            or(self.accounts.to_string(), "any"),
            or(self.networks.to_string(), "any"),
            self.name,
        )
    }
}

impl Db {
    /// The key that this secret belongs to, unless it was revoked or has expired, or its user has left.
    pub async fn find_api_key(&self, secret: &SecretHash, now: Timestamp) -> sqlx::Result<Option<FoundApiKey>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", api_key_columns!(), ", secret_hash <> $1 as by_former_secret, u.role,
                        u.frozen_at is not null as frozen, u.confirm_above, u.is_service, exists (
                            select 1 from second_factors f where f.user_id = u.id and f.confirmed_at is not null
                        ) as second_factor
                 from api_keys join users u on u.id = user_id
                 where (secret_hash = $1 or (former_hash = $1 and former_until > $2))
                   and revoked_at is null and (expires_at is null or expires_at > $2) and u.status = 'active'",
            ),
        )
        .bind(&secret.hash[..])
        .bind(now)
        .fetch_optional(conn)
        .await)
    }

    /// Some of the user's living keys, the newest first, before the one with the id `before`.
    pub async fn api_keys_of(
        &self,
        user_id: Uuid,
        before: Option<Uuid>,
        limit: i64,
        now: Timestamp,
    ) -> sqlx::Result<Vec<ApiKey>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", api_key_columns!(), " from api_keys
                 where user_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)
                   and ($3 is null or id < $3)
                 order by id desc limit $4",
            ),
        )
        .bind(user_id)
        .bind(now)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// Some of the user's keys, those that count no more among them, with when each was revoked: the newest first, before the one
    /// with the id `before`.
    pub async fn kept_api_keys_of(
        &self,
        user_id: Uuid,
        before: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<KeptApiKey>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", api_key_columns!(), ", revoked_at from api_keys
                 where user_id = $1 and ($2 is null or id < $2) order by id desc limit $3",
            ),
        )
        .bind(user_id)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// A living key of this user.
    pub async fn api_key(&self, id: Uuid, user_id: Uuid, now: Timestamp) -> sqlx::Result<Option<ApiKey>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", api_key_columns!(), " from api_keys
                 where id = $1 and user_id = $2 and revoked_at is null
                   and (expires_at is null or expires_at > $3)",
            ),
        )
        .bind(id)
        .bind(user_id)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }

    /// Whose key it is, for the command line.
    pub async fn user_of_api_key(&self, id: Uuid) -> sqlx::Result<Option<Uuid>> {
        on_reader!(self, conn => sqlx::query_scalar("select user_id from api_keys where id = $1")
            .bind(id)
            .fetch_optional(conn)
            .await)
    }

    /// The keys that were rotated or revoked after `since`, on whichever instance.
    pub async fn api_keys_changed_since(&self, since: Timestamp) -> sqlx::Result<Vec<Uuid>> {
        on_reader!(self, conn => sqlx::query_scalar("select id from api_keys where changed_at > 0 and changed_at > $1")
            .bind(since)
            .fetch_all(conn)
            .await)
    }
}

impl Tx<'_> {
    pub async fn insert_api_key(&mut self, key: &ApiKey, secret: &SecretHash) -> sqlx::Result<()> {
        let or_null = |text: String| Some(text).filter(|text| !text.is_empty());
        in_transaction!(self, conn => sqlx::query(
            "insert into api_keys (id, user_id, name, hint, secret_hash, scopes, accounts, per_day, networks, created_at,
                                   expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(key.id)
        .bind(key.user_id)
        .bind(&key.name)
        .bind(&key.hint)
        .bind(&secret.hash[..])
        .bind(key.scopes.to_string())
        .bind(or_null(key.accounts.to_string()))
        .bind(key.per_day)
        .bind(or_null(key.networks.to_string()))
        .bind(key.created_at)
        .bind(key.expires_at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// How many living keys the user has, who must be locked.
    pub async fn count_api_keys(&mut self, user_id: Uuid, now: Timestamp) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "select count(*) from api_keys
             where user_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)",
        )
        .bind(user_id)
        .bind(now)
        .fetch_one(conn)
        .await)
    }

    /// Gives a living key of this user another secret; the one before counts until `former_until`, and no earlier one
    /// any more. None when there is no such key.
    pub async fn rotate_api_key(
        &mut self,
        id: Uuid,
        user_id: Uuid,
        secret: &SecretHash,
        hint: &str,
        former_until: Timestamp,
        now: Timestamp,
    ) -> sqlx::Result<Option<ApiKey>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "update api_keys set former_hash = secret_hash, former_until = $5, secret_hash = $3, hint = $4,
                        changed_at = case when changed_at < $6 then $6 else changed_at + 1 end
                 where id = $1 and user_id = $2 and revoked_at is null
                   and (expires_at is null or expires_at > $6)
                 returning ", api_key_columns!(),
            ),
        )
        .bind(id)
        .bind(user_id)
        .bind(&secret.hash[..])
        .bind(hint)
        .bind(former_until)
        .bind(now)
        .fetch_optional(conn)
        .await)
    }

    /// The user's keys that were made up to a moment, and not revoked.
    pub async fn api_keys_made_before(&mut self, user_id: Uuid, moment: Timestamp) -> sqlx::Result<Vec<Uuid>> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "select id from api_keys where user_id = $1 and revoked_at is null and created_at <= $2 order by id",
        )
        .bind(user_id)
        .bind(moment)
        .fetch_all(conn)
        .await)
    }

    /// Revokes the living keys of this user, or the one with this id, and names them.
    pub async fn revoke_api_keys(
        &mut self,
        user_id: Uuid,
        id: Option<Uuid>,
        now: Timestamp,
    ) -> sqlx::Result<Vec<Uuid>> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "update api_keys set revoked_at = $3, changed_at = case when changed_at < $3 then $3 else changed_at + 1 end
             where user_id = $1 and ($2 is null or id = $2) and revoked_at is null
             returning id",
        )
        .bind(user_id)
        .bind(id)
        .bind(now)
        .fetch_all(conn)
        .await)
    }

    /// Stores when a key was used last, unless a later use is known.
    pub async fn set_api_key_used(&mut self, id: Uuid, at: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update api_keys set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)",
        )
        .bind(id)
        .bind(at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Deletes keys that were revoked or expired before `before`.
    pub async fn delete_api_keys_older_than(&mut self, before: Timestamp) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query("delete from api_keys where revoked_at < $1 or expires_at < $1")
            .bind(before)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}
