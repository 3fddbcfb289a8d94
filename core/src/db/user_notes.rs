//! What staff note on customers.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::timestamp::Timestamp;

/// A note on a user, which is never changed.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct UserNote {
    /// The id of the note.
    pub id: Uuid,
    /// On whom it is.
    pub user_id: Uuid,
    /// Who has written it.
    pub author_id: Uuid,
    /// What was noted.
    #[schema(example = "Called about a lost card; identity checked by passport.")]
    pub text: String,
    pub created_at: Timestamp,
}

impl Db {
    /// Some of the notes on this user, the newest first, before the one with the id `before`.
    pub async fn notes_on(&self, user_id: Uuid, before: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<UserNote>> {
        on_reader!(self, conn => sqlx::query_as(
            "select id, user_id, author_id, text, created_at from user_notes
             where user_id = $1 and ($2 is null or id < $2)
             order by id desc limit $3",
        )
        .bind(user_id)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }
}

impl Tx<'_> {
    pub async fn insert_note(&mut self, note: &UserNote) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into user_notes (id, user_id, author_id, text, created_at) values ($1, $2, $3, $4, $5)",
        )
        .bind(note.id)
        .bind(note.user_id)
        .bind(note.author_id)
        .bind(&note.text)
        .bind(note.created_at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Deletes the notes on somebody who leaves.
    pub async fn delete_notes_on(&mut self, user_id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from user_notes where user_id = $1")
            .bind(user_id)
            .execute(conn)
            .await
            .map(|_| ()))
    }
}
