//! The books: what there is (accounts, entries, commands, holds, approvals), and what becomes of a command.
//! Pure: nothing here waits for anything, reads a clock or talks to a database.

pub mod account;
pub mod account_limits;
pub mod approval;
pub mod audit_event;
pub mod bank_event;
pub mod calendar;
pub mod chain;
pub mod command;
pub mod decisions;
pub mod entry;
pub mod hold;
pub mod movement;
pub mod notice;
pub mod postings;
pub mod refusal;
pub mod rules;
pub mod staged;
pub mod tags;
pub mod texts;
pub mod unapproved;
