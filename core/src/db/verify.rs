//! Reading the whole books, for the doctor. Rows are streamed, so that a ledger of any length takes the same memory; what the audit
//! log says is kept of each person with a role, account with limits and API key, to be compared with the tables.

pub mod account_limits;
pub mod api_keys;
pub mod bank_accounts;
pub mod erasure;
mod events;
mod mails;
pub mod schema;
mod sharded;
pub mod standings;
pub mod tags;

use futures_util::{Stream, StreamExt};
use sqlx::FromRow;
use uuid::Uuid;

use super::{Layout, Tx, bank_account_id_of, entry_columns, in_snapshot};
use crate::account_number::AccountNumber;
use crate::books::entry::Entry;
use crate::books::movement::MovementType;
use crate::timestamp::Timestamp;

/// An entry with its journal row and its account, as far as those exist.
#[derive(Clone, Debug, FromRow)]
pub struct EntryInContext {
    #[sqlx(flatten)]
    pub entry: Entry,
    pub journal_type: Option<MovementType>,
    pub journal_amount: Option<i64>,
    pub journal_created_at: Option<Timestamp>,
    pub debit_account: Option<AccountNumber>,
    pub debit_sequence: Option<i64>,
    pub credit_account: Option<AccountNumber>,
    pub credit_sequence: Option<i64>,
    pub account_currency: Option<String>,
    pub account_balance: Option<i64>,
    pub account_sequence: Option<i64>,
    pub account_head_hash: Option<Vec<u8>>,
    pub account_last_entry_at: Option<Timestamp>,
    /// Whose account it is, of a movement whose texts were erased.
    pub erased_of: Option<Uuid>,
}

impl EntryInContext {
    /// Whether the movement is seen from the account that was acted on: from there each is seen once.
    pub fn is_acted_on(&self) -> bool {
        self.entry.amount < 0 || self.debit_sequence.is_none()
    }
}

