//! The metrics of the bank: the one table of their names, and what records them.
//!
//! Names follow Prometheus' conventions (<https://prometheus.io/docs/practices/naming/>): base units, the unit last,
//! `_total` for what only grows. Whoever measures something names it by the macros of [`metrics`]; tests fail on a name
//! that is not in [`METRICS`], and on one of [`METRICS`] that `docs/METRICS.md` does not have.

use std::sync::OnceLock;

use metrics::{KeyName, Recorder, SharedString};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::process;

/// A metric, whatever its labels.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// Names of the labels, separated by commas.
    pub labels: &'static str,
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Seconds, from a cached read to a commit on a slow disk. Few, because each is a series for every route.
const LATENCY_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Seconds, from a decision to a commit that hangs.
const STAGE_BUCKETS: &[f64] = &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];
/// Commands.
const BATCH_BUCKETS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

macro_rules! metrics_table {
    ($($kind:ident $(($buckets:ident))? $name:literal [$labels:literal] $help:literal,)*) => {
        /// Every metric, by name.
        pub const METRICS: &[Metric] = &[$(
            Metric { name: $name, kind: Kind::$kind $(($buckets))?, labels: $labels, help: $help },
        )*];
    };
}

// In the order of the alphabet.
metrics_table! {
    Gauge "coffer_approvals_waiting" [""]
        "Requests that wait for a second approver. Of the whole bank: every instance says the same.",
    Gauge "coffer_backup_age_seconds" [""]
        "Seconds since the last good backup in COFFER_BACKUP_DIR, by its name if an earlier process has made it. Before the first one that is made by the clock, since the bank opened.",
    Counter "coffer_backups_total" ["outcome"]
        "Backups that this process has tried to make, by outcome (done, failed).",
    Gauge "coffer_build_info" ["version,sqlite_version"]
        "Always 1; its labels say what is running.",
    Gauge "coffer_clock_behind_seconds" [""]
        "How far the clock is behind the date of the newest movement.",
    Gauge "coffer_connections" [""]
        "Client connections that are open, without those to COFFER_ADMIN_LISTEN.",
    Gauge "coffer_connections_max" [""]
        "The most client connections at once.",
    Counter "coffer_connections_refused_total" [""]
        "Connections refused because there were too many, in all or from one network.",
    Gauge "coffer_database_connections" ["pool,state"]
        "Connections to the database by pool (read, write) and state (idle, used). The writers of the ledger have others.",
    Gauge "coffer_database_connections_max" ["pool"]
        "The most connections of a pool.",
    Gauge "coffer_disk_free_bytes" [""]
        "SQLite: free room on the disk of the books, for whoever the bank runs as.",
    Gauge "coffer_disk_reserve_reached" [""]
        "SQLite: 1 while movements are refused because the disk has less room than COFFER_DISK_RESERVE, otherwise 0.",
    Gauge "coffer_holds_open" [""]
        "Holds that keep money, up to 100,000. Of the whole bank: every instance says the same.",
    Histogram(LATENCY_BUCKETS) "coffer_http_request_duration_seconds" ["method,route"]
        "How long requests took, without what they chose to wait for another answer (Prefer: wait).",
    Counter "coffer_http_requests_total" ["method,route,status"]
        "Requests that were answered.",
    Histogram(BATCH_BUCKETS) "coffer_ledger_batch_commands" [""]
        "Commands that were carried out in one database transaction.",
    Counter "coffer_ledger_batch_retries_total" [""]
        "Batches that failed for a passing reason and were tried again.",
    Counter "coffer_ledger_commits_without_answer_total" [""]
        "Commits that the database did not answer, so that what became of them was looked up.",
    Gauge "coffer_ledger_in_doubt" [""]
        "Writers that do not know yet whether their last commit took effect. They take no other movement meanwhile.",
    Gauge "coffer_ledger_last_write_age_seconds" [""]
        "Seconds since the last durable write of the writer that has written nothing for longest. While it is asked for, at most some seconds.",
    Gauge "coffer_ledger_queue_commands" [""]
        "Commands that wait or are being carried out.",
    Gauge "coffer_ledger_queue_commands_max" [""]
        "The most commands that may wait: more are refused with 503.",
    Gauge "coffer_ledger_ready" [""]
        "1 when every writer could write a moment ago, as GET /readyz says, otherwise 0.",
    Histogram(STAGE_BUCKETS) "coffer_ledger_stage_duration_seconds" ["stage"]
        "How long each stage of a batch took: wait (of its first request), load (with the locks), decide, write, commit.",
    Counter "coffer_mails_total" ["outcome"]
        "Tries to send a mail: sent, postponed, refused for good, given_up after a day.",
    Gauge "coffer_mails_waiting" [""]
        "Mails that the mail server has not taken yet. Of the whole bank: every instance says the same.",
    Counter "coffer_movements_total" ["type,outcome"]
        "Movements that were decided: posted, held, pending_approval, replayed (by an Idempotency-Key), refused. One that is approved or captured counts once more, as posted.",
    Counter "coffer_refusals_total" ["code"]
        "Requests, and items of batches, that were refused or failed, by the code of their problem.",
    Counter "coffer_sign_ins_total" ["outcome"]
        "Sign-ins: succeeded, wrong_password, wrong_code, too_many_tries; and wrong_proof within a session.",
    Gauge "coffer_sqlite_wal_bytes" [""]
        "SQLite: size of the write-ahead log's file.",
    Counter "coffer_webhook_attempts_total" ["outcome"]
        "Tries to deliver an event to a webhook: delivered, postponed, failed for good.",
    Gauge "coffer_webhook_deliveries_waiting" [""]
        "Deliveries to enabled webhooks that have not succeeded yet, up to 100,000. Of the whole bank: every instance says the same.",
    Gauge "coffer_webhook_events_behind" [""]
        "Events that the webhook furthest behind has not looked at yet. Of the whole bank: every instance says the same.",
    Counter "process_cpu_seconds_total" [""]
        "Processor time of the process, for itself and in the system, in whole seconds.",
    Gauge "process_max_fds" [""]
        "The most files that the process may have open.",
    Gauge "process_open_fds" [""]
        "Files that the process has open, connections among them.",
    Gauge "process_resident_memory_bytes" [""]
        "Memory of the process that is in the machine's.",
    Gauge "process_start_time_seconds" [""]
        "When the process started, in seconds since 1970.",
    Gauge "process_threads" [""]
        "Threads of the process.",
    Gauge "process_virtual_memory_bytes" [""]
        "Memory that the process has asked for.",
}

