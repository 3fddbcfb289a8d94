//! What the doctor reads in another way where the tables are spread over several machines.
//!
//! There a join is refused whose rows are not on the same machine, but one table can be looked up by what was read of
//! another: so entries and idempotency keys are read a stretch at a time, and the journal by what they name.

use uuid::Uuid;

use super::tags::TagsInContext;
use super::{EntryInContext, drain};
use crate::account_number::AccountNumber;
use crate::db::{Tx, entry_columns, in_snapshot};

/// Entries that are read at once, with their rows of the journal: some megabytes, and their ids go to every machine.
const ENTRIES_AT_ONCE: i64 = 20_000;

/// Entries behind one place and up to another, in the order of accounts and sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    above: (i64, i64),
    up_to: (i64, i64),
}

/// Stretches of nearly the same length, which together have every entry.
#[derive(Debug)]
struct Stretches {
    ended: Vec<Stretch>,
    /// Where the one that has not ended begins, and how long it is so far.
    above: (i64, i64),
    length: i64,
}

impl Stretches {
    fn new() -> Self {
        Self { ended: Vec::new(), above: (i64::MIN, i64::MIN), length: 0 }
    }

    /// Adds an account behind all those before it.
    fn add(&mut self, account: AccountNumber, entries: i64) {
        let mut sequence = 0;
        while self.length + entries - sequence > ENTRIES_AT_ONCE {
            sequence += ENTRIES_AT_ONCE - self.length;
            self.end_at((account.as_i64(), sequence));
        }
        self.length += entries - sequence;
    }

    fn end_at(&mut self, place: (i64, i64)) {
        self.ended.push(Stretch { above: self.above, up_to: place });
        (self.above, self.length) = (place, 0);
    }

    fn finish(mut self) -> Vec<Stretch> {
        self.end_at((i64::MAX, i64::MAX));
        self.ended
    }
}

/// The entries of the stretch behind ($1, $2) up to ($3, $4), as the columns of [`EntryInContext`]. Whose account was acted on is
/// told of the entries on it: no other is asked.
const SELECT_STRETCH: &str = concat!(
    "with e as materialized (
         select e.*, a.owner_id, a.currency as account_currency, a.balance as account_balance,
                a.sequence as account_sequence, a.head_hash as account_head_hash,
                a.last_entry_at as account_last_entry_at
         from entries e left join accounts a on a.account_number = e.account_number
         where (e.account_number, e.sequence) > ($1, $2) and (e.account_number, e.sequence) <= ($3, $4)
     ),
     named as materialized (
         select transaction_id from entries
         where (account_number, sequence) > ($1, $2) and (account_number, sequence) <= ($3, $4)
     ),
     t as materialized (select * from transactions where id in (select transaction_id from named))
     select ",
    entry_columns!(),
    ",
            coalesce(t.currency, e.account_currency, 'XXX') as currency,
            coalesce(t.initiated_by, e.transaction_id) as initiated_by,
            t.type as journal_type, t.amount as journal_amount, t.created_at as journal_created_at,
            t.debit_account, t.debit_sequence, t.credit_account, t.credit_sequence,
            e.account_currency, e.account_balance, e.account_sequence, e.account_head_hash, e.account_last_entry_at,
            case when t.text_commitment is not null and t.text_salt is null then e.owner_id end as erased_of
     from e
     left join t on t.id = e.transaction_id
     left join tags g on g.id = e.transaction_id
     order by e.account_number, e.sequence"
);

