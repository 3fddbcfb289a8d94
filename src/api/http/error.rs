//! Why a request was not answered as asked: the one error type of the handlers.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::api::http::problem::{FieldError, Problem};
use coffer_core::audit::NoRoomForRecord;
use coffer_core::auth::hashing::HashError;
use coffer_core::books::refusal::Refusal;
use coffer_core::committer::SubmitError;
use coffer_core::db::errors::{self, Failure};
use coffer_core::disk::DiskFull;
use coffer_core::limits::Exceeded;
use coffer_core::problem_code::ProblemCode;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not answered as asked. Construct it where the cause is known, in the user's words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 422: one or more fields are not what they should be.
    #[error("{} invalid fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// The ledger's rules said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// 409: an atomic batch, with the refusal of each item that had one.
    #[error("an atomic batch was refused")]
    BatchRefused(Vec<Option<Refusal>>),
    /// 401: no token, or none that counts. One answer for all, so that it tells a forger nothing.
    #[error("{detail}")]
    Unauthorized { code: ProblemCode, detail: &'static str },
    /// Any other 4xx, and 507.
    #[error("{detail}")]
    Client { status: StatusCode, code: ProblemCode, detail: Cow<'static, str> },
    /// 429: too often.
    #[error(transparent)]
    TooMany(#[from] Exceeded),
    /// 503: not now; trying again soon may succeed.
    #[error("{detail}")]
    Busy { code: ProblemCode, detail: Cow<'static, str> },
    /// 504: the database did not say whether these transactions were booked.
    #[error("it is unknown whether {transactions:?} were booked")]
    OutcomeUnknown { transactions: Vec<Uuid> },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// 500: logged in full, told in one sentence.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// 422 about one field.
    pub fn invalid(pointer: impl Into<Cow<'static, str>>, code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }

    pub fn client(status: StatusCode, code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Client { status, code, detail: detail.into() }
    }

    pub fn not_found(code: ProblemCode, detail: &'static str) -> Self {
        Self::client(StatusCode::NOT_FOUND, code, detail)
    }

    pub fn conflict(code: ProblemCode, detail: &'static str) -> Self {
        Self::client(StatusCode::CONFLICT, code, detail)
    }

    pub fn forbidden(code: ProblemCode, detail: &'static str) -> Self {
        Self::client(StatusCode::FORBIDDEN, code, detail)
    }

    /// 507: what makes the books grow has to wait until the disk has room. The same whether the disk is full or has
    /// less free than its reserve, and whichever database says so.
    pub fn disk_full() -> Self {
        let detail =
            format!("{} What is only read is still answered. Nothing was written now.", Failure::DiskFull.in_words());
        Self::client(StatusCode::INSUFFICIENT_STORAGE, ProblemCode::DiskFull, detail)
    }

    pub fn user_not_found() -> Self {
        Self::not_found(ProblemCode::UserNotFound, "There is no such user.")
    }

    /// 404 for an account: the same whether it does not exist or belongs to somebody else.
    pub fn account_not_found() -> Self {
        Self::Refused(Refusal::AccountNotFound)
    }

    pub fn into_problem(self) -> Problem {
        match self {
            Self::Invalid(errors) => Problem::invalid(errors),
            Self::Refused(refusal) => refusal.into(),
            Self::BatchRefused(refusals) => Problem::batch_refused(refusals),
            Self::Unauthorized { code, detail } => Problem::new(StatusCode::UNAUTHORIZED, code, detail),
            Self::Client { status, code, detail } => Problem::new(status, code, detail),
            Self::TooMany(exceeded) => Problem::too_many(exceeded),
            Self::Busy { code, detail } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail),
            Self::Database(error) => problem_of_database(&error),
            Self::OutcomeUnknown { transactions } => Problem::outcome_unknown(&transactions),
            Self::Internal(error) => Problem::internal(&error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.into_problem().into_bodiless_response()
    }
}

/// 503 for what may pass, 504 for a commit without an answer, 500 for anything else.
fn problem_of_database(error: &sqlx::Error) -> Problem {
    let failure = errors::failure(error);
    let mut problem = match failure {
        Failure::InDoubt => {
            let detail = "The database did not say whether it was done. Look before you try again.";
            Problem::new(StatusCode::GATEWAY_TIMEOUT, ProblemCode::OutcomeUnknown, detail)
        }
        Failure::DiskFull => Error::disk_full().into_problem(),
        _ if failure.is_transient() => {
            let detail = format!("{} Try again.", failure.in_words());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::DatabaseUnavailable, detail)
        }
        _ => return Problem::internal(error),
    };
    problem.cause = Some(error.to_string());
    problem
}

impl From<DiskFull> for Error {
    fn from(_: DiskFull) -> Self {
        Self::disk_full()
    }
}

impl From<NoRoomForRecord> for Error {
    fn from(_: NoRoomForRecord) -> Self {
        let detail = "Whoever works here looks at other people's only on record, and the audit log cannot be written \
                      now. Try again.";
        Self::Busy { code: ProblemCode::AuditLogBusy, detail: detail.into() }
    }
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy {
                code: ProblemCode::LoginBusy,
                detail: "Too many sign-ins at once. Try again in a moment.".into(),
            },
            HashError::Failed(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        let busy = |code, detail: &'static str| Self::Busy { code, detail: detail.into() };
        match error {
            SubmitError::QueueFull => busy(
                ProblemCode::LedgerBusy,
                "More movements are waiting than the bank can take. Nothing was booked; try again.",
            ),
            SubmitError::Closing => busy(
                ProblemCode::ShuttingDown,
                "The bank is shutting down. Send the request again with the same Idempotency-Key.",
            ),
            SubmitError::AccountBusy => busy(
                ProblemCode::AccountBusy,
                "Somebody else holds what the movement needs. Nothing was booked; try again.",
            ),
            SubmitError::NotBooked(failure) => not_booked(failure),
            SubmitError::DiskFull(full) => full.into(),
            SubmitError::TooMany(exceeded) => exceeded.into(),
            SubmitError::OutcomeUnknown { transactions } => Self::OutcomeUnknown { transactions },
            SubmitError::Internal(cause) => Self::Internal(cause),
        }
    }
}

/// For a command of which it is certain that nothing was booked.
fn not_booked(failure: Failure) -> Error {
    let cause = match failure {
        Failure::DiskFull => return Error::disk_full(),
        Failure::InDoubt => "The database has not yet answered for the movements before yours.",
        _ => failure.in_words(),
    };
    Error::Busy {
        code: ProblemCode::DatabaseUnavailable,
        detail: format!("{cause} Nothing was booked; try again.").into(),
    }
}
