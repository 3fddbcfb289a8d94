//! Coffer: a bank in one binary. This crate is the API and the program; [`coffer_core`] is the bank behind it.
//!
//! # Where a deposit goes, from the wire to the disk
//!
//! 1. [`api`]: `src/api/router.rs` has every route on one screen; `src/api/money/movements.rs` reads the request and submits
//!    a [command](coffer_core::books::command::Command).
//! 2. [`committer`](coffer_core::committer): takes every command that waits, has them decided, and writes them in one
//!    durable transaction.
//! 3. [`books`](coffer_core::books): `core/src/books/decisions.rs` and `rules.rs` *decide* what becomes of a command. Pure:
//!    no database, no clock.
//! 4. [`db`](coffer_core::db): SQLite and PostgreSQL behind one type. `core/src/db/ledger/` *writes* the journal, the entries
//!    and the accounts.
//!
//! # The floors
//!
//! Imports lead down only; `tests/bank/layers.rs` fails on any other. Below these are the floors of [`coffer_core`].
//!
//! - The program: [`cli`] has a file for each command; [`server`] opens the bank and serves it; an [`acceptor`] for each
//!   listener takes connections; [`config`] has the settings; [`housekeeping`] does periodic work; the [`dispatcher`]
//!   sends events to webhooks; [`service_manager`] tells systemd and its like how the bank is; [`admin`], [`demo`] and
//!   [`doctor`] carry out the commands of those names, [`copy`] and [`backup`] those of theirs.
//! - [`mailing`] sends the mail that waits in the database.
//! - [`api`]: HTTP, in groups of resources: `money`, `people`, `docs`, and `http` for what they share, which imports none
//!   of them. `money` and `people` are one floor and import each other: a person has accounts, and a movement may take a
//!   proof of who asks.
//! - [`telemetry`]: the one table of metrics; [`process`]: those of the process; [`log_lines`]: how the log is written.
//! - What is parsed once and right from then on: [`email`], [`web_origin`], [`names`] (how they compare); where
//!   [`webhooks`] may lead and how their messages are signed; one client's [`connection`]; [`connection_limits`] counts
//!   who is connected; [`signals`]: what tells the bank to close; [`background`]: work that must not end unnoticed.
#![forbid(unsafe_code)]

pub mod acceptor;
pub mod admin;
pub mod api;
pub mod background;
pub mod backup;
pub mod cli;
pub mod config;
pub mod connection;
pub mod connection_limits;
pub mod copy;
pub mod demo;
pub mod dispatcher;
pub mod doctor;
pub mod email;
pub mod housekeeping;
pub mod log_lines;
pub mod mailing;
pub mod names;
pub mod process;
pub mod server;
pub mod service_manager;
pub mod signals;
pub mod telemetry;
pub mod web_origin;
pub mod webhooks;