impl Tx<'_> {
    pub(super) async fn visit_entries_in_stretches(
        &mut self,
        mut visit: impl FnMut(EntryInContext),
    ) -> sqlx::Result<()> {
        for Stretch { above, up_to } in self.stretches().await? {
            in_snapshot!(self, conn => drain(
                sqlx::query_as(SELECT_STRETCH).bind(above.0).bind(above.1).bind(up_to.0).bind(up_to.1).fetch(conn),
                &mut visit,
            )
            .await)?;
        }
        Ok(())
    }

    async fn stretches(&mut self) -> sqlx::Result<Vec<Stretch>> {
        let mut stretches = Stretches::new();
        let mut add = |(account, entries): (AccountNumber, i64)| stretches.add(account, entries);
        in_snapshot!(self, conn => drain(
            sqlx::query_as("select account_number, count(*) from entries group by account_number order by account_number")
                .fetch(conn),
            &mut add,
        )
        .await)?;
        Ok(stretches.finish())
    }

    /// How many sides the journal has that must have an entry.
    pub async fn count_sides(&mut self) -> sqlx::Result<i64> {
        in_snapshot!(self, conn => sqlx::query_scalar(
            "select count(debit_sequence) + count(credit_sequence) from transactions",
        )
        .fetch_one(conn)
        .await)
    }

    /// Hands `visit` every journal row that has no side, or a customer's account for the bank's.
    pub(super) async fn visit_transactions_with_wrong_sides(
        &mut self,
        mut visit: impl FnMut(Uuid),
    ) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "with of_bank as materialized (
                     select debit_account as number from transactions where debit_sequence is null group by debit_account
                     union
                     select credit_account from transactions where credit_sequence is null group by credit_account
                 ),
                 wrong as materialized (
                     select a.account_number from of_bank b join accounts a on a.account_number = b.number
                     where a.owner_id is not null
                 )
                 select t.id from transactions t
                 where (t.debit_sequence is null and t.credit_sequence is null) or t.amount <= 0
                    or (t.debit_sequence is null and t.debit_account in (select account_number from wrong))
                    or (t.credit_sequence is null and t.credit_account in (select account_number from wrong))",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// By the first byte of the key.
    pub(super) async fn visit_keys_without_transaction_in_stretches(
        &mut self,
        mut visit: impl FnMut(Uuid),
    ) -> sqlx::Result<()> {
        for byte in 0..=u8::MAX {
            let (first, last) = ([&[byte][..], &[0; 15]].concat(), [&[byte][..], &[u8::MAX; 15]].concat());
            in_snapshot!(self, conn => drain(
                sqlx::query_scalar(
                    "with k as materialized (select transaction_id as id from idempotency_keys where key between $1 and $2),
                     t as materialized (select id from transactions where id in (select id from k)),
                     a as materialized (select id from approvals where id in (select id from k)),
                     h as materialized (select id from holds where id in (select id from k))
                     select k.id from k
                     left join t on t.id = k.id
                     left join a on a.id = k.id
                     left join h on h.id = k.id
                     where t.id is null and a.id is null and h.id is null",
                )
                .bind(first)
                .bind(last)
                .fetch(conn),
                &mut visit,
            )
            .await)?;
        }
        Ok(())
    }

    pub(super) async fn visit_tags_by_themselves(&mut self, mut visit: impl FnMut(TagsInContext)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "with t as materialized (
                     select t.id, t.debit_account, t.debit_sequence, t.credit_account, t.credit_sequence, t.initiated_by
                     from tags g join transactions t on t.id = g.id
                 ),
                 h as materialized (select h.id, h.created_by from tags g join holds h on h.id = g.id),
                 a as materialized (select a.id, a.requested_by from tags g join approvals a on a.id = g.id)
                 select g.id, g.requested_by, g.reference, g.group_id, g.metadata,
                        case when t.debit_sequence is null then t.credit_account else t.debit_account end
                            as account_number,
                        coalesce(t.debit_sequence, t.credit_sequence) as sequence,
                        coalesce(h.created_by, a.requested_by, t.initiated_by) as owned_by
                 from tags g
                 left join t on t.id = g.id
                 left join h on h.id = g.id
                 left join a on a.id = g.id
                 order by g.id",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_have_every_entry_once_and_are_never_too_long() {
        let accounts = [(1, 7), (2, ENTRIES_AT_ONCE - 7), (3, 2 * ENTRIES_AT_ONCE + 5), (4, 1), (9, 0)];
        let mut stretches = Stretches::new();
        for (number, entries) in accounts {
            stretches.add(AccountNumber::from_i64(number), entries);
        }
        let stretches = stretches.finish();
        let is_in = |it: &Stretch, place: (i64, i64)| place > it.above && place <= it.up_to;
        let places = || accounts.iter().flat_map(|&(number, entries)| (1..=entries).map(move |at| (number, at)));
        assert!(places().all(|place| stretches.iter().filter(|it| is_in(it, place)).count() == 1));
        for stretch in &stretches {
            assert!(places().filter(|&place| is_in(stretch, place)).count() as i64 <= ENTRIES_AT_ONCE);
        }
        assert_eq!(stretches.len(), 4);
    }
}
