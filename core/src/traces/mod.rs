//! Traces of requests for OpenTelemetry, behind the cargo feature `otel`.
//!
//! A request is a span, which goes on with the trace of its header `traceparent` (W3C Trace Context); a movement in it has a
//! span of its own, from the queue to the answer, with a link to the batch that it was booked in. A batch is a trace by
//! itself, because it belongs to many requests: its stages are its children. Spans name routes and ids, no person, account
//! or amount.
//!
//! Everything is set by the variables of the specification
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>); without an endpoint, or without the
//! feature, nothing is traced and nothing costs anything.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod exported;

#[cfg(not(feature = "otel"))]
pub use absent::{BatchTrace, Exporter, RequestTrace};
#[cfg(feature = "otel")]
pub use exported::{BatchTrace, Exporter, RequestTrace};

/// What became of a request, in the words of its metrics.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    pub method: &'static str,
    /// The template, such as `/accounts/{account_number}`.
    pub route: &'a str,
    pub status: http::StatusCode,
    pub request_id: &'a str,
    pub user_id: Option<uuid::Uuid>,
}
