//! Logins, each with the hashes of its refresh token.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::db::users::Role;
use crate::timestamp::Timestamp;

/// The hashes by which the database finds a refresh token.
#[derive(Clone, Copy, Debug)]
pub struct TokenHashes {
    pub session_id: Uuid,
    /// The hash of the part that all tokens of the session share.
    pub family: [u8; 32],
    /// The hash of this token.
    pub token: [u8; 32],
}

/// One login. Lives until it is ended or `expires_at`.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct Session {
    /// The id of the session; `DELETE /me/sessions/{id}` ends it.
    pub id: Uuid,
    /// The `User-Agent` of the login.
    #[schema(example = "curl/8.5.0")]
    pub user_agent: Option<String>,
    /// Where the login came from.
    #[schema(example = "192.0.2.1")]
    pub address: Option<String>,
    pub created_at: Timestamp,
    /// When the session last got an access token.
    pub last_used_at: Timestamp,
    pub expires_at: Timestamp,
    /// Whether the login took a second factor.
    pub second_factor: bool,
    /// When the password or a code was last shown in this session.
    pub proven_at: Timestamp,
    #[serde(skip)]
    pub user_id: Uuid,
}

/// The columns of [`Session`].
macro_rules! session_columns {
    () => {
        "id, user_agent, address, created_at, last_used_at, expires_at, second_factor, proven_at, user_id"
    };
}

/// A session that is to get a new access token, with what that says of its user.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Renewal {
    pub session_id: Uuid,
    pub user_id: Uuid,
    pub role: Role,
    pub confirm_above: Option<i64>,
    /// Whether the session began with a second factor that the user still has.
    pub second_factor: bool,
    pub proven_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub last_used_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The columns of [`Renewal`], from `sessions s` and `users u`.
macro_rules! renewal_columns {
    () => {
        "s.id as session_id, s.user_id, u.role, u.confirm_above, s.proven_at, s.ended_at, s.last_used_at, s.expires_at,
         (s.second_factor and exists (
             select 1 from second_factors f where f.user_id = s.user_id and f.confirmed_at is not null
         )) as second_factor"
    };
}

/// A session, living or not, as long as it is kept.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct KeptSession {
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub session: Session,
    /// When it was ended; None for one that lives, or has expired.
    pub ended_at: Option<Timestamp>,
}

/// A session that has ended, and when it last got an access token.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct EndedSession {
    pub id: Uuid,
    pub last_used_at: Timestamp,
}

impl Db {
    /// Some of the user's sessions that live at `now` and were used after `idle_since`, newest first, before the one
    /// with the id `before`.
    pub async fn sessions_of(
        &self,
        user_id: Uuid,
        before: Option<Uuid>,
        limit: i64,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> sqlx::Result<Vec<Session>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", session_columns!(), " from sessions
                 where user_id = $1 and ended_at is null and expires_at > $2 and last_used_at > $3
                   and ($4 is null or id < $4)
                 order by id desc limit $5",
            ),
        )
        .bind(user_id)
        .bind(now)
        .bind(idle_since)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// Some of the user's sessions, living or not, the newest first, before the one with the id `before`.
    pub async fn kept_sessions_of(
        &self,
        user_id: Uuid,
        before: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<KeptSession>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", session_columns!(), ", ended_at from sessions
                 where user_id = $1 and ($2 is null or id < $2) order by id desc limit $3",
            ),
        )
        .bind(user_id)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// Where the user with this address has signed in from, as far back as sessions are kept.
    pub async fn login_addresses_of(&self, email: &str) -> sqlx::Result<Vec<String>> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select distinct s.address from sessions s join users u on u.id = s.user_id
             where u.email = $1 and s.address is not null
             limit 1000",
        )
        .bind(email)
        .fetch_all(conn)
        .await)
    }

    /// The sessions that ended after `since`, on whichever instance.
    pub async fn sessions_ended_since(&self, since: Timestamp) -> sqlx::Result<Vec<EndedSession>> {
        on_reader!(self, conn => sqlx::query_as("select id, last_used_at from sessions where ended_at > $1")
            .bind(since)
            .fetch_all(conn)
            .await)
    }

    /// The sessions that have ended and got an access token after `since`.
    pub async fn ended_sessions_used_since(&self, since: Timestamp) -> sqlx::Result<Vec<EndedSession>> {
        on_reader!(self, conn => sqlx::query_as(
            "select id, last_used_at from sessions where last_used_at > $1 and ended_at is not null",
        )
        .bind(since)
        .fetch_all(conn)
        .await)
    }
}

