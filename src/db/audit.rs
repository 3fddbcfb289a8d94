//! The audit log's table.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, Tx, in_snapshot, in_transaction, on_reader, verify};
use crate::timestamp::Timestamp;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Login,
    LoginFailed,
    /// Too many tries: this one was not even looked at.
    LoginThrottled,
    /// Somebody asked for what their role may not do.
    AccessDenied,
    /// A refresh token came back a second time: it has been copied, and its session was ended.
    RefreshTokenReused,
    PasswordChanged,
    AddressChanged,
    SecondFactorEnabled,
    SecondFactorRemoved,
    /// The password was right, the code was not.
    SecondFactorFailed,
    /// A password or code beside a token was wrong.
    ProofFailed,
    /// Somebody changed above which amount their own movements are to be confirmed.
    ConfirmationChanged,
    /// Signed out, here or from another session; or the bank ended it, for the reason that the detail gives.
    SessionEnded,
    /// An admin ended all of somebody's sessions.
    SessionsEnded,
    RoleChanged,
    UserFrozen,
    UserReleased,
    UserClosed,
    AccountFrozen,
    AccountReleased,
    AccountClosed,
    /// A movement waits for a second person's word.
    ApprovalRequested,
    /// A second person gave it, and the movement was booked.
    ApprovalApproved,
    /// Somebody refused it, or whoever asked for it took it back.
    ApprovalRejected,
    /// A movement was undone by one the other way round.
    MovementReversed,
    /// Staff moved money on somebody else's account, by themselves.
    MovementByStaff,
    AdminCreated,
    /// The bank was filled with a customer and a past that nobody had, to try it out.
    DemoFilled,
    /// Somebody other than its owner took an account's statement.
    StatementExported,
}

impl Action {
    /// As stored and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginFailed => "login_failed",
            Self::LoginThrottled => "login_throttled",
            Self::AccessDenied => "access_denied",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::PasswordChanged => "password_changed",
            Self::AddressChanged => "address_changed",
            Self::SecondFactorEnabled => "second_factor_enabled",
            Self::SecondFactorRemoved => "second_factor_removed",
            Self::SecondFactorFailed => "second_factor_failed",
            Self::ProofFailed => "proof_failed",
            Self::ConfirmationChanged => "confirmation_changed",
            Self::SessionEnded => "session_ended",
            Self::SessionsEnded => "sessions_ended",
            Self::RoleChanged => "role_changed",
            Self::UserFrozen => "user_frozen",
            Self::UserReleased => "user_released",
            Self::UserClosed => "user_closed",
            Self::AccountFrozen => "account_frozen",
            Self::AccountReleased => "account_released",
            Self::AccountClosed => "account_closed",
            Self::ApprovalRequested => "approval_requested",
            Self::ApprovalApproved => "approval_approved",
            Self::ApprovalRejected => "approval_rejected",
            Self::MovementReversed => "movement_reversed",
            Self::MovementByStaff => "movement_by_staff",
            Self::AdminCreated => "admin_created",
            Self::DemoFilled => "demo_filled",
            Self::StatementExported => "statement_exported",
        }
    }
}

/// Something to be recorded.
#[derive(Clone, Debug)]
pub struct Event {
    pub created_at: Timestamp,
    pub action: Action,
    /// None when nobody was signed in, or when it was the command line.
    pub actor_id: Option<Uuid>,
    /// What it was done to.
    pub subject: Option<String>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    pub detail: Option<String>,
}

/// A record of the audit log.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct AuditRecord {
    /// 1 for the first record, then without gaps.
    #[schema(example = 1, minimum = 1)]
    pub sequence: i64,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    pub created_at: Timestamp,
    /// What happened.
    #[schema(value_type = Action)]
    pub action: String,
    /// The user who did it; null when nobody was signed in, or when it was the command line.
    #[schema(example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")]
    pub actor_id: Option<Uuid>,
    /// What it was done to: the id of a user, an approval or a movement, the number of an account, a route.
    #[schema(example = "10000000000180")]
    pub subject: Option<String>,
    /// Where the request came from.
    #[schema(example = "192.0.2.1")]
    pub address: Option<String>,
    #[schema(example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")]
    pub request_id: Option<String>,
    pub detail: Option<String>,
    /// SHA-256 of the previous record's hash and this record's contents.
    #[serde(with = "hex")]
    #[sqlx(try_from = "Vec<u8>")]
    #[schema(value_type = String, example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub hash: [u8; 32],
}

/// Which records to list. What is None does not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFilter {
    /// Only records before this one.
    pub before: Option<i64>,
    pub action: Option<Action>,
    pub actor_id: Option<Uuid>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// The columns of [`AuditRecord`].
