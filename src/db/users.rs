//! People with a password.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::timestamp::Timestamp;

/// A person who can sign in. Row and response in one; what is private is skipped on the wire.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct User {
    #[schema(example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")]
    pub id: Uuid,
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    #[schema(example = "ada@example.com", format = Email)]
    pub email: String,
    pub role: Role,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    pub created_at: Timestamp,
    #[serde(skip)]
    pub password_hash: String,
}

/// What a person may do. `customer` acts on own accounts; `staff` and `admin` on any; `auditor` reads any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    Customer,
    Staff,
    Admin,
    Auditor,
}

impl Role {
    /// Whether this role may see accounts and movements of other people.
    pub fn reads_any_account(self) -> bool {
        !matches!(self, Role::Customer)
    }

    /// Whether this role may move money on and manage accounts of other people.
    pub fn acts_on_any_account(self) -> bool {
        matches!(self, Role::Staff | Role::Admin)
    }
}

impl Db {
    /// The active user with this address, which must be trimmed and in lower case.
    pub async fn user_by_email(&self, email: &str) -> sqlx::Result<Option<User>> {
        on_reader!(self, conn => sqlx::query_as(
            "select id, name, email, role, created_at, password_hash from users where email = $1 and status = 'active'",
        )
        .bind(email)
        .fetch_optional(conn)
        .await)
    }

    pub async fn user(&self, id: Uuid) -> sqlx::Result<Option<User>> {
        on_reader!(self, conn => sqlx::query_as(
            "select id, name, email, role, created_at, password_hash from users where id = $1 and status = 'active'",
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }
}

impl Tx<'_> {
    /// Fails with a unique violation when the address is taken.
    pub async fn insert_user(&mut self, user: &User) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into users (id, name, email, password_hash, role, created_at) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(user.id)
        .bind(&user.name)
        .bind(&user.email)
        .bind(&user.password_hash)
        .bind(user.role)
        .bind(user.created_at)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Fails with a unique violation when the new address is taken.
    pub async fn update_user(&mut self, id: Uuid, name: &str, email: &str) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update users set name = $2, email = $3 where id = $1")
            .bind(id)
            .bind(name)
            .bind(email)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// The user, if still active, held until the transaction ends. Whatever depends on the user's state (a new session
    /// on the password, a new account on being a customer) takes this first, so that no two such changes overlap. An
    /// update that changes nothing, because it locks in one way on every database.
    pub async fn lock_user(&mut self, id: Uuid) -> sqlx::Result<Option<User>> {
        in_transaction!(self, conn => sqlx::query_as(
            "update users set status = status where id = $1 and status = 'active'
             returning id, name, email, role, created_at, password_hash",
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    pub async fn update_password(&mut self, id: Uuid, password_hash: &str) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update users set password_hash = $2 where id = $1")
            .bind(id)
            .bind(password_hash)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Closes the user and forgets who it was: name and address are replaced, the password can never match again.
    /// Lock the user and see that every account is closed before.
    pub async fn close_user(&mut self, id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update users set status = 'closed', name = 'closed', email = $2, password_hash = 'closed' where id = $1",
        )
        .bind(id)
        .bind(format!("closed:{id}"))
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
