//! Reading the journal and the history of accounts.
//!
//! A database that is spread over machines has the entries of an account on one of them, and the journal by its ids on all.
//! It joins the two where a page of one is looked up first (`as materialized`), which any database does anyway.

use uuid::Uuid;

use super::tags::join_tags;
use super::{Db, entry_columns, on_reader, transaction_columns};
use crate::account_number::AccountNumber;
use crate::books::entry::{Entry, Transaction};
use crate::books::movement::MovementType;
use crate::books::tags::Tag;
use crate::timestamp::Timestamp;

/// The two sides of a movement: which entries it made; and its other half, if it is a reversal or has one.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Sides {
    pub debit_account: AccountNumber,
    /// None when the side is one of the bank's own accounts.
    pub debit_sequence: Option<i64>,
    pub debit_owner: Option<Uuid>,
    pub credit_account: AccountNumber,
    pub credit_sequence: Option<i64>,
    pub credit_owner: Option<Uuid>,
    /// The movement that this one undoes.
    pub reverses: Option<Uuid>,
    /// The movement that undoes this one.
    pub reversed_by: Option<Uuid>,
}

impl Sides {
    /// The debited account and the sequence of its entry. None for one of the bank's own accounts, which have no entries.
    pub fn debit(&self) -> Option<(AccountNumber, i64)> {
        Some((self.debit_account, self.debit_sequence?))
    }

    /// The credited account and the sequence of its entry. None for one of the bank's own accounts.
    pub fn credit(&self) -> Option<(AccountNumber, i64)> {
        Some((self.credit_account, self.credit_sequence?))
    }
}

/// Which entries of an account to read: newest first, sequences in `(above, below)`.
#[derive(Clone, Copy, Debug)]
pub struct EntryRange {
    pub account_number: AccountNumber,
    /// Exclusive.
    pub below: i64,
    /// Exclusive.
    pub above: i64,
    pub movement_type: Option<MovementType>,
    pub limit: i64,
}

/// Which movements of the whole bank to read: those with ids in `[from, below)`, the newest first.
#[derive(Clone, Copy, Debug)]
pub struct BankRange {
    /// Exclusive.
    pub below: Uuid,
    /// Inclusive.
    pub from: Uuid,
    pub limit: i64,
}

