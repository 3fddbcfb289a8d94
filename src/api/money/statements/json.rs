//! A statement in JSON: one object, whose list of movements is written as it is read.

use serde::Serialize;
use serde_json::Value;

use super::{Heading, Totals};
use crate::api::http::error::{Error, Result};
use crate::api::money::transaction::TransactionBody;
use coffer_core::books::entry::Entry;

pub const CONTENT_TYPE: &str = "application/json";

#[derive(Default)]
pub struct Encoder {
    has_entries: bool,
}

impl Encoder {
    pub fn begin(&mut self, heading: &Heading, piece: &mut Vec<u8>) -> Result<()> {
        piece.push(b'{');
        write_members(heading, piece)?;
        piece.extend(b",\"movements\":[");
        Ok(())
    }

    pub fn entry(&mut self, entry: Entry, piece: &mut Vec<u8>) -> Result<()> {
        if self.has_entries {
            piece.push(b',');
        }
        self.has_entries = true;
        serde_json::to_writer(piece, &TransactionBody::from(entry)).map_err(failed)
    }

    pub fn end(&mut self, totals: &Totals, piece: &mut Vec<u8>) -> Result<()> {
        piece.extend(b"],");
        write_members(totals, piece)?;
        piece.extend(b"}\n");
        Ok(())
    }
}

/// The members of an object, without its braces.
fn write_members(object: &impl Serialize, piece: &mut Vec<u8>) -> Result<()> {
    let object = serde_json::to_value(object).map_err(failed)?;
    let members = object.as_object().into_iter().flatten().map(|(name, value)| member(name, value));
    piece.extend(members.collect::<Vec<_>>().join(",").into_bytes());
    Ok(())
}

fn member(name: &str, value: &Value) -> String {
    format!("{}:{value}", Value::from(name))
}

fn failed(error: serde_json::Error) -> Error {
    Error::Internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema;

    use super::*;
    use crate::api::money::statements::Statement;
    use coffer_core::account_number::AccountNumber;
    use coffer_core::bank_account::BankAccount;
    use coffer_core::money::{Currency, Money, MoneySum};
    use coffer_core::timestamp::Timestamp;

    #[test]
    fn a_statement_has_the_fields_that_the_document_promises() {
        let currency = Currency::from_code("USD").expect("a currency");
        let (at, nothing) = (Timestamp::from_micros(0), Money::new(0, currency));
        let account_number = AccountNumber::of_bank(BankAccount::CASH.id, currency);
        let label = Some("\"movements\":[]".to_owned());
        let heading = Heading { account_number, currency, label, from: at, to: at, opening_balance: nothing };
        let sum = MoneySum::new(0, currency);
        let totals = Totals { total_in: sum, total_out: sum, closing_balance: nothing };
        let (mut encoder, mut piece) = (Encoder::default(), Vec::new());
        encoder.begin(&heading, &mut piece).expect("a heading");
        encoder.end(&totals, &mut piece).expect("totals");
        let written: Value = serde_json::from_slice(&piece).expect("JSON");
        let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
        let promised = serde_json::to_value(Statement::schema()).expect("a schema");
        assert_eq!(names(&written), names(&promised["properties"]));
        assert_eq!(written["label"], "\"movements\":[]");
    }
}