macro_rules! audit_columns {
    () => {
        "sequence, created_at, action, actor_id, subject, address, request_id, detail, hash"
    };
}

pub(super) use audit_columns;

/// The hash of a record: SHA-256 over the hash before it and every field, each with its length, so that no two records
/// have the same bytes.
pub fn record_hash(previous: &[u8; 32], record: &AuditRecord) -> [u8; 32] {
    let mut hasher = Sha256::new().chain_update(previous).chain_update(record.sequence.to_be_bytes());
    hasher.update(record.created_at.as_micros().to_be_bytes());
    let actor = record.actor_id.map(|id| id.to_string());
    let action = Some(record.action.clone());
    for field in [&action, &actor, &record.subject, &record.address, &record.request_id, &record.detail] {
        let length = field.as_ref().map_or(-1, |text| text.len() as i64);
        hasher.update(length.to_be_bytes());
        hasher.update(field.as_deref().unwrap_or_default());
    }
    hasher.finalize().into()
}

impl Db {
    /// Records, the newest first.
    pub async fn audit_records(&self, filter: AuditFilter, limit: i64) -> sqlx::Result<Vec<AuditRecord>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", audit_columns!(), " from audit_log
                 where sequence < $1
                   and ($2 is null or action = $2)
                   and ($3 is null or actor_id = $3)
                   and created_at >= $4 and created_at < $5
                 order by sequence desc limit $6",
            ),
        )
        .bind(filter.before.unwrap_or(i64::MAX))
        .bind(filter.action.map(Action::name))
        .bind(filter.actor_id)
        .bind(filter.from.map_or(i64::MIN, Timestamp::as_micros))
        .bind(filter.to.map_or(i64::MAX, Timestamp::as_micros))
        .bind(limit)
        .fetch_all(conn)
        .await)
    }
}

/// The last record, which the next is chained to.
#[derive(Clone, Copy, sqlx::FromRow)]
pub(super) struct AuditHead {
    pub sequence: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub hash: [u8; 32],
}

/// The records that events become behind `head`, and the last of them.
pub(super) fn chained(mut head: AuditHead, events: &[Event]) -> (Vec<AuditRecord>, AuditHead) {
    let records = events.iter().map(|event| {
        let mut record = AuditRecord {
            sequence: head.sequence + 1,
            created_at: event.created_at,
            action: event.action.name().to_owned(),
            actor_id: event.actor_id,
            subject: event.subject.clone(),
            address: event.address.clone(),
            request_id: event.request_id.clone(),
            detail: event.detail.clone(),
            hash: [0; 32],
        };
        record.hash = record_hash(&head.hash, &record);
        head = AuditHead { sequence: record.sequence, hash: record.hash };
        record
    });
    (records.collect(), head)
}

impl Tx<'_> {
    /// Appends to the log. Take every other lock of the transaction before: this one everybody waits for.
    pub async fn append_to_audit_log(&mut self, events: &[Event]) -> sqlx::Result<()> {
        let (records, head) = chained(self.lock_audit_head().await?, events);
        for record in &records {
            self.insert_audit_record(record).await?;
        }
        in_transaction!(self, conn => sqlx::query("update audit_head set sequence = $1, hash = $2 where id = 1")
            .bind(head.sequence)
            .bind(head.hash.to_vec())
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// An update that changes nothing, because it locks in one way on every database.
    async fn lock_audit_head(&mut self) -> sqlx::Result<AuditHead> {
        in_transaction!(self, conn => sqlx::query_as(
            "update audit_head set sequence = sequence where id = 1 returning sequence, hash",
        )
        .fetch_one(conn)
        .await)
    }

    /// Sequence and hash of the last record.
    pub async fn audit_head(&mut self) -> sqlx::Result<(i64, [u8; 32])> {
        let head: AuditHead = in_transaction!(self, conn => sqlx::query_as("select sequence, hash from audit_head")
            .fetch_one(conn)
            .await)?;
        Ok((head.sequence, head.hash))
    }

    /// Hands every record to `visit`, the oldest first.
    pub async fn visit_audit_records(&mut self, mut visit: impl FnMut(AuditRecord)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => verify::drain(
            sqlx::query_as(concat!("select ", audit_columns!(), " from audit_log order by sequence")).fetch(conn),
            &mut visit,
        )
        .await)
    }

    async fn insert_audit_record(&mut self, record: &AuditRecord) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            concat!("insert into audit_log (", audit_columns!(), ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"),
        )
        .bind(record.sequence)
        .bind(record.created_at)
        .bind(&record.action)
        .bind(record.actor_id)
        .bind(&record.subject)
        .bind(&record.address)
        .bind(&record.request_id)
        .bind(&record.detail)
        .bind(record.hash.to_vec())
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
