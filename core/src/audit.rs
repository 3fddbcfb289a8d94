//! The audit log: what matters to security, in an append-only chain of hashes.
//!
//! A change (of a role, a freeze, an approval) is recorded in the same transaction as the change. Other events (a wrong
//! password, a denial) are [noted](AuditLog::note) and written soon after, many to a transaction. So are reads of other
//! people's data by staff, but nobody sees anything without a [promise](AuditLog::promise) of a record.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::books::audit_event::Event;
use crate::db::{Db, errors};

/// Notes that may wait to be written. When there is no room, a note goes to the log only, and staff are shown nothing
/// that takes a record.
const MAX_WAITING: usize = 10_000;
/// Notes in one transaction: few, because sign-ins wait for its lock.
const MAX_BATCH: usize = 32;
/// The pause between two tries to write notes while the database is out of reach.
const PAUSE: Duration = Duration::from_millis(500);

/// Too many events wait to be written for another one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the audit log has no room for another event")]
pub struct NoRoomForRecord;

/// Where notes wait to be written. Clones feed the same writer.
#[derive(Clone)]
pub struct AuditLog(mpsc::Sender<Event>);

impl AuditLog {
    /// Starts the writer. It ends when the last [`AuditLog`] is gone and everything noted is written.
    pub fn start(db: &Db) -> (Self, JoinHandle<()>) {
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        (Self(sender), tokio::spawn(write(db.clone(), waiting)))
    }

    /// Has the event recorded soon, without waiting for it. Where there is no room, the log has it.
    pub fn note(&self, event: Event) {
        if let Err(error) = self.0.try_send(event) {
            let (reason, event) = (error.to_string(), error.into_inner());
            tracing::error!(reason, ?event, "this event could not be recorded");
        }
    }

    /// The same for what nobody may see off the record: fails when there is no room for the event.
    pub fn promise(&self, event: Event) -> Result<(), NoRoomForRecord> {
        self.0.try_send(event).map_err(|_| NoRoomForRecord)
    }
}

/// Writes events to the table; those that cannot be written there go to the log.
async fn write(db: Db, mut waiting: mpsc::Receiver<Event>) {
    let mut batch = Vec::new();
    let mut is_within_reach = true;
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        if !(is_within_reach && write_batch(&db, &batch, &waiting).await) {
            for event in &batch {
                tracing::error!(?event, "this event could not be recorded");
            }
            // When the bank closes there is no time to try again with every batch.
            is_within_reach = !waiting.is_closed();
        }
        batch.clear();
    }
}

/// Whether the events were written. Tries again for as long as a failure may pass, but not when the bank closes.
async fn write_batch(db: &Db, batch: &[Event], waiting: &mpsc::Receiver<Event>) -> bool {
    let mut is_told = false;
    loop {
        let Err(error) = append(db, batch).await else { return true };
        if !errors::is_transient(&error) || waiting.is_closed() {
            tracing::error!(%error, "the audit log cannot be written");
            return false;
        }
        if !is_told {
            tracing::warn!(%error, "the audit log cannot be written now; it will be tried again");
            is_told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn append(db: &Db, events: &[Event]) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    tx.append_to_audit_log(events).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::audit_event::Action;
    use crate::timestamp::Timestamp;

    #[test]
    fn nobody_sees_anything_when_there_is_no_room_for_the_record() {
        let (sender, mut waiting) = mpsc::channel(1);
        let log = AuditLog(sender);
        let event = || Event::at(Action::UserViewed, Timestamp::now());
        assert!(log.promise(event()).is_ok());
        assert!(log.promise(event()).is_err());
        // A note is no reason to refuse: what it is about has happened already.
        log.note(event());
        assert!(waiting.try_recv().is_ok());
        assert!(log.promise(event()).is_ok());
    }
}
