//! Reading what the audit log says of the bank's own accounts, for the doctor.

use sqlx::FromRow;
use uuid::Uuid;

use super::drain;
use crate::db::{Tx, in_snapshot};

/// The record of an account of the bank's that was opened.
#[derive(Clone, Debug, FromRow)]
pub struct RecordOfBankAccount {
    /// The code.
    pub subject: Option<String>,
    /// Its name and kind.
    pub detail: Option<String>,
    /// Who has opened it.
    pub actor_id: Option<Uuid>,
}

impl Tx<'_> {
    /// In the order in which they were opened, which is that of their ids.
    pub async fn visit_records_of_bank_accounts(
        &mut self,
        mut visit: impl FnMut(RecordOfBankAccount),
    ) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "select subject, detail, actor_id from audit_log where action = 'bank_account_opened' order by sequence",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