impl Db {
    /// A row of the journal.
    pub async fn transaction(&self, id: Uuid) -> sqlx::Result<Option<Transaction>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", transaction_columns!(), " from transactions where id = $1"),
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    pub async fn sides_of(&self, transaction_id: Uuid) -> sqlx::Result<Option<Sides>> {
        on_reader!(self, conn => sqlx::query_as(
            "with t as materialized (
                 select debit_account, debit_sequence, credit_account, credit_sequence from transactions where id = $1
             ),
             owners as materialized (
                 select a.account_number, a.owner_id
                 from t join accounts a on a.account_number in (t.debit_account, t.credit_account)
             ),
             r as materialized (
                 select transaction_id, reversal_id from reversals where transaction_id = $1 or reversal_id = $1
             )
             select t.debit_account, t.debit_sequence, d.owner_id as debit_owner,
                    t.credit_account, t.credit_sequence, c.owner_id as credit_owner,
                    (select r.transaction_id from r where r.reversal_id = $1 limit 1) as reverses,
                    (select r.reversal_id from r where r.transaction_id = $1) as reversed_by
             from t
             left join owners d on d.account_number = t.debit_account
             left join owners c on c.account_number = t.credit_account",
        )
        .bind(transaction_id)
        .fetch_optional(conn)
        .await)
    }

    /// One entry of an account.
    pub async fn entry(&self, account_number: AccountNumber, sequence: i64) -> sqlx::Result<Option<Entry>> {
        let one =
            EntryRange { account_number, below: sequence + 1, above: sequence - 1, movement_type: None, limit: 1 };
        Ok(self.entries(one).await?.pop())
    }

    /// Entries of an account, newest first.
    pub async fn entries(&self, range: EntryRange) -> sqlx::Result<Vec<Entry>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("with e as materialized (
                 select * from entries
                 where account_number = $1 and sequence < $2 and sequence > $3 and ($4 is null or type = $4)
                 order by sequence desc
                 limit $5
             )
             select ", entry_columns!(), ", t.currency, t.initiated_by
             from e
             join transactions t on t.id = e.transaction_id", join_tags!(), "
             order by e.sequence desc"),
        )
        .bind(range.account_number)
        .bind(range.below)
        .bind(range.above)
        .bind(range.movement_type)
        .bind(range.limit)
        .fetch_all(conn)
        .await)
    }

    /// Entries of an account that have a tag, newest first, whatever their type.
    pub async fn tagged_entries(&self, range: EntryRange, tag: &Tag) -> sqlx::Result<Vec<Entry>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("with e as materialized (
                 select e.* from tagged_entries x
                 join entries e on e.account_number = x.account_number and e.sequence = x.sequence
                 where x.account_number = $1 and x.key = $2 and x.value = $3 and x.sequence < $4 and x.sequence > $5
                 order by x.sequence desc
                 limit $6
             )
             select ", entry_columns!(), ", t.currency, t.initiated_by
             from e
             join transactions t on t.id = e.transaction_id", join_tags!(), "
             order by e.sequence desc"),
        )
        .bind(range.account_number)
        .bind(&tag.key)
        .bind(&tag.value)
        .bind(range.below)
        .bind(range.above)
        .bind(range.limit)
        .fetch_all(conn)
        .await)
    }

    /// Movements of the whole bank as the account saw them that the requester acted on, newest first by id.
    pub async fn entries_of_the_bank(&self, range: BankRange) -> sqlx::Result<Vec<Entry>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("with t as materialized (
                 select * from transactions where id < $1 and id >= $2 order by id desc limit $3
             )
             select ", entry_columns!(), ", t.currency, t.initiated_by
             from t
             join entries e
               on e.account_number = case when t.debit_sequence is null then t.credit_account else t.debit_account end
              and e.sequence = coalesce(t.debit_sequence, t.credit_sequence)", join_tags!(), "
             order by t.id desc"),
        )
        .bind(range.below)
        .bind(range.from)
        .bind(range.limit)
        .fetch_all(conn)
        .await)
    }

    /// Those of them that have a tag.
    pub async fn tagged_entries_of_the_bank(&self, range: BankRange, tag: &Tag) -> sqlx::Result<Vec<Entry>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("with e as materialized (
                 select e.* from tagged_entries x
                 join entries e on e.account_number = x.account_number and e.sequence = x.sequence
                 where x.key = $1 and x.value = $2 and x.transaction_id < $3 and x.transaction_id >= $4
                 order by x.transaction_id desc
                 limit $5
             )
             select ", entry_columns!(), ", t.currency, t.initiated_by
             from e
             join transactions t on t.id = e.transaction_id", join_tags!(), "
             order by e.transaction_id desc"),
        )
        .bind(&tag.key)
        .bind(&tag.value)
        .bind(range.below)
        .bind(range.from)
        .bind(range.limit)
        .fetch_all(conn)
        .await)
    }

    /// The sequence of the last entry made before `moment`; 0 when there was none. See [`Db::sequence_at`].
    pub async fn sequence_before(
        &self,
        account_number: AccountNumber,
        head: i64,
        moment: Timestamp,
    ) -> sqlx::Result<i64> {
        let last = Timestamp::from_micros(moment.as_micros().saturating_sub(1));
        self.sequence_at(account_number, head, last).await
    }

    /// The sequence of the last entry made at or before `at`; 0 when there was none. `head` is the account's last
    /// sequence. Times never go back within an account, so this halves the range on the index by sequence instead of
    /// asking for another on the money path.
    pub async fn sequence_at(&self, account_number: AccountNumber, head: i64, at: Timestamp) -> sqlx::Result<i64> {
        let (mut at_or_before, mut after) = (0, head + 1);
        while after - at_or_before > 1 {
            let middle = at_or_before + (after - at_or_before) / 2;
            let created_at: Timestamp = on_reader!(self, conn => sqlx::query_scalar(
                "select created_at from entries where account_number = $1 and sequence = $2",
            )
            .bind(account_number)
            .bind(middle)
            .fetch_one(conn)
            .await)?;
            if created_at <= at { at_or_before = middle } else { after = middle }
        }
        Ok(at_or_before)
    }
}
