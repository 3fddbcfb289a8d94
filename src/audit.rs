//! The audit log: what matters to security, in an append-only chain of hashes.
//!
//! What changes anything (a role, a freeze, an approval) is recorded in the same transaction as the change. What only
//! happened (a wrong password, a denial) is [noted](AuditLog::note) and written soon after, many to a transaction.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::auth::Origin;
use crate::db::audit::{Action, Event};
use crate::db::{Db, errors};
use crate::text::{self, Reason};
use crate::timestamp::Timestamp;

/// Notes that may wait to be written. When there is no room, a note goes to the log only.
const MAX_WAITING: usize = 10_000;
/// Notes in one transaction: few, because sign-ins wait for its lock.
const MAX_BATCH: usize = 32;
/// Of what a record quotes, in characters.
const MAX_TEXT_LENGTH: usize = 300;
/// Tries to write notes while the database is out of reach, a pause apart.
const MAX_TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

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
        Self { subject: Some(clean(&subject.to_string())), ..self }
    }

    pub fn detail(self, detail: impl AsRef<str>) -> Self {
        Self { detail: Some(clean(detail.as_ref())), ..self }
    }

    /// In the words of whoever did it.
    pub fn with_reason(self, reason: Option<Reason>) -> Self {
        Self { detail: reason.map(Into::into), ..self }
    }
}

/// Text that may come from anyone, as one line of bounded length that reads in its order. (PostgreSQL would refuse a NUL,
/// and the batch with it.)
fn clean(text: &str) -> String {
    text::quoted(text, MAX_TEXT_LENGTH)
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
        let mut tries = 0;
        while let Err(error) = append(&db, &batch).await {
            tries += 1;
            if !errors::is_transient(&error) || tries >= MAX_TRIES {
                tracing::error!(%error, events = ?batch, "these events could not be recorded");
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        batch.clear();
    }
}

async fn append(db: &Db, events: &[Event]) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    tx.append_to_audit_log(events).await?;
    tx.commit().await
}
