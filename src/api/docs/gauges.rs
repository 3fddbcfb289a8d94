//! Gauges that are read when somebody asks for the metrics, because nobody needs them otherwise.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::api::App;
use crate::process;
use coffer_core::db::backlog::Backlog;
use coffer_core::timestamp::Timestamp;

/// The least time between two counts of what waits in the tables, however often metrics are asked for.
const COUNTED_EVERY: Duration = Duration::from_secs(10);
/// An answer does not wait longer for the database: metrics are wanted most when that is slow. The count goes on, and the
/// next answer has it.
const COUNTED_WITHIN: Duration = Duration::from_millis(500);

/// Sets the gauges. One for each bank.
#[derive(Default)]
pub struct Gauges {
    counted_at: Mutex<Option<Instant>>,
}

impl Gauges {
    /// Takes a second or so at most.
    pub async fn set(&self, app: &App) {
        let is_ready = app.committer.readiness().await.is_ok();
        metrics::gauge!("coffer_ledger_ready").set(u8::from(is_ready));
        process::measure();
        set_ledger(app);
        set_pools(app);
        if self.is_to_be_counted(Instant::now()) {
            let counting = tokio::spawn(count(app.clone()));
            let _ = tokio::time::timeout(COUNTED_WITHIN, counting).await;
        }
    }

    fn is_to_be_counted(&self, now: Instant) -> bool {
        let mut counted_at = self.counted_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = counted_at.is_none_or(|at| now.duration_since(at) >= COUNTED_EVERY);
        if is_due {
            *counted_at = Some(now);
        }
        is_due
    }
}

fn set_ledger(app: &App) {
    let load = app.committer.load();
    metrics::gauge!("coffer_ledger_queue_commands").set(load.commands as f64);
    metrics::gauge!("coffer_ledger_queue_commands_max").set(load.commands_max as f64);
    metrics::gauge!("coffer_ledger_in_doubt").set(load.in_doubt as f64);
    metrics::gauge!("coffer_ledger_last_write_age_seconds").set(load.last_write_age);
}

fn set_pools(app: &App) {
    for pool in app.db.pools() {
        for (state, connections) in [("idle", pool.idle), ("used", pool.used)] {
            metrics::gauge!("coffer_database_connections", "pool" => pool.pool, "state" => state)
                .set(connections as f64);
        }
        metrics::gauge!("coffer_database_connections_max", "pool" => pool.pool).set(pool.max);
    }
}

/// Counts what waits in the tables. When that fails, the gauges stay as they were.
async fn count(app: App) {
    let Backlog { approvals, holds, deliveries, mails, events_behind } = match app.db.backlog(Timestamp::now()).await {
        Ok(backlog) => backlog,
        Err(error) => return tracing::warn!(%error, "what waits could not be counted for the metrics"),
    };
    for (name, count) in [
        ("coffer_approvals_waiting", approvals),
        ("coffer_holds_open", holds),
        ("coffer_mails_waiting", mails),
        ("coffer_webhook_deliveries_waiting", deliveries),
        ("coffer_webhook_events_behind", events_behind),
    ] {
        metrics::gauge!(name).set(count as f64);
    }
}
