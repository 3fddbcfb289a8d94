//! Statements in their formats. Each has an encoder of its own; a new one is an arm here and a file beside it.

use super::{Heading, Totals, csv, json};
use crate::api::http::error::Result;
use coffer_core::books::entry::Entry;

/// Each is an operation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

/// Encodes a statement piece by piece: its heading, each entry, the oldest first, and its totals.
pub enum Encoder {
    Json(json::Encoder),
    Csv(csv::Encoder),
}

impl Encoder {
    pub fn new(format: Format) -> Self {
        match format {
            Format::Json => Self::Json(json::Encoder::default()),
            Format::Csv => Self::Csv(csv::Encoder),
        }
    }

    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Json(_) => json::CONTENT_TYPE,
            Self::Csv(_) => csv::CONTENT_TYPE,
        }
    }

    /// The end of the file's name, for a format that is saved as a file.
    pub fn extension(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) => None,
            Self::Csv(_) => Some("csv"),
        }
    }

    pub fn begin(&mut self, heading: &Heading, piece: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Json(encoder) => encoder.begin(heading, piece),
            Self::Csv(encoder) => encoder.begin(heading, piece),
        }
    }

    pub fn entry(&mut self, entry: Entry, piece: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Json(encoder) => encoder.entry(entry, piece),
            Self::Csv(encoder) => encoder.entry(&entry, piece),
        }
    }

    pub fn end(&mut self, heading: &Heading, totals: &Totals, piece: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Json(encoder) => encoder.end(totals, piece),
            Self::Csv(encoder) => encoder.end(heading, totals, piece),
        }
    }
}
