//! One suite over the public surface; each body runs on SQLite and on PostgreSQL.
//!
//! `databases` finds or starts the databases, `harness` has the bank with its verbs; every other file is one subject.

mod access;
mod accounts;
mod approvals;
mod bad_input;
mod batch;
mod browser;
mod command_line;
mod concurrency;
mod connections;
mod databases;
mod doctor;
mod documents;
mod harness;
mod history;
mod idempotency;
mod limits;
mod money;
mod problems;
mod protocol;
mod resilience;
mod reversals;
mod rules;
mod second_factor;
mod sessions;
mod staff;
mod statements;
mod timing;
mod tls;
mod tokens;
mod users;
