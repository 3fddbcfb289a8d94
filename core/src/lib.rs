//! The bank behind Coffer's API: what it has, what becomes of a command, how that is written, and who is calling. It has
//! no routes and answers no requests: of HTTP it has the headers alone that name a request and its trace.
//!
//! # The floors
//!
//! Imports lead down only; `tests/bank/layers.rs` fails on any other.
//!
//! - [`committer`] for what moves money; [`auth`] for who is calling: passwords, second factors, access tokens,
//!   sessions.
//! - [`audit`] writes the log of what matters to security, [`limits`] counts how often anything was asked,
//!   [`disk`] measures how full the disk is; [`watches`] has the requests that wait for an account to change,
//!   [`listening`] those who listen to events.
//! - [`db`]: one file for each family of tables. Its migrations are in `migrations/`, at the top of the repository.
//! - [`books`]: accounts, entries, commands, approvals, refusals, audit events, the rules and the chain of hashes.
//! - What is parsed once and right from then on: [`money`], [`account_number`], [`bank_account`], [`api_key`],
//!   [`timestamp`], [`text`]; how far the [`clock`] can be trusted; whether one client is still there: [`presence`].
//! - [`problem_code`]: the one table of what can go wrong, explained; [`schema`]: how types describe themselves in
//!   OpenAPI; [`by_name`]: enums that are names on the wire; [`request_ids`]: the ids that lines of a request carry; [`traces`]: what OpenTelemetry gets of a request;
//!   [`tls`], and [`files`]: who may open the books and the secrets; [`sum_of_rows`]: whether two tables are the same.
#![forbid(unsafe_code)]

pub mod account_number;
pub mod api_key;
pub mod audit;
pub mod auth;
pub mod bank_account;
pub mod books;
pub mod by_name;
pub mod clock;
pub mod committer;
pub mod db;
pub mod disk;
pub mod files;
pub mod limits;
pub mod listening;
pub mod money;
pub mod presence;
pub mod problem_code;
pub mod request_ids;
pub mod schema;
pub mod sum_of_rows;
pub mod text;
pub mod timestamp;
pub mod tls;
pub mod traces;
pub mod watches;
