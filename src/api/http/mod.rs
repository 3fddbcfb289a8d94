//! The HTTP that all resources share: requests into types, errors into problem documents, and the middleware around
//! each answer.

pub mod archive;
pub mod attachment;
pub mod bank_address;
pub mod caller;
pub mod context;
pub mod cors;
pub mod csv;
pub mod cursor;
pub mod edge;
pub mod entity_tags;
pub mod error;
pub mod extract;
pub mod fields;
pub mod long_answers;
pub mod middleware;
pub mod negotiation;
pub mod page;
pub mod pieces;
pub mod problem;
pub mod protocol;
pub mod rate_limits;
mod refusals;
mod request_figures;
pub mod views;
pub mod waiting;
pub mod web_client;

use std::time::Duration;

/// A read, or a write beside the ledger, that takes longer than this has met a database in trouble.
pub const HANDLER_TIMEOUT: Duration = Duration::from_secs(9);
