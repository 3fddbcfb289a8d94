//! Accounts: opening, listing, labelling, closing. Only the ledger changes balances.

use std::collections::HashMap;

use rusqlite::OptionalExtension;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::ledger::select_reservations;
use super::{Db, Tx, account_columns, in_transaction, on_reader, sqlite};
use crate::account_number::AccountNumber;
use crate::books::account::{Account, AccountStatus};
use crate::money::Currency;
use crate::timestamp::Timestamp;

/// Accounts that [`Db::accounts`] looks up at once: SQLite takes some 32,000 parameters, of which each account may need three.
pub const MOST_LOOKED_UP: usize = 4_000;

impl Db {
    /// A customer's account. The bank's own accounts are not to be seen from outside.
    pub async fn account(&self, number: AccountNumber) -> sqlx::Result<Option<Account>> {
        const SELECT: &str =
            concat!("select ", account_columns!(), " from accounts where account_number = $1 and owner_id is not null");
        let mut account = match self {
            Self::Sqlite { look_ups, .. } => look_ups.run(|connection| {
                connection.prepare_cached(SELECT)?.query_row((number,), sqlite::account).optional()
            })?,
            Self::Postgres { read_pool, look_ups, .. } => look_ups.account(read_pool, number).await?,
        };
        self.add_reservations(account.as_mut_slice()).await?;
        Ok(account)
    }

    /// Minor units that holds and pending approvals keep on the account.
    pub async fn reserved_on(&self, account_number: AccountNumber, now: Timestamp) -> sqlx::Result<i64> {
        on_reader!(self, conn => sqlx::query_scalar(
            concat!(
                "select cast(coalesce(sum(amount), 0) as bigint) from (",
                select_reservations!("= $1", "$2"),
                ") reserved",
            ),
        )
        .bind(account_number)
        .bind(now)
        .fetch_one(conn)
        .await)
    }

    /// Looks up what is reserved on the accounts, most of which have never had anything reserved.
    async fn add_reservations(&self, accounts: &mut [Account]) -> sqlx::Result<()> {
        for account in accounts.iter_mut().filter(|account| account.held_until > Timestamp::from_micros(0)) {
            let now = Timestamp::now();
            if account.held_until > now {
                account.reserved = self.reserved_on(account.account_number, now).await?;
            }
        }
        Ok(())
    }

    /// Those of these accounts that are customers', at most [`MOST_LOOKED_UP`], with what is reserved on them: two queries,
    /// however many they are.
    pub async fn accounts(&self, numbers: &[AccountNumber]) -> sqlx::Result<Vec<Account>> {
        let mut accounts: Vec<Account> = on_reader!(self, conn => {
            let mut select = QueryBuilder::new(concat!(
                "select ", account_columns!(), " from accounts where owner_id is not null and account_number in ("
            ));
            numbers.iter().fold(&mut select.separated(", "), |list, number| list.push_bind(*number));
            select.push(")").build_query_as().fetch_all(conn).await
        })?;
        let now = Timestamp::now();
        let reserving = accounts.iter().filter(|account| account.held_until > now);
        let reserving: Vec<_> = reserving.map(|account| account.account_number).collect();
        if reserving.is_empty() {
            return Ok(accounts);
        }
        let reserved: Vec<(AccountNumber, i64)> = on_reader!(self, conn => {
            let mut select = QueryBuilder::new("select account_number, cast(sum(amount) as bigint) from (");
            for (index, from) in ["approvals where status = 'pending'", "holds where status = 'held'"].iter().enumerate() {
                select.push(if index == 0 { "" } else { " union all " });
                select.push("select from_account as account_number, amount from ").push(from);
                select.push(" and expires_at > ").push_bind(now).push(" and from_account in (");
                reserving.iter().fold(&mut select.separated(", "), |list, number| list.push_bind(*number));
                select.push(")");
            }
            select.push(") reserved group by account_number").build_query_as().fetch_all(conn).await
        })?;
        let reserved: HashMap<AccountNumber, i64> = reserved.into_iter().collect();
        for account in &mut accounts {
            account.reserved = reserved.get(&account.account_number).copied().unwrap_or_default();
        }
        Ok(accounts)
    }

