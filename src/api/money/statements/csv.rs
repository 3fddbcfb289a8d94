//! The records of a statement in CSV.

use crate::api::http::csv::{self, row, without_formulas};
use crate::api::http::problem::Result;
use crate::books::entry::Entry;
use crate::money::Money;
use crate::timestamp::Timestamp;

const COLUMNS: [&str; 10] = [
    "date",
    "type",
    "description",
    "counterparty",
    "amount",
    "balance",
    "currency",
    "transaction_id",
    "sequence",
    "hash",
];

pub fn header() -> Result<Vec<u8>> {
    csv::header(&COLUMNS)
}

/// What was there at a moment; it has no amount.
pub fn balance(kind: &str, at: Timestamp, balance: Money) -> Result<Vec<u8>> {
    row(&[&at.to_string(), kind, "", "", "", &balance.to_string(), balance.currency.code(), "", "", ""])
}

pub fn movement(entry: &Entry) -> Result<Vec<u8>> {
    let money = |minor_units| Money::new(minor_units, entry.currency).to_string();
    row(&[
        &entry.created_at.to_string(),
        entry.movement_type.name(),
        &without_formulas(entry.description.as_deref().unwrap_or_default()),
        &entry.counterparty.map(|number| number.to_string()).unwrap_or_default(),
        &money(entry.amount),
        &money(entry.balance),
        entry.currency.code(),
        &entry.transaction_id.to_string(),
        &entry.sequence.to_string(),
        &hex::encode(entry.hash),
    ])
}
