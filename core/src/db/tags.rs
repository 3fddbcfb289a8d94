//! Tags of movements, and the metadata of accounts. [`super::ledger`] writes the tags, with what has them; here are the
//! ways to them.

use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader, transaction_columns};
use crate::account_number::AccountNumber;
use crate::books::entry::Transaction;
use crate::books::tags::{self, Pairs, Tag};
use crate::db::history::{BankRange, EntryRange};

const SELECT_METADATA: &str = "select metadata from account_metadata where account_number = $1";

/// The columns of [`crate::books::tags::Tags`] of a row that has them under its id.
macro_rules! tags_of {
    ($id:literal) => {
        concat!(
            "(select g.reference from tags g where g.id = ",
            $id,
            ") as reference, (select g.group_id from tags g where g.id = ",
            $id,
            ") as group_id, (select g.metadata from tags g where g.id = ",
            $id,
            ") as metadata"
        )
    };
}

/// The same for rows whose tags are not asked for.
macro_rules! no_tags {
    () => {
        "null as reference, null as group_id, null as metadata"
    };
}

/// Joins the tags `g` to an entry `e` and its transaction `t`. Nothing is looked up for a movement without texts, nor
/// for the other side of a transfer, which does not see them.
macro_rules! join_tags {
    () => {
        " left join tags g on g.id = case
            when t.text_commitment is not null and (e.amount < 0 or t.debit_sequence is null) then t.id end "
    };
}
pub(super) use {join_tags, no_tags, tags_of};

/// A group of movements: its name, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct GroupOfRequester {
    pub requested_by: Uuid,
    pub group_id: String,
}

impl Db {
    /// How many entries of the range have the tag, counted up to `most`.
    pub async fn count_tagged(&self, range: EntryRange, tag: &Tag, most: i64) -> sqlx::Result<i64> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select count(*) from (
                 select 1 from tagged_entries
                 where account_number = $1 and key = $2 and value = $3 and sequence < $4 and sequence > $5
                 limit $6) found",
        )
        .bind(range.account_number)
        .bind(&tag.key)
        .bind(&tag.value)
        .bind(range.below)
        .bind(range.above)
        .bind(most)
        .fetch_one(conn)
        .await)
    }

    /// The same over the whole bank.
    pub async fn count_tagged_of_the_bank(&self, range: BankRange, tag: &Tag, most: i64) -> sqlx::Result<i64> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select count(*) from (
                 select 1 from tagged_entries
                 where key = $1 and value = $2 and transaction_id < $3 and transaction_id >= $4 limit $5) found",
        )
        .bind(&tag.key)
        .bind(&tag.value)
        .bind(range.below)
        .bind(range.from)
        .bind(most)
        .fetch_one(conn)
        .await)
    }

    /// Who asked for the movement, and its group; None if it is in none.
    pub async fn group_of(&self, id: Uuid) -> sqlx::Result<Option<GroupOfRequester>> {
        on_reader!(self, conn => sqlx::query_as(
            "select requested_by, group_id from tags where id = $1 and group_id is not null",
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    /// Movements of a group that are booked, in the order in which they were asked for.
    pub async fn transactions_of(&self, group: &GroupOfRequester, limit: i64) -> sqlx::Result<Vec<Transaction>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", transaction_columns!(), "
             from tags y
             join transactions on transactions.id = y.id
             where y.requested_by = $1 and y.group_id = $2
             order by y.id limit $3"),
        )
        .bind(group.requested_by)
        .bind(&group.group_id)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// Empty for an account without.
    pub async fn metadata_of(&self, account_number: AccountNumber) -> sqlx::Result<Pairs> {
        let stored: Option<String> = on_reader!(self, conn => sqlx::query_scalar(SELECT_METADATA)
        .bind(account_number)
        .fetch_optional(conn)
        .await)?;
        Ok(stored.as_deref().map(tags::from_stored).unwrap_or_default())
    }

    /// The metadata of each of the owner's accounts from number to number that has any.
    pub async fn metadata_between(
        &self,
        owner_id: Uuid,
        first: AccountNumber,
        last: AccountNumber,
    ) -> sqlx::Result<Vec<(AccountNumber, Pairs)>> {
        let stored: Vec<(AccountNumber, String)> = on_reader!(self, conn => sqlx::query_as(
            "select a.account_number, m.metadata
             from accounts a join account_metadata m on m.account_number = a.account_number
             where a.owner_id = $1 and a.account_number between $2 and $3",
        )
        .bind(owner_id)
        .bind(first)
        .bind(last)
        .fetch_all(conn)
        .await)?;
        Ok(stored.into_iter().map(|(number, stored)| (number, tags::from_stored(&stored))).collect())
    }
}

impl Tx<'_> {
    /// Of an account that is locked.
    pub async fn metadata_of(&mut self, account_number: AccountNumber) -> sqlx::Result<Pairs> {
        let stored: Option<String> = in_transaction!(self, conn => sqlx::query_scalar(SELECT_METADATA)
        .bind(account_number)
        .fetch_optional(conn)
        .await)?;
        Ok(stored.as_deref().map(tags::from_stored).unwrap_or_default())
    }

    pub async fn set_metadata_of(&mut self, account_number: AccountNumber, pairs: &Pairs) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into account_metadata (account_number, metadata) values ($1, $2)
             on conflict (account_number) do update set metadata = excluded.metadata",
        )
        .bind(account_number)
        .bind(tags::to_stored(pairs))
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
