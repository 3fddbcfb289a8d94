//! Limits of accounts. [`super::ledger`] loads them with a batch and writes what is used of them; here they are looked
//! up and set.

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use super::bank_totals::{WideSum, wide_sum};
use super::{Db, Tx, bank_account_id_of, in_snapshot, in_time, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::books::account::Account;
use crate::books::account_limits::{AccountLimits, Limits, NextLimits, Used};
use crate::books::calendar::{Calendar, Period};
use crate::timestamp::Timestamp;

/// The columns of [`AccountLimits`], all of them integers.
macro_rules! limits_columns {
    () => {
        "account_number, bank_per_movement, bank_per_day, bank_per_month, bank_movements,
         own_per_movement, own_per_day, own_per_month, own_movements,
         next_per_movement, next_per_day, next_per_month, next_movements, next_effective_at,
         day_started_at, day_ends_at, spent_today, movements_today, month_started_at, month_ends_at, spent_this_month"
    };
}
pub(super) use limits_columns;

const SELECT_LIMITS: &str = concat!("select ", limits_columns!(), " from account_limits where account_number = $1");

/// Reads a row of [`limits_columns`], whichever library has it.
pub fn read<E>(number: impl Fn(usize) -> Result<Option<i64>, E>) -> Result<AccountLimits, E> {
    let limits = |first: usize| -> Result<Limits, E> {
        Ok(Limits {
            per_movement: number(first)?,
            per_day: number(first + 1)?,
            per_month: number(first + 2)?,
            movements_per_day: number(first + 3)?,
        })
    };
    // These columns are never null.
    let count = |column: usize| number(column).map(Option::unwrap_or_default);
    let moment = |column: usize| count(column).map(Timestamp::from_micros);
    let next = limits(9)?;
    let effective_at = number(13)?.map(Timestamp::from_micros);
    Ok(AccountLimits {
        account_number: AccountNumber::from_i64(count(0)?),
        bank: limits(1)?,
        own: limits(5)?,
        next_own: effective_at.map(|effective_at| NextLimits { limits: next, effective_at }),
        used: Used {
            day: Period { starts: moment(14)?, ends: moment(15)? },
            spent_today: count(16)?,
            movements_today: count(17)?,
            month: Period { starts: moment(18)?, ends: moment(19)? },
            spent_this_month: count(20)?,
        },
    })
}

impl<'r, R: Row> FromRow<'r, R> for AccountLimits
where
    usize: ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        read(|column| row.try_get(column))
    }
}

/// What has left an account.
#[derive(Clone, Copy, Debug, FromRow)]
pub(super) struct Spent {
    #[sqlx(flatten)]
    amount: WideSum,
    pub movements: i64,
}

impl Spent {
    /// Minor units, as [`Used`] counts them.
    pub fn amount(&self) -> i64 {
        self.amount.saturated()
    }
}

/// Adds up the debits of the account $1 that count against its limits, as [`crate::books::account_limits`] says: of its entries
/// behind the sequence $2, and of its holds, those since $3.
///
/// Each table is looked up by what the one before has told: a database that is spread over machines joins no others.
const SELECT_SPENT: &str = concat!(
    "with own as materialized (
         select account_number from accounts
         where owner_id = (select owner_id from accounts where account_number = $1)
     ),
     e as materialized (
         select transaction_id from entries
         where account_number = $1 and sequence > $2 and created_at >= $3 and amount < 0
     ),
     captured as materialized (select h.id from e join holds h on h.id = e.transaction_id),
     undoing as materialized (select r.reversal_id as id from e join reversals r on r.reversal_id = e.transaction_id)
     select ",
    wide_sum!("amount"),
    ", count(*) as movements
     from (
         select t.amount from e join transactions t on t.id = e.transaction_id
         where t.credit_account not in (select account_number from own)
           and (t.credit_sequence is not null or ",
    bank_account_id_of!("t.credit_account"),
    " = 0)
           and t.id not in (select id from captured)
           and t.id not in (select id from undoing)
         union all
         select h.amount from holds h
         where h.from_account = $1 and h.created_at >= $3
           and (h.to_account is null or h.to_account not in (select account_number from own))
     ) counted"
);

impl Db {
    /// None for an account whose limits have never been set.
    pub async fn account_limits(&self, number: AccountNumber) -> sqlx::Result<Option<AccountLimits>> {
        on_reader!(self, conn => sqlx::query_as(SELECT_LIMITS)
        .bind(number)
        .fetch_optional(conn)
        .await)
    }