/// Installs the process's recorder, once.
///
/// Call it before anything is measured: a handle that was made before records nothing.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let recorder = builder.build_recorder();
    // Another bank in this process (a test) may have been first; then its recorder is used.
    let handle = RECORDER.get_or_init(|| {
        let handle = recorder.handle();
        describe(&recorder);
        let _ = metrics::set_global_recorder(recorder);
        handle
    });
    process::note_start();
    begin_with_nothing();
    let sqlite_version = rusqlite::version();
    metrics::gauge!("coffer_build_info", "version" => env!("CARGO_PKG_VERSION"), "sqlite_version" => sqlite_version)
        .set(1);
    Ok(handle.clone())
}

fn describe(recorder: &impl Recorder) {
    for metric in METRICS {
        let (name, help) = (KeyName::from(metric.name), SharedString::const_str(metric.help));
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
        }
    }
}

/// Counters whose labels are known begin with 0, so that their first increase is seen as one. So does what is first measured
/// once there is a movement.
fn begin_with_nothing() {
    metrics::gauge!("coffer_clock_behind_seconds").set(0);
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter && metric.labels.is_empty()) {
        metrics::counter!(metric.name).absolute(0);
    }
    // Of the many codes those that alerts name.
    for code in ["internal_error", "outcome_unknown"] {
        metrics::counter!("coffer_refusals_total", "code" => code).absolute(0);
    }
    for (name, outcomes) in [
        ("coffer_backups_total", &["done", "failed"][..]),
        ("coffer_mails_total", &["sent", "postponed", "refused", "given_up"]),
        ("coffer_sign_ins_total", &["succeeded", "wrong_password", "wrong_code", "too_many_tries", "wrong_proof"]),
        ("coffer_webhook_attempts_total", &["delivered", "postponed", "failed"]),
    ] {
        for outcome in outcomes {
            metrics::counter!(name, "outcome" => *outcome).absolute(0);
        }
    }
}
