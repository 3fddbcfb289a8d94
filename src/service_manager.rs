//! What the service manager that started the bank, such as systemd, hears of it: sd_notify(3).
//!
//! It says where in `NOTIFY_SOCKET`, and in `WATCHDOG_USEC` how often it wants to hear that the bank still works. Without
//! these nothing is sent.

use std::future::{Future, pending};
use std::time::Duration;

use sd_notify::NotifyState::{self, ExtendTimeoutUsec, Ready, Status, Stopping, Watchdog};
use tokio::time::{interval, sleep};

use coffer_core::committer::Committer;

/// How often more time to open is asked for.
const OPENING_TICK: Duration = Duration::from_secs(10);
/// How much more is asked for: a tick may be late.
const OPENING_TIME: Duration = Duration::from_secs(60);
/// What the bank needs to close beside the time that requests may take.
const CLOSING_MARGIN: Duration = Duration::from_secs(5);

/// Waits for the books to open. Meanwhile more time is asked for, because a migration of large books takes longer than any
/// limit on a start: every wait in it has an end of its own.
pub async fn while_opening<T>(opening: impl Future<Output = T>) -> T {
    let ask_for_time = async {
        let mut ticks = interval(OPENING_TICK);
        loop {
            ticks.tick().await;
            tell(&[ExtendTimeoutUsec(microseconds(OPENING_TIME)), Status("Opening the books.")]);
        }
    };
    tokio::select! {
        opened = opening => opened,
        () = ask_for_time => unreachable!("it goes on for ever"),
    }
}

/// The bank listens, and its books are open.
pub fn tell_ready() {
    tell(&[Ready, Status("The bank is open.")]);
}

/// The bank closes within `deadline`, whatever the service manager's own limit is.
pub fn tell_stopping(deadline: Duration) {
    let within = ExtendTimeoutUsec(microseconds(deadline.saturating_add(CLOSING_MARGIN)));
    tell(&[Stopping, within, Status("Closing: requests in flight are finished first.")]);
}

/// Tells the watchdog, for as long as it is true, that the writers work. Never ends.
pub async fn feed_watchdog(committer: &Committer) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return pending().await };
    loop {
        if committer.is_alive(limit / 4).await {
            tell(&[Watchdog]);
            sleep(limit / 2).await;
        } else {
            tracing::error!(
                "a writer of the ledger does not answer; if that goes on, the service manager ends the bank"
            );
            sleep(limit / 8).await;
        }
    }
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) cannot be told how the bank is");
    }
}

/// At most an hour and eleven minutes.
fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
