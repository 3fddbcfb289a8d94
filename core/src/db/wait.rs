//! Trying again for a while.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How long to wait before the log says why.
const SILENCE: Duration = Duration::from_secs(1);
/// The pause before another try.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Retries for a while, and logs the reason if that takes long.
pub(super) struct Wait {
    reason: &'static str,
    started: Instant,
    is_told: bool,
}

impl Wait {
    pub fn new(reason: &'static str) -> Self {
        Self { reason, started: Instant::now(), is_told: false }
    }

    pub fn is_within(&self, patience: Duration) -> bool {
        self.started.elapsed() < patience
    }

    pub async fn pause(&mut self) {
        if !self.is_told && self.started.elapsed() > SILENCE {
            self.is_told = true;
            tracing::info!("waiting while {}", self.reason);
        }
        sleep(PAUSE).await;
    }
}
