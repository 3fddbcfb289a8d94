//! Erasing people: whatever the bank has written down about somebody goes, but for what the books need. What is about the
//! person goes with the decision; what is on their accounts goes after it, in pieces that keep nobody waiting.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::serving::PASSIVE_CHECKPOINT;
use super::{Checkpoints, Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::timestamp::Timestamp;

/// Movements or holds in one piece: some milliseconds, in which nobody else writes to a SQLite file.
const PIECE: i64 = 500;

/// Somebody who was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::FromRow, ToSchema)]
pub struct Erasure {
    /// The id of the user, which the books and the audit log keep.
    pub user_id: Uuid,
    /// When it was decided.
    pub erased_at: Timestamp,
    /// When the last of the texts on their accounts was gone; null until then.
    pub texts_erased_at: Option<Timestamp>,
}

/// The columns of [`Erasure`].
macro_rules! erasure_columns {
    () => {
        "id as user_id, erased_at, texts_erased_at"
    };
}

/// The movements of the account $1 with sequences in ($2, $3] whose texts its owner or the bank wrote: all but transfers to it,
/// whose texts are the sender's.
macro_rules! own_movements {
    () => {
        "(with e as materialized (
              select transaction_id, amount from entries where account_number = $1 and sequence > $2 and sequence <= $3
          )
          select own.id from e join transactions own on own.id = e.transaction_id
          where e.amount < 0 or own.debit_sequence is null)"
    };
}

/// Takes metadata, and what the user $4 wrote of the rest, from the tags of what is named.
macro_rules! erase_tags {
    ($named:expr) => {
        concat!(
            "update tags set metadata = null,
                 reference = case when requested_by = $4 then null else reference end,
                 group_id = case when requested_by = $4 then null else group_id end
             where (metadata is not null or requested_by = $4) and id in ",
            $named
        )
    };
}

impl Db {
    pub async fn erasure(&self, user_id: Uuid) -> sqlx::Result<Option<Erasure>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", erasure_columns!(), " from users where id = $1 and erased_at is not null"),
        )
        .bind(user_id)
        .fetch_optional(conn)
        .await)
    }

    /// Those whose texts are not all gone yet.
    pub async fn erasures_to_finish(&self) -> sqlx::Result<Vec<Uuid>> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select id from users where erased_at is not null and texts_erased_at is null",
        )
        .fetch_all(conn)
        .await)
    }

    /// The numbers of all accounts that somebody has, or had, and how many entries each has.
    pub async fn numbers_of_all_accounts_of(&self, owner_id: Uuid) -> sqlx::Result<Vec<(AccountNumber, i64)>> {
        on_reader!(self, conn => sqlx::query_as(
            "select account_number, sequence from accounts where owner_id = $1 order by account_number",
        )
        .bind(owner_id)
        .fetch_all(conn)
        .await)
    }

    /// Takes away what was written on the accounts of somebody who was erased, which are all closed: nothing is booked on them
    /// any more. Each piece is a transaction of its own, and what is gone already takes little time.
    pub async fn erase_texts_of(&self, user_id: Uuid) -> sqlx::Result<()> {
        for (number, last) in self.numbers_of_all_accounts_of(user_id).await? {
            let mut tx = self.begin().await?;
            tx.erase_account(number, user_id).await?;
            tx.commit().await?;
            for above in (0..last).step_by(PIECE as usize) {
                let mut tx = self.begin().await?;
                tx.erase_movements(number, above, above + PIECE, user_id).await?;
                tx.commit().await?;
            }
            self.erase_holds(number, user_id).await?;
            self.erase_tagged_entries(number, user_id).await?;
        }
        if !self.overwrite_what_was_erased().await? {
            tracing::info!(
                "the write-ahead log still has what was erased, because somebody reads it; it is tried again"
            );
            return Ok(());
        }
        let mut tx = self.begin().await?;
        tx.finish_erasure(user_id, Timestamp::now()).await?;
        tx.commit().await
    }

    async fn erase_holds(&self, number: AccountNumber, user_id: Uuid) -> sqlx::Result<()> {
        let mut above = Uuid::nil();
        while let Some(last) = self.last_of_holds(number, above).await? {
            let mut tx = self.begin().await?;
            tx.erase_holds(number, above, last, user_id).await?;
            tx.commit().await?;
            above = last;
        }
        Ok(())
    }

    /// The last hold of a piece of those after `above`.
    async fn last_of_holds(&self, number: AccountNumber, above: Uuid) -> sqlx::Result<Option<Uuid>> {
        let piece: Vec<Uuid> = on_reader!(self, conn => sqlx::query_scalar(
            "select id from holds where from_account = $1 and id > $2 order by id limit $3",
        )
        .bind(number)
        .bind(above)
        .bind(PIECE)
        .fetch_all(conn)
        .await)?;
        Ok(piece.last().copied())
    }

    async fn erase_tagged_entries(&self, number: AccountNumber, user_id: Uuid) -> sqlx::Result<()> {
        loop {
            let mut tx = self.begin().await?;
            let erased = tx.erase_tagged_entries(number, user_id).await?;
            tx.commit().await?;
            if erased == 0 {
                return Ok(());
            }
        }
    }

    /// SQLite: copies the write-ahead log into the file and empties it, because it has pages as they were before. False where a
    /// reader is in the way. Where another process makes the checkpoints, which copies the log first, it is left to that.
    async fn overwrite_what_was_erased(&self) -> sqlx::Result<bool> {
        let Self::Sqlite { checkpoint_pool, checkpoints: Checkpoints::Coffer, .. } = self else {
            return Ok(true);
        };
        // Most of it while others write.
        self.mark_before_checkpoint().await?;
        sqlx::query(PASSIVE_CHECKPOINT).execute(checkpoint_pool).await?;
        self.empty_log().await
    }
}