    /// What has left the account in the day and the month of `now`, from its entries and holds. The account must be
    /// locked by the transaction: then what other connections read of it is the same.
    pub async fn add_up_used(
        &self,
        tx: &mut Tx<'_>,
        account: &Account,
        calendar: &Calendar,
        now: Timestamp,
    ) -> sqlx::Result<Used> {
        let number = account.account_number;
        // Whatever the account books next is dated no earlier than its last entry, and no hold counts later than it.
        let last_hold_at = tx.last_hold_at(number).await?.unwrap_or(now);
        let nothing = Used::nothing(now.max(account.last_entry_at).max(last_hold_at), calendar);
        let before_month = self.sequence_before(number, account.sequence, nothing.month.starts).await?;
        let before_day = self.sequence_before(number, account.sequence, nothing.day.starts).await?;
        let this_month = in_time(tx.spent_since(number, before_month, nothing.month.starts)).await?;
        let today = in_time(tx.spent_since(number, before_day, nothing.day.starts)).await?;
        Ok(Used {
            spent_today: today.amount(),
            movements_today: today.movements,
            spent_this_month: this_month.amount(),
            ..nothing
        })
    }
}

impl Tx<'_> {
    /// None for an account whose limits have never been set. The account must be locked.
    pub async fn account_limits(&mut self, number: AccountNumber) -> sqlx::Result<Option<AccountLimits>> {
        in_transaction!(self, conn => sqlx::query_as(SELECT_LIMITS)
        .bind(number)
        .fetch_optional(conn)
        .await)
    }

    /// When the newest hold on the account was created, by the clock of then.
    async fn last_hold_at(&mut self, number: AccountNumber) -> sqlx::Result<Option<Timestamp>> {
        in_transaction!(self, conn => sqlx::query_scalar("select max(created_at) from holds where from_account = $1")
            .bind(number)
            .fetch_one(conn)
            .await)
    }

    /// What has left the account for others since `since`, after which it has no entry up to the sequence `above`. The
    /// account must be locked, or this be a snapshot. Takes as long as it takes.
    pub(super) async fn spent_since(
        &mut self,
        number: AccountNumber,
        above: i64,
        since: Timestamp,
    ) -> sqlx::Result<Spent> {
        in_snapshot!(self, conn => sqlx::query_as(SELECT_SPENT)
            .bind(number)
            .bind(above)
            .bind(since)
            .fetch_one(conn)
            .await)
    }

    /// Sets the limits of an account, and its overdraft in minor units. The counters are written only where there were
    /// none: afterwards they are the ledger's. The account must be locked, and be `has_limits` if it has any.
    pub async fn set_account_limits(
        &mut self,
        limits: &AccountLimits,
        overdraft: i64,
        has_limits: bool,
    ) -> sqlx::Result<()> {
        if !has_limits {
            self.insert_counters(limits.account_number, limits.used).await?;
        }
        let (next, effective_at) = match limits.next_own {
            Some(next) => (next.limits, Some(next.effective_at)),
            None => (Limits::default(), None),
        };
        let AccountLimits { account_number, bank, own, .. } = *limits;
        in_transaction!(self, conn => sqlx::query(
            "update account_limits
             set bank_per_movement = $2, bank_per_day = $3, bank_per_month = $4, bank_movements = $5,
                 own_per_movement = $6, own_per_day = $7, own_per_month = $8, own_movements = $9,
                 next_per_movement = $10, next_per_day = $11, next_per_month = $12, next_movements = $13,
                 next_effective_at = $14
             where account_number = $1",
        )
        .bind(account_number)
        .bind(bank.per_movement)
        .bind(bank.per_day)
        .bind(bank.per_month)
        .bind(bank.movements_per_day)
        .bind(own.per_movement)
        .bind(own.per_day)
        .bind(own.per_month)
        .bind(own.movements_per_day)
        .bind(next.per_movement)
        .bind(next.per_day)
        .bind(next.per_month)
        .bind(next.movements_per_day)
        .bind(effective_at)
        .execute(conn)
        .await
        .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query(
            "update accounts set overdraft_limit = $2, has_limits = $3 where account_number = $1",
        )
        .bind(account_number)
        .bind(overdraft)
        .bind(true)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Makes the row of an account whose limits are set for the first time.
    async fn insert_counters(&mut self, number: AccountNumber, used: Used) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into account_limits (account_number, day_started_at, day_ends_at, spent_today, movements_today,
                                         month_started_at, month_ends_at, spent_this_month)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(number)
        .bind(used.day.starts)
        .bind(used.day.ends)
        .bind(used.spent_today)
        .bind(used.movements_today)
        .bind(used.month.starts)
        .bind(used.month.ends)
        .bind(used.spent_this_month)
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
