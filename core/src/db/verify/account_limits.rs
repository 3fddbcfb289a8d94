//! Reading the limits of all accounts, and what is counted against them, for the doctor.

use sqlx::FromRow;
use uuid::Uuid;

use super::drain;
use crate::account_number::AccountNumber;
use crate::books::account_limits::AccountLimits;
use crate::db::account_limits::limits_columns;
use crate::db::{Tx, in_snapshot};
use crate::money::Currency;

/// Limits of an account with what they say beside their own row.
#[derive(Clone, Debug, FromRow)]
pub struct LimitsInContext {
    #[sqlx(flatten)]
    pub limits: AccountLimits,
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    pub overdraft_limit: i64,
}

/// The record of limits that were set: of which account, by which action, and what they were.
#[derive(Clone, Debug, FromRow)]
pub struct RecordOfLimits {
    pub subject: Option<String>,
    pub action: String,
    pub detail: Option<String>,
}

impl Tx<'_> {
    pub async fn count_account_limits(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from account_limits").fetch_one(conn).await)
    }

    /// Hands `visit` every account with limits, and what they are.
    pub async fn visit_account_limits(&mut self, mut visit: impl FnMut(LimitsInContext)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                concat!(
                    "select l.*, a.currency, a.overdraft_limit
                     from (select ", limits_columns!(), " from account_limits) l
                     join accounts a on a.account_number = l.account_number",
                ),
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every record of limits that were set, in the order of the log.
    pub async fn visit_records_of_limits(&mut self, mut visit: impl FnMut(RecordOfLimits)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "select subject, action, detail from audit_log where action in ('limits_set', 'own_limits_set')
                 order by sequence",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every account that is said to have limits and has none, or the other way round, or that has an
    /// overdraft that nobody has set.
    pub async fn visit_accounts_at_odds_with_limits(
        &mut self,
        mut visit: impl FnMut(AccountNumber),
    ) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select l.account_number from account_limits l
                 left join accounts a on a.account_number = l.account_number
                 where a.account_number is null or a.owner_id is null or not a.has_limits
                 union
                 select a.account_number from accounts a
                 where (a.has_limits or a.overdraft_limit <> 0)
                   and not exists (select 1 from account_limits l where l.account_number = a.account_number)
                 order by 1",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every account whose counters differ from the entries and holds of their day or month.
    pub async fn visit_wrong_counters(&mut self, mut visit: impl FnMut(AccountNumber)) -> sqlx::Result<()> {
        let mut counted: Vec<AccountLimits> = Vec::new();
        self.visit_account_limits(|it| counted.push(it.limits)).await?;
        for AccountLimits { account_number, used, .. } in counted {
            let today = self.spent_since(account_number, 0, used.day.starts).await?;
            let this_month = self.spent_since(account_number, 0, used.month.starts).await?;
            if (used.spent_today, used.movements_today) != (today.amount(), today.movements)
                || used.spent_this_month != this_month.amount()
            {
                visit(account_number);
            }
        }
        Ok(())
    }

    pub async fn count_limit_changes(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from limit_changes").fetch_one(conn).await)
    }

    /// Hands `visit` every change of limits that was approved by its requester, or by the owner of the account, or that
    /// the latter asked for.
    pub async fn visit_limit_changes_by_one_person(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "with a as materialized (
                     select l.id, a.owner_id from limit_changes l join accounts a on a.account_number = l.account_number
                 )
                 select l.id from limit_changes l
                 left join a on a.id = l.id
                 where a.owner_id is null or a.owner_id = l.requested_by
                    or (l.status = 'approved'
                        and (l.decided_by is null or l.decided_by = l.requested_by or l.decided_by = a.owner_id))
                 order by l.id",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
