//! The audit log in CSV.

use crate::api::http::csv::{self, row, without_formulas};
use crate::api::http::error::Result;
use coffer_core::db::audit::AuditRecord;

const COLUMNS: [&str; 11] = [
    "sequence",
    "created_at",
    "action",
    "actor_id",
    "subject",
    "concerns",
    "detail",
    "address",
    "request_id",
    "client_request_id",
    "hash",
];

pub fn header() -> Result<Vec<u8>> {
    csv::header(&COLUMNS)
}

pub fn record(record: &AuditRecord) -> Result<Vec<u8>> {
    let text = |text: &Option<String>| without_formulas(text.as_deref().unwrap_or_default());
    let concerns: Vec<&str> = record.concerns.words().collect();
    row(&[
        &record.sequence.to_string(),
        &record.created_at.to_string(),
        &record.action,
        &record.actor_id.map(|id| id.to_string()).unwrap_or_default(),
        &text(&record.subject),
        &concerns.join(" "),
        &text(&record.detail),
        &text(&record.address),
        &text(&record.request_id),
        &text(&record.client_request_id),
        &hex::encode(record.hash),
    ])
}
