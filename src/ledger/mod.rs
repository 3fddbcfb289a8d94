//! The ledger: [`rules`] decides what a command does to the books, [`chain`] makes the passbooks tamper-evident, and
//! [`committer`] writes what was decided, many commands to one durable commit.

pub mod chain;
pub mod committer;
pub mod rules;
pub mod unapproved;
