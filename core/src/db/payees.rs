//! Whom users pay.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::timestamp::Timestamp;

/// An account that somebody pays, with their own name for it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct Payee {
    /// The id of the payee.
    pub id: Uuid,
    /// As whoever pays has written it.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    pub account_number: AccountNumber,
    pub created_at: Timestamp,
    #[serde(skip)]
    pub user_id: Uuid,
}

impl Db {
    /// Some of the user's payees, the newest first, before the one with the id `before`.
    pub async fn payees_of(&self, user_id: Uuid, before: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Payee>> {
        on_reader!(self, conn => sqlx::query_as(
            "select id, name, account_number, created_at, user_id from payees
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
    /// How many payees the user has, who must be locked.
    pub async fn count_payees(&mut self, user_id: Uuid) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar("select count(*) from payees where user_id = $1")
            .bind(user_id)
            .fetch_one(conn)
            .await)
    }

    /// Fails with a unique violation when the user has a payee with this account.
    pub async fn insert_payee(&mut self, payee: &Payee) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into payees (id, user_id, name, account_number, created_at) values ($1, $2, $3, $4, $5)",
        )
        .bind(payee.id)
        .bind(payee.user_id)
        .bind(&payee.name)
        .bind(payee.account_number)
        .bind(payee.created_at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Deletes the user's payees, or the one with this id. Returns how many there were.
    pub async fn delete_payees(&mut self, user_id: Uuid, id: Option<Uuid>) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query("delete from payees where user_id = $1 and ($2 is null or id = $2)")
            .bind(user_id)
            .bind(id)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}
