//! Logins and their refresh tokens.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::auth::sessions::IDLE_LIFETIME;
use crate::auth::tokens::Subject;
use crate::db::users::Role;
use crate::timestamp::Timestamp;

/// One login. Lives until it is ended or `expires_at`.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct Session {
    #[schema(example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")]
    pub id: Uuid,
    /// The `User-Agent` of the login.
    #[schema(example = "curl/8.5.0")]
    pub user_agent: Option<String>,
    /// Where the login came from.
    #[schema(example = "192.0.2.1")]
    pub address: Option<String>,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    pub created_at: Timestamp,
    /// When the session last got an access token.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    pub last_used_at: Timestamp,
    #[schema(value_type = String, format = DateTime, example = "2026-03-02T12:00:00.000000Z")]
    pub expires_at: Timestamp,
    /// Whether the login took a second factor.
    pub second_factor: bool,
    #[serde(skip)]
    pub user_id: Uuid,
}

/// A refresh token as presented, with the state of the session it belongs to.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PresentedToken {
    pub session_id: Uuid,
    pub user_id: Uuid,
    pub role: Role,
    pub second_factor: bool,
    pub used_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub last_used_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A session that has ended, and when it last got an access token.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct EndedSession {
    pub id: Uuid,
    pub last_used_at: Timestamp,
}

impl PresentedToken {
    /// Whom the next access token is for.
    pub fn subject(&self) -> Subject {
        let Self { user_id, session_id, role, second_factor, .. } = *self;
        Subject { user_id, session_id, role, second_factor }
    }
}

impl Db {
    /// The user's living sessions, newest first.
    pub async fn sessions_of(&self, user_id: Uuid, now: Timestamp) -> sqlx::Result<Vec<Session>> {
        on_reader!(self, conn => sqlx::query_as(
            "select id, user_agent, address, created_at, last_used_at, expires_at, second_factor, user_id from sessions
             where user_id = $1 and ended_at is null and expires_at > $2 and last_used_at > $3
             order by id desc",
        )
        .bind(user_id)
        .bind(now)
        .bind(now.minus(IDLE_LIFETIME))
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
    pub async fn insert_session(&mut self, session: &Session) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at, second_factor)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(session.id)
        .bind(session.user_id)
        .bind(&session.user_agent)
        .bind(&session.address)
        .bind(session.created_at)
        .bind(session.last_used_at)
        .bind(session.expires_at)
        .bind(session.second_factor)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    pub async fn insert_refresh_token(&mut self, session_id: Uuid, token_hash: &[u8]) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("insert into refresh_tokens (token_hash, session_id) values ($1, $2)")
            .bind(token_hash)
            .bind(session_id)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// The token with this hash and the session behind it.
    pub async fn presented_token(&mut self, token_hash: &[u8]) -> sqlx::Result<Option<PresentedToken>> {
        in_transaction!(self, conn => sqlx::query_as(
            "select t.session_id, s.user_id, u.role, s.second_factor, t.used_at, s.ended_at, s.last_used_at, s.expires_at
             from refresh_tokens t
             join sessions s on s.id = t.session_id
             join users u on u.id = s.user_id
             where t.token_hash = $1 and u.status = 'active'",
        )
        .bind(token_hash)
        .fetch_optional(conn)
        .await)
    }

    /// Marks the token as used. True for exactly one of any number of callers, on any number of instances.
    pub async fn use_refresh_token(&mut self, token_hash: &[u8], now: Timestamp) -> sqlx::Result<bool> {
        let used = in_transaction!(self, conn => sqlx::query(
            "update refresh_tokens set used_at = $2 where token_hash = $1 and used_at is null",
        )
        .bind(token_hash)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(used == 1)
    }

    /// Records that a living session got a new access token. False when it has ended meanwhile. The latest time stays: it
    /// tells until when a token of the session may run.
    pub async fn touch_session(&mut self, id: Uuid, now: Timestamp) -> sqlx::Result<bool> {
        let touched = in_transaction!(self, conn => sqlx::query(
            "update sessions set last_used_at = case when last_used_at < $2 then $2 else last_used_at end
             where id = $1 and ended_at is null",
        )
        .bind(id)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(touched == 1)
    }

    pub async fn set_second_factor_of_session(&mut self, id: Uuid, second_factor: bool) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update sessions set second_factor = $2 where id = $1")
            .bind(id)
            .bind(second_factor)
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

    /// Forgets sessions that expired or ended before `before`, with their tokens.
    pub async fn delete_sessions_older_than(&mut self, before: Timestamp) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query("delete from sessions where expires_at < $1 or ended_at < $1")
            .bind(before)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}
