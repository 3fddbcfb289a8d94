//! The bank's own accounts. Their balances are derived from the journal: see [`super::bank_totals`].

use uuid::Uuid;

use super::{Db, Tx, in_snapshot, in_transaction, on_reader};
use crate::bank_account::{BankAccountCode, BankAccountKind, OpenedBankAccount};
use crate::timestamp::Timestamp;

/// The columns of [`OpenedBankAccount`].
macro_rules! bank_account_columns {
    () => {
        "id as bank_account_id, code as bank_account_code, name, kind, opened_by, opened_at"
    };
}

const SELECT_ALL: &str = concat!("select ", bank_account_columns!(), " from bank_accounts order by id");

impl Db {
    /// All of them, the cash first, then as they were opened.
    pub async fn bank_accounts(&self) -> sqlx::Result<Vec<OpenedBankAccount>> {
        on_reader!(self, conn => sqlx::query_as(SELECT_ALL).fetch_all(conn).await)
    }

    pub async fn bank_account_by_code(&self, code: BankAccountCode) -> sqlx::Result<Option<OpenedBankAccount>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", bank_account_columns!(), " from bank_accounts where code = $1"),
        )
        .bind(code.as_str())
        .fetch_optional(conn)
        .await)
    }
}

impl Tx<'_> {
    pub async fn bank_accounts(&mut self) -> sqlx::Result<Vec<OpenedBankAccount>> {
        in_snapshot!(self, conn => sqlx::query_as(SELECT_ALL).fetch_all(conn).await)
    }

    /// Opens an account with the next id. The caller holds the audit log's lock, so that nobody else takes the id, and has
    /// seen that the code is free.
    pub async fn insert_bank_account(
        &mut self,
        code: BankAccountCode,
        name: &str,
        kind: BankAccountKind,
        opened_by: Option<Uuid>,
        now: Timestamp,
    ) -> sqlx::Result<OpenedBankAccount> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "insert into bank_accounts (id, code, name, kind, opened_by, opened_at)
                 select max(id) + 1, $1, $2, $3, $4, $5 from bank_accounts returning ",
                bank_account_columns!(),
            ),
        )
        .bind(code.as_str())
        .bind(name)
        .bind(kind)
        .bind(opened_by)
        .bind(now)
        .fetch_one(conn)
        .await)
    }
}
