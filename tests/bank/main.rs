//! One suite over the public surface; each body runs on SQLite and on PostgreSQL.
//!
//! `databases` finds or starts the databases, `harness` has the bank with its verbs; every other file is one subject.
#![allow(clippy::print_stdout)]

mod access;
mod accounts;
mod approvals;
mod bad_input;
mod batch;
mod browser;
mod clocks;
mod command_line;
mod concurrency;
mod connections;
mod databases;
mod decisions;
mod docs;
mod doctor;
mod documents;
mod dual_control;
mod factor_keys;
mod failing_disk;
mod floods;
mod harness;
mod healthcheck;
mod history;
mod holds;
mod idempotency;
mod layers;
mod limits;
mod migrations;
mod money;
mod output;
mod previews;
mod problems;
mod proof;
mod protocol;
mod quotas;
mod records;
mod resilience;
mod reversals;
mod rules;
mod safe_start;
mod second_factor;
mod sessions;
mod settings;
mod staff;
mod startup;
mod statements;
mod tags;
mod texts;
mod timing;
mod tls;
mod tokens;
mod units;
mod users;
mod versions;