impl Tx<'_> {
    pub async fn insert_session(&mut self, session: &Session, token: &TokenHashes) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at, second_factor,
                                   proven_at, family_hash, token_hash)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(session.id)
        .bind(session.user_id)
        .bind(&session.user_agent)
        .bind(&session.address)
        .bind(session.created_at)
        .bind(session.last_used_at)
        .bind(session.expires_at)
        .bind(session.second_factor)
        .bind(session.proven_at)
        .bind(&token.family[..])
        .bind(&token.token[..])
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// The devices and places that the user has signed in from after `since`: `User-Agent` and address.
    pub async fn sign_ins_since(
        &mut self,
        user_id: Uuid,
        since: Timestamp,
    ) -> sqlx::Result<Vec<(Option<String>, Option<String>)>> {
        in_transaction!(self, conn => sqlx::query_as(
            "select distinct user_agent, address from sessions where user_id = $1 and created_at > $2 limit 1000",
        )
        .bind(user_id)
        .bind(since)
        .fetch_all(conn)
        .await)
    }

    /// The session that this token, or one that came after it, belongs to.
    pub async fn session_to_renew(&mut self, token: &TokenHashes) -> sqlx::Result<Option<Renewal>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "select ", renewal_columns!(), " from sessions s join users u on u.id = s.user_id
                 where s.id = $1 and s.family_hash = $2 and u.status = 'active'",
            ),
        )
        .bind(token.session_id)
        .bind(&token.family[..])
        .fetch_optional(conn)
        .await)
    }

    /// Puts `next` in the place of `presented` and records that the session got an access token. False when the session
    /// has ended or `presented` is not its current token: true for exactly one of any number of callers, on any number
    /// of instances.
    pub async fn rotate_token(
        &mut self,
        presented: &TokenHashes,
        next: &TokenHashes,
        now: Timestamp,
    ) -> sqlx::Result<bool> {
        let rotated = in_transaction!(self, conn => sqlx::query(
            "update sessions set token_hash = $3, last_used_at = case when last_used_at < $4 then $4 else last_used_at end
             where id = $1 and token_hash = $2 and ended_at is null",
        )
        .bind(presented.session_id)
        .bind(&presented.token[..])
        .bind(&next.token[..])
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(rotated == 1)
    }

    /// Records that password or code was shown in a living session, which gets an access token for it. None when it has
    /// ended meanwhile. The latest times stay: `last_used_at` tells until when a token of the session may run.
    pub async fn prove_session(&mut self, id: Uuid, now: Timestamp) -> sqlx::Result<Option<Renewal>> {
        let proven = in_transaction!(self, conn => sqlx::query(
            "update sessions set proven_at = case when proven_at < $2 then $2 else proven_at end,
                                 last_used_at = case when last_used_at < $2 then $2 else last_used_at end
             where id = $1 and ended_at is null",
        )
        .bind(id)
        .bind(now)
        .execute(&mut *conn)
        .await
        .map(|done| done.rows_affected()))?;
        if proven == 0 {
            return Ok(None);
        }
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "select ", renewal_columns!(), " from sessions s join users u on u.id = s.user_id
                 where s.id = $1 and u.status = 'active'",
            ),
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    /// Ends the user's living sessions beyond `most`, those first that were not used for the longest time, and names
    /// them. `newest` stays in any case.
    pub async fn end_oldest_sessions(
        &mut self,
        user_id: Uuid,
        newest: Uuid,
        most: i64,
        now: Timestamp,
    ) -> sqlx::Result<Vec<Uuid>> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "update sessions set ended_at = $4 where ended_at is null and id in (
                 select id from sessions where user_id = $1 and ended_at is null and id <> $2
                 order by last_used_at desc, id desc limit $5 offset $3
             ) returning id",
        )
        .bind(user_id)
        .bind(newest)
        .bind(most - 1)
        .bind(now)
        // SQLite takes no offset without a limit.
        .bind(i64::from(i32::MAX))
        .fetch_all(conn)
        .await)
    }

    /// Deletes the user's sessions that ended before `before` and that `kept` newer ones have followed. `before` must
    /// be so long ago that no access token of theirs runs any more.
    pub async fn delete_older_ended_sessions(
        &mut self,
        user_id: Uuid,
        kept: i64,
        before: Timestamp,
    ) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query(
            "delete from sessions where user_id = $1 and ended_at < $3 and last_used_at < $3
               and id < (select id from sessions where user_id = $1 order by id desc limit 1 offset $2)",
        )
        .bind(user_id)
        .bind(kept)
        .bind(before)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))
    }

    /// The session has shown a second factor.
    pub async fn confirm_second_factor_of_session(&mut self, id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update sessions set second_factor = $2 where id = $1")
            .bind(id)
            .bind(true)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Ends one session of this user. False when there is no such living session.
    pub async fn end_session(&mut self, id: Uuid, user_id: Uuid, now: Timestamp) -> sqlx::Result<bool> {
        let ended = in_transaction!(self, conn => sqlx::query(
            "update sessions set ended_at = $3 where id = $1 and user_id = $2 and ended_at is null",
        )
        .bind(id)
        .bind(user_id)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(ended == 1)
    }

    /// Ends every living session of the user but `except`, and names them.
    pub async fn end_sessions_of(
        &mut self,
        user_id: Uuid,
        except: Option<Uuid>,
        now: Timestamp,
    ) -> sqlx::Result<Vec<Uuid>> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "update sessions set ended_at = $3
             where user_id = $1 and ended_at is null and id <> $2
             returning id",
        )
        .bind(user_id)
        .bind(except.unwrap_or(Uuid::nil()))
        .bind(now)
        .fetch_all(conn)
        .await)
    }

    /// Ends the living sessions that got an access token after `moment`.
    pub async fn end_sessions_used_after(&mut self, moment: Timestamp, now: Timestamp) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query(
            "update sessions set ended_at = $2 where last_used_at > $1 and ended_at is null",
        )
        .bind(moment)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))
    }

    /// Deletes sessions that expired or ended before `before`, with their tokens.
    pub async fn delete_sessions_older_than(&mut self, before: Timestamp) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query("delete from sessions where expires_at < $1 or ended_at < $1")
            .bind(before)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}
