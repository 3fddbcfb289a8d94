//! The one error type of the API and the problem document (RFC 9457) it becomes.

use std::borrow::Cow;

use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::http::context::RequestIds;
use crate::api::http::extract::json_line;
use crate::audit::NoRoomForRecord;
use crate::auth::hashing::HashError;
use crate::auth::tokens;
use crate::books::refusal::Refusal;
use crate::committer::SubmitError;
use crate::db::errors::{self, Failure};
use crate::disk::DiskFull;
use crate::limits::{Allowance, Exceeded, Policy};
use crate::problem_code::ProblemCode;

pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What `Retry-After` advises when the bank is busy.
const RETRY_AFTER_SECONDS: u32 = 1;

/// RFC 9470: the token is good, and how long ago the user may have been asked, in seconds.
const RECENT_PROOF_CHALLENGE: &str = "Bearer error=\"insufficient_user_authentication\", max_age=300";
const _: () = assert!(tokens::RECENT.as_secs() == 300);

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

/// One field that must be corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a JSON pointer into the body (`/amount`), `?name` in the query, `{name}` in the path, or a header's name.
    #[schema(value_type = String, example = "/amount")]
    pub pointer: Cow<'static, str>,
    #[schema(value_type = String, example = "amount_must_be_a_string")]
    pub code: ProblemCode,
    /// What to send instead.
    #[schema(example = "send the amount as a JSON string: \"100.5\"")]
    pub detail: String,
}

/// A problem document (RFC 9457): every answer that is not a success has this body, as `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A page about this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient_funds")]
    pub problem_type: String,
    #[schema(example = "Insufficient funds")]
    pub title: String,
    /// The HTTP status again.
    #[schema(example = 409, minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened and what to do, for a person.
    #[schema(example = "20.00 USD is available, 100.50 USD was asked for.")]
    pub detail: String,
    /// The same kind of problem always has the same code, for a program.
    #[schema(value_type = String, example = "insufficient_funds")]
    pub code: ProblemCode,
    /// Quote it when you report a problem: the log has the same id.
    #[schema(example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")]
    pub request_id: String,
    /// The movement to look up, when it is unknown whether it was booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub transaction_id: Option<Uuid>,
    /// The fields to correct, when that is the problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// What the log is told and the client is not.
    #[serde(skip)]
    cause: Option<String>,
    /// The limit that was met.
    #[serde(skip)]
    limit: Option<Exceeded>,
}

impl FieldError {
    pub fn new(pointer: impl Into<Cow<'static, str>>, code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }

    /// From an error whose text is `code: detail`, as the parsers of [`crate::money`] and others write it.
    pub fn coded(pointer: impl Into<Cow<'static, str>>, text: &str) -> Self {
        match text.split_once(": ").and_then(|(code, detail)| Some((ProblemCode::from_name(code)?, detail))) {
            Some((code, detail)) => Self::new(pointer, code, detail),
            None => Self::new(pointer, ProblemCode::InvalidValue, text),
        }
    }
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

    /// 507: what makes the books grow has to wait until the disk has room. The same whether the disk is full or has less
    /// free than its reserve, and whichever database says so.
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

    fn into_problem(self) -> Problem {
        match self {
            Self::Invalid(errors) => Problem::invalid(errors),
            Self::Refused(refusal) => refusal.into(),
            Self::BatchRefused(refusals) => Problem::batch_refused(refusals),
            Self::Unauthorized { code, detail } => Problem::new(StatusCode::UNAUTHORIZED, code, detail),
            Self::Client { status, code, detail } => Problem::new(status, code, detail),
            Self::TooMany(exceeded) => Problem::too_many(exceeded),
            Self::Busy { code, detail } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail),
            Self::Database(error) => Problem::of_database(&error),
            Self::OutcomeUnknown { transactions } => Problem::outcome_unknown(&transactions),
            Self::Internal(error) => Problem::internal(&error),
        }
    }
}

