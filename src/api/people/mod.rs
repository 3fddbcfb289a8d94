//! Customers and those who work here: signing in, what they may do, and the records of what they did.

pub mod access_changes;
pub mod api_keys;
pub mod audit;
pub mod audit_csv;
pub mod customers;
pub mod customers_csv;
pub mod email_verification;
pub mod erasure;
pub mod export;
pub mod failed_sign_ins;
pub mod passwords;
pub mod payees;
pub mod proof;
pub mod second_factor;
pub mod sessions;
pub mod sign_up;
pub mod staff;
pub mod users;
pub mod webhook_deliveries;
pub mod webhooks;
