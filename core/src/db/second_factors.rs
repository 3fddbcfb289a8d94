//! Authenticator apps and recovery codes of users.
//!
//! Lock the user before: what is read here and written after belongs together.

use uuid::Uuid;

use super::{Db, Tx, in_snapshot, in_transaction, on_reader};
use crate::books::audit_event::Event;
use crate::db::users::ChangedStanding;
use crate::timestamp::Timestamp;

/// Names the key that encrypted a secret. Tells nothing about the key.
pub type KeyId = [u8; 8];

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SecondFactor {
    /// Encrypted: see [`crate::auth::factor_keys`].
    pub secret: Vec<u8>,
    /// None until a code has shown that the user's app has the secret.
    pub confirmed_at: Option<Timestamp>,
    /// The step of the last code that was accepted.
    pub last_step: i64,
}

/// A user's secret as it lies in the database.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct StoredSecret {
    pub user_id: Uuid,
    pub secret: Vec<u8>,
}

/// A second factor was taken away.
#[derive(Clone, Debug)]
pub struct Reset {
    /// The sessions that ended.
    pub ended: Vec<Uuid>,
    pub standing: ChangedStanding,
}

impl Db {
    /// Whether the user has a confirmed second factor, and how many recovery codes are left.
    pub async fn second_factor_of(&self, user_id: Uuid) -> sqlx::Result<(bool, i64)> {
        on_reader!(self, conn => sqlx::query_as(
            "select exists (select 1 from second_factors where user_id = $1 and confirmed_at is not null),
                    (select count(*) from recovery_codes where user_id = $1)",
        )
        .bind(user_id)
        .fetch_one(conn)
        .await)
    }
}

