//! The audit log: what matters to security, in an append-only chain of hashes.
//!
//! What changes the books' rules (a role, a freeze) is recorded in the same transaction as the change. What only happened
//! (a wrong password, a denial) is [noted](AuditLog::note) and written soon after, many to a transaction.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::auth::Origin;
use crate::db::Db;
use crate::db::audit::{Action, Event};
use crate::timestamp::Timestamp;

/// Notes that may wait to be written. When there is no room, a note goes to the log only.
const MAX_WAITING: usize = 10_000;
/// Notes in one transaction.
const MAX_BATCH: usize = 256;

impl Event {
    /// Done by the request's caller, if it has shown who that is.
    pub fn of(action: Action, origin: &Origin) -> Self {
        Self {
            created_at: Timestamp::now(),
            action,
            actor_id: origin.caller().map(|caller| caller.user_id),
            subject: None,
            address: Some(origin.address().to_string()),
            request_id: Some(origin.request_id().to_owned()),
            detail: None,
        }
    }

    /// Done at the command line, by whoever may run it.
    pub fn of_command_line(action: Action) -> Self {
        let created_at = Timestamp::now();
        Self { created_at, action, actor_id: None, subject: None, address: None, request_id: None, detail: None }
    }

    pub fn by(self, actor_id: Uuid) -> Self {
        Self { actor_id: Some(actor_id), ..self }
    }

    pub fn on(self, subject: impl ToString) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }

    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// In the words of whoever did it.
    pub fn with_reason(self, reason: Option<String>) -> Self {
        Self { detail: reason, ..self }
    }
}

/// Where notes wait to be written. Clones feed the same writer.
#[derive(Clone)]
pub struct AuditLog(mpsc::Sender<Event>);

impl AuditLog {
    /// Starts the writer. It ends when the last [`AuditLog`] is gone and everything noted is written.
    pub fn start(db: &Db) -> (Self, JoinHandle<()>) {
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        (Self(sender), tokio::spawn(write(db.clone(), waiting)))
    }

    /// Has the event recorded soon, without waiting for it.
    pub fn note(&self, event: Event) {
        if let Err(error) = self.0.try_send(event) {
            tracing::error!(%error, "the audit log has no room");
        }
    }
}

async fn write(db: Db, mut waiting: mpsc::Receiver<Event>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        if let Err(error) = append(&db, &batch).await {
            tracing::error!(%error, events = ?batch, "these events could not be recorded");
        }
        batch.clear();
    }
}

async fn append(db: &Db, events: &[Event]) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    tx.append_to_audit_log(events).await?;
    tx.commit().await
}
