//! The problem document (RFC 9457) that every error becomes.

use std::borrow::Cow;

use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::http::extract::json_line;
use crate::api::http::rate_limits::{RATE_LIMIT, RATE_LIMIT_POLICY, tell_allowance, words_of};
use coffer_core::auth::tokens;
use coffer_core::books::account_limits::LimitKind;
use coffer_core::books::refusal::Refusal;
use coffer_core::limits::Exceeded;
use coffer_core::money::{Currency, Money};
use coffer_core::problem_code::ProblemCode;
use coffer_core::request_ids::RequestIds;
use coffer_core::timestamp::Timestamp;

/// The `Retry-After` of a busy bank.
const RETRY_AFTER_SECONDS: u32 = 1;

/// RFC 9470: the token is good, and how long ago the user may have been asked, in seconds.
const RECENT_PROOF_CHALLENGE: &str = "Bearer error=\"insufficient_user_authentication\", max_age=300";
const _: () = assert!(tokens::RECENT.as_secs() == 300);

/// One field that must be corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a JSON pointer into the body (`/amount`), `?name` in the query, `{name}` in the path, or a header's name.
    #[schema(value_type = String, example = "/amount")]
    pub pointer: Cow<'static, str>,
    /// The kind of mistake, for a program; `GET /problems/{code}` explains it.
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
    /// A short name for this kind of problem, the same for every problem with the same `code`.
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
    /// The movement to look up, when it is unknown whether it was booked, or when it has the reference already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub transaction_id: Option<Uuid>,
    /// The fields to correct, when that is the problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// The currency of the amounts beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) currency: Option<Currency>,
    /// The amount that was asked for or, if the limit is `movements_per_day`, the count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "100.50")]
    pub(super) requested: Option<String>,
    /// What could be withdrawn, of `insufficient_funds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) available: Option<Money>,
    /// What holds and movements that wait for approval keep, of `insufficient_funds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) held: Option<Money>,
    /// How much is missing, of `insufficient_funds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) short_by: Option<Money>,
    /// The limit that was met, of `limit_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) limit: Option<LimitKind>,
    /// How much it allows: an amount or, of `movements_per_day`, a count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "500.00")]
    pub(super) allowed: Option<String>,
    /// How much of it is used; absent for `per_movement`. Of `overdraft_in_use`: how much of the overdraft.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "450.00")]
    pub(super) used: Option<String>,
    /// How much of it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "50.00")]
    pub(super) remaining: Option<String>,
    /// When all of it is there again; absent for `per_movement`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) resets_at: Option<Timestamp>,
    /// The cause, for the log alone.
    #[serde(skip)]
    pub(super) cause: Option<String>,
    /// Where to look.
    #[serde(skip)]
    pub(super) location: Option<String>,
    /// `ETag`: the version that there is, when another one was expected.
    #[serde(skip)]
    pub(super) entity_tag: Option<HeaderValue>,
    /// The limit of requests that was met.
    #[serde(skip)]
    pub(super) exceeded: Option<Exceeded>,
}

/// Counts that a request, or an item of a batch, was answered with this problem.
pub fn count_refusal(code: ProblemCode) {
    metrics::counter!("coffer_refusals_total", "code" => code.name()).increment(1);
}