impl Tx<'_> {
    pub async fn second_factor(&mut self, user_id: Uuid) -> sqlx::Result<Option<SecondFactor>> {
        in_transaction!(self, conn => sqlx::query_as(
            "select secret, confirmed_at, last_step from second_factors where user_id = $1",
        )
        .bind(user_id)
        .fetch_optional(conn)
        .await)
    }

    /// Starts an enrolment, in place of an earlier one that was not confirmed. False when there is a confirmed one.
    pub async fn enrol_second_factor(&mut self, user_id: Uuid, sealed: &[u8]) -> sqlx::Result<bool> {
        let enrolled = in_transaction!(self, conn => sqlx::query(
            "insert into second_factors (user_id, secret) values ($1, $2)
             on conflict (user_id) do update set secret = $2, last_step = 0
             where second_factors.confirmed_at is null",
        )
        .bind(user_id)
        .bind(sealed)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(enrolled == 1)
    }

    pub async fn confirm_second_factor(&mut self, user_id: Uuid, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update second_factors set confirmed_at = $2 where user_id = $1")
            .bind(user_id)
            .bind(now)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Uses up the step. False when it, or a later one, was used before: each code is good once, on whichever instance.
    pub async fn use_step(&mut self, user_id: Uuid, step: i64) -> sqlx::Result<bool> {
        let used = in_transaction!(self, conn => sqlx::query(
            "update second_factors set last_step = $2 where user_id = $1 and last_step < $2",
        )
        .bind(user_id)
        .bind(step)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(used == 1)
    }

    /// Uses up the recovery code with this hash. False when the user has no such code (any more).
    pub async fn use_recovery_code(&mut self, user_id: Uuid, code_hash: &[u8]) -> sqlx::Result<bool> {
        let used = in_transaction!(self, conn => sqlx::query(
            "delete from recovery_codes where user_id = $1 and code_hash = $2",
        )
        .bind(user_id)
        .bind(code_hash)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(used == 1)
    }

    pub async fn insert_recovery_code(&mut self, user_id: Uuid, code_hash: &[u8]) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("insert into recovery_codes (user_id, code_hash) values ($1, $2)")
            .bind(user_id)
            .bind(code_hash)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Takes the second factor away from somebody who cannot, and ends all of their sessions. None when there was
    /// nothing to take away. `event` goes to the audit log with it.
    pub async fn reset_second_factor(
        &mut self,
        user_id: Uuid,
        event: Event,
        now: Timestamp,
    ) -> sqlx::Result<Option<Reset>> {
        let Some(standing) = self.remove_second_factor(user_id, now).await? else { return Ok(None) };
        let ended = self.end_sessions_of(user_id, None, now).await?;
        self.append_to_audit_log(&[event.on(user_id)]).await?;
        Ok(Some(Reset { ended, standing }))
    }

    /// Deletes secret and recovery codes, also of an enrolment that was not confirmed; no session counts any more as
    /// having shown the factor. None when there was none. Access tokens say otherwise until the standing is known.
    pub async fn remove_second_factor(
        &mut self,
        user_id: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<Option<ChangedStanding>> {
        in_transaction!(self, conn => sqlx::query("delete from recovery_codes where user_id = $1")
            .bind(user_id)
            .execute(&mut *conn)
            .await
            .map(|_| ()))?;
        let removed = in_transaction!(self, conn => sqlx::query("delete from second_factors where user_id = $1")
            .bind(user_id)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        if removed == 0 {
            return Ok(None);
        }
        in_transaction!(self, conn => sqlx::query(
            "update sessions set second_factor = $2 where user_id = $1 and ended_at is null",
        )
        .bind(user_id)
        .bind(false)
        .execute(conn)
        .await
        .map(|_| ()))?;
        self.standing_has_changed(user_id, now).await.map(Some)
    }

    /// The id of the key that the bank's secrets are sealed with, held until the transaction ends. In a bank that has
    /// had no key yet it is `first` from now on.
    pub async fn lock_second_factor_key(&mut self, first: KeyId) -> sqlx::Result<KeyId> {
        in_transaction!(self, conn => sqlx::query(
            "insert into second_factor_key (id, key_id) values (1, $1) on conflict (id) do nothing",
        )
        .bind(&first[..])
        .execute(&mut *conn)
        .await
        .map(|_| ()))?;
        let key_id: Vec<u8> = in_transaction!(self, conn => sqlx::query_scalar(
            "update second_factor_key set key_id = key_id where id = 1 returning key_id",
        )
        .fetch_one(conn)
        .await)?;
        KeyId::try_from(key_id).map_err(|_| sqlx::Error::Decode("a key's id has eight bytes".into()))
    }

    /// From now on the bank's secrets are sealed with this key.
    pub async fn set_second_factor_key(&mut self, key_id: KeyId) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update second_factor_key set key_id = $1 where id = 1")
            .bind(&key_id[..])
            .execute(conn)
            .await
            .map(|_| ()))
    }

    pub async fn count_second_factors(&mut self) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "select count(*) from second_factors where confirmed_at is not null",
        )
        .fetch_one(conn)
        .await)
    }

    /// Deletes the user's enrolment that was begun and not confirmed.
    pub async fn delete_pending_second_factor_of(&mut self, user_id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "delete from second_factors where user_id = $1 and confirmed_at is null",
        )
        .bind(user_id)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Deletes the enrolments that were begun and not confirmed.
    pub async fn delete_pending_second_factors(&mut self) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from second_factors where confirmed_at is null")
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Some secrets that do not begin with `prefix`, of users behind `after`, in the order of their ids.
    pub async fn secrets_without_prefix(
        &mut self,
        prefix: &[u8],
        after: Uuid,
        limit: i64,
    ) -> sqlx::Result<Vec<StoredSecret>> {
        in_transaction!(self, conn => sqlx::query_as(
            "select user_id, secret from second_factors
             where user_id > $1 and substr(secret, 1, $2) <> $3 order by user_id limit $4",
        )
        .bind(after)
        .bind(prefix.len() as i32)
        .bind(prefix)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// Puts a newly sealed secret in the place of what was stored, unless that has changed.
    pub async fn replace_secret(&mut self, stored: &StoredSecret, sealed: &[u8]) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update second_factors set secret = $3 where user_id = $1 and secret = $2",
        )
        .bind(stored.user_id)
        .bind(&stored.secret)
        .bind(sealed)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Every secret, for the doctor.
    pub async fn all_secrets(&mut self) -> sqlx::Result<Vec<StoredSecret>> {
        in_snapshot!(self, conn => sqlx::query_as("select user_id, secret from second_factors order by user_id")
            .fetch_all(conn)
            .await)
    }
}
