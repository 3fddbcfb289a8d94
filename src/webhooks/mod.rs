//! Webhooks: sending events to programs, by the Standard Webhooks specification
//! (github.com/standard-webhooks/standard-webhooks). What is sent and when is decided above, in `dispatcher.rs`.

pub mod destinations;
pub mod schedule;
pub mod secret;
pub mod sender;