impl Tx<'_> {
    /// Hands every entry to `visit`, by account and sequence.
    pub async fn visit_entries(&mut self, layout: Layout, visit: impl FnMut(EntryInContext)) -> sqlx::Result<()> {
        match layout {
            Layout::OneMachine => self.visit_entries_at_once(visit).await,
            Layout::Sharded => self.visit_entries_in_stretches(visit).await,
        }
    }

    async fn visit_entries_at_once(&mut self, mut visit: impl FnMut(EntryInContext)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                concat!("select ", entry_columns!(), ",
                        coalesce(t.currency, a.currency, 'XXX') as currency,
                        coalesce(t.initiated_by, e.transaction_id) as initiated_by,
                        t.type as journal_type, t.amount as journal_amount, t.created_at as journal_created_at,
                        t.debit_account, t.debit_sequence, t.credit_account, t.credit_sequence,
                        a.currency as account_currency, a.balance as account_balance,
                        a.sequence as account_sequence, a.head_hash as account_head_hash,
                        a.last_entry_at as account_last_entry_at,
                        case when t.text_commitment is not null and t.text_salt is null then a.owner_id end as erased_of
                 from entries e
                 left join transactions t on t.id = e.transaction_id
                 left join accounts a on a.account_number = e.account_number
                 left join tags g on g.id = e.transaction_id
                 order by e.account_number, e.sequence"),
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn count_transactions(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from transactions").fetch_one(conn).await)
    }

    pub async fn count_accounts(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from accounts where owner_id is not null")
            .fetch_one(conn)
            .await)
    }

    pub async fn count_keys(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from idempotency_keys").fetch_one(conn).await)
    }

    /// Hands `visit` every journal row without two whole sides: each must be a customer's account of the row's currency with
    /// exactly the entry that the row names, or have none and be the bank's own. Over several machines, whether each side has
    /// its entry is told by [`Tx::count_sides`] alone.
    pub async fn visit_transactions_without_two_sides(
        &mut self,
        layout: Layout,
        visit: impl FnMut(Uuid),
    ) -> sqlx::Result<()> {
        match layout {
            Layout::OneMachine => self.visit_sides_without_entries(visit).await,
            Layout::Sharded => self.visit_transactions_with_wrong_sides(visit).await,
        }
    }

    async fn visit_sides_without_entries(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select t.id
                 from transactions t
                 left join accounts d on d.account_number = t.debit_account
                 left join accounts c on c.account_number = t.credit_account
                 where (d.owner_id is not null and d.currency <> t.currency)
                    or (c.owner_id is not null and c.currency <> t.currency)
                    or (d.owner_id is null) <> (t.debit_sequence is null)
                    or (c.owner_id is null) <> (t.credit_sequence is null)
                    or (t.debit_sequence is null and t.credit_sequence is null)
                    or t.amount <= 0
                 union
                 select t.id from transactions t
                 where t.debit_sequence is not null
                   and not exists (select 1 from entries e
                                   where e.account_number = t.debit_account and e.sequence = t.debit_sequence
                                     and e.transaction_id = t.id and e.amount = -t.amount)
                 union
                 select t.id from transactions t
                 where t.credit_sequence is not null
                   and not exists (select 1 from entries e
                                   where e.account_number = t.credit_account and e.sequence = t.credit_sequence
                                     and e.transaction_id = t.id and e.amount = t.amount)",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every customer's account that is said to have entries and has none, or the other way round.
    pub async fn visit_accounts_with_wrong_empty_history(
        &mut self,
        mut visit: impl FnMut(AccountNumber),
    ) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select a.account_number from accounts a
                 where not exists (select 1 from entries e where e.account_number = a.account_number)
                   and (a.sequence <> 0 or a.balance <> 0 or a.head_hash <> $1 or a.last_entry_at <> a.opened_at)",
            )
            .bind(&crate::books::account::GENESIS_HASH[..])
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn visit_accounts_below_limit(&mut self, mut visit: impl FnMut(AccountNumber)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar("select account_number from accounts where balance < -overdraft_limit").fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every account that is not closed although its owner has left, or does not exist.
    pub async fn visit_ownerless_accounts(&mut self, mut visit: impl FnMut(AccountNumber)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select a.account_number from accounts a
                 left join users u on u.id = a.owner_id
                 where a.owner_id is not null and (u.id is null or (u.status <> 'active' and a.status <> 'closed'))",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn visit_keys_without_transaction(
        &mut self,
        layout: Layout,
        visit: impl FnMut(Uuid),
    ) -> sqlx::Result<()> {
        match layout {
            Layout::OneMachine => self.visit_keys_without_transaction_at_once(visit).await,
            Layout::Sharded => self.visit_keys_without_transaction_in_stretches(visit).await,
        }
    }

    async fn visit_keys_without_transaction_at_once(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select k.transaction_id from idempotency_keys k
                 where not exists (select 1 from transactions t where t.id = k.transaction_id)
                   and not exists (select 1 from approvals a where a.id = k.transaction_id)
                   and not exists (select 1 from holds h where h.id = k.transaction_id)",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// SQLite only: hands `visit` the transaction of every key that the bank would not find, or that is there twice;
    /// `None` elsewhere, where the primary key sees to that.
    pub async fn visit_keys_out_of_index(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<Option<()>> {
        let Tx::Sqlite(tx, _) = self else { return Ok(None) };
        let rows = sqlx::query_scalar(
            "with twice as (
                 select key from idempotency_keys
                 where position > (select up_to from key_index_flushed) group by key having count(*) > 1
             )
             select k.transaction_id from idempotency_keys k
             where not exists (select 1 from key_index_flushed)
                or k.key in (select key from twice)
                or exists (select 1 from key_index p join idempotency_keys other on other.position = p.position
                           where p.prefix = substr(k.key, 1, 6) and p.position <> k.position and other.key = k.key)
                or (k.position <= (select up_to from key_index_flushed)
                    and not exists (select 1 from key_index p
                                    where p.prefix = substr(k.key, 1, 6) and p.position = k.position))",
        );
        drain(rows.fetch(&mut **tx), &mut visit).await.map(Some)
    }

    pub async fn count_approvals(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from approvals").fetch_one(conn).await)
    }

    /// Hands `visit` every approval that was approved but not booked as requested, or booked but not approved, or
    /// approved by its requester.
    pub async fn visit_approvals_at_odds_with_journal(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(concat!(
                "with r as materialized (select transaction_id, reversal_id from reversals)
                 select a.id from approvals a
                 left join transactions t on t.id = a.id
                 left join r on r.reversal_id = a.id
                 where (a.status <> 'approved' and t.id is not null)
                    or (a.status = 'approved' and a.hold_expires_at is null
                        and (t.id is null or t.type <> a.type or t.amount <> a.amount or t.currency <> a.currency
                             or t.debit_account <> a.from_account or t.credit_account <> a.to_account
                             or (t.debit_sequence is null and ", bank_account_id_of!("t.debit_account"), " <> a.bank_account_id)
                             or (t.credit_sequence is null and ", bank_account_id_of!("t.credit_account"), " <> a.bank_account_id)
                             or (a.description is not null and t.text_commitment is null)
                             or (a.description is null and t.description is not null)
                             or t.description <> a.description
                             or t.initiated_by <> a.requested_by
                             or a.reverses is distinct from r.transaction_id))
                    or (a.status = 'approved' and (a.decided_by is null or a.decided_by = a.requested_by))
                    or not exists (select 1 from bank_accounts b where b.id = a.bank_account_id)
                 order by a.id",
            ))
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn count_holds(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from holds").fetch_one(conn).await)
    }

    /// Hands `visit` every hold that was captured but not booked as it was created, or booked but not captured, or that
    /// differs from its accounts or from the approval that created it; and every approval of a hold without its hold, or
    /// with one that nobody approved.
    pub async fn visit_holds_at_odds_with_journal(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(concat!(
                "with named as materialized (
                     select from_account as number from holds union select to_account from holds where to_account is not null
                 ),
                 sides as materialized (
                     select x.account_number, x.owner_id, x.currency
                     from named join accounts x on x.account_number = named.number
                 ),
                 creators as materialized (select created_by as id from holds group by created_by),
                 known as materialized (select users.id from creators join users on users.id = creators.id)
                 select h.id from holds h
                 left join transactions t on t.id = h.id
                 left join sides f on f.account_number = h.from_account
                 left join sides r on r.account_number = h.to_account
                 left join approvals a on a.id = h.id
                 left join known u on u.id = h.created_by
                 where (h.status <> 'captured' and t.id is not null)
                    or (h.status = 'captured'
                        and (t.id is null or t.amount is distinct from h.captured_amount or t.currency <> h.currency
                             or t.debit_account <> h.from_account
                             or t.type <> case when h.to_account is null then 2 else 3 end
                             or t.credit_account <> h.to_account
                             or (h.to_account is null and ", bank_account_id_of!("t.credit_account"), " <> 0)
                             or h.captured_amount > h.amount
                             or t.initiated_by is distinct from h.decided_by
                             or h.decided_at >= h.expires_at
                             or (h.description is not null and t.text_commitment is null)
                             or (h.description is null and t.description is not null)
                             or t.description <> h.description))
                    or u.id is null
                    or f.account_number is null or f.owner_id is null or f.currency <> h.currency
                    or (h.to_account is not null and (r.owner_id is null or r.currency <> h.currency))
                    or (a.id is not null
                        and (a.status <> 'approved' or a.hold_expires_at is distinct from h.expires_at
                             or a.amount <> h.amount or a.currency <> h.currency
                             or a.from_account is distinct from h.from_account
                             or a.to_account is distinct from h.to_account
                             or a.requested_by <> h.created_by))
                 union all
                 select a.id from approvals a left join holds h on h.id = a.id
                 where a.status = 'approved' and a.hold_expires_at is not null and h.id is null
                 order by 1",
            ))
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` every account that has less than holds and pending approvals reserve on it at `now`, or whose
    /// `held_until` does not cover them.
    pub async fn visit_accounts_without_what_is_reserved(
        &mut self,
        now: Timestamp,
        mut visit: impl FnMut(AccountNumber),
    ) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select a.account_number
                 from (select from_account, amount, expires_at from approvals where status = 'pending' and expires_at > $1
                       union all
                       select from_account, amount, expires_at from holds where status = 'held' and expires_at > $1) p
                 join accounts a on a.account_number = p.from_account
                 group by a.account_number, a.balance, a.overdraft_limit, a.held_until
                 having a.balance + a.overdraft_limit < sum(p.amount) or a.held_until < max(p.expires_at)
                 order by a.account_number",
            )
            .bind(now)
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn count_access_changes(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from access_changes").fetch_one(conn).await)
    }

    /// Hands `visit` every change of access that was approved by its requester, or by the user whose access it changes.
    pub async fn visit_access_changes_by_one_person(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select id from access_changes
                 where requested_by = user_id
                    or (status = 'approved'
                        and (decided_by is null or decided_by = requested_by or decided_by = user_id))
                 order by id",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn count_reversals(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar("select count(*) from reversals").fetch_one(conn).await)
    }

    /// Hands `visit` every movement that is said to be reversed by one that does not mirror it, that undoes another one
    /// as well, or that is reversed itself.
    pub async fn visit_movements_badly_reversed(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "with r as materialized (select transaction_id, reversal_id from reversals),
                 t as materialized (
                     select id, amount, currency, debit_account, credit_account from transactions
                     where id in (select transaction_id from r)
                 ),
                 u as materialized (
                     select id, amount, currency, debit_account, credit_account from transactions
                     where id in (select reversal_id from r)
                 )
                 select r.transaction_id from r
                 left join t on t.id = r.transaction_id
                 left join u on u.id = r.reversal_id
                 where t.id is null or u.id is null
                    or t.amount <> u.amount or t.currency <> u.currency
                    or t.debit_account <> u.credit_account or t.credit_account <> u.debit_account
                    or exists (select 1 from r o
                               where o.reversal_id = r.reversal_id and o.transaction_id <> r.transaction_id)
                    or exists (select 1 from r o where o.transaction_id = r.reversal_id)
                 order by r.transaction_id",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// SQLite only: what its own check of the file finds; `None` elsewhere, where the server answers for its files.
    pub async fn file_damage(&mut self) -> sqlx::Result<Option<Vec<String>>> {
        match self {
            Tx::Sqlite(tx, _) => {
                let lines: Vec<String> = sqlx::query_scalar("pragma integrity_check").fetch_all(&mut **tx).await?;
                Ok(Some(lines.into_iter().filter(|line| line != "ok").collect()))
            }
            Tx::Postgres(_) => Ok(None),
        }
    }
}

pub(super) async fn drain<T>(
    mut rows: impl Stream<Item = sqlx::Result<T>> + Unpin,
    visit: &mut impl FnMut(T),
) -> sqlx::Result<()> {
    while let Some(row) = rows.next().await {
        visit(row?);
    }
    Ok(())
}
