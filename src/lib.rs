//! Coffer: a bank in one binary.
//!
//! # Where a deposit goes, from the wire to the disk
//!
//! 1. [`api`]: `api/router.rs` has every route on one screen; `api/money/movements.rs` reads the request and submits a
//!    [command](books::command::Command).
//! 2. [`committer`]: takes every command that waits, has them decided, and writes them in one durable transaction.
//! 3. [`books`]: `books/decisions.rs` and `books/rules.rs` *decide* what becomes of a command. Pure: no database, no
//!    clock.
//! 4. [`db`]: SQLite and PostgreSQL behind one type. `db/ledger/` *writes* the journal, the entries and the accounts.
//!
//! # The floors
//!
//! Imports lead down only; `tests/bank/layers.rs` fails on any other.
//!
//! - The program: [`cli`] has a file for each command; [`server`] opens the bank and serves it; an [`acceptor`] for each listener takes connections;
//!   [`config`] has the settings; [`housekeeping`] does periodic work; the [`dispatcher`] sends events to webhooks;
//!   [`service_manager`] tells systemd and its like how the bank is; [`admin`], [`demo`] and [`doctor`] carry out the
//!   commands of those names, [`copy`] and [`backup`] those of theirs.
//! - [`mailing`] sends the mail that waits in the database.
//! - [`api`]: HTTP, in groups of resources: `money`, `people`, `docs`, and `http` for what they share, which imports none
//!   of them. `money` and `people` are one floor and import each other: a person has accounts, and a movement may take a
//!   proof of who asks.
//! - [`committer`] for what moves money; [`auth`] for who is calling: passwords, second factors, access tokens,
//!   sessions.
//! - [`audit`] writes the log of what matters to security, [`limits`] counts how often anything was asked,
//!   [`disk`] measures how full the disk is; [`connection_limits`] counts who is connected; [`watches`] has the
//!   requests that wait for an account to change, [`listening`] those who listen to events.
//! - [`db`]: one file for each family of tables.
//! - [`books`]: accounts, entries, commands, approvals, refusals, audit events, the rules and the chain of hashes.
//! - [`problem_code`]: the one table of what can go wrong, explained; [`schema`]: how types describe themselves in
//!   OpenAPI. [`telemetry`]: the one table of metrics, [`process`]: those of the process; [`log_lines`]: how the log is written; [`request_ids`]: the ids that
//!   lines of a request carry; [`traces`]: what OpenTelemetry gets of a request.
//! - What is parsed once and right from then on: [`money`], [`account_number`], [`bank_account`], [`api_key`],
//!   [`timestamp`], [`text`], [`names`] (how they compare), [`email`], [`web_origin`]; where [`webhooks`] may lead and how their messages are signed; how far the [`clock`] can be trusted; one client's [`connection`] and its
//!   [`presence`]; [`tls`], [`files`] (who may open the books and the secrets) and [`signals`] (what tells the bank to close).
#![forbid(unsafe_code)]

pub mod acceptor;
pub mod account_number;
pub mod admin;
pub mod api;
pub mod api_key;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod bank_account;
pub mod books;
pub mod cli;
pub mod clock;
pub mod committer;
pub mod config;
pub mod connection;
pub mod connection_limits;
pub mod copy;
pub mod db;
pub mod demo;
pub mod disk;
pub mod dispatcher;
pub mod doctor;
pub mod email;
pub mod files;
pub mod housekeeping;
pub mod limits;
pub mod listening;
pub mod log_lines;
pub mod mailing;
pub mod money;
pub mod names;
pub mod presence;
pub mod problem_code;
pub mod process;
pub mod request_ids;
pub mod schema;
pub mod server;
pub mod service_manager;
pub mod signals;
pub mod telemetry;
pub mod text;
pub mod timestamp;
pub mod tls;
pub mod traces;
pub mod watches;
pub mod web_origin;
pub mod webhooks;
