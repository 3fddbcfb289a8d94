//! The HTTP API, in groups of resources. Every route stands in [`router`].
//!
//! A resource has one file: wire types, then handlers, then private helpers. [`http`] has what they share, and is the
//! only place that knows how a refusal of the ledger, or a limit that is reached, becomes an answer.

pub mod app;
pub mod docs;
pub mod http;
pub mod money;
pub mod people;
pub mod router;

pub use app::App;
