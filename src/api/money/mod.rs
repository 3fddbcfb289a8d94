//! Accounts, and what moves between them.

pub mod account_limits;
pub mod accounts;
pub mod approvals;
pub mod bank;
pub mod bank_accounts;
pub mod batch;
mod conditions;
pub mod events;
pub mod holds;
pub mod limit_changes;
pub mod movements;
pub mod preview;
pub mod reversals;
pub mod search;
pub mod statements;
pub mod tags;
pub mod totals;
pub mod transaction;
pub mod transactions;
pub mod transactions_csv;
pub mod trial_balance;
pub mod versions;