impl FieldError {
    pub fn new(pointer: impl Into<Cow<'static, str>>, code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }

    /// From an error whose text is `code: detail`, as the parsers of [`coffer_core::money`] and others write it.
    pub fn coded(pointer: impl Into<Cow<'static, str>>, text: &str) -> Self {
        match text.split_once(": ").and_then(|(code, detail)| Some((ProblemCode::from_name(code)?, detail))) {
            Some((code, detail)) => Self::new(pointer, code, detail),
            None => Self::new(pointer, ProblemCode::InvalidValue, text),
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
            currency: None,
            requested: None,
            available: None,
            held: None,
            short_by: None,
            limit: None,
            allowed: None,
            used: None,
            remaining: None,
            resets_at: None,
            cause: None,
            exceeded: None,
            location: None,
            entity_tag: None,
        }
    }

    /// Names a movement of the caller's to look up.
    pub(super) fn of_movement(self, id: Uuid) -> Self {
        Self { transaction_id: Some(id), location: Some(format!("/transactions/{id}")), ..self }
    }

    /// With the `ETag` of what there is, in its quotes.
    pub(super) fn with_entity_tag(self, tag: &str) -> Self {
        Self { entity_tag: HeaderValue::from_str(tag).ok(), ..self }
    }

    /// 422. The code of the only error, or `validation_failed` when there are several.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
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
    pub(super) fn batch_refused(refusals: Vec<Option<Refusal>>) -> Self {
        let at_fault = |(index, refusal): (usize, Option<Refusal>)| {
            let problem = Self::from(refusal.filter(|refusal| *refusal != Refusal::BatchRefused)?);
            Some(FieldError::new(format!("/transactions/{index}"), problem.code, problem.detail))
        };
        let errors = refusals.into_iter().enumerate().filter_map(at_fault).collect();
        Self { errors, ..Self::from(Refusal::BatchRefused) }
    }

    /// 429. Says which limit it was, and when there is room again.
    pub(super) fn too_many(exceeded: Exceeded) -> Self {
        let (code, detail) = words_of(exceeded.policy);
        Self { exceeded: Some(exceeded), ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail) }
    }

    /// 504. Names what to look up: the movement, or each of a batch.
    pub(super) fn outcome_unknown(transactions: &[Uuid]) -> Self {
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

    /// 500. The cause goes to the log, never to the client.
    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        let detail = "The bank failed to handle the request. Report the request_id: the log says more.";
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemCode::InternalError, detail);
        Self { cause: Some(cause.to_string()), ..problem }
    }

    /// The problem for an error that the framework itself answers with this status.
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
    pub(super) fn into_bodiless_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        match status {
            StatusCode::UNAUTHORIZED => {
                // RFC 6750 section 3.1: the error is named only when there was a token.
                let challenge = match self.code {
                    ProblemCode::InvalidToken | ProblemCode::ApiKeyInvalid => "Bearer error=\"invalid_token\"",
                    ProblemCode::RecentSignInRequired => RECENT_PROOF_CHALLENGE,
                    _ => "Bearer",
                };
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            // RFC 9110 section 15.5.16: this says which of the two it was.
            StatusCode::UNSUPPORTED_MEDIA_TYPE if self.code == ProblemCode::ContentEncodingUnsupported => {
                response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            }
            _ => {}
        }
        if let Some(location) = self.location.as_deref().and_then(|path| HeaderValue::from_str(path).ok()) {
            response.headers_mut().insert(LOCATION, location);
        }
        if let Some(Exceeded { policy, allowance }) = self.exceeded {
            let seconds = allowance.reset.as_secs_f64().ceil() as u64;
            response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
            tell_allowance(response.headers_mut(), policy, allowance);
        }
        if let Some(tag) = &self.entity_tag {
            response.headers_mut().insert(ETAG, tag.clone());
        }
        response.extensions_mut().insert(self);
        response
    }

    /// Gives every 4xx and 5xx response its problem document, whoever made it. Keeps the headers that carry meaning, and
    /// puts the code into the extensions.
    pub fn write_body(mut response: Response, ids: &RequestIds) -> Response {
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Self::of_status(status));
        let problem = Self { request_id: ids.own().to_owned(), ..problem };
        if let Some(cause) = &problem.cause {
            tracing::error!(cause, code = problem.code.name(), "a request failed");
        }
        let body = json_line(&problem).unwrap_or_default();
        let mut written = (status, body).into_response();
        written.extensions_mut().insert(problem.code);
        let headers = written.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let kept = [ACCEPT_ENCODING, ALLOW, CONNECTION, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE];
        for name in kept.into_iter().chain([RATE_LIMIT, RATE_LIMIT_POLICY]) {
            if let Some(value) = response.headers_mut().remove(&name) {
                headers.insert(name, value);
            }
        }
        written
    }
}
