//! Refusals of the ledger as problems.

use axum::http::StatusCode;

use crate::api::http::problem::{FieldError, Problem};
use coffer_core::books::account_limits::{Excess, LimitKind};
use coffer_core::books::refusal::Refusal;
use coffer_core::money::Money;
use coffer_core::problem_code::ProblemCode;

/// 404 for what the caller may not see, 403 for what the caller may not do, 412 for a precondition, 422 for what no state
/// of the books could accept, 409 for what another state of the account could.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let field = |pointer: &'static str, code: ProblemCode, refusal: &Refusal| {
            let detail = refusal.to_string();
            Problem::invalid(vec![FieldError::new(pointer, code, detail.trim_end_matches('.'))])
        };
        let plain = |status, code: ProblemCode, refusal: &Refusal| Problem::new(status, code, refusal.to_string());
        match &refusal {
            Refusal::AccountNotFound => plain(StatusCode::NOT_FOUND, ProblemCode::AccountNotFound, &refusal),
            Refusal::DepositsByStaffOnly => plain(StatusCode::FORBIDDEN, ProblemCode::DepositsByStaffOnly, &refusal),
            Refusal::ReceiverNotFound => plain(StatusCode::NOT_FOUND, ProblemCode::ReceiverNotFound, &refusal),
            Refusal::AccountClosed => plain(StatusCode::CONFLICT, ProblemCode::AccountClosed, &refusal),
            Refusal::AccountFrozen => plain(StatusCode::CONFLICT, ProblemCode::AccountFrozen, &refusal),
            Refusal::ReceiverUnavailable => plain(StatusCode::CONFLICT, ProblemCode::ReceiverUnavailable, &refusal),
            Refusal::BalanceMovedOn { sequence } => {
                let problem = plain(StatusCode::PRECONDITION_FAILED, ProblemCode::BalanceMovedOn, &refusal);
                problem.with_entity_tag(&format!("\"{sequence}\""))
            }
            Refusal::InsufficientFunds { available, requested, held } => {
                let problem = plain(StatusCode::CONFLICT, ProblemCode::InsufficientFunds, &refusal);
                insufficient_funds(problem, *available, *requested, *held)
            }
            Refusal::LimitExceeded(excess) => {
                limit_exceeded(plain(StatusCode::CONFLICT, ProblemCode::LimitExceeded, &refusal), excess)
            }
            Refusal::KeyLimitExceeded { allowed, used, requested } => {
                let problem = plain(StatusCode::CONFLICT, ProblemCode::ApiKeyLimitExceeded, &refusal);
                key_limit_exceeded(problem, *allowed, *used, *requested)
            }
            Refusal::OverdraftInUse { used, requested } => {
                let problem = plain(StatusCode::CONFLICT, ProblemCode::OverdraftInUse, &refusal);
                overdraft_in_use(problem, *used, *requested)
            }
            Refusal::BalanceOverflow => plain(StatusCode::CONFLICT, ProblemCode::BalanceOverflow, &refusal),
            Refusal::SameAccount => field("/to_account", ProblemCode::SameAccount, &refusal),
            Refusal::CurrencyMismatch { .. } => field("/currency", ProblemCode::CurrencyMismatch, &refusal),
            Refusal::TransferBetweenCurrencies { .. } => field("/to_account", ProblemCode::CurrencyMismatch, &refusal),
            Refusal::ReferenceTaken { by } => {
                plain(StatusCode::CONFLICT, ProblemCode::ReferenceTaken, &refusal).of_movement(*by)
            }
            Refusal::ReferenceRepeated => plain(StatusCode::CONFLICT, ProblemCode::ReferenceTaken, &refusal),
            Refusal::BatchRefused => plain(StatusCode::CONFLICT, ProblemCode::BatchRefused, &refusal),
            Refusal::IdempotencyKeyReused => field("Idempotency-Key", ProblemCode::IdempotencyKeyReused, &refusal),
            Refusal::ApprovalRequired { .. } => field("/amount", ProblemCode::ApprovalRequired, &refusal),
            Refusal::ApproverOwnsAccount => plain(StatusCode::FORBIDDEN, ProblemCode::OwnAccount, &refusal),
            Refusal::TooManyPending { .. } => {
                plain(StatusCode::CONFLICT, ProblemCode::TooManyPendingApprovals, &refusal)
            }
            Refusal::ReversalPending { .. } => plain(StatusCode::CONFLICT, ProblemCode::ReversalPending, &refusal),
            Refusal::ApprovalNotPending => plain(StatusCode::CONFLICT, ProblemCode::ApprovalNotPending, &refusal),
            Refusal::AlreadyReversed { .. } => plain(StatusCode::CONFLICT, ProblemCode::AlreadyReversed, &refusal),
            Refusal::IsAReversal { .. } => plain(StatusCode::CONFLICT, ProblemCode::IsAReversal, &refusal),
            Refusal::HoldNotFound => plain(StatusCode::NOT_FOUND, ProblemCode::HoldNotFound, &refusal),
            Refusal::HoldCaptured => plain(StatusCode::CONFLICT, ProblemCode::HoldCaptured, &refusal),
            Refusal::HoldReleased => plain(StatusCode::CONFLICT, ProblemCode::HoldReleased, &refusal),
            Refusal::HoldExpired => plain(StatusCode::CONFLICT, ProblemCode::HoldExpired, &refusal),
            Refusal::CaptureExceedsHold { .. } => field("/amount", ProblemCode::CaptureExceedsHold, &refusal),
            Refusal::HoldLifetime => field("/expires_at", ProblemCode::HoldLifetime, &refusal),
            Refusal::TooManyHolds { .. } => plain(StatusCode::CONFLICT, ProblemCode::TooManyHolds, &refusal),
            Refusal::Amount(error) => Problem::invalid(vec![FieldError::coded("/amount", &error.to_string())]),
        }
    }
}

fn insufficient_funds(problem: Problem, available: Money, requested: Money, held: Money) -> Problem {
    let short_by = requested.minor_units.saturating_sub(available.minor_units);
    Problem {
        currency: Some(requested.currency),
        requested: Some(requested.to_string()),
        available: Some(available),
        held: Some(held),
        short_by: Some(Money::new(short_by, requested.currency)),
        ..problem
    }
}

fn limit_exceeded(problem: Problem, excess: &Excess) -> Problem {
    let written = |number| Some(excess.limit.written(number, excess.currency));
    Problem {
        currency: Some(excess.currency).filter(|_| excess.limit != LimitKind::MovementsPerDay),
        requested: written(excess.requested),
        limit: Some(excess.limit),
        allowed: written(excess.allowed),
        used: excess.period.and_then(|period| written(period.used)),
        remaining: written(excess.remaining()),
        resets_at: excess.period.map(|period| period.resets_at),
        ..problem
    }
}

fn key_limit_exceeded(problem: Problem, allowed: Money, used: Money, requested: Money) -> Problem {
    let remaining = Money::new((allowed.minor_units - used.minor_units).max(0), allowed.currency);
    Problem {
        currency: Some(allowed.currency),
        requested: Some(requested.to_string()),
        allowed: Some(allowed.to_string()),
        used: Some(used.to_string()),
        remaining: Some(remaining.to_string()),
        ..problem
    }
}

fn overdraft_in_use(problem: Problem, used: Money, requested: Money) -> Problem {
    Problem {
        currency: Some(used.currency),
        used: Some(used.to_string()),
        requested: Some(requested.to_string()),
        ..problem
    }
}