impl Tx<'_> {
    /// A user who has left the bank, held until the transaction ends; None for anybody else. The inner one is None unless the
    /// user was erased.
    pub async fn lock_closed_user(&mut self, id: Uuid) -> sqlx::Result<Option<Option<Erasure>>> {
        let found: Option<(Option<Timestamp>, Option<Timestamp>)> = in_transaction!(self, conn => sqlx::query_as(
            "update users set status = status where id = $1 and status = 'closed' returning erased_at, texts_erased_at",
        )
        .bind(id)
        .fetch_optional(conn)
        .await)?;
        Ok(found.map(|(erased_at, texts_erased_at)| {
            erased_at.map(|erased_at| Erasure { user_id: id, erased_at, texts_erased_at })
        }))
    }

    /// Erases somebody who is closed, and locked: who they were, where they came from, and what their keys are called. What
    /// ended rows are still there is for other instances, which hear of the end by them.
    pub async fn erase_person(&mut self, id: Uuid, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update users set erased_at = $2, name = 'erased', email = $3, search_text = '', password_hash = 'erased',
                              confirm_above = null, name_check = $4
             where id = $1",
        )
        .bind(id)
        .bind(now)
        .bind(format!("erased:{id}"))
        .bind(false)
        .execute(&mut *conn)
        .await
        .map(|_| ()))?;
        for statement in [
            "update sessions set user_agent = null, address = null where user_id = $1",
            "delete from password_links where user_id = $1",
            "delete from user_notes where user_id = $1",
            "delete from payees where user_id = $1",
            "delete from movement_quotas where user_id = $1",
        ] {
            in_transaction!(self, conn => sqlx::query(statement).bind(id).execute(&mut *conn).await.map(|_| ()))?;
        }
        // One that has expired was not revoked.
        in_transaction!(self, conn => sqlx::query(
            "update api_keys set name = 'erased', networks = null, revoked_at = coalesce(revoked_at, $2) where user_id = $1",
        )
        .bind(id)
        .bind(now)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Takes away what an account was called, what was noted on it, what others call it as a payee, and what was written on
    /// movements that waited for approval.
    async fn erase_account(&mut self, number: AccountNumber, user_id: Uuid) -> sqlx::Result<()> {
        for statement in [
            "update accounts set label = null, alert_below = null, notify_above = null where account_number = $1",
            "delete from account_metadata where account_number = $1",
            "delete from payees where account_number = $1",
            "update approvals set description = null
             where coalesce(from_account, to_account) = $1 and description is not null",
        ] {
            in_transaction!(self, conn => sqlx::query(statement).bind(number).execute(&mut *conn).await.map(|_| ()))?;
        }
        in_transaction!(self, conn => sqlx::query(
            // The parameters between are those of movements and holds.
            erase_tags!("(select id from approvals where coalesce(from_account, to_account) = $1 and $2 < $3)"),
        )
        .bind(number)
        .bind(0_i64)
        .bind(1_i64)
        .bind(user_id)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    async fn erase_movements(
        &mut self,
        number: AccountNumber,
        above: i64,
        up_to: i64,
        user_id: Uuid,
    ) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(erase_tags!(own_movements!()))
            .bind(number)
            .bind(above)
            .bind(up_to)
            .bind(user_id)
            .execute(&mut *conn)
            .await
            .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query(concat!(
            "update transactions set description = null, text_salt = null where text_salt is not null and id in ",
            own_movements!(),
        ))
        .bind(number)
        .bind(above)
        .bind(up_to)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    async fn erase_holds(
        &mut self,
        number: AccountNumber,
        above: Uuid,
        up_to: Uuid,
        user_id: Uuid,
    ) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            erase_tags!("(select id from holds where from_account = $1 and id > $2 and id <= $3)"),
        )
        .bind(number)
        .bind(above)
        .bind(up_to)
        .bind(user_id)
        .execute(&mut *conn)
        .await
        .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query(
            "update holds set description = null
             where from_account = $1 and id > $2 and id <= $3 and description is not null",
        )
        .bind(number)
        .bind(above)
        .bind(up_to)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// A piece of what entries were found by; returns how many that were.
    async fn erase_tagged_entries(&mut self, number: AccountNumber, user_id: Uuid) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query(
            "delete from tagged_entries where (account_number, key, value, sequence) in (
                 select account_number, key, value, sequence from tagged_entries
                 where account_number = $1
                   and (key not in ('', ':')
                        or exists (select 1 from tags
                                   where id = tagged_entries.transaction_id and requested_by = $2))
                 limit $3)",
        )
        .bind(number)
        .bind(user_id)
        .bind(PIECE)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))
    }

    async fn finish_erasure(&mut self, user_id: Uuid, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update users set texts_erased_at = case when erased_at > $2 then erased_at else $2 end
             where id = $1 and erased_at is not null and texts_erased_at is null",
        )
        .bind(user_id)
        .bind(now)
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