    /// The numbers and currencies of the owner's accounts that are not closed.
    pub async fn currencies_of(&self, owner_id: Uuid) -> sqlx::Result<Vec<(AccountNumber, Currency)>> {
        let rows: Vec<(AccountNumber, String)> = on_reader!(self, conn => sqlx::query_as(
            "select account_number, currency from accounts where owner_id = $1 and status <> 'closed'",
        )
        .bind(owner_id)
        .fetch_all(conn)
        .await)?;
        let known = |(number, code): (AccountNumber, String)| Currency::from_code(&code).map(|known| (number, known));
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// All accounts of the owner's by number, with closed ones, as they are at one moment.
    pub async fn all_accounts_of(&self, owner_id: Uuid) -> sqlx::Result<Vec<Account>> {
        let mut accounts: Vec<Account> = on_reader!(self, conn => sqlx::query_as(
            concat!("select ", account_columns!(), " from accounts where owner_id = $1 order by account_number"),
        )
        .bind(owner_id)
        .fetch_all(conn)
        .await)?;
        self.add_reservations(&mut accounts).await?;
        Ok(accounts)
    }

    /// A page of the owner's accounts by number, those after the number `after`.
    pub async fn accounts_of(&self, owner_id: Uuid, after: Option<i64>, limit: i64) -> sqlx::Result<Vec<Account>> {
        let mut accounts: Vec<Account> = on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", account_columns!(),
                " from accounts where owner_id = $1 and account_number > $2 order by account_number limit $3",
            ),
        )
        .bind(owner_id)
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(conn)
        .await)?;
        self.add_reservations(&mut accounts).await?;
        Ok(accounts)
    }
}

impl Tx<'_> {
    /// Whether anybody has an account here, or had one.
    pub async fn has_customers(&mut self) -> sqlx::Result<bool> {
        let found: Option<AccountNumber> = in_transaction!(self, conn => sqlx::query_scalar(
            "select account_number from accounts where owner_id is not null limit 1",
        )
        .fetch_optional(conn)
        .await)?;
        Ok(found.is_some())
    }

    /// How many accounts the owner has that are not closed.
    pub async fn count_open_accounts(&mut self, owner_id: Uuid) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "select count(*) from accounts where owner_id = $1 and status <> 'closed'",
        )
        .bind(owner_id)
        .fetch_one(conn)
        .await)
    }

    /// When the owner opened the last account but `count - 1`, whatever has become of it.
    pub async fn nth_last_opening(&mut self, owner_id: Uuid, count: u32) -> sqlx::Result<Option<Timestamp>> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "select opened_at from accounts where owner_id = $1 order by opened_at desc limit 1 offset $2",
        )
        .bind(owner_id)
        .bind(i64::from(count) - 1)
        .fetch_optional(conn)
        .await)
    }

    /// Writes a new customer's account. Returns false, and writes nothing, when the number is taken.
    pub async fn insert_account(&mut self, account: &Account) -> sqlx::Result<bool> {
        let inserted = in_transaction!(self, conn => sqlx::query(
            "insert into accounts (account_number, owner_id, currency, label, last_entry_at, opened_at)
             values ($1, $2, $3, $4, $5, $5) on conflict (account_number) do nothing",
        )
        .bind(account.account_number)
        .bind(account.owner_id)
        .bind(account.currency.code())
        .bind(account.label.as_deref())
        .bind(account.opened_at)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(inserted == 1)
    }

    /// A customer's account, held until the transaction ends.
    pub async fn lock_account(&mut self, number: AccountNumber) -> sqlx::Result<Option<Account>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "update accounts set status = status where account_number = $1 and owner_id is not null returning ",
                account_columns!(),
            ),
        )
        .bind(number)
        .fetch_optional(conn)
        .await)
    }

    /// Whether an admin has frozen the account, which must be locked.
    pub async fn account_is_frozen_by_admin(&mut self, number: AccountNumber) -> sqlx::Result<bool> {
        in_transaction!(self, conn => sqlx::query_scalar("select frozen_by_admin from accounts where account_number = $1")
            .bind(number)
            .fetch_one(conn)
            .await)
    }

    pub async fn set_account_status(
        &mut self,
        number: AccountNumber,
        status: AccountStatus,
        by_admin: bool,
    ) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update accounts set status = $2, frozen_by_admin = $3 where account_number = $1",
        )
            .bind(number)
            .bind(status)
            .bind(by_admin)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Minor units; None for no mail.
    pub async fn set_notify_above(&mut self, number: AccountNumber, notify_above: Option<i64>) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update accounts set notify_above = $2 where account_number = $1")
            .bind(number)
            .bind(notify_above)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Minor units; None for no alert.
    pub async fn set_alert_below(&mut self, number: AccountNumber, alert_below: Option<i64>) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update accounts set alert_below = $2 where account_number = $1")
            .bind(number)
            .bind(alert_below)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    pub async fn label_account(&mut self, number: AccountNumber, label: Option<&str>) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update accounts set label = $2 where account_number = $1")
            .bind(number)
            .bind(label)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Closes an open account whose balance is zero and on which nothing is reserved; false, and nothing changed, for any
    /// other.
    pub async fn close_account(&mut self, number: AccountNumber, now: Timestamp) -> sqlx::Result<bool> {
        let closed = in_transaction!(self, conn => sqlx::query(
            concat!(
                "update accounts set status = 'closed', closed_at = $2
                 where account_number = $1 and status = 'open' and balance = 0
                   and not exists (",
                select_reservations!("= $1", "$2"),
                ")",
            ),
        )
        .bind(number)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(closed == 1)
    }
}
