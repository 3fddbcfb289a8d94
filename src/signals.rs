//! The signals that tell the bank to close.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that comes within this time of the first means the same: a terminal and the program that started the bank
/// may both pass on one Ctrl-C, and a session that ends sends several.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Each signal that people and service managers send to end a program, and those that would end it by default, so that
/// none ends the bank in the middle of an answer. SIGUSR1 is none of them: it asks for a backup. SIGKILL cannot be caught.
const KINDS: [SignalKind; 5] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::user_defined2(),
    SignalKind::hangup(),
];

/// Catches them from when it is made.
pub struct Signals(Vec<Signal>);

impl Signals {
    /// A SIGHUP that was ignored before, as by `nohup`, stays ignored.
    pub fn catch() -> io::Result<Self> {
        let is_wanted = |kind: &SignalKind| *kind != SignalKind::hangup() || !is_ignored(*kind);
        KINDS.into_iter().filter(is_wanted).map(signal).collect::<io::Result<_>>().map(Self)
    }

    pub async fn next(&mut self) {
        let signals = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(signals).await;
    }

    /// Waits for another signal, by somebody for whom the first was not enough.
    pub async fn insistent(&mut self) {
        let once_more = async {
            loop {
                self.next().await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(ONE_WISH, once_more).await;
        self.next().await;
    }
}

/// Whether whoever started this process had it ignore the signal. Known on Linux only.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    (mask >> (kind.as_raw_value() - 1)) & 1 == 1
}
