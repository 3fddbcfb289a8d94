//! Authenticator apps and recovery codes of users.
//!
//! Lock the user before: what is read here and written after belongs together.

use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::auth::second_factor::SECRET_BYTES;
use crate::db::audit::Event;
use crate::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct SecondFactor {
    #[sqlx(try_from = "Vec<u8>")]
    pub secret: [u8; SECRET_BYTES],
    /// None until a code has shown that the user's app has the secret.
    pub confirmed_at: Option<Timestamp>,
    /// The step of the last code that was accepted.
    pub last_step: i64,
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
    pub async fn enrol_second_factor(&mut self, user_id: Uuid, secret: &[u8]) -> sqlx::Result<bool> {
        let enrolled = in_transaction!(self, conn => sqlx::query(
            "insert into second_factors (user_id, secret) values ($1, $2)
             on conflict (user_id) do update set secret = $2, last_step = 0
             where second_factors.confirmed_at is null",
        )
        .bind(user_id)
        .bind(secret)
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

    /// Takes the second factor away from somebody who cannot: ends all of their sessions, which it names. None when there
    /// was nothing to take away. `event` goes to the audit log with it.
    pub async fn reset_second_factor(
        &mut self,
        user_id: Uuid,
        event: Event,
        now: Timestamp,
    ) -> sqlx::Result<Option<Vec<Uuid>>> {
        if !self.remove_second_factor(user_id).await? {
            return Ok(None);
        }
        let ended = self.end_sessions_of(user_id, None, now).await?;
        self.append_to_audit_log(&[event.on(user_id)]).await?;
        Ok(Some(ended))
    }

    /// Forgets secret and recovery codes, also of an enrolment that was not confirmed. False when there was none.
    pub async fn remove_second_factor(&mut self, user_id: Uuid) -> sqlx::Result<bool> {
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
        Ok(removed == 1)
    }
}
