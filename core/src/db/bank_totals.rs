//! What the books say of the bank as a whole: sums over all accounts and over the journal.

use std::collections::BTreeMap;

use sqlx::FromRow;
use uuid::Uuid;

use super::{Tx, in_snapshot};
use crate::account_number::AccountNumber;
use crate::books::movement::MovementType;
use crate::timestamp::Timestamp;

/// A sum of minor units in two halves, because the sum of many 64-bit integers may need more than 64 bits.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct WideSum {
    high: i64,
    low: i64,
}

impl WideSum {
    pub fn minor_units(self) -> i128 {
        (i128::from(self.high) << 32) + i128::from(self.low)
    }

    /// The most that fits where it does not.
    pub fn saturated(self) -> i64 {
        i64::try_from(self.minor_units()).unwrap_or(if self.high < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The columns of a [`WideSum`] of this column.
macro_rules! wide_sum {
    ($column:literal) => {
        concat!(
            "cast(coalesce(sum(",
            $column,
            " >> 32), 0) as bigint) as high, cast(coalesce(sum(",
            $column,
            " & 4294967295), 0) as bigint) as low"
        )
    };
}
pub(super) use wide_sum;

/// The balances of one currency in minor units: debits less credits, so that all of them sum to zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrialBalance {
    /// Of all customers' accounts together.
    pub customers: i128,
    /// Of the bank's own accounts by their numbers.
    pub of_bank: BTreeMap<AccountNumber, i128>,
}

impl TrialBalance {
    /// Zero, unless somebody has changed the books behind the bank's back.
    pub fn sum(&self) -> i128 {
        self.customers + self.of_bank.values().sum::<i128>()
    }
}

/// What customers' accounts hold together.
#[derive(Debug, FromRow)]
struct CustomersSum {
    currency: String,
    #[sqlx(flatten)]
    sum: WideSum,
}

/// What was paid in less what was paid out against one account of the bank's.
#[derive(Debug, FromRow)]
struct BankSum {
    currency: String,
    account_number: AccountNumber,
    /// Whether it was after the moment that is asked for.
    is_later: bool,
    #[sqlx(flatten)]
    sum: WideSum,
}

/// How many accounts there are.
#[derive(Debug, FromRow)]
pub struct CountOfAccounts {
    pub open: i64,
    pub frozen: i64,
    pub closed: i64,
}

/// What customers' accounts of one currency that are not closed hold together.
#[derive(Debug, FromRow)]
pub struct CustomersHoldings {
    pub currency: String,
    /// Accounts that are not closed.
    pub accounts: i64,
    #[sqlx(flatten)]
    pub balance: WideSum,
}

/// Movements of one kind in one currency.
#[derive(Debug, FromRow)]
pub struct MovementsOfAKind {
    pub currency: String,
    pub movement_type: MovementType,
    pub count: i64,
    #[sqlx(flatten)]
    pub amount: WideSum,
}

/// How many customers there are.
#[derive(Debug, FromRow)]
pub struct CountOfCustomers {
    pub active: i64,
    pub frozen: i64,
    /// Those who have left.
    pub closed: i64,
}

impl Tx<'_> {
    /// The balances by currency, as they were after the last movement at or before `at`. Customers' are those of their
    /// accounts, and the bank's own those of the journal: so the sum tells whether both agree.
    pub async fn trial_balance(&mut self, at: Timestamp) -> sqlx::Result<BTreeMap<String, TrialBalance>> {
        let mut balances: BTreeMap<String, TrialBalance> = BTreeMap::new();
        let held: Vec<CustomersSum> = in_snapshot!(self, conn => sqlx::query_as(concat!(
            "select currency, ", wide_sum!("balance"), " from accounts where owner_id is not null group by currency",
        ))
        .fetch_all(conn)
        .await)?;
        for CustomersSum { currency, sum } in held {
            balances.entry(currency).or_default().customers -= sum.minor_units();
        }
        for BankSum { currency, account_number, is_later, sum } in self.sums_of_bank_accounts(at).await? {
            let balance = balances.entry(currency).or_default();
            let of_bank = balance.of_bank.entry(account_number).or_default();
            // What was paid in later, customers did not have yet.
            if is_later { balance.customers += sum.minor_units() } else { *of_bank += sum.minor_units() }
        }
        Ok(balances)
    }

    /// One walk through the journal. A transfer has no side that is the bank's.
    async fn sums_of_bank_accounts(&mut self, at: Timestamp) -> sqlx::Result<Vec<BankSum>> {
        in_snapshot!(self, conn => sqlx::query_as(concat!(
            "select currency, account_number, is_later, ", wide_sum!("signed"), "
             from (select currency, created_at > $1 as is_later,
                          case when debit_sequence is null then debit_account else credit_account end as account_number,
                          case when debit_sequence is null then amount else -amount end as signed
                   from transactions where debit_sequence is null or credit_sequence is null) sides
             group by currency, account_number, is_later",
        ))
        .bind(at)
        .fetch_all(conn)
        .await)
    }

    pub async fn count_customers(&mut self) -> sqlx::Result<CountOfCustomers> {
        in_snapshot!(self, conn => sqlx::query_as(
            "select count(case when status = 'active' and frozen_at is null then 1 end) as active,
                    count(case when status = 'active' and frozen_at is not null then 1 end) as frozen,
                    count(case when status = 'closed' then 1 end) as closed
             from users where role = 'customer'",
        )
        .fetch_one(conn)
        .await)
    }

    pub async fn count_accounts_by_status(&mut self) -> sqlx::Result<CountOfAccounts> {
        in_snapshot!(self, conn => sqlx::query_as(
            "select count(case when status = 'open' then 1 end) as open,
                    count(case when status = 'frozen' then 1 end) as frozen,
                    count(case when status = 'closed' then 1 end) as closed
             from accounts where owner_id is not null",
        )
        .fetch_one(conn)
        .await)
    }

    pub async fn customers_holdings(&mut self) -> sqlx::Result<Vec<CustomersHoldings>> {
        in_snapshot!(self, conn => sqlx::query_as(concat!(
            "select currency, count(*) as accounts, ", wide_sum!("balance"), "
             from accounts where owner_id is not null and status <> 'closed' group by currency order by currency",
        ))
        .fetch_all(conn)
        .await)
    }

    /// The movements since `since`. Those that were asked for since then are at the end of the journal, from `first` on;
    /// beside them are holds that were captured since, and approvals that were given.
    pub async fn movements_since(&mut self, since: Timestamp, first: Uuid) -> sqlx::Result<Vec<MovementsOfAKind>> {
        in_snapshot!(self, conn => sqlx::query_as(concat!(
            "select currency, type as movement_type, count(*) as count, ", wide_sum!("amount"), "
             from (select currency, type, amount from transactions where id >= $2 and created_at >= $1
                   union all
                   select currency, type, amount from transactions
                   where id < $2 and created_at >= $1
                     and id in (select id from holds where status = 'captured' and decided_at >= $1
                                union
                                select id from approvals where status = 'approved' and decided_at >= $1)) moved
             group by currency, type order by currency, type",
        ))
        .bind(since)
        .bind(first)
        .fetch_all(conn)
        .await)
    }
}