impl Problem {
    pub fn new(status: StatusCode, code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            problem_type: format!("/problems/{code}"),
            title: code.title(),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            request_id: String::new(),
            transaction_id: None,
            errors: Vec::new(),
            cause: None,
            limit: None,
        }
    }

    /// 422. The code of the only error, or `validation_failed` when there are several.
    fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem = match &errors[..] {
            [only] => {
                let place = if only.pointer.is_empty() { "the body" } else { &only.pointer };
                let detail = format!("{place}: {}.", only.detail);
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, only.code, detail)
            }
            several => {
                let detail = format!("{} fields need to be corrected; see errors.", several.len());
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::ValidationFailed, detail)
            }
        };
        problem.errors = errors;
        problem
    }

    /// 409. Names the items that were at fault, not those that fell with them.
    fn batch_refused(refusals: Vec<Option<Refusal>>) -> Self {
        let at_fault = |(index, refusal): (usize, Option<Refusal>)| {
            let problem = Self::from(refusal.filter(|refusal| *refusal != Refusal::BatchRefused)?);
            Some(FieldError::new(format!("/transactions/{index}"), problem.code, problem.detail))
        };
        let errors = refusals.into_iter().enumerate().filter_map(at_fault).collect();
        Self { errors, ..Self::from(Refusal::BatchRefused) }
    }

    /// 429. Says which limit it was, and when there is room again.
    fn too_many(exceeded: Exceeded) -> Self {
        let (code, detail) = words_of(exceeded.policy);
        Self { limit: Some(exceeded), ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail) }
    }

    /// 504. Names what to look up: the movement, or each of a batch.
    fn outcome_unknown(transactions: &[Uuid]) -> Self {
        let detail = "The database did not say whether this was booked. Send it again with the same Idempotency-Key: it \
                      is booked once. Without a key, look it up first with GET /transactions/{id}, or \
                      GET /approvals/{id} if it may wait for approval.";
        let problem = Self::new(StatusCode::GATEWAY_TIMEOUT, ProblemCode::OutcomeUnknown, detail);
        if let [only] = transactions {
            return Self { transaction_id: Some(*only), ..problem };
        }
        let item = |(index, id): (usize, &Uuid)| {
            FieldError::new(
                format!("/transactions/{index}"),
                ProblemCode::OutcomeUnknown,
                format!("GET /transactions/{id} tells"),
            )
        };
        Self { errors: transactions.iter().enumerate().map(item).collect(), ..problem }
    }

    /// 503 for what may pass, 504 for a commit without an answer, 500 for anything else.
    fn of_database(error: &sqlx::Error) -> Self {
        let failure = errors::failure(error);
        let problem = match failure {
            Failure::InDoubt => {
                let detail = "The database did not say whether it was done. Look before you try again.";
                Self::new(StatusCode::GATEWAY_TIMEOUT, ProblemCode::OutcomeUnknown, detail)
            }
            Failure::DiskFull => Error::disk_full().into_problem(),
            _ if failure.is_transient() => {
                let detail = format!("{} Try again.", failure.in_words());
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::DatabaseUnavailable, detail)
            }
            _ => return Self::internal(error),
        };
        Self { cause: Some(error.to_string()), ..problem }
    }

    /// 500. The cause goes to the log, never to the client.
    fn internal(cause: &dyn std::fmt::Display) -> Self {
        let detail = "The bank failed to handle the request. Report the request_id: the log says more.";
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemCode::InternalError, detail);
        Self { cause: Some(cause.to_string()), ..problem }
    }

    /// What the framework answers by itself, put in our words.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(
                status,
                ProblemCode::PathNotFound,
                "There is nothing at this path. GET /openapi.json lists every path.",
            ),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                ProblemCode::MethodNotAllowed,
                "This path does not take this method; the Allow header lists those it takes.",
            ),
            StatusCode::REQUEST_TIMEOUT => {
                Self::new(status, ProblemCode::RequestTimeout, "The request took too long to arrive.")
            }
            StatusCode::SERVICE_UNAVAILABLE => Self::new(
                status,
                ProblemCode::TimedOut,
                "The bank could not answer in time. See whether it was done before you try again.",
            ),
            _ if status.is_server_error() => Self::internal(&status),
            _ => Self::new(status, ProblemCode::BadRequest, "The request could not be understood."),
        }
    }

    /// The response of this problem. Its body is written by [`Problem::write_body`] once the request id is known.
    fn into_bodiless_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        match status {
            StatusCode::UNAUTHORIZED => {
                // RFC 6750 section 3.1: the error is named only when there was a token.
                let challenge = match self.code {
                    ProblemCode::InvalidToken => "Bearer error=\"invalid_token\"",
                    ProblemCode::RecentSignInRequired => RECENT_PROOF_CHALLENGE,
                    _ => "Bearer",
                };
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            // RFC 9110 section 15.5.16: this says which of the two it was.
            StatusCode::UNSUPPORTED_MEDIA_TYPE if self.code == ProblemCode::ContentEncodingUnsupported => {
                response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            }
            _ => {}
        }
        if let Some(Exceeded { policy, allowance }) = self.limit {
            let seconds = allowance.reset.as_secs_f64().ceil() as u64;
            response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
            tell_allowance(response.headers_mut(), policy, allowance);
        }
        response.extensions_mut().insert(self);
        response
    }

    /// Gives every 4xx and 5xx response its problem document, whoever made it. Keeps the headers that carry meaning.
    pub fn write_body(mut response: Response, ids: &RequestIds) -> Response {
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Self::of_status(status));
        let problem = Self { request_id: ids.own().to_owned(), ..problem };
        if let Some(cause) = &problem.cause {
            let (request_id, client_request_id) = (ids.own(), ids.client());
            tracing::error!(request_id, client_request_id, cause, code = problem.code.name(), "a request failed");
        }
        let body = json_line(&problem).unwrap_or_default();
        let mut written = (status, body).into_response();
        let headers = written.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for name in [ACCEPT_ENCODING, ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE, RATE_LIMIT, RATE_LIMIT_POLICY] {
            if let Some(value) = response.headers_mut().remove(&name) {
                headers.insert(name, value);
            }
        }
        written
    }
}

