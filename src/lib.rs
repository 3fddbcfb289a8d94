//! Coffer: a bank in one binary.
//!
//! # Layout
//!
//! Where a deposit goes, from the wire to the disk:
//!
//! - [`api`]: the routes, all on one screen in `api/mod.rs`. `api/movements.rs` reads the request and queues a command.
//! - [`auth`]: passwords, access tokens, sessions, and the extractor that says who is calling.
//! - [`ledger`]: `rules.rs` *decides* what a command does to the books, without any I/O; `committer/` takes everything
//!   that is waiting, has it decided, and *writes* it in one durable transaction; `chain.rs` hashes the passbooks.
//! - [`db`]: SQLite and PostgreSQL behind one type. `db/ledger/` has the statements that write the books.
//! - [`limits`], [`connection_limits`], [`disk`]: how often anything may be asked, who may be connected, and how full the
//!   disk may be.
//! - [`audit`]: the log of what matters to security.
//! - [`clock`]: how far the clock can be trusted.
//! - [`text`], [`email`], [`money`], [`account_number`], [`timestamp`], [`web_origin`]: what is parsed once and right
//!   from then on.
//! - [`error`]: the one error type and the problem document it becomes; [`problems`]: every kind of problem, explained.
//! - [`config`], [`server`], [`door`], [`connection`], [`presence`], [`tls`], [`signals`], [`housekeeping`]: settings, serving, where
//!   clients come in, one client's connection, whether it is still there, what tells the bank to close, what happens by the clock.
//! - [`files`]: who may open the books and the secrets.
//! - [`doctor`], [`admin`], [`demo`]: what the commands `coffer doctor`, `coffer admin` and `coffer demo` do.
//!
//! Dependencies point one way: `main -> server -> api -> auth -> ledger -> db -> money`. `error` names the rules'
//! refusals and turns them into answers, so whoever can fail towards a client imports it: `api`, `auth` and the
//! committer. Nothing imports `api` but the server, and `ledger::rules` knows neither axum nor SQL.
#![forbid(unsafe_code)]

pub mod account_number;
pub mod admin;
pub mod api;
pub mod audit;
pub mod auth;
pub mod books;
pub mod clock;
pub mod committer;
pub mod config;
pub mod connection;
pub mod connection_limits;
pub mod db;
pub mod demo;
pub mod disk;
pub mod doctor;
pub mod door;
pub mod email;
pub mod files;
pub mod housekeeping;
pub mod limits;
pub mod money;
pub mod presence;
pub mod server;
pub mod signals;
pub mod text;
pub mod timestamp;
pub mod tls;
pub mod web_origin;
