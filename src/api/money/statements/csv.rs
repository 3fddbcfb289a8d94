//! A statement in CSV: a row for the opening balance, one for each movement, one for the closing balance.

use super::{Heading, Totals};
use crate::api::http::csv::{self, row, without_formulas};
use crate::api::http::error::Result;
use coffer_core::bank_account::BankAccountCode;
use coffer_core::books::entry::Entry;
use coffer_core::money::Money;
use coffer_core::timestamp::Timestamp;

pub use crate::api::http::csv::CONTENT_TYPE;

const COLUMNS: [&str; 11] = [
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
    "against",
];

pub struct Encoder;

impl Encoder {
    pub fn begin(&self, heading: &Heading, piece: &mut Vec<u8>) -> Result<()> {
        piece.extend(csv::header(&COLUMNS)?);
        piece.extend(balance("opening_balance", heading.from, heading.opening_balance)?);
        Ok(())
    }

    pub fn entry(&self, entry: &Entry, piece: &mut Vec<u8>) -> Result<()> {
        let money = |minor_units| Money::new(minor_units, entry.currency).to_string();
        piece.extend(row(&[
            &entry.created_at.to_string(),
            entry.movement_type.name(),
            &without_formulas(entry.texts.description.as_deref().unwrap_or_default()),
            &entry.counterparty.map(|number| number.to_string()).unwrap_or_default(),
            &money(entry.amount),
            &money(entry.balance),
            entry.currency.code(),
            &entry.transaction_id.to_string(),
            &entry.sequence.to_string(),
            &hex::encode(entry.hash),
            entry.against.as_ref().map(BankAccountCode::as_str).unwrap_or_default(),
        ])?);
        Ok(())
    }

    pub fn end(&self, heading: &Heading, totals: &Totals, piece: &mut Vec<u8>) -> Result<()> {
        piece.extend(balance("closing_balance", heading.to, totals.closing_balance)?);
        Ok(())
    }
}

/// A row for the balance at a moment; it has no amount.
fn balance(kind: &str, at: Timestamp, balance: Money) -> Result<Vec<u8>> {
    row(&[&at.to_string(), kind, "", "", "", &balance.to_string(), balance.currency.code(), "", "", "", ""])
}