/// What the limit is called in headers.
fn name_of(policy: Policy) -> &'static str {
    match policy {
        Policy::Address => "address",
        Policy::Caller => "caller",
        Policy::Probes => "probes",
        Policy::Metrics => "metrics",
        Policy::Changes => "changes",
        Policy::Looks => "looks",
        Policy::SignUps => "sign-up",
        Policy::Guesses => "sign-in",
        Policy::Codes => "second-factor",
        Policy::SignIns => "sessions",
        Policy::Openings => "openings-day",
        Policy::Movements => "movements",
        Policy::MovementsOfDay => "movements-day",
    }
}

/// The code of a refusal by this limit, and what to do.
fn words_of(policy: Policy) -> (ProblemCode, &'static str) {
    match policy {
        Policy::Address | Policy::Probes | Policy::Metrics => {
            (ProblemCode::TooManyRequests, "Too many requests from this address. Wait as long as Retry-After says.")
        }
        Policy::Caller => (ProblemCode::TooManyRequests, "Too many requests. Wait as long as Retry-After says."),
        Policy::Changes => (
            ProblemCode::TooManyChanges,
            "You have changed more in a day than the bank takes from one caller. Wait as long as Retry-After says; \
             movements, signing out and what is only read have their own limits.",
        ),
        Policy::Looks => (
            ProblemCode::TooManyRequests,
            "You have looked at more people and accounts in a day than the bank keeps records of. Wait as long as \
             Retry-After says.",
        ),
        Policy::SignUps => {
            (ProblemCode::TooManySignUps, "Too many new customers from this network. Wait as long as Retry-After says.")
        }
        Policy::Guesses => {
            (ProblemCode::TooManySignIns, "Too many wrong passwords. Wait as long as Retry-After says, then try again.")
        }
        Policy::Codes => {
            (ProblemCode::TooManyCodes, "Too many wrong codes. Wait as long as Retry-After says, then try again.")
        }
        Policy::SignIns => (
            ProblemCode::TooManySignIns,
            "You have signed in too often. Keep the session and renew its tokens with POST /refresh.",
        ),
        Policy::Openings => (
            ProblemCode::TooManyOpenings,
            "You have opened as many accounts in 24 hours as one may. Wait as long as Retry-After says.",
        ),
        Policy::Movements => (
            ProblemCode::TooManyMovements,
            "You have had more movements booked in a short time than the bank takes from one caller. Nothing was booked \
             now: wait as long as Retry-After says, or send fewer at once.",
        ),
        Policy::MovementsOfDay => (
            ProblemCode::TooManyMovements,
            "You have had more movements booked in a day than the bank takes from one caller. Nothing was booked now: \
             wait as long as Retry-After says, or send fewer at once.",
        ),
    }
}

/// The headers of draft-ietf-httpapi-ratelimit-headers-10: which limit there is, and what is left of it.
pub fn tell_allowance(headers: &mut HeaderMap, policy: Policy, allowance: Allowance) {
    let Allowance { quota, remaining, reset } = allowance;
    let policy = name_of(policy);
    let window = (quota.interval * quota.burst).as_secs_f64().ceil();
    let left = format!("\"{policy}\";r={remaining};t={}", reset.as_secs_f64().ceil());
    for (name, value) in [(RATE_LIMIT_POLICY, format!("\"{policy}\";q={};w={window}", quota.burst)), (RATE_LIMIT, left)]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
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

/// 404 for what the caller may not see, 403 for what the caller may not do, 422 for what no state of the books could
/// accept, 409 for what another state of the account could.
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
            Refusal::InsufficientFunds { .. } => plain(StatusCode::CONFLICT, ProblemCode::InsufficientFunds, &refusal),
            Refusal::BalanceOverflow => plain(StatusCode::CONFLICT, ProblemCode::BalanceOverflow, &refusal),
            Refusal::SameAccount => field("/to_account", ProblemCode::SameAccount, &refusal),
            Refusal::CurrencyMismatch { .. } => field("/currency", ProblemCode::CurrencyMismatch, &refusal),
            Refusal::TransferBetweenCurrencies { .. } => field("/to_account", ProblemCode::CurrencyMismatch, &refusal),
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
            Refusal::Amount(error) => Problem::invalid(vec![FieldError::coded("/amount", &error.to_string())]),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.into_problem().into_bodiless_response()
    }
}
