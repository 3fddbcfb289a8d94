//! What happens by the clock: hearing of sessions that other instances ended, and forgetting what is too old to matter.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::auth::Auth;
use crate::db::Db;
use crate::timestamp::Timestamp;

/// A logout on one instance counts on the others after at most this long.
const TICK: Duration = Duration::from_secs(1);
/// Ended sessions are asked for this far back, so that a slow commit or a clock that differs loses none.
const LOOK_BACK: Duration = Duration::from_secs(30);
/// Sessions are kept this long after they ended, for those who look into what happened.
const SESSION_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const TICKS_PER_HOUR: u64 = 3_600;

pub struct Housekeeping {
    db: Db,
    auth: Auth,
    metrics: Option<PrometheusHandle>,
    idempotency_retention: Duration,
}

impl Housekeeping {
    pub fn new(db: &Db, auth: &Auth, metrics: Option<PrometheusHandle>, idempotency_retention: Duration) -> Self {
        Self { db: db.clone(), auth: auth.clone(), metrics, idempotency_retention }
    }

    /// Never ends. What fails is logged and tried again at the next tick.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for tick in 0u64.. {
            ticks.tick().await;
            if let Err(error) = self.tick(tick).await {
                tracing::warn!(%error, "housekeeping will try again");
            }
        }
    }

    async fn tick(&self, tick: u64) -> sqlx::Result<()> {
        let now = Timestamp::now();
        let ended = self.db.sessions_ended_since(now.minus(LOOK_BACK)).await?;
        self.auth.ended_sessions.add(ended, now);
        self.auth.ended_sessions.forget_expired(now);
        if let Some(metrics) = &self.metrics {
            metrics.run_upkeep();
        }
        // One slice of the keys at a time: a table of millions is never scanned at once, and each is seen every 18 hours.
        let mut tx = self.db.begin().await?;
        tx.prune_keys(tick as u16, now.minus(self.idempotency_retention)).await?;
        if tick.is_multiple_of(TICKS_PER_HOUR) {
            tx.delete_sessions_older_than(now.minus(SESSION_RETENTION)).await?;
        }
        tx.commit().await
    }
}
