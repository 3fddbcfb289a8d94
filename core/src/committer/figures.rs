//! What the writers measure.

use std::time::{Duration, Instant};

use metrics::{Counter, Histogram};

use crate::books::command::Command;
use crate::books::decisions::{Receipt, Verdict};
use crate::books::movement::MovementType;
use crate::traces::{BatchTrace, RequestTrace};

const TYPES: [MovementType; 3] = [MovementType::Deposit, MovementType::Withdrawal, MovementType::Transfer];
const OUTCOMES: [&str; 5] = ["posted", "held", "pending_approval", "replayed", "refused"];

/// Handles, each looked up once: a batch may be a single movement.
pub(super) struct Figures {
    pub batch_commands: Histogram,
    pub batch_retries: Counter,
    pub commits_without_answer: Counter,
    pub wait: Histogram,
    pub load: Stage,
    pub decide: Stage,
    pub write: Stage,
    pub commit: Stage,
    /// In the order of [`TYPES`] and [`OUTCOMES`].
    movements: [[Counter; OUTCOMES.len()]; TYPES.len()],
}

/// A part of what is done for a batch.
pub(super) struct Stage {
    name: &'static str,
    seconds: Histogram,
}

impl Figures {
    pub fn new() -> Self {
        let seconds =
            |stage: &'static str| metrics::histogram!("coffer_ledger_stage_duration_seconds", "stage" => stage);
        let stage = |name| Stage { name, seconds: seconds(name) };
        let of_type = |movement: MovementType| {
            OUTCOMES.map(|outcome| {
                let counter =
                    metrics::counter!("coffer_movements_total", "type" => movement.name(), "outcome" => outcome);
                counter.increment(0);
                counter
            })
        };
        Self {
            batch_commands: metrics::histogram!("coffer_ledger_batch_commands"),
            batch_retries: metrics::counter!("coffer_ledger_batch_retries_total"),
            commits_without_answer: metrics::counter!("coffer_ledger_commits_without_answer_total"),
            wait: seconds("wait"),
            load: stage("load"),
            decide: stage("decide"),
            write: stage("write"),
            commit: stage("commit"),
            movements: TYPES.map(of_type),
        }
    }

    /// Counts what became of a request's commands.
    pub fn count(&self, commands: &[Command], verdicts: &[Verdict]) {
        for (command, verdict) in commands.iter().zip(verdicts) {
            let movement = match command.movement.movement_type() {
                MovementType::Deposit => 0,
                MovementType::Withdrawal => 1,
                MovementType::Transfer => 2,
            };
            let outcome = match verdict {
                Ok(Receipt::Posted(_)) => 0,
                Ok(Receipt::Held(_)) => 1,
                Ok(Receipt::Pending(_)) => 2,
                Ok(Receipt::Replay { .. }) => 3,
                Err(_) => 4,
            };
            self.movements[movement][outcome].increment(1);
        }
    }
}

/// Measures stages that follow each other.
pub(super) struct Stopwatch {
    since: Instant,
    is_probe: bool,
    trace: BatchTrace,
}

impl Stopwatch {
    /// A batch without movements is a probe, which has no place among their figures.
    pub fn start(trace: BatchTrace, is_probe: bool) -> Self {
        Self { since: Instant::now(), is_probe, trace }
    }

    /// Records the time since the last call, or since the start.
    pub fn lap(&mut self, stage: &Stage) {
        let now = Instant::now();
        let took = now - self.since;
        if !self.is_probe {
            stage.seconds.record(took);
        }
        self.trace.stage(stage.name, took);
        self.since = now;
    }

    /// The batch is booked, with these requests. With each comes how long it has waited for that.
    pub fn end<'a>(self, requests: impl Iterator<Item = (&'a RequestTrace, Duration)>) {
        self.trace.end(requests);
    }
}
