//! Reading who may do what, and whose accounts are whose, beside what the audit log says of them, for the doctor.

use sqlx::FromRow;
use uuid::Uuid;

use super::drain;
use crate::account_number::AccountNumber;
use crate::db::{Tx, in_snapshot};

/// A record by which the standing of a user or an account became another one.
#[derive(Clone, Debug, FromRow)]
pub struct RecordOfStanding {
    pub subject: Option<String>,
    pub action: String,
    pub detail: Option<String>,
}

/// A user who works here, or is frozen.
#[derive(Clone, Debug, FromRow)]
pub struct StandingOfUser {
    pub id: Uuid,
    pub role: String,
    pub is_frozen: bool,
}

/// The record by which an account was opened, and the account.
#[derive(Clone, Debug, FromRow)]
pub struct OpenedAccount {
    pub account_number: AccountNumber,
    pub owner_id: Option<Uuid>,
    /// The accounts and people that the record is about, with a space between them.
    pub concerns: String,
}

impl Tx<'_> {
    pub async fn count_users(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from users").fetch_one(conn).await)
    }

    /// In the order in which they were written.
    pub async fn visit_records_of_standings(&mut self, mut visit: impl FnMut(RecordOfStanding)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "select subject, action, detail from audit_log
                 where action in ('admin_created', 'service_user_created', 'role_changed', 'user_frozen', 'user_released',
                                  'account_frozen', 'account_released')
                 order by sequence",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every user but customers who are not frozen.
    pub async fn visit_standings(&mut self, mut visit: impl FnMut(StandingOfUser)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "select id, role, frozen_at is not null as is_frozen from users
                 where role <> 'customer' or frozen_at is not null",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn visit_frozen_accounts(&mut self, mut visit: impl FnMut(AccountNumber)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar("select account_number from accounts where status = 'frozen'").fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every account whose opening is on record.
    pub async fn visit_opened_accounts(&mut self, mut visit: impl FnMut(OpenedAccount)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "select a.account_number, a.owner_id, l.concerns from audit_log l
                 join accounts a on a.account_number = cast(l.subject as bigint)
                 where l.action = 'account_opened' and l.concerns is not null",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
