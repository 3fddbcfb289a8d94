//! Reading API keys, and what the audit log says of them, for the doctor.

use sqlx::FromRow;

use super::drain;
use crate::db::api_keys::{ApiKey, api_key_columns};
use crate::db::{Tx, in_snapshot};

/// A record of a key that was created or revoked.
#[derive(Clone, Debug, FromRow)]
pub struct RecordOfApiKey {
    /// The key's id.
    pub subject: Option<String>,
    /// What it may do, if this is the record of its creation.
    pub detail: Option<String>,
    pub is_revocation: bool,
}

impl Tx<'_> {
    /// Keys that were not revoked.
    pub async fn visit_unrevoked_api_keys(&mut self, mut visit: impl FnMut(ApiKey)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(concat!("select ", api_key_columns!(), " from api_keys where revoked_at is null")).fetch(conn),
            &mut visit,
        )
        .await)
    }

    /// In the order in which they were written.
    pub async fn visit_records_of_api_keys(&mut self, mut visit: impl FnMut(RecordOfApiKey)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => drain(
            sqlx::query_as(
                "select subject, detail, action = 'api_key_revoked' as is_revocation from audit_log
                 where action in ('api_key_created', 'api_key_revoked') order by sequence",
            )
            .fetch(conn),
            &mut visit,
        )
        .await)
    }
}
