//! Reading all tags, for the doctor.

use sqlx::FromRow;
use uuid::Uuid;

use super::drain;
use crate::account_number::AccountNumber;
use crate::books::tags::Tags;
use crate::db::{Layout, Tx, in_snapshot};

/// The tags of a movement, with what has them, as far as that exists.
#[derive(Clone, Debug, FromRow)]
pub struct TagsInContext {
    pub id: Uuid,
    pub requested_by: Uuid,
    #[sqlx(flatten)]
    pub tags: Tags,
    /// None while it is not posted.
    pub account_number: Option<AccountNumber>,
    pub sequence: Option<i64>,
    /// Who asked for the movement; None if there is none.
    pub owned_by: Option<Uuid>,
}

/// A row by which an entry is found.
#[derive(Clone, Debug, FromRow)]
pub struct StoredTaggedEntry {
    pub account_number: AccountNumber,
    pub sequence: i64,
    pub transaction_id: Uuid,
    pub key: String,
    pub value: String,
}

impl Tx<'_> {
    /// Hands `visit` the tags of every movement, with the account and the sequence by which it is found once it is
    /// posted.
    pub async fn visit_tags(&mut self, layout: Layout, visit: impl FnMut(TagsInContext)) -> sqlx::Result<()> {
        match layout {
            Layout::OneMachine => self.visit_tags_at_once(visit).await,
            Layout::Sharded => self.visit_tags_by_themselves(visit).await,
        }
    }

    async fn visit_tags_at_once(&mut self, mut visit: impl FnMut(TagsInContext)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "select g.id, g.requested_by, g.reference, g.group_id, g.metadata,
                        case when t.debit_sequence is null then t.credit_account else t.debit_account end
                            as account_number,
                        coalesce(t.debit_sequence, t.credit_sequence) as sequence,
                        coalesce(h.created_by, a.requested_by, t.initiated_by) as owned_by
                 from tags g
                 left join transactions t on t.id = g.id
                 left join holds h on h.id = g.id
                 left join approvals a on a.id = g.id
                 order by g.id",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// Hands `visit` one of the movements of each reference that a requester has used twice.
    pub async fn visit_references_taken_twice(&mut self, mut visit: impl FnMut(Uuid)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_scalar(
                "select g.id from tags g
                 where exists (select 1 from tags o
                               where o.requested_by = g.requested_by and o.reference = g.reference and o.id < g.id)
                 order by g.id",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }

    pub async fn visit_tagged_entries(&mut self, mut visit: impl FnMut(StoredTaggedEntry)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as("select account_number, sequence, transaction_id, key, value from tagged_entries")
                .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
